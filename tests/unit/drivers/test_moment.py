"""How long it was between two moments, by the clock that can tell it; None when none can."""

import pytest

from drivers.moment import Moment

YEARS_MS = 56 * 365 * 86_400_000


def test_while_the_computer_runs_no_step_of_the_wall_clock_counts() -> None:
    """It began in 1970, and the time service set it right a minute later."""
    earlier = Moment("boot-1", 100.0, 60_000, is_vouched=False)
    assert Moment("boot-1", 160.0, YEARS_MS, is_vouched=True).since(earlier) == 60.0


def test_over_a_start_of_the_computer_a_wall_clock_that_was_vouched_for_tells() -> None:
    earlier = Moment("boot-1", 9000.0, YEARS_MS, is_vouched=True)
    assert Moment("boot-2", 20.0, YEARS_MS + 90_000, is_vouched=True).since(earlier) == 90.0


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (False, False)])
def test_over_a_start_of_the_computer_a_clock_that_nobody_vouched_for_tells_nothing(before: bool, after: bool) -> None:
    earlier = Moment("boot-1", 9000.0, 60_000, is_vouched=before)
    assert Moment("boot-2", 20.0, YEARS_MS, is_vouched=after).since(earlier) is None


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_nothing_lies_before_it_began(boot: str) -> None:
    """A disk that was put back, or a clock that was set back."""
    earlier = Moment("boot-1", 9000.0, YEARS_MS, is_vouched=True)
    assert Moment(boot, 8000.0, YEARS_MS - 1, is_vouched=True).since(earlier) is None


def test_a_computer_without_a_name_for_its_start_has_the_wall_clock_alone() -> None:
    earlier = Moment("", 5.0, 0, is_vouched=True)
    assert Moment("", 6.0, 90_000, is_vouched=True).since(earlier) == 90.0


def test_back_goes_back_by_every_clock() -> None:
    assert Moment("b", 10.0, 10_000, is_vouched=True).back(2.5) == Moment("b", 7.5, 7_500, is_vouched=True)
