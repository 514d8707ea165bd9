"""How long to stay away."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.backoff import Backoff, parse_retry_after


def backoff(seed: int = 1, **how: float) -> Backoff:
    return Backoff(Random(seed), **{"base_s": 1.0, "cap_s": 60.0, "retry_after_max_s": 600.0, **how})


def test_the_ceiling_doubles_up_to_the_cap_and_every_delay_is_below_it() -> None:
    for seed in range(50):
        delays = backoff(seed)
        for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60]:
            assert 0 <= delays.failed() <= ceiling


def test_delays_are_spread_over_the_whole_range() -> None:
    """Full jitter: a thousand gateways must not come back in one moment."""
    first = sorted(backoff(seed).failed() for seed in range(200))
    assert first[0] < 0.05
    assert first[-1] > 0.95


def test_success_starts_over() -> None:
    delays = backoff()
    for _ in range(20):
        delays.failed()
    delays.succeeded()
    assert delays.failures == 0
    assert delays.failed() <= 1


def test_a_month_of_failures_stays_at_the_cap() -> None:
    delays = backoff()
    assert max(delays.failed() for _ in range(100_000)) <= 60


@given(st.floats(0, 600), st.integers(0, 40), st.integers())
def test_what_was_asked_for_is_the_least_that_is_waited(asked: float, failures: int, seed: int) -> None:
    delays = backoff(seed)
    for _ in range(failures):
        delays.failed()
    assert asked <= delays.failed(asked) <= asked * 1.1 + 1


@pytest.mark.parametrize(("asked", "most"), [(10**9, 660), (float("inf"), 660), (-5, 1)])
def test_an_absurd_wish_is_bounded(asked: float, most: float) -> None:
    """Fault matrix 27."""
    assert 0 <= backoff().failed(asked) <= most


NOW_MS = 1_795_248_000_000  # Sat, 21 Nov 2026 08:00:00 GMT


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("120", None, 120),
        (" 5 ", None, 5),
        ("0", None, 0),
        ("Sat, 21 Nov 2026 08:00:30 GMT", None, 30),
        ("Sat, 21 Nov 2026 07:00:00 GMT", None, 0),
        ("Saturday, 21-Nov-26 08:00:30 GMT", None, 30),
        # Our clock is wrong, theirs is the one the date was written by.
        ("Thu, 01 Jan 1970 00:01:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("Sat, 21 Nov 2026 08:00:30 GMT", "rubbish", 30),
        ("-5", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("²", None, None),
        ("Sat, 99 Nov 2026 08:00:30 GMT", None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, date=date, wall_ms=NOW_MS) == seconds


def test_a_number_without_end_is_just_large() -> None:
    found = parse_retry_after("9" * 10_000, date=None, wall_ms=NOW_MS)
    assert found is not None
    assert found > 10**9


@given(st.text(max_size=40))
def test_no_header_whatsoever_breaks_the_reading(value: str) -> None:
    found = parse_retry_after(value, date=value, wall_ms=NOW_MS)
    assert found is None or found >= 0
