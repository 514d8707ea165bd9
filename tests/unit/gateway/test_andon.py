"""The board: what stations are shown to have heard, and the ring of minutes."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buffer import EntryFilter, Outbox
from drivers.reading import Measurement, Reading, Remark, ScanContext, TagRead, Verdict
from gateway.andon.board import CODE_SHOWN_MAX, DEVICE_SHOWN_MAX, SCANS_KEPT, Board
from gateway.andon.minutes import MINUTE_MS, MinuteRing
from gateway.andon_service import AndonService, quantile_s
from gateway.capture.label import KEYED, parse_label
from gateway.deliveries import Deliveries
from gateway.health import LATENCY_BOUNDS_S
from gateway.wiring import World
from sync import PumpState

NOON = 29_000_000 * MINUTE_MS


class Wall:
    """A clock to be set."""

    def __init__(self) -> None:
        self.ms = NOON

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def board(wall: Wall) -> Board:
    return Board({"s-1": "dock-3", "s-2": "dock-3", "plc": "line-1"}.get, wall)


def scan(code: str = "CARTON", device: str = "s-1", **more: object) -> Reading:
    return Reading(device, "scan", b"", code)._replace(**more)


STORED = Verdict("stored", ("e-1",))


@pytest.mark.parametrize(
    ("verdict", "kind", "tone"),
    [
        (STORED, "scan", "good"),
        (Verdict("repeat_read", ("e",)), "scan", None),
        (Verdict("duplicate", ("e",), (Remark("duplicate_scan", "here before"),)), "scan", "good"),
        (Verdict("stored_with_exception", ("e",), (Remark("expired", "too old"),)), "scan", "attention"),
        (STORED, "unreadable", "attention"),
        (Verdict("refused", reason="unknown"), "scan", "error"),
        (None, "scan", "error"),
    ],
)
def test_the_tone_shown_is_the_tone_heard(verdict: Verdict | None, kind: str, tone: str | None, board: Board) -> None:
    """The same colour for "saved" and "wrong" would be worse than no screen."""
    board.note([scan(kind=kind)], None if verdict is None else [verdict])
    assert [shown.tone for shown in board.recent()] == ([] if tone is None else [tone])
    counted = dict.fromkeys(("good", "attention", "error"), 0) | ({tone: 1} if tone else {})
    assert board.stations == {} if tone is None else board.stations["dock-3"].hour.sums(NOON, 60) == counted


def test_a_station_shows_its_last_scan_whoever_made_it(board: Board) -> None:
    board.note([scan("A"), scan("B", "s-2", context=ScanContext(document="ASN-1"))], [STORED, STORED])
    last = board.stations["dock-3"].last
    assert last is not None and (last.code, last.device, last.document) == ("B", "s-2", "ASN-1")
    assert board.stations["dock-3"].changed == board.number == 2


def test_a_sensor_does_not_hide_what_a_person_did(board: Board) -> None:
    board.note([scan("A")], [STORED])
    door = Reading("s-2", "condition", b"", measurement=Measurement("door", "true"))
    board.note([door], [Verdict("stored", ("e-2",))])
    last = board.stations["dock-3"].last
    assert last is not None and last.code == "A"
    assert [shown.code for shown in board.recent()] == ["door true", "A"], "who watches the device sees it"


def test_what_comes_from_outside_is_cut(board: Board) -> None:
    """Ten thousand characters in each of some hundred scans would be no bound on memory."""
    board.note([scan("x" * 10_000, "d" * 1_000)], [Verdict("refused", reason="unknown")])
    (shown,) = board.recent()
    assert (len(shown.code), shown.length, len(shown.device)) == (CODE_SHOWN_MAX, 10_000, DEVICE_SHOWN_MAX)
    assert shown.station is None and len(shown.reading.code) == CODE_SHOWN_MAX
    board.note([scan(kind="unreadable", code="", raw=b"y" * 100_000)], [STORED])
    assert len(next(board.recent()).reading.raw) < 1_000
    for _ in range(SCANS_KEPT + 1):
        board.note([scan()], [STORED])
    assert len(list(board.recent())) == SCANS_KEPT


@pytest.mark.parametrize(
    "readings",
    [
        [scan(f"A-{number}") for number in range(300)],
        [scan(f"A-{number}", "nobody") for number in range(9)],
        [*[scan(f"A-{number}") for number in range(8)], scan("B", "s-2")],
        [*[scan(f"A-{number}") for number in range(8)], scan("", kind="unreadable", raw=b"?")],
        [*[scan(f"A-{number}") for number in range(8)], scan("x" * 1_000)],
        [*[scan(f"A-{number}") for number in range(8)], scan(raw=b"y" * 10_000)],
    ],
)
@pytest.mark.parametrize("verdict", [STORED, Verdict("refused", reason="unknown"), Verdict("repeat_read", ("e",))])
def test_many_scans_at_once_are_noted_as_one_by_one(readings: list[Reading], verdict: Verdict, wall: Wall) -> None:
    """What a handheld had saved up comes by the hundred and is looked at once."""
    at_once, singly = (Board(lambda device: None if device == "nobody" else "dock-3", wall) for _ in range(2))
    mixed = [verdict] * len(readings)
    for verdicts in (mixed, [*mixed[:-1], Verdict("duplicate", ("e-2",))]):
        at_once.note(readings, verdicts)
        for reading, one in zip(readings, verdicts, strict=True):
            singly.note([reading], [one])
        assert list(at_once.recent()) == list(singly.recent())
        assert at_once.dump() == singly.dump() and at_once.number == singly.number
        assert {name: (one.last, one.changed) for name, one in at_once.stations.items()} == {
            name: (one.last, one.changed) for name, one in singly.stations.items()
        }


def test_every_reading_has_its_verdict(board: Board) -> None:
    for count in (7, 9):
        with pytest.raises(ValueError, match="zip"):
            board.note([scan(f"A-{number}") for number in range(8)], [STORED] * count)


def test_readings_without_a_code_say_what_they_are(board: Board) -> None:
    tag = Reading("s-1", "tag", b"", tag=TagRead(bytes.fromhex("3034257bf400b7800004cb2f")))
    unreadable = Reading("s-1", "unreadable", b"\xff\xfe?", reason="not UTF-8")
    board.note([tag, unreadable], [STORED, STORED])
    assert [shown.code for shown in board.recent()] == ["\ufffd\ufffd?", "3034257BF400B7800004CB2F"]
    assert next(board.recent()).as_json()["reason"] == "not UTF-8"


def test_what_was_typed_says_so(board: Board) -> None:
    board.note([scan(symbology=KEYED)], [STORED])
    assert next(board.recent()).as_json()["keyed"] is True


def test_the_day_counts_what_operators_heard(board: Board, wall: Wall) -> None:
    exception = Verdict("stored_with_exception", ("e",), (Remark("expired", "too old"),))
    board.note([scan(), scan(), scan(kind="unreadable")], [STORED, exception, STORED])
    wall.ms += MINUTE_MS
    board.note([scan(), scan()], None)
    board.note([scan()], [Verdict("repeat_read")])
    told = {name: board.day.column(name, wall.ms, 3) for name in ("scans", "attention", "errors", "unreadable")}
    assert told == {
        "scans": [None, 3, 0],
        "attention": [None, 2, 0],
        "errors": [None, 0, 2],
        "unreadable": [None, 1, 0],
    }


def test_somebody_who_watches_is_told_of_each_note(board: Board) -> None:
    told: list[int] = []
    board.note([scan()], [STORED])
    board.on_change = lambda: told.append(board.number)
    board.note([scan(), scan()], [STORED, STORED])
    assert told == [3]


def test_a_ring_overwrites_its_oldest_minute_and_no_other() -> None:
    ring = MinuteRing(3, ("scans",))
    for minute, count in enumerate((1, 2, 3, 4)):
        ring.row(NOON + minute * MINUTE_MS)[0] += count
    assert ring.column("scans", NOON + 3 * MINUTE_MS, 3) == [2, 3, 4]
    assert ring.column("scans", NOON + 3 * MINUTE_MS, 99) == [2, 3, 4]
    assert ring.sums(NOON + 3 * MINUTE_MS, 2) == {"scans": 7}


def test_minutes_that_nobody_saw_are_not_minutes_without_scans() -> None:
    ring = MinuteRing(5, ("scans",))
    ring.row(NOON)[0] += 1
    ring.row(NOON + 3 * MINUTE_MS)
    assert ring.column("scans", NOON + 4 * MINUTE_MS, 5) == [1, None, None, 0, None]
    assert ring.column("scans", NOON + 90 * MINUTE_MS, 5) == [None] * 5, "what is older than the ring is gone"


def test_a_clock_that_is_set_back_a_little_counts_for_the_minute_it_left() -> None:
    ring = MinuteRing(5, ("scans",))
    ring.row(NOON)[0] += 1
    ring.row(NOON - 4 * MINUTE_MS)[0] += 1
    assert ring.column("scans", NOON, 1) == [2]


@pytest.mark.parametrize("ahead", [40, 60 * 24 * 365 * 73 + 7], ids=["forty minutes", "in 2099"])
def test_a_clock_that_had_been_far_ahead_counts_from_where_it_is(ahead: int) -> None:
    """Else nothing would be seen of the work until the clock is there again: by 2099, or by the next restart."""
    ring = MinuteRing(60, ("scans",))
    ring.row(NOON)[0] += 1
    ring.row(NOON + ahead * MINUTE_MS)[0] += 1
    ring.row(NOON)[0] += 1
    ring.row(NOON + MINUTE_MS)[0] += 5
    assert ring.column("scans", NOON + MINUTE_MS, 2) == [2, 5]
    assert ring.sums(NOON + MINUTE_MS, 60) == {"scans": 7}


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
    assert quantile_s(counts, 0.99) == 0
    counts[2], counts[5] = 99, 1
    assert quantile_s(counts, 0.99) == LATENCY_BOUNDS_S[2]
    assert quantile_s(counts, 0.995) == LATENCY_BOUNDS_S[5]
    counts[-1] = 1000
    assert quantile_s(counts, 0.99) == LATENCY_BOUNDS_S[-1]


def test_what_a_person_types_is_read_like_a_label_without_symbology() -> None:
    """The check digit is what notices a slip of the finger."""
    typed = parse_label("09521234543213", KEYED)
    assert typed == parse_label("09521234543213") and typed.item is not None and typed.item.gtin == "09521234543213"
    assert parse_label("09521234543214", KEYED).problem == "barcode_mismatch"
    assert parse_label("010952123454321310LOT1", KEYED) == parse_label("010952123454321310LOT1")


def test_the_day_goes_on_after_a_restart_and_the_time_between_is_a_gap(board: Board, wall: Wall) -> None:
    """A gateway that is updated at noon still shows the morning, and not a second time what it had counted."""
    board.note([scan(), scan()], [STORED, STORED])
    kept = json.loads(json.dumps(board.dump()))
    wall.ms += 2 * MINUTE_MS
    again = Board({"s-1": "dock-3"}.get, wall)
    again.load(kept)
    again.note([scan()], [STORED])
    assert again.day.column("scans", wall.ms, 4) == [None, 2, None, 1]
    assert again.stations["dock-3"].hour.sums(wall.ms, 60)["good"] == 3
    same_minute = Board({"s-1": "dock-3"}.get, lambda: NOON)
    same_minute.load(kept)
    same_minute.note([scan()], [STORED])
    assert same_minute.day.column("scans", NOON, 1) == [3]


def test_minutes_of_another_day_and_of_a_clock_that_ran_ahead_are_left_out(board: Board, wall: Wall) -> None:
    board.note([scan()], [STORED])
    kept = board.dump()
    for moved in (-40, 24 * 60):
        wall.ms = NOON + moved * MINUTE_MS
        again = Board({"s-1": "dock-3"}.get, wall)
        again.load(kept)
        assert again.stations == {} and set(again.day.column("scans", NOON, 1440)) == {None}
        again.note([scan()], [STORED])
        assert again.day.column("scans", wall.ms, 1) == [1], "a minute to come would have swallowed it"


def test_a_column_of_an_older_version_is_found_by_its_name() -> None:
    ring = MinuteRing(3, ("errors", "scans"))
    ring.load({"names": ["scans", "gone"], "minutes": [[NOON // MINUTE_MS, 5, 9]]}, NOON)
    assert ring.sums(NOON, 3) == {"errors": 0, "scans": 5}


async def test_a_delivery_that_has_not_looked_yet_is_not_behind_by_all_there_is() -> None:
    """In the first moments after a start nothing is known of it; the day would show a peak for every restart."""
    states = [
        (SimpleNamespace(name="new"), PumpState("new")),
        (SimpleNamespace(name="old"), PumpState("old", newest=9)),
    ]
    service = AndonService(cast("World", SimpleNamespace(wall=lambda: NOON)))

    async def entries(wanted: EntryFilter) -> list[Any]:
        assert wanted.seq_from == 1
        return [SimpleNamespace(captured_at=NOON - 5_000)]

    outbox = SimpleNamespace(newest=12, entries=entries)
    found = await service._look(cast("Outbox", outbox), cast("Deliveries", SimpleNamespace(states=lambda: states)))
    assert found == (12, {"old": 5.0})
