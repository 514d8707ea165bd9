"""The reference handheld: nothing is lost on the device, nothing is numbered twice, everything is said until heard."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mqtt_peer import BOUND_S, SITE, Shelf, listening

from drivers import StorageUnavailable, Verdict
from simulators.handheld import Answer, Handheld, HandheldPlan, ScanFile


def device(folder: Path, port: int = 1, seed: int = 1, on_line: Callable[[], None] | None = None) -> Handheld:
    plan = HandheldPlan("hh-7", SITE, port, ack_timeout_s=0.3, backoff_max_s=0.05)
    return Handheld(plan, folder, rng=random.Random(seed), on_line=on_line)


def ids(file: ScanFile) -> list[str]:
    return list(file.pending)


def test_a_scan_is_on_flash_before_it_has_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The battery falls out right after the click."""
    synced: list[bytes] = []
    path = tmp_path / "scans"
    file = ScanFile(path, random.Random(1))
    monkeypatch.setattr("os.fsync", lambda _: synced.append(path.read_bytes()))
    message_id = file.add("hh-7", {"code": "1234"})
    assert message_id in synced[-1].decode()


def test_a_new_life_goes_on_where_the_old_one_ended(tmp_path: Path) -> None:
    file = ScanFile(tmp_path / "scans", random.Random(1))
    first, second, third = (file.add("hh-7", {"code": code, "quantity": 2}) for code in ("1", "2", "3"))
    file.done(second)
    sent = dict(file.pending)
    again = ScanFile(tmp_path / "scans", random.Random(2))
    assert again.pending == sent, "the same bytes, in the same order"
    assert ids(again) == [first, third]
    assert again.add("hh-7", {"code": "4"}) not in {first, second, third}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_half_a_line_of_a_dying_battery_spoils_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "scans"
    file = ScanFile(path, random.Random(1))
    first = file.add("hh-7", {"code": "1"})
    lost = file.add("hh-7", {"code": "2"})
    path.write_bytes(path.read_bytes()[:-cut])
    again = ScanFile(path, random.Random(2))
    assert ids(again) == [first]
    assert again.add("hh-7", {"code": "3"}) == lost, "its operator never heard that number"
    assert ids(ScanFile(path, random.Random(3))) == [first, lost]


def test_a_reset_handheld_does_not_begin_again_with_numbers_it_has_used(tmp_path: Path) -> None:
    numbers = set()
    for seed in range(3):
        file = ScanFile(tmp_path / f"scans-{seed}", random.Random(seed))
        numbers.add(file.add("hh-7", {"code": "1"}))
    assert len(numbers) == 3


@pytest.mark.parametrize(
    ("result", "tone"),
    [("stored", "good"), ("duplicate", "again"), ("stored_with_exception", "attention"), ("refused", "error")],
)
def test_the_operator_hears_the_difference(result: str, tone: str) -> None:
    assert Answer("a-1", result).tone == tone


async def heard(handheld: Handheld) -> None:
    await asyncio.wait_for(handheld.all_answered(), BOUND_S)


async def test_scans_of_a_dead_zone_arrive_once_and_in_order_when_it_is_back(tmp_path: Path) -> None:
    """Twenty scans between the racks, the battery changed, then the network."""
    offline = device(tmp_path)
    for number in range(20):
        offline.scan(f"code-{number}", activity="pick", quantity=2)
    async with offline:
        pass
    shelf = Shelf()
    async with listening(shelf) as listener, device(tmp_path, listener.address[1]) as handheld:
        await heard(handheld)
        assert [one.code for one in shelf.readings] == [f"code-{number}" for number in range(20)]
        assert shelf.readings[0].context is not None
        assert shelf.readings[0].context.quantity == "2"
    assert ids(ScanFile(tmp_path / "hh-7.scans", random.Random(1))) == []


async def test_it_says_the_same_bytes_again_until_it_is_heard(tmp_path: Path) -> None:
    """Storage is unavailable for a while: every attempt has the same number, so the gateway knows it."""
    shelf = Shelf()
    shelf.answer = StorageUnavailable("full")
    async with listening(shelf) as listener, device(tmp_path, listener.address[1]) as handheld:
        message_id = handheld.scan("12345678")
        await shelf.arrived(3)
        assert message_id in handheld.file.pending
        shelf.answer = Verdict("stored", ("event-1",))
        answer = await asyncio.wait_for(handheld.answer(message_id), BOUND_S)
        assert (answer.result, answer.events) == ("stored", ("event-1",))
        assert len({one.raw for one in shelf.readings}) == 1
        assert {one.message_id for one in shelf.readings} == {message_id}


async def test_a_puback_alone_is_not_enough(tmp_path: Path) -> None:
    """On a site broker the PUBACK is the broker's, and its snapshot is seconds old."""
    shelf = Shelf()
    async with listening(shelf) as listener, device(tmp_path, listener.address[1]) as handheld:
        acknowledge = Deaf(handheld)
        message_id = handheld.scan("12345678")
        await shelf.arrived(2)
        assert message_id in handheld.file.pending
        acknowledge.listen_again()
        await heard(handheld)


class Deaf:
    """A handheld that does not hear application acknowledgements for a while."""

    def __init__(self, handheld: Handheld) -> None:
        self._handheld = handheld
        self._hear = handheld._hear
        handheld._hear = lambda _: None  # type: ignore[method-assign]

    def listen_again(self) -> None:
        self._handheld._hear = self._hear  # type: ignore[method-assign]


async def test_a_refusal_is_an_answer_too(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.answer = Verdict("refused", reason="device is not configured")
    async with listening(shelf) as listener, device(tmp_path, listener.address[1]) as handheld:
        message_id = handheld.scan("]C021h7.00001.cdb70883")
        await heard(handheld)
        assert handheld.answers[message_id].reason == "device is not configured"
        [scan] = handheld.device_scans()
        assert (scan.acknowledged, scan.refused, scan.numbered) == (False, True, True)


async def test_the_journal_tells_the_devices_side(tmp_path: Path) -> None:
    shelf = Shelf()
    async with listening(shelf) as listener, device(tmp_path, listener.address[1]) as handheld:
        handheld.scan("]C021h7.00001.cdb70883")
        await heard(handheld)
    lines = [json.loads(line) for line in (tmp_path / "hh-7.ndjson").read_text().splitlines()]
    whats = [line["what"] for line in lines]
    assert [what for what in whats if what in ("scanned", "sent", "heard")] == ["scanned", "sent", "heard"]
    assert [scan.acknowledged for scan in handheld.device_scans()] == [True]


async def test_it_waits_longer_and_longer_for_a_gateway_that_is_not_there(tmp_path: Path) -> None:
    """A hundred handhelds must not storm a gateway that restarts."""
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            enough.set()
        await asyncio.sleep(0)

    sleeping: Callable[[float], Awaitable[None]] = sleep
    plan = HandheldPlan("hh-7", SITE, 1, backoff_max_s=3.0)
    async with Handheld(plan, tmp_path, rng=random.Random(1), sleep=sleeping):
        await asyncio.wait_for(enough.wait(), BOUND_S)
    assert max(pauses) <= 3.0
    assert max(pauses[:2]) <= 0.4
    assert len(set(pauses)) == len(pauses)


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    """Cutting it off at the first line that is no scan would lose the scans behind it."""
    path = tmp_path / "scans"
    for rubbish in (b'{"a":1}\n', b"5\n", b"[1,2\n", b'{"id":"x","count":1,"message":5}\n'):
        path.write_bytes(rubbish + b'{"done":"x"}\n')
        with pytest.raises(ValueError, match="no scan of this handheld"):
            ScanFile(path, random.Random(1))
        assert path.read_bytes().startswith(rubbish)


async def test_a_handheld_whose_flash_fills_up_says_so_to_whoever_waits(tmp_path: Path) -> None:
    """Its conversation has ended: an answer would be waited for in vain."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    async with listening(Shelf()) as listener:
        handheld = device(tmp_path, listener.address[1])
        message_id = handheld.scan("1234")
        handheld.journal._on_line = full
        async with handheld, asyncio.timeout(BOUND_S):
            with pytest.raises((OSError, ExceptionGroup)):
                await handheld.answer(message_id)
        handheld.journal._on_line = None


async def test_one_is_switched_off_although_its_library_loses_a_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came together with the answer to a SUBSCRIBE, and a test waited for the handheld for ever."""
    began = asyncio.Event()

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            began.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    handheld = device(tmp_path)
    monkeypatch.setattr(handheld, "_run", run)
    async with asyncio.timeout(BOUND_S):
        async with handheld:
            await began.wait()
