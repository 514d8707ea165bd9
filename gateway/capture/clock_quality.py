"""Whether the wall clock may be believed, asked of the system's time service now and then.

Every event says so. The answer is kept for a few seconds: asking costs a system call, and a time service takes longer
than that to change its mind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.events.model import ClockQuality

ASK_EVERY_S: Final = 5.0


class ClockMonitor:
    """Calling it returns "synchronised" or "unsynchronised"."""

    def __init__(self, is_synchronised: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._is_synchronised = is_synchronised
        self._monotonic = monotonic
        self._ask_at = float("-inf")
        self._quality: ClockQuality = "unsynchronised"

    def __call__(self) -> ClockQuality:
        now = self._monotonic()
        if now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self._quality = "synchronised" if self._is_synchronised() else "unsynchronised"
        return self._quality


def vouched(wall_ms: int, quality: ClockQuality) -> int | None:
    """Return the time, or None while nobody vouches for the wall clock: nothing may then be concluded from it."""
    return wall_ms if quality == "synchronised" else None
