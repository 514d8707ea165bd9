"""One function, URL in, link out: a serial port or a TCP peer, as bytes that come, silence, and LinkLost.

    serial:///dev/serial/by-id/usb-...?baudrate=9600&parity=N&bytesize=8&stopbits=1&flow=none
    socket://10.0.0.7:4001        a serial port behind a device server (raw TCP)

Bind serial ports by /dev/serial/by-id: ttyUSB numbers swap after a reboot or a replug.

A port is opened exclusively (an advisory lock, which a second Dockline respects, and TIOCEXCL, which everything but
root respects), because two readers of one port get half of every label each. When it is taken, the error says by whom.

A link reads on its own into a bounded buffer (reading pauses above `BUFFER_BYTES_MAX`, the kernel and the device hold
the rest), so that what arrived while the disk was slow is known before an answer is written, and so that "silent for
0.1 s" means that nothing arrived, not that this process was busy: asyncio runs what the poll found before it runs
timers, and `read` looks into the buffer once more after its timer fired.

Unplugging is an error from the kernel, at once. A TCP peer that vanished without a word is found by keep-alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import errno
import fcntl
import os
import socket
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import serialx

from drivers.contract import DeviceFault, DriverError, LinkLost, os_words

BUFFER_BYTES_MAX = 64 * 1024
WRITE_TIMEOUT_S = 2.0
"""An answer is a few bytes; one that does not leave in this time is not heard in time either."""
CONNECT_TIMEOUT_S = 5.0
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""A peer that lost power is noticed within 25 s, while it owes us nothing."""
UNCONFIRMED_MS = 30_000
"""And within this while an answer is on its way to it: then the kernel does not ask, it repeats the answer, and would
for a quarter of an hour, ever more rarely. Long enough for three repetitions over a bad radio."""

_SERIAL_KEYS = ("baudrate", "bytesize", "parity", "stopbits", "flow")
_BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True, slots=True)
class SerialPort:
    """Where a serial device is, and how it talks."""

    path: str
    baudrate: int = 9600
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O", "M", "S"] = "N"
    stopbits: Literal[1, 2] = 1
    flow: Literal["none", "xonxoff", "rtscts"] = "none"


@dataclass(frozen=True, slots=True)
class TcpPeer:
    """Where a device listens."""

    host: str
    port: int


def parse_link_url(url: str) -> SerialPort | TcpPeer:
    """Return what `url` names. Raises ValueError in words for the person who wrote it."""
    if "://" not in url:
        path = url if url.startswith("/") else f"/dev/{url}"
        raise ValueError(f'"{url}" is not a URL; did you mean "serial://{path}"?')
    parts = urlsplit(url)
    if parts.scheme == "serial":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValueError(f'"{url}": a serial port is a path; did you mean "serial:///{parts.netloc}{parts.path}"?')
        return _parse_serial(url, parts.path, parts.query)
    if parts.scheme in ("socket", "tcp"):
        return parse_tcp_url(url)
    near = difflib.get_close_matches(parts.scheme, ("serial", "socket"), 1)
    meant = f'; did you mean "{near[0]}://"?' if near else "; it is serial:// or socket://"
    raise ValueError(f'"{parts.scheme}://" is not a link{meant}')


def parse_tcp_url(url: str) -> TcpPeer:
    """Return host and port of a `scheme://host:port` URL. Raises ValueError."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f'"{url}": {error}') from None
    if not host or port is None:
        raise ValueError(f'"{url}" needs a host and a port, as in "{parts.scheme}://10.0.0.7:4001"')
    if parts.path not in ("", "/") or parts.query:
        raise ValueError(f'"{url}": nothing may follow the port')
    return TcpPeer(host, port)


def _parse_serial(url: str, path: str, query: str) -> SerialPort:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key not in _SERIAL_KEYS:
            near = difflib.get_close_matches(key, _SERIAL_KEYS, 1)
            raise ValueError(f'"{url}": unknown "{key}"' + (f'; did you mean "{near[0]}"?' if near else ""))

    def number(key: str, default: int, allowed: range | tuple[int, ...]) -> int:
        text = given.get(key, str(default))
        if not text.isdecimal() or int(text) not in allowed:
            hint = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"{allowed.start}-{allowed.stop - 1}"
            raise ValueError(f'"{url}": {key} is one of {hint}, not "{text}"')
        return int(text)

    parity = given.get("parity", "N")[:1].upper()
    flow = given.get("flow", "none")
    if parity not in "NEOMS" or not parity:
        raise ValueError(f'"{url}": parity is N, E, O, M or S, not "{given.get("parity")}"')
    if flow not in ("none", "xonxoff", "rtscts"):
        raise ValueError(f'"{url}": flow is none, xonxoff or rtscts, not "{flow}"')
    return SerialPort(
        path=path,
        baudrate=number("baudrate", 9600, range(50, 4_000_001)),
        bytesize=number("bytesize", 8, (5, 6, 7, 8)),  # type: ignore[arg-type]
        parity=parity,  # type: ignore[arg-type]
        stopbits=number("stopbits", 1, (1, 2)),  # type: ignore[arg-type]
        flow=flow,  # type: ignore[arg-type]
    )


class Link(asyncio.Protocol):
    """An open byte stream to a device. Made by `open_link`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._paused = False
        self._lost: str | None = None
        self._time = asyncio.get_running_loop().time
        self.last_byte: float | None = None
        """When something last arrived, on the loop's clock."""
        self.marks_damage = False
        """A character that the line damaged arrives as NUL."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # so that `write` waits for the kernel, not for our own buffer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.last_byte = self._time()
        self._arrived.set()
        if len(self._buffer) > BUFFER_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"{exc.strerror or exc}" if isinstance(exc, OSError) else str(exc or "the other side closed it"))
        self._closed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def has_arrived(self) -> bool:
        """True when `take` would return bytes."""
        return bool(self._buffer)

    def take(self) -> bytes:
        """Return what has arrived and was not read yet, at once; nothing when nothing has."""
        chunk = bytes(self._buffer)
        self._buffer.clear()
        if self._paused and self._transport is not None and self._lost is None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def read(self, silence_s: float | None = None) -> bytes:
        """Return what has arrived; b"" when nothing did for `silence_s`. Raises LinkLost when the link is gone.

        What arrived before the link went is returned first.
        """
        try:
            async with asyncio.timeout(silence_s):
                while not self._buffer and self._lost is None:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            if not self._buffer and self._lost is None:
                return b""
        if not self._buffer and self._lost is not None:
            raise LinkLost(f"{self.name}: {self._lost}")
        return self.take()

    async def write(self, data: bytes) -> None:
        """Return when the kernel has taken `data`. Raises LinkLost when it does not in WRITE_TIMEOUT_S."""
        if self._lost is not None or self._transport is None:
            raise LinkLost(f"{self.name}: {self._lost}")
        try:
            self._transport.write(data)
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writable.wait()
        except TimeoutError:
            raise LinkLost(f"{self.name}: the device does not take an answer of {len(data)} bytes") from None
        except OSError as error:
            raise LinkLost(f"{self.name}: {error.strerror or error}") from error
        if self._lost is not None:
            raise LinkLost(f"{self.name}: {self._lost}")

    async def aclose(self) -> None:
        """Return when the port is free for the next one to open."""
        if self._transport is None:
            return
        self._end("closed")
        self._transport.abort()
        await self._closed.wait()

    def _end(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
        self._arrived.set()
        self._writable.set()


async def open_link(url: str) -> Link:
    """Open the link `url` names. Raises LinkLost (trying again may help) or DeviceFault (it will not by itself)."""
    where = parse_link_url(url)
    if isinstance(where, SerialPort):
        return await _open_serial(where)
    return await _open_tcp(where)


async def _open_tcp(peer: TcpPeer) -> Link:
    name = f"{peer.host}:{peer.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, link = await loop.create_connection(lambda: Link(name), peer.host, peer.port)
    except TimeoutError:
        raise LinkLost(f"{name} does not answer", hint="is the device on, and on this network?") from None
    except OSError as error:
        raise LinkLost(f"{name}: {os_words(error)}", hint="is the device on, and listening there?") from error
    keep_alive(transport)
    return link


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Make the kernel ask a silent TCP peer whether it is still there."""
    wire: socket.socket = transport.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        wire.setsockopt(socket.IPPROTO_TCP, option, value)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNCONFIRMED_MS)


async def _open_serial(port: SerialPort) -> Link:
    link = Link(port.path)
    try:
        transport, _ = await serialx.create_serial_connection(
            asyncio.get_running_loop(),
            lambda: link,
            port.path,
            baudrate=port.baudrate,
            byte_size=port.bytesize,
            parity=serialx.Parity(port.parity),
            stopbits=serialx.StopBits(port.stopbits),
            xonxoff=port.flow == "xonxoff",
            rtscts=port.flow == "rtscts",
            exclusive=True,
        )
    except OSError as error:
        raise _open_error(port, error) from error
    except (serialx.SerialException, termios.error, ValueError) as error:
        raise DeviceFault(f"{port.path} cannot do {port}: {error}", hint="check baudrate, parity and flow") from error
    _refuse_others(port.path, transport.serial.fileno())
    if port.parity != "N":
        link.marks_damage = _check_parity(transport.serial.fileno())
    return link


def _check_parity(fileno: int) -> bool:
    """Have the kernel look at the parity of what arrives: told only to send it, it hands on damaged characters as good.

    Return True when a damaged one arrives as NUL from now on (termios(3): INPCK without IGNPAR and PARMRK).
    """
    with contextlib.suppress(termios.error):  # unplugged in this moment: the next read says so
        modes = termios.tcgetattr(fileno)
        modes[0] |= termios.INPCK
        termios.tcsetattr(fileno, termios.TCSANOW, modes)
    return True


def _refuse_others(path: str, fileno: int) -> None:
    """Let nobody else open the port. Not on a pseudo-terminal: there the mark would outlive this process."""
    if not os.path.realpath(path).startswith("/dev/pts/"):
        with contextlib.suppress(OSError):  # unplugged in this moment: the next read says so
            fcntl.ioctl(fileno, termios.TIOCEXCL)


def _open_error(port: SerialPort, error: OSError) -> DriverError:
    if error.errno == errno.EBUSY:
        held = ", ".join(port_holders(port.path)) or "a program this user may not see"
        return DeviceFault(f"{port.path} is in use by {held}", hint="end that program, or give it another port")
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeviceFault(f"{port.path}: permission denied", hint="the gateway's user needs the group of the port")
    if error.errno in (errno.ENOTTY, errno.EISDIR, errno.EINVAL):
        return DeviceFault(f"{port.path} is not a serial port", hint=_ports_hint())
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return LinkLost(f"{port.path} is not there", hint=_ports_hint())
    return LinkLost(f"{port.path}: {error.strerror or error}")


def _ports_hint() -> str:
    present = sorted(path.name for path in _BY_ID.glob("*"))
    return "plugged in by id: " + (", ".join(present) if present else "nothing")


def port_holders(path: str) -> list[str]:
    """Return who has the port open, as "name (pid 123)", as far as this user may see. This process is left out."""
    target = os.path.realpath(path)
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_holder = any(str(handle.readlink()) == target for handle in (process / "fd").iterdir())
            name = (process / "comm").read_text().strip()
        except OSError:
            continue
        if is_holder and process.name != str(os.getpid()):
            holders.append(f"{name} (pid {process.name})")
    return sorted(holders)
