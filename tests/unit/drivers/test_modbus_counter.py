"""Counting from outside: nothing lost, nothing invented, whatever falls into it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus_counter import STANDS_S, Baseline, Counter, Increment, Reset, observe
from drivers.modbus_map import Point


def counter(last: int | None = None, **more: Any) -> Counter:
    return Counter(Point.model_validate({"name": "c", "address": 0, "type": "uint16", "means": "count", **more}), last)


def test_the_first_value_ever_seen_is_no_part() -> None:
    assert counter().see(4711, 0) == Baseline(4711)


def test_a_baseline_that_is_not_on_disk_is_still_to_be_said() -> None:
    watched = counter()
    watched.see(5, 0)
    assert watched.see(7, 0) == Baseline(7)


def test_a_rise_is_that_many_parts() -> None:
    assert counter(10).see(13, 0) == Increment(13, 10, 3)


def test_nothing_is_said_of_a_counter_that_stands_still() -> None:
    assert counter(10).see(10, 0) is None


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
    assert counter(32767, type="int16").see(-32768, 0) == Increment(-32768, 32767, 1, rolled_over=True)


def test_a_counter_above_its_stated_rollover_never_counts_backwards() -> None:
    """The technician wrote rollover = 10000 and the PLC counts to 65535: a fall is a reset, not minus 1995 parts."""
    assert observe(12000, 5, span=10000, delta_max=9999) == Reset(5, 12000)


def test_the_old_value_stays_until_the_event_is_on_disk() -> None:
    """The disk is full for two polls; what was not stored is part of the third."""
    watched = counter(10)
    assert watched.see(12, 0) == Increment(12, 10, 2)
    assert watched.see(15, 0) == Increment(15, 10, 5)
    watched.settle(15)
    assert watched.see(16, 0) == Increment(16, 15, 1)


@pytest.mark.parametrize("halfway", [0x00000, 0x1FFFF])
def test_half_a_carry_is_not_believed_however_often_it_is_polled(halfway: int) -> None:
    """0x0000FFFF becomes 0x00010000, one register after the other, with twenty polls in between."""
    watched = counter(0xFFFF, type="uint32")
    assert [watched.see(halfway, poll * 0.1) for poll in range(20)] == [None] * 20
    assert watched.see(0x10002, 2.0) == Increment(0x10002, 0xFFFF, 3)


def test_half_a_step_over_an_end_within_a_word_is_not_believed() -> None:
    """99,999 (0x1869F) becomes 0; the high register first shows 34,463, which looks like a rollover of 34,464 parts."""
    watched = counter(99_999, type="uint32", rollover=100_000, delta_max=50_000)
    assert watched.see(0x869F, 0.0) is None
    assert watched.see(0, 0.5) is None
    assert watched.see(1, 0.5 + STANDS_S) == Increment(0, 99_999, 1, rolled_over=True)
    watched.settle(0)
    assert watched.see(1, 1.0 + STANDS_S) == Increment(1, 0, 1)


def test_a_rollover_at_the_end_of_the_range_is_counted_at_once() -> None:
    assert counter(2**32 - 1, type="uint32").see(2, 0) == Increment(2, 2**32 - 1, 3, rolled_over=True)


@pytest.mark.parametrize("polls", [2, 50])
def test_a_reset_of_two_registers_is_told_when_it_has_stood_and_no_part_since_is_lost(polls: int) -> None:
    watched = counter(5000, type="uint32")
    for poll in range(1, polls):
        assert watched.see(poll, STANDS_S * (poll - 1) / polls) is None
    assert watched.see(polls, STANDS_S) == Reset(1, 5000)
    watched.settle(1)
    assert watched.see(polls + 3, STANDS_S) == Increment(polls + 3, 1, polls + 2)


def test_a_reset_that_is_torn_begins_to_stand_when_it_is_whole() -> None:
    """0x00015000 is set to 0, the high register first: the half that is left is no baseline."""
    watched = counter(0x15000, type="uint32")
    assert watched.see(0x05000, 0.0) is None
    assert watched.see(0, 1.0) is None
    assert watched.see(0, STANDS_S) is None
    assert watched.see(0, 1.0 + STANDS_S) == Reset(0, 0x15000)


def test_a_leap_that_stands_is_believed() -> None:
    watched = counter(10, type="uint32", delta_max=1000)
    assert watched.see(5000, 0.0) is None
    assert watched.see(5001, STANDS_S - 0.1) is None
    assert watched.see(5001, STANDS_S) == Increment(5000, 10, 4990)


def test_a_single_register_cannot_tear_and_is_believed_at_once() -> None:
    assert counter(5000).see(0, 0) == Reset(0, 5000)


@pytest.mark.parametrize(("step", "poll_s"), [(10, 0.1), (70_000, 0.5), (70_000, 60.0)])
def test_a_counter_that_leaps_at_every_poll_is_late_and_never_silent(step: int, poll_s: float) -> None:
    """A small `delta_max`, or more than a word at every poll: told in arrears, in full once it stands."""
    watched = counter(0, type="uint32", delta_max=5)
    seen, shown, told_s = 0, 0, 0.0
    for poll in range(1, 1000):
        shown = step * min(poll, 800)
        observed = watched.see(shown, poll * poll_s)
        if isinstance(observed, Increment):
            seen, told_s = seen + observed.delta, poll * poll_s
            watched.settle(observed.now)
        if poll < 800:
            assert poll * poll_s - told_s <= STANDS_S + 3 * poll_s
    assert seen == shown


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 20_000), st.integers(0, 14)),
        st.tuples(st.just("poll"), st.booleans(), st.just(0)),
        st.tuples(st.just("wait"), st.floats(0.01, 4.9), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=80,
)


def mixed(old: int, new: int, words: int) -> int:
    """Some registers as they were, those in `words` as they are to become."""
    fresh = sum(0xFFFF << 16 * word for word in range(4) if words >> word & 1)
    return old & ~fresh | new & fresh


@given(WRITES, st.sampled_from([0, 0xFFF0, 0x1_FFFF, 0xFFFF_FFF0]), st.sampled_from(["uint32", "uint64"]))
def test_whatever_is_read_halfway_through_a_write_the_parts_add_up(plays: list[Any], start: int, kind: str) -> None:
    """Registers are written in any order, for any time below `STANDS_S`, amid restarts and commits that fail.

    At most 30,000 parts lie between two polls: a counter that wraps a whole word unseen cannot be told from a torn one.
    """
    span = 2**32 if kind == "uint32" else 2**64
    disk, before, made, unseen, counted = start, start, 0, 0, 0
    clock_s = begun_s = 0.0
    words = 15
    watched = counter(disk, type=kind)

    def poll(works: bool) -> None:
        nonlocal disk, counted, unseen
        unseen = 0
        shown = mixed(before, (start + made) % span, words)
        observed = watched.see(shown, clock_s)
        assert not isinstance(observed, Reset | Baseline)
        if observed is not None and works:
            counted, disk = counted + observed.delta, observed.now
            assert counted <= made, "parts were invented"
            watched.settle(disk)

    for play, argument, which in plays:
        if play == "write" and unseen + argument <= 30_000:
            before, made, unseen = (start + made) % span, made + argument, unseen + argument
            words, begun_s = which, clock_s
        elif play == "wait":
            clock_s += argument
            if clock_s - begun_s >= STANDS_S:
                words = 15
        elif play == "restart":
            watched = counter(disk, type=kind)
        elif play == "poll":
            poll(argument)
    words = 15
    for _ in range(6):
        poll(works=True)
        clock_s += STANDS_S
    assert counted == made


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
            observed = watched.see(shown, 0)
            assert not isinstance(observed, Reset)
            if observed is not None and argument:
                counted += observed.delta if isinstance(observed, Increment) else 0
                made_since_baseline = made_since_baseline or 0
                disk = observed.now
                watched.settle(observed.now)
                unseen = 0
    assert counted == (made_since_baseline or 0)
