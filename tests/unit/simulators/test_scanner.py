"""The simulated scanner behaves as scanners do, and writes down what really happened."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulators.journal import Journal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort, TcpClientPort, TcpServerPort
from simulators.wire import PLANS, WirePlan

BOUND_S = 60.0
ACK, NAK = b"\x06", b"\x15"


class Host:
    """The other end of the scanner's port, answering from a script."""

    def __init__(self, *answers: bytes) -> None:
        self.on_bytes: Any = None
        self.is_plugged = False
        self.connected = asyncio.Event()
        self.url = "nowhere"
        self.written: list[bytes] = []
        self.plugs = 0
        self._answers = list(answers)

    async def plug(self) -> None:
        self.is_plugged = True
        self.plugs += 1

    async def unplug(self) -> None:
        self.is_plugged = False

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self._answers and data.endswith(b"\r"):
            answer = self._answers.pop(0)
            if answer:
                self.on_bytes(answer)


def made(host: Any, journal: Journal | None = None, plan: WirePlan = PLANS["clean"], **habits: Any) -> Scanner:
    habits = {"answer_timeout_s": 0.02, **habits}
    return Scanner(host, journal or Journal("d1"), ScannerHabits(**habits), plan=plan, rng=Random(1))


@pytest.fixture
async def cleanup() -> AsyncIterator[list[Scanner]]:
    scanners: list[Scanner] = []
    yield scanners
    for scanner in scanners:
        await scanner.close()


def whats(scanner: Scanner) -> list[object]:
    return [line["what"] for line in scanner.journal.lines]


async def test_a_scan_is_said_until_it_is_acknowledged(cleanup: list[Scanner]) -> None:
    host = Host(NAK, b"", ACK)
    scanner = made(host)
    cleanup.append(scanner)
    await scanner.start()
    assert await asyncio.wait_for(scanner.scan("]E01"), BOUND_S) == "acked"
    assert host.written == [b"]E01\r"] * 3
    assert whats(scanner) == ["plugged", "sent", "nacked", "sent", "timeout", "sent", "acked"]


async def test_a_scanner_gives_up_after_its_resends(cleanup: list[Scanner]) -> None:
    host = Host(NAK, NAK, NAK, ACK)
    scanner = made(host, resends_max=2)
    cleanup.append(scanner)
    await scanner.start()
    assert await asyncio.wait_for(scanner.scan("]E01"), BOUND_S) == "gave_up"
    assert len(host.written) == 3
    assert whats(scanner)[-1] == "gave_up"


async def test_a_late_answer_to_the_last_scan_is_not_one_to_the_next(cleanup: list[Scanner]) -> None:
    host = Host(b"", b"")
    scanner = made(host, resends_max=0)
    cleanup.append(scanner)
    await scanner.start()
    assert await asyncio.wait_for(scanner.scan("]E01"), BOUND_S) == "gave_up"
    host.on_bytes(ACK)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asyncio.wait_for(scanner.scan("]E02"), BOUND_S) == "gave_up"


async def test_a_scanner_without_handshake_does_not_wait(cleanup: list[Scanner]) -> None:
    host = Host()
    scanner = made(host, acknowledge="none", prefix=b"\x02", terminator=b"\x03")
    cleanup.append(scanner)
    await scanner.start()
    assert await scanner.scan("1") == "sent"
    assert host.written == [b"\x021\x03"]


async def test_scans_wait_for_each_other(cleanup: list[Scanner]) -> None:
    host = Host(NAK, ACK, ACK)
    scanner = made(host)
    cleanup.append(scanner)
    await scanner.start()
    await asyncio.wait_for(asyncio.gather(scanner.scan("1"), scanner.scan("2")), BOUND_S)
    assert host.written == [b"1\r", b"1\r", b"2\r"]


async def test_tones_are_told_from_answers(cleanup: list[Scanner]) -> None:
    host = Host(b"\x07\x06!")
    scanner = made(host)
    cleanup.append(scanner)
    await scanner.start()
    assert await asyncio.wait_for(scanner.scan("1"), BOUND_S) == "acked"
    assert [line["bytes"] for line in scanner.journal.lines if line["what"] == "tone"] == ["\x07", "!"]


async def test_a_cut_wire_pulls_the_plug_and_the_scan_is_said_again(cleanup: list[Scanner]) -> None:
    host = Host(*[ACK] * 50)
    scanner = made(host, plan=WirePlan(cut_after_bytes=(3, 3), cuts_max=2))
    cleanup.append(scanner)
    await scanner.start()
    assert await asyncio.wait_for(scanner.scan("]E0123"), BOUND_S) == "acked"
    assert host.written == [b"]E0", b"]E0", b"]E0123\r"]
    assert host.plugs == 3
    assert whats(scanner).count("unplugged") == 2


async def test_unplugged_it_holds_its_scan(cleanup: list[Scanner]) -> None:
    host = Host(b"", ACK)
    scanner = made(host)
    cleanup.append(scanner)
    await scanner.start()
    await scanner.unplug()
    trigger = asyncio.ensure_future(scanner.scan("1"))
    await asyncio.sleep(0)
    assert host.written == []
    await scanner.plug()
    assert await asyncio.wait_for(trigger, BOUND_S) == "acked"


async def test_the_journal_is_a_file_of_lines(tmp_path: Path, cleanup: list[Scanner]) -> None:
    path = tmp_path / "d1.ndjson"
    scanner = made(Host(ACK), Journal("d1", path))
    cleanup.append(scanner)
    await scanner.start()
    await scanner.scan("]C110LOT\x1d21é")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["n"], line["device"], line["what"]) for line in lines] == [
        (1, "d1", "plugged"),
        (2, "d1", "sent"),
        (3, "d1", "acked"),
    ]
    assert scanner.journal.said("acked") == ["]C110LOT\x1d21é"]


async def test_a_pseudo_terminal_comes_back_under_the_same_name(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "by-id" / "scanner")
    other = PtyPort(tmp_path / "by-id" / "other")
    await port.plug()
    url, first = port.url, os.path.realpath(tmp_path / "by-id" / "scanner")
    await port.unplug()
    assert not (tmp_path / "by-id" / "scanner").is_symlink()
    await other.plug()
    await port.plug()
    assert port.url == url
    assert os.path.realpath(tmp_path / "by-id" / "scanner") != first
    await port.unplug()
    await other.unplug()
    await other.unplug()


async def test_a_pseudo_terminal_does_not_echo(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "scanner")
    await port.plug()
    heard: list[bytes] = []
    port.on_bytes = heard.append
    port.write(b"]E01\r")
    gateway = os.open(tmp_path / "scanner", os.O_RDWR | os.O_NOCTTY)
    assert os.read(gateway, 100) == b"]E01\r"
    os.write(gateway, ACK)
    while not heard:
        await asyncio.wait_for(asyncio.sleep(0), BOUND_S)
    assert heard == [ACK]
    os.close(gateway)
    await port.unplug()


async def test_tcp_ports_of_both_kinds_talk_to_each_other() -> None:
    server = TcpServerPort()
    await server.plug()
    host, port = server.url.removeprefix("tcp://").split(":")
    client = TcpClientPort(lambda: (host, int(port)), retry_s=0.01)
    heard: list[bytes] = []
    arrived = asyncio.Event()

    def hear(data: bytes) -> None:
        heard.append(data)
        arrived.set()

    server.on_bytes = hear
    for word in (b"first", b"second"):
        await client.plug()
        await asyncio.wait_for(client.connected.wait(), BOUND_S)
        arrived.clear()
        client.write(word)
        await asyncio.wait_for(arrived.wait(), BOUND_S)
        await client.unplug()
    assert heard == [b"first", b"second"]
    assert client.url == f"tcp-listen://{host}:{port}"
    await server.unplug()


async def test_two_scanners_do_not_share_a_name(tmp_path: Path) -> None:
    first, second = PtyPort(tmp_path / "scanner"), PtyPort(tmp_path / "scanner")
    await first.plug()
    with pytest.raises(FileExistsError):
        await second.plug()
    target = os.path.realpath(tmp_path / "scanner")
    await second.unplug()
    assert os.path.realpath(tmp_path / "scanner") == target
    (tmp_path / "scanner").unlink()
    await second.plug()
    await first.unplug()
    assert (tmp_path / "scanner").exists(), "the name is the other's by now"
    await second.unplug()
    (tmp_path / "scanner").symlink_to("/dev/pts/nobody")  # what SIGKILL leaves
    await first.plug()
    await first.unplug()
    assert list(tmp_path.iterdir()) == []
