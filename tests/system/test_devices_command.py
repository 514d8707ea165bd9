"""`dockline devices` at a real gateway with a scanner on a pseudo-terminal, one that talks nonsense, and a PLC."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import CONFIG, GatewayProcess, command, gateway, until
from terminal import Terminal

from simulators.plc import Plc
from simulators.plc_signal import Signal
from simulators.scanner_port import TcpServerPort

SCAN = b"]C1010952123454321310LOT7\r"
DEVICES = """
[[device]]
id = "dock-3-scanner"
station = "floor"
driver = "serial-scanner"
url = "serial://{scanner}"
"""
PLC = """
[[device]]
id = "press-plc"
station = "floor"
driver = "modbus-poller"
url = "modbus-tcp://127.0.0.1:{plc}?unit=1"
points = [{ name = "good_parts", address = 0, type = "uint32", means = "count" }]
"""


class Bench:
    """A gateway that has a scanner open; what the scanner says is written to `wire`."""

    def __init__(self, daemon: GatewayProcess, wire: int) -> None:
        self.daemon = daemon
        self._wire = wire

    def scans(self, data: bytes) -> None:
        os.write(self._wire, data)

    async def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.daemon.command, *words)

    def link(self) -> dict[str, Any]:
        links = self.daemon.ask("GET", "/v1/status").json["links"]
        return next(one for one in links if one["device"] == "dock-3-scanner")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    wire, slave = pty.openpty()
    tty.setraw(slave)
    config = CONFIG + DEVICES.replace("{scanner}", os.ttyname(slave))
    with gateway(tmp_path_factory.mktemp("gateway"), config) as daemon:
        daemon.start()
        yield Bench(daemon, wire)
    os.close(slave)
    os.close(wire)


def test_what_is_heard_and_not_understood_is_seen_in_the_age_of_the_last_byte(bench: Bench) -> None:
    """A wrong baud rate, or the tail of a scan that never ends: the device talks, and no reading comes of it yet."""

    def heard() -> bool:
        bench.scans(b"\xfe")  # again and again: what comes before the port is open is nobody's
        return bench.link()["last_byte_age_s"] is not None

    until(heard, "a byte is heard")
    listed = json.loads(bench.daemon.command("devices", "list", "--json").stdout)
    assert {one["id"]: one["last_byte_age_s"] is not None for one in listed} == {"hh-*": False, "dock-3-scanner": True}
    shown = bench.daemon.command("devices", "list").stdout
    assert re.search(r"dock-3-scanner +floor +serial-scanner +\w+ +[\d.]+ s ", shown), shown


def test_a_port_that_the_gateway_has_open_is_asked_of_the_gateway(bench: Bench) -> None:
    until(lambda: bench.link()["state"] == "up", "the link stands")
    done = bench.daemon.command("devices", "probe", "dock-3-scanner")
    assert (done.returncode, "the gateway has it open: up" in done.stdout) == (0, True)
    found = json.loads(bench.daemon.command("devices", "probe", "dock-3-scanner", "--json").stdout)
    assert len(found["held_by"]) == 1 and "dockline" in found["held_by"][0]


async def test_watching_shows_what_a_device_says_with_its_raw_text(bench: Bench) -> None:
    watch = asyncio.ensure_future(bench.runs("devices", "watch", "dock-3-scanner", "--count", "1"))
    while not watch.done():
        bench.scans(SCAN)
        await asyncio.wait({watch}, timeout=1)
    assert re.search(r"Z  dock-3-scanner  pick  09521234543213 x 1  010952123454321310LOT7", (await watch).stdout)
    nobody = await bench.runs("devices", "watch", "dock-3-scaner")
    assert (nobody.returncode, 'did you mean "dock-3-scanner"?' in nobody.stderr) == (64, True)
    assert (await bench.runs("devices", "watch", "hh-7", "--within", "0.2")).stdout == ""


def test_a_tail_shows_only_what_was_asked_for(bench: Bench) -> None:
    for number, (device, code, document) in enumerate(
        [
            ("hh-1", "]C10109521234543213", "PL-1"),
            ("hh-2", "]C10109521234543213", "PL-1"),
            ("hh-1", "]E04006381333931", "PL-2"),
        ]
    ):
        body = {"device": device, "id": f"n-{number}", "code": code, "document": document}
        assert bench.daemon.ask("POST", "/v1/scans", body).status == 200

    def shown(count: int, *words: str) -> list[tuple[str, str]]:
        within = () if count else ("--within", "0.3")
        done = bench.daemon.command(
            "events", "tail", "--after", "0", "--json", *words, *within, *(("--count", str(count)) if count else ())
        )
        found = [json.loads(line)["event"]["data"] for line in done.stdout.splitlines()]
        return [(data["device"]["id"], data["document"]["id"]) for data in found]

    assert shown(2, "--device", "hh-1") == [("hh-1", "PL-1"), ("hh-1", "PL-2")]
    assert shown(2, "--document", "PL-1") == [("hh-1", "PL-1"), ("hh-2", "PL-1")]
    assert shown(1, "--code", "04006381333931") == [("hh-1", "PL-2")]
    assert shown(1, "--type", "pick", "--station", "floor", "--document", "PL-2") == [("hh-1", "PL-2")]
    assert shown(0, "--station", "elsewhere") == []
    wrong = bench.daemon.command("events", "tail", "--type", "pikc")
    assert (wrong.returncode, 'did you mean "pick"?' in wrong.stderr) == (64, True)


async def test_on_a_narrow_terminal_nothing_is_cut_off(bench: Bench) -> None:
    async with Terminal("devices", "list", "--config", str(bench.daemon.config), columns=60) as terminal:
        assert await terminal.ended() == 0
    lines = terminal.text.splitlines()
    assert max(len(line) for line in lines) <= 60
    for word in ("dock-3-scanner", "serial-scanner", "hh-*", "last byte"):
        assert word in terminal.text


async def test_a_plc_is_asked(tmp_path: Path) -> None:
    plc = Plc([Signal("good_parts", 0)])
    await plc.start_tcp()
    with gateway(tmp_path, CONFIG + PLC.replace("{plc}", str(plc.port))) as daemon:
        done = await asyncio.to_thread(daemon.command, "devices", "probe", "press-plc")
        assert (done.returncode, "unit 1 answers" in done.stdout) == (0, True)
        await plc.stop()
        done = await asyncio.to_thread(daemon.command, "devices", "probe", "press-plc")
        assert (done.returncode, "cannot open" in done.stdout) == (1, True)


async def test_a_free_port_is_opened_and_its_bytes_are_shown() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    url = f"serial://{os.ttyname(slave)}?baudrate=19200"
    os.close(slave)  # now nobody has it open: a stranger who had would be named
    probe = asyncio.ensure_future(asyncio.to_thread(command, "devices", "probe", url, "--seconds", "2", "--json"))
    while not probe.done():
        os.write(master, b"]E0400\r")
        await asyncio.wait({probe}, timeout=0.2)
    found = json.loads((await probe).stdout)
    assert found["works"] and found["held_by"] == []
    assert bytes.fromhex(found["heard"][0]["hex"]).startswith(b"]E0400\r")
    done = await asyncio.to_thread(command, "devices", "probe", url, "--seconds", "0.1")
    assert (done.returncode, "it opens at 19200 baud; nothing came" in done.stdout) == (0, True)
    os.close(master)


async def test_a_port_that_another_program_has_open_is_left_alone(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    url = f"serial://{os.ttyname(slave)}"
    words = ["/opt/dockline-tools/bin/terminal", "-c", "echo open; read end"]  # its folder makes it no gateway
    with subprocess.Popen(
        words, executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(slave,), cwd=tmp_path
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"open\n"
        os.close(slave)
        done = await asyncio.to_thread(command, "devices", "probe", url)
        assert done.returncode == 1
        assert f"(pid {holder.pid})" in done.stdout
        holder.communicate()
    os.close(master)


async def test_a_network_scanner_is_listened_to_and_a_dead_one_is_said() -> None:
    port = TcpServerPort()
    await port.plug()
    probe = asyncio.ensure_future(asyncio.to_thread(command, "devices", "probe", port.url, "--seconds", "1"))
    while not probe.done():
        port.write(b"]E0400\r")
        await asyncio.wait({probe}, timeout=0.2)
    assert "5d 45 30 34 30 30 0d" in (await probe).stdout
    await port.unplug()
    done = await asyncio.to_thread(command, "devices", "probe", port.url)
    assert (done.returncode, "Connection refused" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mqtt://127.0.0.1:1883", '"mqtt://" cannot be listened to.'),
        ("serial:///dev/ttyS0?baudrte=1", 'did you mean "baudrate"?'),
        ("hh-*", "comes to the gateway; there is nothing to open."),
        ("hh", 'There is no device "hh".'),
    ],
)
def test_what_cannot_be_probed_is_said(tmp_path: Path, target: str, words: str) -> None:
    with gateway(tmp_path) as daemon:
        done = daemon.command("devices", "probe", target)
    assert (done.returncode, words in done.stderr) == (64, True), done.stderr


def test_without_a_daemon_the_file_is_told(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        done = daemon.command("devices", "list")
        assert done.returncode == 0
        assert "No daemon answers" in done.stdout and "not asked" in done.stdout
        assert json.loads(daemon.command("devices", "list", "--json").stdout)[0]["state"] == "not asked"
