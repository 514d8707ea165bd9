"""From registers to readings that carry their own memory."""

import struct
from typing import Any

import pytest

from drivers.modbus_counter import STANDS_S
from drivers.modbus_map import Point, plan_blocks, wire_bytes
from drivers.modbus_track import Said, Track, Unknown


def tracked(row: bytes | None = None, **more: Any) -> Track:
    point = Point.model_validate({"name": "p", "address": 4, "type": "uint16", **more})
    track = Track("press-plc", point, 1)
    track.recall(row, 0.0)
    return track


def look(track: Track, *registers: int, now_s: float = 0.0) -> Said | Unknown | None:
    (block,) = plan_blocks([track.point], unit_id=1)
    return track.look(block, registers, now_s)


def said(track: Track, *registers: int, now_s: float = 0.0) -> Said:
    one = look(track, *registers, now_s=now_s)
    assert isinstance(one, Said)
    return one


def test_a_first_value_of_a_counter_commits_and_makes_no_event() -> None:
    reading = said(tracked(means="count"), 10).reading
    assert (reading.device, reading.kind, reading.measurement) == ("press-plc", "baseline", None)
    assert reading.state_key == "modbus/press-plc/p"
    assert reading.state is not None


def test_parts_come_with_their_evidence_and_the_row_that_remembers_them() -> None:
    track = tracked(said(tracked(means="count"), 10).reading.state, means="count", unit="C62", scale=0.5)
    reading = said(track, 13).reading
    assert (reading.kind, reading.raw) == ("count", b"\x00\x0d")
    measured = reading.measurement
    assert measured is not None
    assert (measured.name, measured.value, measured.unit) == ("p", "1.5", "C62")
    assert (measured.previous, measured.raw) == ("10", "13")
    assert look(tracked(reading.state, means="count"), 13) is None


def test_nothing_moves_before_it_is_settled() -> None:
    track = tracked(said(tracked(means="count"), 10).reading.state, means="count")
    first, again = said(track, 13), said(track, 13)
    assert first.reading == again.reading
    again.settle()
    assert look(track, 13) is None


def test_a_reset_says_what_it_fell_from_and_claims_no_part() -> None:
    reading = said(tracked(said(tracked(means="count"), 5000).reading.state, means="count"), 2).reading
    measured = reading.measurement
    assert (reading.kind, measured and (measured.value, measured.previous, measured.raw)) == (
        "counter_reset",
        ("0", "5000", "2"),
    )
    assert look(tracked(reading.state, means="count"), 2) is None


def test_a_state_is_true_or_false() -> None:
    reading = said(tracked(type="bool", table="coil"), 1).reading
    assert reading.kind == "condition"
    assert reading.measurement is not None
    assert (reading.measurement.value, reading.measurement.previous) == ("true", None)


def test_a_change_nobody_asked_for_commits_and_makes_no_event() -> None:
    track = tracked(said(tracked(type="bool", edges="rising"), 1).reading.state, type="bool", edges="rising")
    reading = said(track, 0).reading
    assert (reading.kind, reading.measurement) == ("baseline", None)
    assert said(tracked(reading.state, type="bool", edges="rising"), 1).reading.kind == "condition"


def test_a_sensor_that_shows_no_number_is_not_a_value() -> None:
    registers = struct.unpack(">2H", struct.pack(">f", float("nan")))
    found = look(tracked(type="float32"), *registers)
    assert isinstance(found, Unknown)
    assert "p shows no number" in found.reason


def test_a_leap_that_stays_exactly_where_it_is_is_believed_when_it_has_stood() -> None:
    """What had nothing to say is not looked at twice, but a leap that waits to be believed has something to say."""
    row = said(tracked(means="count", type="uint32"), 0, 10).reading.state
    track = tracked(row, means="count", type="uint32", delta_max=100)
    assert look(track, 0, 5000) is None
    assert look(track, 0, 5000, now_s=STANDS_S - 0.1) is None
    assert said(track, 0, 5000, now_s=STANDS_S).reading.measurement is not None


@pytest.mark.parametrize("word_order", ["big", "little"])
def test_what_has_stood_is_told_with_its_own_registers_and_the_rest_follows(word_order: str) -> None:
    """Evidence, row and measurement agree; the part that came meanwhile is the next event."""
    shape: dict[str, Any] = {"means": "count", "type": "uint32", "word_order": word_order}

    def words(high: int, low: int) -> tuple[int, int]:
        return (high, low) if word_order == "big" else (low, high)

    track = tracked(said(tracked(**shape), *words(1, 0x5000)).reading.state, **shape)
    assert look(track, *words(0, 2)) is None
    told = said(track, *words(0, 3), now_s=STANDS_S)
    measured = told.reading.measurement
    assert (told.reading.kind, measured and measured.raw) == ("counter_reset", "2")
    assert told.reading.raw == wire_bytes(words(0, 2))
    told.settle()
    more = said(track, *words(0, 3), now_s=STANDS_S).reading
    assert (more.kind, more.measurement and more.measurement.value) == ("count", "1")
    assert look(tracked(more.state, **shape), *words(0, 3)) is None


def test_a_condition_read_halfway_is_put_right_at_the_next_poll() -> None:
    """It is told as it was read: nothing adds up conditions, and a state must not wait."""
    row = said(tracked(type="uint32"), 0, 0xFFFF).reading.state
    track = tracked(row, type="uint32")
    said(track, 0, 0).settle()
    measured = said(track, 1, 0).reading.measurement
    assert measured is not None
    assert measured.value == "65536"


def test_a_counter_that_came_back_after_a_failed_commit_is_compared_with_what_is_on_disk() -> None:
    row = said(tracked(means="count"), 10).reading.state
    track = tracked(row, means="count")
    assert look(track, 10) is None
    said(track, 13)
    track.recall(row, 1.0)
    assert look(track, 10) is None
    said(track, 13).settle()
    assert look(track, 13) is None
    assert said(track, 10).reading.kind == "counter_reset"
