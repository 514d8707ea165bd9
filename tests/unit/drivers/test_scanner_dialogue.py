"""The conversation: one answer for the last frame, may_repeat, tones, encodings."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scanner_bench import ScannerBench

from drivers import Verdict
from drivers.serial_scanner import SerialScanner, SerialScannerSettings
from simulators.scanner_port import PtyPort

ACK, NAK = b"\x06", b"\x15"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ScannerBench]:
    bench = ScannerBench(PtyPort(tmp_path / "scanner"))
    await bench.port.plug()
    yield bench
    await bench.port.unplug()


def waiting(bench: ScannerBench, **keys: Any) -> SerialScanner:
    return SerialScanner("s1", SerialScannerSettings(url=bench.port.url, acknowledge="ack-nak", **keys))


def one_way(bench: ScannerBench, **keys: Any) -> SerialScanner:
    return SerialScanner("s1", SerialScannerSettings(url=bench.port.url, **keys))


async def say(bench: ScannerBench, frame: bytes, answer: bytes) -> None:
    before = bytes(bench.heard)
    bench.port.write(frame + b"\r")
    await bench.until_heard(before + answer)


async def test_a_scan_said_again_while_the_disk_was_slow_is_answered_once(bench: ScannerBench) -> None:
    """A second ACK would be taken for the next scan, which nobody has stored yet."""
    async with bench.running(waiting(bench)):
        bench.gate.clear()
        bench.port.write(b"]E01\r")
        await bench.until_emits(1)
        bench.port.write(b"]E01\r")
        await bench.pulse.never(lambda: len(bench.emits) > 1, "two emits under way")
        bench.gate.set()
        await bench.until_emits(2)
        await bench.until_heard(ACK)
        await bench.pulse.never(lambda: bytes(bench.heard) != ACK, "answered twice")
    assert [reading.may_repeat for reading in bench.readings] == [True, True]
    assert bench.heard_at_emit == [b"", b""], "answered before the resend was stored too"


async def test_a_scanner_that_gave_up_and_went_on_hears_about_its_last_scan(bench: ScannerBench) -> None:
    """Its operator heard the error beep for the first; both are stored, and the answer is the second's."""
    bench.verdict = lambda reading: Verdict("stored") if reading.code == "1" else Verdict("refused", reason="no")
    async with bench.running(waiting(bench)):
        bench.gate.clear()
        bench.port.write(b"]E01\r")
        await bench.until_emits(1)
        bench.port.write(b"]E02\r")
        await bench.pulse.never(lambda: len(bench.emits) > 1, "two emits under way")
        bench.gate.set()
        await bench.until_heard(NAK)
        await bench.pulse.never(lambda: bytes(bench.heard) != NAK, "answered twice")
    assert bench.codes == ["1", "2"]


async def test_no_answer_while_the_next_frame_is_half_here(bench: ScannerBench) -> None:
    async with bench.running(waiting(bench)):
        bench.gate.clear()
        bench.port.write(b"]E01\r")
        await bench.until_emits(1)
        bench.port.write(b"]E0")
        await bench.pulse.never(lambda: len(bench.emits) > 1, "two emits under way")
        bench.gate.set()
        await bench.pulse.never(lambda: bool(bench.heard), "answered in the middle of a frame")
        bench.port.write(b"2\r")
        await bench.until_heard(ACK)
    assert bench.codes == ["1", "2"]


async def test_the_first_scan_over_a_link_may_be_a_repeat(bench: ScannerBench) -> None:
    """The gateway was restarted between commit and ACK; the scanner says the scan again over the new link."""
    for _ in range(2):
        async with bench.running(waiting(bench)):
            await say(bench, b"]E01", ACK)
            await say(bench, b"]E02", ACK)
    assert [(r.code, r.may_repeat) for r in bench.readings] == [("1", True), ("2", False), ("1", True), ("2", False)]


async def test_the_first_scan_may_be_a_repeat_even_after_a_tail(bench: ScannerBench) -> None:
    """The link came back in mid-resend: the NAK for the tail brings the whole scan, which may be on disk already."""
    async with bench.running(waiting(bench)):
        await say(bench, b"4543213", NAK)
        await say(bench, b"]E09521234543213", ACK)
    assert [reading.may_repeat for reading in bench.readings] == [False, True]


@pytest.mark.parametrize(
    ("keys", "broken"), [("&parity=even", b"]E0\x00"), ("", b"]E0\xff")], ids=["parity", "encoding"]
)
async def test_the_first_scan_may_be_a_repeat_even_after_a_damaged_one(
    bench: ScannerBench, keys: str, broken: bytes
) -> None:
    """The line damaged the resend: the NAK brings it once more, and the scan may be on disk since the last link."""
    settings = SerialScannerSettings(url=f"{bench.port.url}{keys}", acknowledge="ack-nak", encoding="utf-8")
    async with bench.running(SerialScanner("s1", settings)):
        await say(bench, broken, NAK)
        await say(bench, b"]E01", ACK)
    assert [(reading.kind, reading.may_repeat) for reading in bench.readings] == [("unreadable", False), ("scan", True)]


async def test_a_scan_in_doubt_is_still_one_behind_a_damaged_frame(bench: ScannerBench) -> None:
    """The disk failed under a scan, and the line damaged its resend: the next one is the scan all the same."""
    async with bench.running(waiting(bench, encoding="utf-8", resend_window_s=0)):
        await say(bench, b"]E00", ACK)
        stored, bench.verdict = bench.verdict, lambda _: None
        await say(bench, b"]E01", NAK)
        bench.verdict = stored
        await say(bench, b"]E0\xff", NAK)
        await say(bench, b"]E01", ACK)
    assert [reading.may_repeat for reading in bench.readings] == [True, False, False, True]


async def test_a_resend_that_crossed_the_ack_is_stored_and_not_answered_again(bench: ScannerBench) -> None:
    """The scanner has moved on; it would take a second ACK for its next scan, which nobody has stored yet."""
    async with bench.running(waiting(bench, answer_crossing_s=60)):
        await say(bench, b"]E01", ACK)
        bench.port.write(b"]E01\r")
        await bench.until_codes("1", "1")
        await bench.pulse.never(lambda: bytes(bench.heard) != ACK, "answered twice")
        bench.gate.clear()
        bench.port.write(b"]E02\r")
        await bench.until_codes("1", "1", "2")
        await bench.pulse.never(lambda: bytes(bench.heard) != ACK, "an ACK for what is not stored")
        bench.gate.set()
        await bench.until_heard(ACK + ACK)
    assert [reading.may_repeat for reading in bench.readings] == [True, True, False]


async def test_a_resend_after_a_nak_is_answered_at_once(bench: ScannerBench) -> None:
    """That is what a NAK asks for; only an ACK can be crossed."""
    bench.verdict = lambda _: None
    async with bench.running(waiting(bench, answer_crossing_s=60)):
        await say(bench, b"]E01", NAK)
        bench.verdict = lambda _: Verdict("stored")
        await say(bench, b"]E01", ACK)


async def test_the_same_scan_within_the_resend_window_may_be_a_repeat(bench: ScannerBench) -> None:
    """The ACK was lost on the wire. It is stored all the same: two deliberate equal scans are two events."""
    async with bench.running(waiting(bench, answer_crossing_s=0)):
        await say(bench, b"]E00", ACK)
        await say(bench, b"]E01", ACK)
        await say(bench, b"]E01", ACK)
        await say(bench, b"]E02", ACK)
    assert [(r.code, r.may_repeat) for r in bench.readings[1:]] == [("1", False), ("1", True), ("2", False)]


async def test_the_same_scan_after_the_resend_window_is_a_new_one(bench: ScannerBench) -> None:
    async with bench.running(waiting(bench, resend_window_s=0, answer_crossing_s=0)):
        await say(bench, b"]E00", ACK)
        await say(bench, b"]E01", ACK)
        await say(bench, b"]E01", ACK)
    assert [reading.may_repeat for reading in bench.readings[1:]] == [False, False]


async def test_the_same_scan_after_an_outage_may_be_a_repeat_at_any_time(bench: ScannerBench) -> None:
    """Storage was unavailable: whether the scan is on disk is unknown."""
    async with bench.running(waiting(bench, resend_window_s=0, answer_crossing_s=0)):
        await say(bench, b"]E00", ACK)
        bench.verdict = lambda _: None
        await say(bench, b"]E01", NAK)
        bench.verdict = lambda _: Verdict("stored")
        await say(bench, b"]E01", ACK)
        await say(bench, b"]E01", ACK)
    assert [reading.may_repeat for reading in bench.readings[1:]] == [False, True, False]


async def test_a_scanner_that_expects_no_answer_repeats_nothing(bench: ScannerBench) -> None:
    async with bench.running(one_way(bench)):
        bench.port.write(b"]E01\r]E01\r")
        await bench.until_codes("1", "1")
    assert [reading.may_repeat for reading in bench.readings] == [False, False]


async def test_each_outcome_has_its_own_tone(bench: ScannerBench) -> None:
    """The same beep for "saved", "wrong" and "lost" is what operators hate."""
    tones = {"answer_stored": "S", "answer_exception": "E", "answer_duplicate": "D", "answer_refused": "R"}
    verdicts: dict[str, Verdict | None] = {
        "1": Verdict("stored"),
        "2": Verdict("stored_with_exception"),
        "3": Verdict("duplicate"),
        "4": Verdict("refused"),
        "5": None,
    }
    bench.verdict = lambda reading: verdicts.get(reading.code, Verdict("stored"))
    async with bench.running(waiting(bench, **tones)):
        for frame, answer in (
            (b"]E01", ACK + b"S"),
            (b"]E02", ACK + b"E"),
            (b"]E03", ACK + b"D"),
            (b"]E04", NAK + b"R"),
            (b"]E05", NAK + b"R"),
            (b"noise", NAK + b"R"),
        ):
            await say(bench, frame, answer)


async def test_a_scanner_without_handshake_hears_a_tone_a_scan(bench: ScannerBench) -> None:
    async with bench.running(one_way(bench, answer_stored="\u0007", answer_refused="!")):
        bench.port.write(b"]E01\r]E02\r")
        await bench.until_heard(b"\x07\x07")
        bench.verdict = lambda _: None
        bench.port.write(b"]E03\r")
        await bench.until_heard(b"\x07\x07!")


async def test_other_bytes_may_mean_yes_and_no(bench: ScannerBench) -> None:
    async with bench.running(waiting(bench, ack="\u001b[3q", nak="\u001b[4q")):
        await say(bench, b"]E01", b"\x1b[3q")
        await say(bench, b"noise", b"\x1b[4q")


async def test_data_that_is_not_in_the_stated_encoding_is_unreadable(bench: ScannerBench) -> None:
    async with bench.running(waiting(bench, encoding="utf-8")):
        await say(bench, b"]Q1\xe4", NAK)
    assert [(r.kind, r.reason, r.raw) for r in bench.readings] == [("unreadable", "not utf-8", b"]Q1\xe4")]


async def test_an_identifier_alone_is_unreadable(bench: ScannerBench) -> None:
    async with bench.running(waiting(bench)):
        await say(bench, b"]E0", NAK)
    assert bench.readings[0].reason == "a symbology identifier without data"


async def test_storage_that_fails_for_the_last_fragment_hides_nothing(bench: ScannerBench) -> None:
    """The link ended and the disk is full: the run still ends with LinkLost."""
    from drivers import LinkLost

    bench.verdict = lambda _: None
    async with bench.running(waiting(bench)) as task:
        bench.port.write(b"]E0half")
        await bench.pulse.never(lambda: bool(bench.emits), "half a scan was handed on")
        await bench.port.unplug()
        with pytest.raises(LinkLost):
            await task


async def test_noise_behind_a_resend_that_was_not_answered_is_answered(bench: ScannerBench) -> None:
    """Whoever waits for an answer to the next thing it said must not be left waiting for what came before."""
    async with bench.running(waiting(bench, answer_crossing_s=60)):
        await say(bench, b"]E01", ACK)
        bench.port.write(b"]E01\r")
        await bench.until_codes("1", "1")
        await say(bench, b"4543213", NAK)


@pytest.mark.parametrize(("parity", "kind", "answer"), [("even", "unreadable", NAK), ("none", "scan", ACK)])
async def test_a_character_that_the_line_damaged_makes_no_label(
    bench: ScannerBench, parity: str, kind: str, answer: bytes
) -> None:
    """The kernel hands it on as NUL. Without parity nobody knows, and Code 128 may hold a NUL."""
    driver = SerialScanner("s1", SerialScannerSettings(url=f"{bench.port.url}&parity={parity}", acknowledge="ack-nak"))
    async with bench.running(driver):
        await say(bench, b"]C012\x003", answer)
    assert [reading.kind for reading in bench.readings] == [kind]
