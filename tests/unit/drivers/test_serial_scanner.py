"""The serial scanner on a pseudo-terminal."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from driver_contract import BOUND_S
from pydantic import ValidationError
from scanner_bench import ScannerBench

from drivers import LinkLost, Verdict
from drivers.serial_scanner import SerialScanner, SerialScannerSettings
from simulators.scanner_port import PtyPort, TcpServerPort

ACK, NAK = b"\x06", b"\x15"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ScannerBench]:
    bench = ScannerBench(PtyPort(tmp_path / "by-id" / "usb-Zebra_DS3608-if00"))
    await bench.port.plug()
    yield bench
    await bench.port.unplug()


def scanner(bench: ScannerBench, **keys: Any) -> SerialScanner:
    return SerialScanner("dock-3-scanner", SerialScannerSettings(url=bench.port.url, **keys))


async def test_a_scan_becomes_a_reading(bench: ScannerBench) -> None:
    async with bench.running(scanner(bench)):
        bench.port.write(b"]C1010952123454321310LOT\x1d21SER\r")
        await bench.until_emits(1)
    (reading,) = bench.readings
    assert reading.device == "dock-3-scanner"
    assert reading.kind == "scan"
    assert reading.raw == b"]C1010952123454321310LOT\x1d21SER"
    assert (reading.symbology, reading.code) == ("]C1", "010952123454321310LOT\x1d21SER")
    assert reading.message_id is None
    assert not bench.heard


async def test_several_scans_of_one_read_are_one_emit(bench: ScannerBench) -> None:
    async with bench.running(scanner(bench)):
        bench.port.write(b"]E01\r]E02\r]E03\r")
        await bench.until_codes("1", "2", "3")
    assert len(bench.emits) == 1


async def test_acknowledged_after_the_commit_and_only_once(bench: ScannerBench) -> None:
    async with bench.running(scanner(bench, acknowledge="ack-nak")):
        bench.gate.clear()
        bench.port.write(b"]E01\r")
        await bench.until_emits(1)
        await bench.pulse.never(lambda: bool(bench.heard), "answered before the commit")
        bench.gate.set()
        await bench.until_heard(ACK)


@pytest.mark.parametrize("verdict", [None, Verdict("refused", reason="device is not configured")])
async def test_what_is_not_held_is_answered_no(bench: ScannerBench, verdict: Verdict | None) -> None:
    bench.verdict = lambda _: verdict
    async with bench.running(scanner(bench, acknowledge="ack-nak")):
        bench.port.write(b"]E01\r")
        await bench.until_heard(NAK)


@pytest.mark.parametrize("result", ["stored", "stored_with_exception", "duplicate", "repeat_read"])
async def test_whatever_is_held_is_answered_yes(bench: ScannerBench, result: Any) -> None:
    bench.verdict = lambda _: Verdict(result)
    async with bench.running(scanner(bench, acknowledge="ack-nak")):
        bench.port.write(b"]E01\r")
        await bench.until_heard(ACK)


async def test_noise_is_kept_as_evidence_and_answered_no(bench: ScannerBench) -> None:
    """The scanner says its scan again when it hears a NAK; some never do when they hear nothing."""
    async with bench.running(scanner(bench, acknowledge="ack-nak")):
        bench.port.write(b"\xff\x8001095\r")
        await bench.until_heard(NAK)
    (reading,) = bench.readings
    assert reading.kind == "unreadable"
    assert reading.raw == b"\xff\x8001095\r"
    assert reading.reason == "the start of the frame was not seen (8 bytes)"


async def test_a_lost_terminator_is_answered_no_after_a_silence(bench: ScannerBench) -> None:
    async with bench.running(scanner(bench, acknowledge="ack-nak", idle_gap_s=0.05)):
        bench.port.write(b"]E01")
        await bench.until_heard(NAK)
        bench.port.write(b"]E01\r")
        await bench.until_heard(NAK + ACK)
    assert [reading.kind for reading in bench.readings] == ["unreadable", "scan"]


async def test_without_terminator_a_scan_ends_with_silence(bench: ScannerBench) -> None:
    async with bench.running(scanner(bench, terminator="", idle_gap_s=0.03)):
        bench.port.write(b"]E01")
        await bench.until_codes("1")


async def test_a_megabyte_without_terminator_is_one_unreadable_reading(bench: ScannerBench) -> None:
    """A broken scanner, or a printer in the scanner's socket."""
    async with bench.running(scanner(bench, idle_gap_s=0.1)):
        left = 1_000_000
        while left > 0:
            bench.port.write(b"x" * min(left, 1024))
            left -= 1024
            await asyncio.sleep(0)
        await bench.until_emits(1)
        bench.port.write(b"]E01\r")
        await bench.until_codes("1")
    assert [reading.kind for reading in bench.readings] == ["unreadable", "scan"]
    assert len(bench.readings[0].raw) == 256


async def test_a_plug_pulled_in_mid_scan_leaves_evidence_and_no_halves(bench: ScannerBench) -> None:
    """Fault matrix 39: the partial frame is dropped and counted, and never joined to what comes after."""
    async with bench.running(scanner(bench)) as task:
        bench.port.write(b"]E0952123]")
        await bench.pulse.never(lambda: bool(bench.emits), "half a scan was handed on")
        await bench.port.unplug()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(task, BOUND_S)
    assert [(reading.kind, reading.raw) for reading in bench.readings] == [("unreadable", b"]E0952123]")]
    await bench.port.plug()
    async with bench.running(scanner(bench)):
        bench.port.write(b"4543213\r]E01\r")
        await bench.until_codes("1")


async def test_a_port_that_comes_back_under_another_number_is_found_by_its_name(bench: ScannerBench) -> None:
    assert isinstance(bench.port, PtyPort)
    other = PtyPort(Path(bench.port.url.removeprefix("serial://")).with_name("usb-other"))
    async with bench.running(scanner(bench)) as task:
        await bench.port.unplug()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(task, BOUND_S)
    await other.plug()  # takes the number that became free
    await bench.port.plug()
    async with bench.running(scanner(bench)):
        other.write(b"]E0other\r")
        bench.port.write(b"]E0mine\r")
        await bench.until_codes("mine")
    await other.unplug()


async def test_connected_says_whether_the_link_is_up(bench: ScannerBench) -> None:
    driver = scanner(bench)
    assert not driver.connected.is_set()
    async with bench.running(driver):
        assert driver.connected.is_set()
    assert not driver.connected.is_set()


async def test_a_scanner_behind_a_device_server_is_read_the_same_way() -> None:
    bench = ScannerBench(TcpServerPort(scheme="socket"))
    await bench.port.plug()
    async with bench.running(scanner(bench, acknowledge="ack-nak")) as task:
        bench.port.write(b"]E01\r")
        await bench.until_heard(ACK)
        await bench.port.unplug()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(task, BOUND_S)


async def test_probe_says_what_it_found(bench: ScannerBench) -> None:
    assert "opens at 9600 baud" in await scanner(bench).probe()
    await bench.port.unplug()
    with pytest.raises(LinkLost, match="is not there"):
        await scanner(bench).probe()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "ttyUSB0"}, 'did you mean "serial:///dev/ttyUSB0"'),
        ({"terminatr": "\r"}, "terminatr"),
        ({"start": "any", "terminator": ""}, "needs a terminator"),
        ({"start": ""}, "start"),
        ({"start": "\u20ac"}, "write bytes as characters"),
        ({"acknowledge": "maybe"}, "ack-nak"),
        ({"acknowledge": "ack-nak", "nak": "\u0006"}, "ack and nak are the same"),
        ({"idle_gap_s": 0}, "idle_gap_s"),
        ({"frame_bytes_max": 1}, "frame_bytes_max"),
    ],
)
def test_wrong_settings_are_explained(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SerialScannerSettings(**{"url": "serial:///dev/ttyUSB0", **keys})
    assert words in str(caught.value)


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = SerialScannerSettings(url="serial:///dev/ttyUSB0")
    with pytest.raises(ValidationError):
        settings.start = "any"  # type: ignore[misc]
