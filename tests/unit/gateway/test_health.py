"""When a change of a link is worth an event: hysteresis both ways, at its edges."""

import pytest

from drivers import Reading
from gateway.health import (
    FLAP_WINDOW_S,
    FLAPS_MAX,
    LATENCY_BOUNDS_S,
    SIGHTINGS_MAX,
    Availability,
    Hysteresis,
    Latency,
    Reported,
    Sightings,
)

LIMITS = Hysteresis(down_after_s=10.0, up_after_s=5.0)


class Link:
    """Drives an `Availability` the way the supervisor does, and reports at once."""

    def __init__(self, limits: Hysteresis = LIMITS) -> None:
        self.availability = Availability(limits)
        self.reports: list[tuple[float, Reported]] = []

    def look(self, now: float) -> float | None:
        state, again = self.availability.settle(now)
        if state is not None:
            self.availability.reported = state
            self.reports.append((now, state))
        return again


def test_a_link_is_up_with_its_first_reading() -> None:
    link = Link()
    link.availability.opened(0.0, tells=True)
    link.look(0.0)
    link.availability.heard(1.0)
    link.look(1.0)
    assert link.reports == [(1.0, "up")]


@pytest.mark.parametrize(("held", "expected"), [(4.9, []), (5.0, ["up"])])
def test_a_link_that_holds_is_up_without_a_reading(held: float, expected: list[str]) -> None:
    link = Link()
    link.availability.opened(0.0, tells=True)
    link.availability.connected(0.0)
    link.look(held)
    assert [state for _, state in link.reports] == expected


def test_a_driver_that_tells_is_not_up_while_it_still_connects() -> None:
    link = Link()
    link.availability.opened(0.0, tells=True)
    assert not link.availability.is_up(60.0)
    link.look(60.0)
    assert [state for _, state in link.reports] == ["down"]


def test_a_driver_that_does_not_tell_is_believed_until_it_fails() -> None:
    link = Link()
    link.availability.opened(0.0, tells=False)
    link.look(5.0)
    assert [state for _, state in link.reports] == ["up"]


@pytest.mark.parametrize(("away", "expected"), [(9.9, ["up"]), (10.0, ["up", "down"])])
def test_a_link_is_down_when_it_stays_away(away: float, expected: list[str]) -> None:
    link = Link()
    link.availability.opened(0.0, tells=True)
    link.availability.heard(0.0)
    link.look(0.0)
    link.availability.failed(100.0)
    link.look(100.0 + away)
    assert [state for _, state in link.reports] == expected


def test_attempts_that_fail_do_not_start_the_wait_anew() -> None:
    """The port is gone and every attempt to open it fails within a millisecond: that is down, not flapping."""
    link = Link()
    now = 0.0
    while now < 60.0:
        link.availability.opened(now, tells=True)
        link.look(now)
        link.availability.failed(now + 0.001)
        link.look(now + 0.001)
        now += 1.0
    assert [state for _, state in link.reports] == ["down"]
    assert link.reports[0][0] == pytest.approx(10.0, abs=1.1)


def test_a_flapping_link_makes_one_degraded_instead_of_a_thousand_changes() -> None:
    link = Link()
    now = 0.0
    for _ in range(1000):
        link.availability.opened(now, tells=True)
        link.availability.heard(now + 0.1)
        link.look(now + 0.1)
        link.availability.failed(now + 1.0)
        link.look(now + 1.0)
        now += 2.0
    assert [state for _, state in link.reports] == ["up", "degraded"]
    assert link.reports[1][0] <= (FLAPS_MAX + 1) * 2.0


def test_a_degraded_link_is_up_again_after_a_quiet_window() -> None:
    link = Link()
    for start in range(0, 12, 2):
        link.availability.opened(start, tells=True)
        link.availability.heard(start)
        link.look(start)
        link.availability.failed(start + 1)
        link.look(start + 1)
    link.availability.opened(12, tells=True)
    link.availability.heard(12)
    assert link.look(12) is not None
    link.look(11 + FLAP_WINDOW_S - 1)
    assert link.reports[-1][1] == "degraded"
    link.look(11 + FLAP_WINDOW_S)
    assert link.reports[-1][1] == "up"


def test_a_silent_device_is_reported_and_heard_again() -> None:
    link = Link(Hysteresis(10.0, 5.0, silent_after_s=60.0))
    link.availability.opened(0.0, tells=True)
    link.availability.heard(0.0)
    assert link.look(0.0) == 60.0
    link.look(59.9)
    link.look(60.0)
    link.availability.heard(61.0)
    link.look(61.0)
    assert link.reports == [(0.0, "up"), (60.0, "silent"), (61.0, "up")]


def test_the_next_look_is_never_later_than_the_change() -> None:
    """Following the answers of `settle` alone, every change is found on time: nobody has to poll."""
    link = Link()
    link.availability.opened(0.0, tells=True)
    link.availability.connected(0.0)
    again = link.look(0.0)
    assert again == 5.0
    link.look(5.0)
    link.availability.failed(20.0)
    again = link.look(20.0)
    assert again == 10.0
    link.look(30.0)
    assert link.reports == [(5.0, "up"), (30.0, "down")]


# -- sightings and latency


def scan(device: str, message_id: str | None = None) -> Reading:
    return Reading(device, "scan", b"x", message_id=message_id)


def test_a_device_is_remembered_with_its_numbering() -> None:
    sightings = Sightings()
    sightings.note([scan("hh-1", "a"), scan("hh-2"), scan("hh-1", "b")], 7.0)
    first, second = sightings.all()
    assert (first.device, first.readings, first.last, first.is_numbered) == ("hh-1", 2, 7.0, True)
    assert not second.is_numbered
    assert sightings.of("hh-3") is None


def test_invented_devices_use_up_no_memory_and_hide_nobody() -> None:
    """A register that was full of strangers took no newcomer any more: a handheld at work was "not heard"."""
    sightings = Sightings()
    sightings.note([scan("hh-0")], 0.5)
    for number in range(SIGHTINGS_MAX + 50):
        sightings.note([scan(f"x-{number}"), scan("hh-1")], 1.0)
    sightings.note([scan("hh-2")], 2.0)
    assert len(sightings.all()) == SIGHTINGS_MAX
    kept = sightings.of("hh-1"), sightings.of("hh-2")
    assert [one and one.readings for one in kept] == [SIGHTINGS_MAX + 50, 1]
    assert sightings.of("hh-0") is None, "silent for longest"


def test_latency_falls_into_the_bucket_of_its_bound() -> None:
    latency = Latency()
    for seconds in (0.0, LATENCY_BOUNDS_S[0], LATENCY_BOUNDS_S[0] + 1e-9, 999.0):
        latency.observe(seconds)
    assert latency.counts[0] == 2
    assert latency.counts[1] == 1
    assert latency.counts[-1] == 1
