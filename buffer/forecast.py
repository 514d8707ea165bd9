"""How long the outbox lasts if nothing more is delivered: hours of operation at the rate of today.

The rate is the higher one of the last hour and the last day, so that a quiet morning does not
promise a week.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from buffer.retention import MARK_EVERY_MS

HOUR_MS = 3_600_000
WINDOWS_MS = (HOUR_MS, 24 * HOUR_MS)


class Forecast:
    """Remembers how the head moved during the last day of operation."""

    def __init__(self, marks: Iterable[tuple[int, int]]) -> None:
        """`marks` are (operating clock in ms, seq at that time), oldest first."""
        self._marks: deque[tuple[int, int]] = deque(marks)

    def observe(self, operating_ms: int, seq: int) -> None:
        """Note where the head is; call as often as you like."""
        marks = self._marks
        if not marks or operating_ms - marks[-1][0] >= MARK_EVERY_MS:
            marks.append((operating_ms, seq))
            while operating_ms - marks[0][0] > WINDOWS_MS[-1]:
                marks.popleft()

    def entries_per_hour(self, operating_ms: int, seq: int) -> float | None:
        """Return the rate at which entries come in; None when nothing is known yet."""
        rates = []
        for window_ms in WINDOWS_MS:
            oldest = next((mark for mark in self._marks if operating_ms - mark[0] <= window_ms), None)
            if oldest is not None and operating_ms - oldest[0] >= MARK_EVERY_MS:
                rates.append((seq - oldest[1]) * HOUR_MS / (operating_ms - oldest[0]))
        return max(rates, default=None)

    def autonomy_hours(self, operating_ms: int, seq: int, entries_left: float) -> float | None:
        """Return for how many hours there is room for what comes in; None when unknown or when nothing comes in."""
        rate = self.entries_per_hour(operating_ms, seq)
        return None if not rate else entries_left / rate
