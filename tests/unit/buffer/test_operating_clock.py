"""The operating clock."""

from __future__ import annotations

from buffer.operating_clock import OperatingClock


def test_it_goes_on_where_the_last_commit_left_it() -> None:
    now_s = 50.0
    clock = OperatingClock(10_000, lambda: now_s)
    assert clock.now_ms() == 10_000
    now_s = 51.5
    assert clock.now_ms() == 11_500


def test_it_never_goes_back() -> None:
    """Monotonic time of a suspended machine is not trusted more than necessary."""
    now_s = 50.0
    clock = OperatingClock(0, lambda: now_s)
    now_s = 60.0
    assert clock.now_ms() == 10_000
    now_s = 55.0
    assert clock.now_ms() == 10_000
