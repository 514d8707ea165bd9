"""Room, marks and hysteresis."""

from __future__ import annotations

import pytest

from buffer.limits import MIB, PROBE_AFTER_S, Limits, Room, Usage

LIMITS = Limits(bytes_max=100 * MIB, disk_reserve_bytes=100 * MIB)
PLENTY = 10_000 * MIB


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("used", "free", "level"),
    [
        (79, PLENTY, "calm"),
        (80, PLENTY, "pressed"),
        (99, PLENTY, "pressed"),
        (100, PLENTY, "full"),
        (0, 125 * MIB, "calm"),
        (0, 124 * MIB, "pressed"),
        (0, 100 * MIB, "pressed"),
        (0, 100 * MIB - 1, "full"),
    ],
)
def test_levels(clock: Clock, used: int, free: int, level: str) -> None:
    room = Room(LIMITS, clock)
    assert room.measure(Usage(used * MIB, 0, free)) == level
    assert (room.full_reason is not None) == (level == "full")


@pytest.mark.parametrize(("used", "level"), [(99, "full"), (95, "full"), (94, "pressed"), (79, "calm")])
def test_the_cap_lets_in_again_below_a_lower_mark(clock: Clock, used: int, level: str) -> None:
    room = Room(LIMITS, clock)
    room.measure(Usage(100 * MIB, 0, PLENTY))
    assert room.measure(Usage(used * MIB, 0, PLENTY)) == level


@pytest.mark.parametrize(("free", "level"), [(101, "full"), (104, "full"), (105, "pressed"), (125, "calm")])
def test_the_reserve_lets_in_again_above_a_higher_mark(clock: Clock, free: int, level: str) -> None:
    room = Room(LIMITS, clock)
    room.measure(Usage(0, 0, 50 * MIB))
    assert room.measure(Usage(0, 0, free * MIB)) == level


def test_freed_pages_are_room_but_only_for_half_of_the_reserve(clock: Clock) -> None:
    """The write-ahead log needs real space even when every table fits into freed pages."""
    room = Room(LIMITS, clock)
    assert room.measure(Usage(0, 1000 * MIB, 50 * MIB)) == "pressed"
    assert room.measure(Usage(0, 1000 * MIB, 50 * MIB - 1)) == "full"


def test_a_refused_write_counts_as_full_until_it_is_worth_another_try(clock: Clock) -> None:
    room = Room(LIMITS, clock)
    room.refused("the disk is full")
    assert (room.level, room.full_reason) == ("full", "the disk is full")
    assert room.measure(Usage(0, 0, PLENTY)) == "full"
    clock.now_s += PROBE_AFTER_S
    assert room.measure(Usage(0, 0, PLENTY)) == "calm"
    assert room.full_reason is None


def test_what_is_left_is_the_lesser_of_cap_and_disk(clock: Clock) -> None:
    room = Room(LIMITS, clock)
    room.measure(Usage(60 * MIB, 0, PLENTY))
    assert room.bytes_left() == 40 * MIB
    room.measure(Usage(60 * MIB, 0, 110 * MIB))
    assert room.bytes_left() == 10 * MIB
    room.measure(Usage(60 * MIB, 0, 10 * MIB))
    assert room.bytes_left() == 0
