"""From registers to readings that carry their own memory."""

import struct
from typing import Any

from drivers.modbus_map import Point, plan_blocks
from drivers.modbus_track import Said, Track, Unknown


def tracked(row: bytes | None = None, **more: Any) -> Track:
    point = Point.model_validate({"name": "p", "address": 4, "type": "uint16", **more})
    track = Track("press-plc", point, 1)
    track.recall(row, 0.0)
    return track


def look(track: Track, *registers: int) -> Said | Unknown | None:
    (block,) = plan_blocks([track.point], unit_id=1)
    return track.look(block, registers, 0.0)


def said(track: Track, *registers: int) -> Said:
    one = look(track, *registers)
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


def test_a_jump_that_stays_exactly_where_it_is_is_believed_at_the_second_poll() -> None:
    """What had nothing to say is not looked at twice, but a jump that waits to be confirmed has something to say."""
    row = said(tracked(means="count", type="uint32"), 0, 10).reading.state
    track = tracked(row, means="count", type="uint32", delta_max=100)
    assert look(track, 0, 5000) is None
    assert said(track, 0, 5000).reading.measurement is not None


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
