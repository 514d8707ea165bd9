"""A moment by every clock a driver has, so that the time between two can be told over restarts.

Monotonic seconds mean nothing to another process, and the wall clock may have been set meanwhile: a computer without a
battery begins in 1970 and leaps to today. While the computer was not started anew, the clock that counts its sleep says
how much time went by, whatever was done to the wall clock. Over a start of the computer only the wall clock is left,
and it is believed when the time service vouched for it both times. Otherwise nobody knows, and nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment."""

    boot: str
    """Name of this start of the computer; empty when it has none."""
    elapsed_s: float
    """Seconds, going on while the computer sleeps; compares within one `boot` only."""
    wall_ms: int
    """Milliseconds since 1970 UTC."""
    is_vouched: bool
    """Whether the time service vouches for the wall clock."""

    def since(self, earlier: Moment) -> float | None:
        """Return the seconds from `earlier` to this moment; None when no clock can tell."""
        if self.boot and self.boot == earlier.boot:
            passed = self.elapsed_s - earlier.elapsed_s
        elif self.is_vouched and earlier.is_vouched:
            passed = (self.wall_ms - earlier.wall_ms) / 1000
        else:
            return None
        return passed if passed >= 0 else None

    def back(self, seconds: float) -> Moment:
        """Return the moment that was so many seconds ago."""
        wall_ms = self.wall_ms - round(seconds * 1000)
        return Moment(self.boot, self.elapsed_s - seconds, wall_ms, self.is_vouched)
