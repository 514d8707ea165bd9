"""Links: URLs, serial ports that vanish or are taken, TCP peers."""

import asyncio
import ctypes
import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import serial_link
from drivers.contract import DeviceFault, LinkLost
from drivers.serial_link import BUFFER_BYTES_MAX, SerialPort, TcpPeer, open_link, parse_link_url, port_holders

BOUND_S = 60.0


class Terminal:
    """A pseudo-terminal with both ends in our hands."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.name = os.ttyname(self.slave)
        self.url = f"serial://{self.name}"

    def close(self) -> None:
        for handle in (self.master, self.slave):
            if handle >= 0:
                os.close(handle)
        self.master = self.slave = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("serial:///dev/ttyUSB0", SerialPort("/dev/ttyUSB0")),
        (
            "serial:///dev/serial/by-id/usb-Zebra_DS3608-if00?baudrate=115200&parity=even&bytesize=7&stopbits=2&flow=rtscts",
            SerialPort("/dev/serial/by-id/usb-Zebra_DS3608-if00", 115200, 7, "E", 2, "rtscts"),
        ),
        ("socket://10.0.0.7:4001", TcpPeer("10.0.0.7", 4001)),
        ("socket://[::1]:4001", TcpPeer("::1", 4001)),
    ],
)
def test_a_url_names_a_link(url: str, where: SerialPort | TcpPeer) -> None:
    assert parse_link_url(url) == where


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ttyUSB0", 'did you mean "serial:///dev/ttyUSB0"'),
        ("/dev/ttyUSB0", 'did you mean "serial:///dev/ttyUSB0"'),
        ("serial://dev/ttyUSB0", 'did you mean "serial:///dev/ttyUSB0"'),
        ("seriel:///dev/ttyUSB0", 'did you mean "serial://"'),
        ("http://10.0.0.7", "it is serial:// or socket://"),
        ("serial:///dev/ttyUSB0?baud=9600", 'unknown "baud"; did you mean "baudrate"'),
        ("serial:///dev/ttyUSB0?baudrate=fast", "baudrate is one of 50-4000000"),
        ("serial:///dev/ttyUSB0?parity=X", "parity is N, E, O, M or S"),
        ("serial:///dev/ttyUSB0?parity=", "parity is N, E, O, M or S"),
        ("serial:///dev/ttyUSB0?bytesize=9", "bytesize is one of 5, 6, 7, 8"),
        ("serial:///dev/ttyUSB0?flow=maybe", "flow is none, xonxoff or rtscts"),
        ("socket://10.0.0.7", "needs a host and a port"),
        ("socket://10.0.0.7:port", "socket://10.0.0.7:port"),
        ("socket://10.0.0.7:4001/x", "nothing may follow the port"),
    ],
)
def test_a_wrong_url_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_link_url(url)
    assert words in str(caught.value)


async def test_bytes_go_both_ways_unchanged(terminal: Terminal) -> None:
    link = await open_link(terminal.url)
    everything = bytes(range(256))
    os.write(terminal.master, everything)
    heard = b""
    while len(heard) < 256:
        heard += await asyncio.wait_for(link.read(), BOUND_S)
    assert heard == everything
    await link.write(everything)
    assert os.read(terminal.master, 1000) == everything
    await link.aclose()


async def test_silence_is_no_bytes(terminal: Terminal) -> None:
    link = await open_link(terminal.url)
    assert await link.read(0.01) == b""
    os.write(terminal.master, b"x")
    assert await asyncio.wait_for(link.read(BOUND_S), BOUND_S) == b"x"
    await link.aclose()


async def test_a_busy_process_does_not_take_its_own_delay_for_silence(terminal: Terminal) -> None:
    """The loop was away for longer than the idle gap, and the bytes had come."""
    link = await open_link(terminal.url)
    reading = asyncio.ensure_future(link.read(0.01))
    await asyncio.sleep(0)
    os.write(terminal.master, b"x")
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < started + 0.05:
        pass
    assert await asyncio.wait_for(reading, BOUND_S) == b"x"
    await link.aclose()


async def test_unplugged_while_reading_is_link_lost(terminal: Terminal) -> None:
    link = await open_link(terminal.url)
    reading = asyncio.ensure_future(link.read())
    await asyncio.sleep(0)
    terminal.close()
    with pytest.raises(LinkLost):
        await asyncio.wait_for(reading, BOUND_S)
    with pytest.raises(LinkLost):
        await link.write(b"\x06")
    with pytest.raises(LinkLost):
        await link.read()
    await link.aclose()


async def test_a_port_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(LinkLost, match="is not there") as caught:
        await open_link(f"serial://{tmp_path}/ttyUSB7")
    assert caught.value.hint
    assert "plugged in by id" in caught.value.hint


async def test_what_is_no_serial_port_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", Path("/dev/null"), tmp_path):
        with pytest.raises(DeviceFault, match="is not a serial port"):
            await open_link(f"serial://{path}")


async def test_settings_the_port_cannot_do_are_a_fault(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    import serialx

    async def unsupported(*_: object, **__: object) -> None:
        raise serialx.UnsupportedSetting("no such parity here")

    monkeypatch.setattr(serialx, "create_serial_connection", unsupported)
    with pytest.raises(DeviceFault, match="no such parity here"):
        await open_link(terminal.url)


async def test_a_port_that_is_taken_says_by_whom(terminal: Terminal) -> None:
    """Two services grab each other's scanners: half of every label each."""
    code = (
        "import fcntl, os, sys; port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY);"
        "fcntl.flock(port, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, terminal.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DeviceFault) as caught:
            await open_link(terminal.url)
        assert f"(pid {other.pid})" in str(caught.value)
        assert port_holders(terminal.name) == [who for who in port_holders(terminal.name) if str(other.pid) in who]
        other.communicate()
    link = await open_link(terminal.url)
    await link.aclose()


async def test_an_open_port_is_locked_and_free_again_after_closing(terminal: Terminal) -> None:
    link = await open_link(terminal.url)
    with pytest.raises(BlockingIOError):
        fcntl.flock(terminal.slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await link.aclose()
    fcntl.flock(terminal.slave, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_flood_that_nobody_reads_stays_in_the_kernel(terminal: Terminal) -> None:
    link = await open_link(terminal.url)
    os.set_blocking(terminal.master, False)
    sent = 0

    async def push() -> None:
        nonlocal sent
        try:
            sent += os.write(terminal.master, b"x" * 4096)
        except BlockingIOError:
            await asyncio.sleep(0)

    async with asyncio.timeout(BOUND_S):
        while sent < 2 * BUFFER_BYTES_MAX and not link._paused:
            await push()
    for _ in range(2000):
        await push()
    assert len(link._buffer) < 2 * BUFFER_BYTES_MAX
    assert sent < 3 * BUFFER_BYTES_MAX
    heard = 0
    while heard < sent:
        heard += len(await asyncio.wait_for(link.read(), BOUND_S))
    assert heard == sent
    await link.aclose()


async def test_an_answer_that_does_not_leave_is_link_lost(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow control holds us up; an ACK that leaves in a minute is no answer."""
    monkeypatch.setattr("drivers.serial_link.WRITE_TIMEOUT_S", 0.01)
    link = await open_link(terminal.url)
    with pytest.raises(LinkLost, match="does not take an answer"):
        for _ in range(100):
            await link.write(b"\x06" * 4096)
    await link.aclose()


async def test_a_tcp_peer_that_closes_is_link_lost_after_its_last_bytes() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        link = await open_link(f"socket://127.0.0.1:{port}")
        heard = b""
        with pytest.raises(LinkLost):
            while True:
                heard += await asyncio.wait_for(link.read(), BOUND_S)
        assert heard == b"last"
        await link.aclose()
    with pytest.raises(LinkLost):
        await open_link(f"socket://127.0.0.1:{port}")


@pytest.mark.parametrize(("url", "is_checked"), [("?parity=even", True), ("?parity=O&bytesize=7", True), ("", False)])
async def test_parity_that_is_configured_is_looked_at(terminal: Terminal, url: str, is_checked: bool) -> None:
    """Told only to send it, the kernel hands on a digit with a flipped bit as another digit."""
    link = await open_link(terminal.url + url)
    modes = termios.tcgetattr(terminal.slave)[0]
    assert bool(modes & termios.INPCK) is is_checked
    assert not modes & (termios.IGNPAR | termios.PARMRK)
    assert link.marks_damage is is_checked
    await link.aclose()


def go_deaf(peer: socket.socket) -> None:
    """From now on the peer's kernel sees nothing of what is sent to it, as if it had lost its power."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(drop_all))
    so_attach_filter = 26
    peer.setsockopt(socket.SOL_SOCKET, so_attach_filter, program)


async def test_a_peer_that_lost_power_before_it_had_its_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an answer on its way keep-alive is silent, and the kernel repeats the answer for a quarter of an hour; a
    scanner that is on again meanwhile and waits to be connected to would wait as long."""
    monkeypatch.setattr(serial_link, "UNCONFIRMED_MS", 200)
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = await open_link(f"socket://127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        peer.send(b"]E01\r")
        assert await asyncio.wait_for(link.read(), BOUND_S) == b"]E01\r"
        go_deaf(peer)
        await link.write(b"\x06")
        with pytest.raises(LinkLost):
            await asyncio.wait_for(link.read(), BOUND_S)
        await link.aclose()
        peer.close()
