"""A PLC counter: from values seen now and then to parts made.

Theory of operation. Parts are the difference to the last value that is *on disk*. The first value ever seen is a
baseline. A rise is that many parts, however large. A fall is a rollover only when the implied number of parts is
at most `delta_max`; else the counter was reset, nobody knows how many parts were lost with it, and a new baseline
begins. The last value moves when, and only when, the event that carries the difference is committed: it travels
with the event. So an event that could not be stored is simply part of the next difference.

A counter of several registers may be read while the PLC is between writing the one and the other, which shows a
number that never was: 0x0000FFFF, 0x0001FFFF, 0x00010000. Such a reading is a jump out of all proportion, gone at
the next poll. So a jump that only a torn reading or a rare event would explain (a rise beyond `delta_max`, a fall
that is no rollover) of a counter of more than one register is believed when the next poll confirms it.

    Observed
    |- Baseline       commit the value, no event
    |- Increment      so many parts
    |- Reset          fell without a rollover; a person should know
    None              nothing moved, or not believed yet
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.modbus_map import Point


@dataclass(frozen=True, slots=True)
class Baseline:
    """The first value ever seen."""

    now: int


@dataclass(frozen=True, slots=True)
class Increment:
    """The counter moved by `delta` parts."""

    now: int
    last: int
    delta: int
    rolled_over: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The counter fell, and no rollover explains it."""

    now: int
    last: int


Observed = Baseline | Increment | Reset


def observe(last: int | None, now: int, *, span: int, delta_max: int) -> Observed | None:
    """Compare a value with the last one on disk. `span` is the number of values before the counter starts again."""
    if last is None:
        return Baseline(now)
    if now == last:
        return None
    if now > last:
        return Increment(now, last, now - last)
    implied = now - last + span
    if 0 < implied <= delta_max:
        return Increment(now, last, implied, rolled_over=True)
    return Reset(now, last)


class Counter:
    """One counter between polls: its last committed value, and a jump that waits to be confirmed."""

    def __init__(self, point: Point, last: int | None) -> None:
        self._span = point.range
        self._delta_max = point.delta_limit
        self._can_tear = point.size > 1
        self._suspect: Observed | None = None
        self.last = last

    @property
    def is_still(self) -> bool:
        """Whether the same value, seen again, would say nothing again."""
        return self._suspect is None

    def see(self, now: int) -> Observed | None:
        """What this value means. Changes nothing that `settle` would have to undo."""
        observed = observe(self.last, now, span=self._span, delta_max=self._delta_max)
        if not (self._can_tear and self._is_jump(observed)):
            self._suspect = None
            return observed
        suspect, self._suspect = self._suspect, observed
        return observed if self._confirms(suspect, observed) else None

    def settle(self, now: int) -> None:
        """The value is on disk: what comes next is compared with it."""
        self.last = now
        self._suspect = None

    def _is_jump(self, observed: Observed | None) -> bool:
        if isinstance(observed, Increment):
            return observed.delta > self._delta_max
        return isinstance(observed, Reset)

    @staticmethod
    def _confirms(suspect: Observed | None, observed: Observed | None) -> bool:
        """Whether two polls in a row say the same: still fallen, or risen at least as far."""
        if isinstance(observed, Reset):
            return isinstance(suspect, Reset)
        return isinstance(observed, Increment) and isinstance(suspect, Increment) and observed.now >= suspect.now
