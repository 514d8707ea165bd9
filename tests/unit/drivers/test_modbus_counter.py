"""Counting from outside: nothing lost, nothing invented, whatever falls into it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus_counter import Baseline, Counter, Increment, Reset, observe
from drivers.modbus_map import Point


def counter(last: int | None = None, **more: Any) -> Counter:
    return Counter(Point.model_validate({"name": "c", "address": 0, "type": "uint16", "means": "count", **more}), last)


def test_the_first_value_ever_seen_is_no_part() -> None:
    assert counter().see(4711) == Baseline(4711)


def test_a_baseline_that_is_not_on_disk_is_still_to_be_said() -> None:
    watched = counter()
    watched.see(5)
    assert watched.see(7) == Baseline(7)


def test_a_rise_is_that_many_parts() -> None:
    assert counter(10).see(13) == Increment(13, 10, 3)


def test_nothing_is_said_of_a_counter_that_stands_still() -> None:
    assert counter(10).see(10) is None


@pytest.mark.parametrize(
    ("last", "now", "delta_max", "expected"),
    [
        (65530, 4, 10, Increment(4, 65530, 10, rolled_over=True)),
        (65530, 5, 10, Reset(5, 65530)),
        (65535, 0, 1, Increment(0, 65535, 1, rolled_over=True)),
        (40000, 0, 655, Reset(0, 40000)),
    ],
)
def test_a_fall_is_a_rollover_up_to_delta_max_and_a_reset_beyond(
    last: int, now: int, delta_max: int, expected: object
) -> None:
    assert observe(last, now, span=65536, delta_max=delta_max) == expected


def test_a_signed_counter_rolls_over_into_the_negative() -> None:
    assert counter(32767, type="int16").see(-32768) == Increment(-32768, 32767, 1, rolled_over=True)


def test_a_counter_above_its_stated_rollover_never_counts_backwards() -> None:
    """The technician wrote rollover = 10000 and the PLC counts to 65535: a fall is a reset, not minus 1995 parts."""
    assert observe(12000, 5, span=10000, delta_max=9999) == Reset(5, 12000)


def test_the_old_value_stays_until_the_event_is_on_disk() -> None:
    """The disk is full for two polls; what was not stored is part of the third."""
    watched = counter(10)
    assert watched.see(12) == Increment(12, 10, 2)
    assert watched.see(15) == Increment(15, 10, 5)
    watched.settle(15)
    assert watched.see(16) == Increment(16, 15, 1)


def test_half_a_carry_is_not_believed() -> None:
    """The PLC carries from one register into the other while we read: 0x0001FFFF between 0x0000FFFF and 0x00010000."""
    watched = counter(0xFFFF, type="uint32", delta_max=1000)
    assert watched.see(0x1FFFF) is None
    assert watched.see(0x10000) == Increment(0x10000, 0xFFFF, 1)
    watched.settle(0x10000)
    assert watched.see(0x00001) is None
    assert watched.see(0x10002) == Increment(0x10002, 0x10000, 2)


def test_a_jump_that_stays_is_believed_at_the_second_poll() -> None:
    watched = counter(10, type="uint32", delta_max=1000)
    assert watched.see(5000) is None
    assert watched.see(5001) == Increment(5001, 10, 4991)


def test_a_reset_of_two_registers_is_believed_at_the_second_poll() -> None:
    watched = counter(5000, type="uint32")
    assert watched.see(0) is None
    assert watched.see(1) == Reset(1, 5000)


def test_a_single_register_cannot_tear_and_is_believed_at_once() -> None:
    assert counter(5000).see(0) == Reset(0, 5000)


def test_a_fast_counter_with_a_small_delta_max_is_still_counted() -> None:
    """delta_max = 5 and ten parts a poll: late by one poll, never silent."""
    watched = counter(0, type="uint32", delta_max=5)
    seen = []
    for shown in range(10, 200, 10):
        observed = watched.see(shown)
        if isinstance(observed, Increment):
            seen.append(observed.delta)
            watched.settle(shown)
    assert sum(seen) >= 170


PLAYS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(1, 600)),
        st.tuples(st.just("poll"), st.booleans()),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=80,
)


@given(PLAYS, st.sampled_from([0, 1, 65000, 65535]), st.sampled_from(["uint16", "uint32"]))
def test_parts_are_counted_exactly_through_rollovers_restarts_and_a_failing_disk(
    plays: list[Any], start: int, kind: str
) -> None:
    """Any number of parts between polls (each poll within delta_max), commits that fail, restarts anywhere.

    The disk holds (events, last value) and both change in one commit; a restart begins from it.
    """
    span = 2**16 if kind == "uint16" else 2**32
    shown, made_since_baseline, unseen = start, None, 0
    disk: int | None = None
    counted = 0
    watched = counter(disk, type=kind)
    for play, argument in [*plays, ("poll", True), ("poll", True)]:
        if play == "count" and unseen + argument <= 655:
            shown = (shown + argument) % span
            unseen += argument
            if made_since_baseline is not None:
                made_since_baseline += argument
        elif play == "restart":
            watched = counter(disk, type=kind)
        elif play == "poll":
            observed = watched.see(shown)
            assert not isinstance(observed, Reset)
            if observed is not None and argument:
                counted += observed.delta if isinstance(observed, Increment) else 0
                made_since_baseline = made_since_baseline or 0
                disk = observed.now
                watched.settle(observed.now)
                unseen = 0
    assert counted == (made_since_baseline or 0)
