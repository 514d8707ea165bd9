"""A sensor value or state: reported once, then by exception.

A condition is reported when it is seen for the first time, when it moved by more than its deadband since the last
report, when a bool changed in a direction somebody asked for, and when it has been silent for `silence_max_s`. The
last report is on disk with its event, so a restart neither repeats it nor misses a change that fell into it.

A change in a direction nobody asked for is no report, but it has to be remembered all the same: else the next
rising edge would look like no change at all. It is committed without an event.

A value of several registers that was read halfway through a write of the PLC is told as it was read, unlike a
counter's (see `modbus_counter`): nothing adds conditions up, the next poll puts it right, and to wait would make every
true alarm late. A float read so is near its old or its new value; an integer may be off by a multiple of 65,536.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from drivers.modbus_map import Point


@dataclass(frozen=True, slots=True)
class Report:
    """Tell of this value."""

    raw: str
    previous: str | None
    """The raw value of the last report; None for the first."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Remember this value; nobody asked to hear of it."""

    raw: str


Change = Report | Notice


class Condition:
    """One condition between polls: its last committed value, and since when nothing was reported."""

    def __init__(self, point: Point, last: str | None, *, since_s: float) -> None:
        self._point = point
        self._reported_s = since_s
        self.last = last

    @property
    def is_still(self) -> bool:
        """Whether the same value, seen again, would say nothing again."""
        return self._point.silence_max_s is None

    def see(self, raw: str, now_s: float) -> Change | None:
        """What this value means; `now_s` is monotonic. Changes nothing that `settle` would have to undo."""
        if self.last is None:
            return Report(raw, None)
        if self._moved(raw):
            return Report(raw, self.last) if self._is_wanted(raw) else Notice(raw)
        silence_max_s = self._point.silence_max_s
        if silence_max_s is not None and now_s - self._reported_s >= silence_max_s:
            return Report(raw, self.last)
        return None

    def settle(self, change: Change, now_s: float) -> None:
        """The change is on disk: what comes next is compared with it."""
        self.last = change.raw
        if isinstance(change, Report):
            self._reported_s = now_s

    def _moved(self, raw: str) -> bool:
        if raw == self.last or self.last is None:
            return False
        if self._point.type == "bool":
            return True
        moved = abs(Decimal(raw) - Decimal(self.last)) * abs(self._point.scale)
        return moved > self._point.deadband

    def _is_wanted(self, raw: str) -> bool:
        if self._point.type != "bool" or self._point.edges == "both":
            return True
        return (raw == "true") == (self._point.edges == "rising")
