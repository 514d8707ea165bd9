"""Random bad days from seeds: whatever happens on the way, every promise holds when the devices have been answered."""

import pytest
from voyage import sail
from voyage_judge import judge

SEEDS = range(1, 201)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_on_a_random_bad_day(seed: int) -> None:
    verdict = judge(sail(seed))
    assert verdict.holds, (verdict.violations, verdict.faults)


def test_equal_seeds_give_equal_voyages() -> None:
    """Twice the same seed is the same voyage, byte by byte; another seed is another voyage."""
    first, again, other = sail(7), sail(7), sail(8)
    assert first.trace == again.trace
    assert first.trace != other.trace
