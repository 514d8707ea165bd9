"""Whether the wall clock may be believed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway import clock
from gateway.cli.run import real_world


@pytest.mark.parametrize(
    ("now_s", "is_vouched_for", "believed"),
    [
        (clock.EARLIEST_S, True, True),
        (clock.EARLIEST_S, False, False),
        (clock.EARLIEST_S - 1, True, False),
        (0, True, False),
    ],
)
def test_a_clock_from_before_this_program_existed_is_not_believed(
    now_s: int, is_vouched_for: bool, believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time service may be content with a clock that goes evenly, from 1970 on."""
    monkeypatch.setattr(time, "time", lambda: float(now_s))
    monkeypatch.setattr(clock, "_is_vouched_for", lambda: is_vouched_for)
    assert clock.is_synchronised() is believed


def test_the_clock_of_what_was_away_counts_the_sleep_of_the_computer() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    told = real_world().elapsed()
    assert before <= told <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_driver_that_comes_back_can_tell_whether_the_computer_was_started_anew() -> None:
    now = real_world().moment()
    assert now.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert now.since(now.back(90.0)) == pytest.approx(90.0)


def test_the_kernel_is_asked_without_any_privilege() -> None:
    assert clock.is_synchronised() in (True, False)
