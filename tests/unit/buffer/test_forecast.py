"""Hours of autonomy."""

from __future__ import annotations

import pytest

from buffer.forecast import HOUR_MS, Forecast

MINUTE_MS = 60_000


def test_nothing_known_promises_nothing() -> None:
    forecast = Forecast([])
    assert forecast.autonomy_hours(0, 0, 100) is None
    forecast.observe(0, 0)
    assert forecast.autonomy_hours(59_000, 10, 100) is None


def test_a_steady_rate() -> None:
    """600 an hour and room for 24,600: 41 hours."""
    forecast = Forecast([])
    for minute in range(121):
        forecast.observe(minute * MINUTE_MS, minute * 10)
    assert forecast.autonomy_hours(120 * MINUTE_MS, 1200, 24_600) == pytest.approx(41)


def test_a_quiet_hour_does_not_promise_a_week() -> None:
    """Twelve busy hours, then lunch."""
    forecast = Forecast([])
    for hour in range(13):
        forecast.observe(hour * HOUR_MS, hour * 1000)
    forecast.observe(14 * HOUR_MS, 12_000)
    rate = forecast.entries_per_hour(14 * HOUR_MS, 12_000)
    assert rate == pytest.approx(12_000 / 14)


def test_a_busy_hour_after_a_quiet_night_counts() -> None:
    forecast = Forecast([(0, 0), (20 * HOUR_MS, 0), (21 * HOUR_MS, 5000)])
    assert forecast.entries_per_hour(21 * HOUR_MS, 5000) == pytest.approx(5000)


def test_what_is_older_than_a_day_is_forgotten() -> None:
    forecast = Forecast([])
    for hour in range(100):
        forecast.observe(hour * HOUR_MS, hour)
    assert len(forecast._marks) == 25


def test_nothing_coming_in_has_no_end() -> None:
    forecast = Forecast([(0, 5)])
    assert forecast.autonomy_hours(2 * HOUR_MS, 5, 100) is None
