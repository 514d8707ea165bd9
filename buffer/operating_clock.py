"""The operating clock: how long this gateway has run, all runs added up.

Retention and redelivery windows are counted on it. It is fed by monotonic time and stored in every commit, so a wall
clock that jumps by a month purges nothing. Time while the gateway is off does not count: things are kept longer, never
shorter. After a crash it resumes at the last commit, again on the side of keeping.
"""

from __future__ import annotations

from collections.abc import Callable


class OperatingClock:
    """Milliseconds of operation, never going back."""

    def __init__(self, stored_ms: int, monotonic: Callable[[], float]) -> None:
        """`stored_ms` is what the last commit said; `monotonic` gives seconds."""
        self._monotonic = monotonic
        self._base_ms = stored_ms
        self._base_s = monotonic()
        self._last_ms = stored_ms

    def now_ms(self) -> int:
        """Return the operating time in milliseconds."""
        now = self._base_ms + int((self._monotonic() - self._base_s) * 1000)
        self._last_ms = max(self._last_ms, now)
        return self._last_ms
