"""A ring of minutes: figures of the last hour or day, a row a minute, the oldest overwritten.

A minute is that of the wall clock, because that is what people compare it with. A clock that is set back a little
counts for the minute it left; one that had been far ahead and is right again counts from where it is, on top of what
these minutes have. One that is set on leaves minutes that nobody saw, and these are not minutes in which nothing
happened.
"""

from __future__ import annotations

from typing import Any, Final

MINUTE_MS: Final = 60_000
BACK_MAX: Final = 5
"""Minutes: as far a time service may correct a clock at work. A clock that goes back further had been wrong."""


class MinuteRing:
    """The last minutes of some figures. Not for threads."""

    def __init__(self, minutes: int, names: tuple[str, ...]) -> None:
        """`minutes` is how many are kept; `names` are the columns of a row."""
        self.names = names
        self._size = minutes
        self._stamps = [-1] * minutes
        self._rows: list[list[float]] = [[0] * len(names) for _ in range(minutes)]
        self._now = -1
        self._row = self._rows[0]

    def row(self, at_ms: int) -> list[float]:
        """Return the row of a moment, to be changed in place; the same list until the minute is over."""
        minute = at_ms // MINUTE_MS
        if minute > self._now or minute < self._now - BACK_MAX:
            self._now = minute
            at = minute % self._size
            if self._stamps[at] != minute:
                self._stamps[at], self._rows[at] = minute, [0] * len(self.names)
            self._row = self._rows[at]
        return self._row

    def column(self, name: str, now_ms: int, count: int) -> list[float | None]:
        """Return one figure of the last `count` minutes, oldest first; None for a minute that nobody saw."""
        index = self.names.index(name)
        last = now_ms // MINUTE_MS
        wanted = range(last - min(count, self._size) + 1, last + 1)
        return [self._rows[at][index] if self._stamps[at := minute % self._size] == minute else None
                for minute in wanted]  # fmt: skip

    def dump(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON can hold it: the minutes that somebody saw."""
        seen = sorted((stamp, at) for at, stamp in enumerate(self._stamps) if stamp >= 0)
        return {"names": list(self.names), "minutes": [[stamp, *self._rows[at]] for stamp, at in seen]}

    def load(self, kept: dict[str, Any], now_ms: int) -> None:
        """Go on from what was dumped; minutes that have gone by, or that are to come by this clock, are left out.

        Raises LookupError, ValueError, TypeError when it cannot be understood, and then has changed nothing.
        """
        last = now_ms // MINUTE_MS
        columns = [kept["names"].index(name) + 1 if name in kept["names"] else None for name in self.names]
        rows = {int(row[0]): [0 if at is None else float(row[at]) for at in columns] for row in kept["minutes"]}
        for minute, row in sorted(rows.items()):
            if last - self._size < minute <= last:
                at = minute % self._size
                self._stamps[at], self._rows[at] = minute, row
                self._now, self._row = minute, row

    def sums(self, now_ms: int, count: int) -> dict[str, float]:
        """Return each figure summed over the last `count` minutes."""
        return {name: sum(value or 0 for value in self.column(name, now_ms, count)) for name in self.names}
