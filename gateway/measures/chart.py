"""A p-chart: is the share of unreadable readings of one device more than chance explains?

Readings are judged in groups of `GROUP_READINGS`. The centre line is the device's own share over its last groups that
were in control (until there are a few, `ASSUMED_SHARE`); the upper control limit lies three standard deviations above
it: p + 3 * sqrt(p * (1 - p) / n), the usual p-chart (ISO 7870-2). One group above the limit, with at least
`UNREADABLE_MIN` unreadable, is out of control; so many groups in a row within it, and the device is well again. Groups
out of control do not move the centre line: a scanner that goes blind slowly must not teach the chart that blind is
normal.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Any, Final

GROUP_READINGS: Final = 50
GROUPS_KEPT: Final = 20
"""In control, for the centre line: the last thousand readings."""
GROUPS_MIN: Final = 4
ASSUMED_SHARE: Final = 0.02
"""Centre line of a device that is not known yet, and the least of any: a line of 0 would call one smear a fault."""
UNREADABLE_MIN: Final = 5
WELL_AFTER_GROUPS: Final = 2


class ControlChart:
    """The chart of one device."""

    def __init__(self) -> None:
        self.readings = 0
        self.unreadable = 0
        """Since it is counted."""
        self.is_degraded = False
        self.last_unreadable: int | None = None
        """Of the last whole group."""
        self._group = [0, 0]
        self._kept: deque[int] = deque(maxlen=GROUPS_KEPT)
        self._well = 0

    @property
    def centre(self) -> float:
        """The share that is normal for this device."""
        if len(self._kept) < GROUPS_MIN:
            return ASSUMED_SHARE
        return max(sum(self._kept) / (len(self._kept) * GROUP_READINGS), ASSUMED_SHARE)

    @property
    def limit(self) -> float:
        """The upper control limit for the share of a group."""
        centre = self.centre
        return centre + 3 * sqrt(centre * (1 - centre) / GROUP_READINGS)

    def add(self, *, is_unreadable: bool) -> bool:
        """Count a reading; return whether the verdict about the device changed."""
        self.readings += 1
        self.unreadable += is_unreadable
        self._group[0] += 1
        self._group[1] += is_unreadable
        if self._group[0] < GROUP_READINGS:
            return False
        unreadable, self._group = self._group[1], [0, 0]
        return self._close(unreadable)

    def add_readable(self, count: int) -> bool:
        """Count so many readings that were understood; return whether the verdict about the device changed."""
        changed = False
        while count:
            taken = min(count, GROUP_READINGS - self._group[0])
            self.readings += taken
            self._group[0] += taken
            count -= taken
            if self._group[0] == GROUP_READINGS:
                unreadable, self._group = self._group[1], [0, 0]
                changed |= self._close(unreadable)
        return changed

    def _close(self, unreadable: int) -> bool:
        self.last_unreadable = unreadable
        if unreadable >= UNREADABLE_MIN and unreadable / GROUP_READINGS > self.limit:
            self._well = 0
            changed, self.is_degraded = not self.is_degraded, True
            return changed
        self._kept.append(unreadable)
        self._well += 1
        changed = self.is_degraded and self._well >= WELL_AFTER_GROUPS
        self.is_degraded = self.is_degraded and not changed
        return changed

    def dump(self) -> list[Any]:
        """Return what `load` needs, as JSON can hold it."""
        return [self.readings, self.unreadable, self.is_degraded, self.last_unreadable, self._group, list(self._kept)]

    @classmethod
    def load(cls, kept: list[Any]) -> ControlChart:
        """Return the chart that was dumped. Raises ValueError, TypeError when it is none."""
        chart = cls()
        readings, unreadable, is_degraded, last, group, groups = kept
        chart.readings, chart.unreadable, chart.is_degraded = int(readings), int(unreadable), bool(is_degraded)
        chart.last_unreadable = None if last is None else int(last)
        chart._group = [int(group[0]), int(group[1])]
        chart._kept.extend(int(one) for one in groups)
        return chart
