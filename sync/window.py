"""How much to send at once.

Theory of operation. The window is one number of events, plus a cap on bytes. It does the bisection: when a batch is
refused without naming an event, its range is *suspect* (it holds at least one bad event) and only half of it is sent.
A half that is accepted leaves the other half suspect, which is then halved without being sent whole; a half that is
refused becomes the suspect range. So one request a level finds the first bad event. Behind it the window grows from
one again, eightfold: a second bad event may be near, or none. For one bad event in a batch of n that makes at most
2*log2(n) + 2 requests, and every step settles what it learned: an outage in the middle loses no ground.

A request that is too large halves the cap on bytes as well. The cap is lifted after a while, because a small limit is
sometimes that of a proxy which has gone.

A request that got no answer in time is halved, too: a full one takes a minute over the modem that stands in for a dug
up cable, and sent again whole it would be cut off again, for ever. Whether it was the size cannot be known, so nothing
is remembered but how long it took; the window grows as fast as ever while requests take far less than that, and stops
growing when they would come near it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from buffer.entry import Entry
from sync.batch import cut_entries

BYTES_CAP_HELD_S = 600.0
"""One wasted sequence of halvings every ten minutes is cheap; a tiny cap for ever is not."""

_GROWTH = 8

_UNANSWERED_S_MIN = 1.0
"""A request that was cut off sooner was not cut off because of its size."""

_TIME_SHARE = 0.5
"""Of the time that was too long, for the largest request that is dared: the next one may meet a busier line."""


class Window:
    """The size of the next batch for one upstream."""

    def __init__(self, *, count_max: int, bytes_max: int, monotonic: Callable[[], float]) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._monotonic = monotonic
        self._count = count_max
        self._bytes_cap = bytes_max
        self._bytes_cap_until = 0.0
        self._suspect_through: int | None = None
        self._too_long_s: float | None = None
        """What took this long got no answer; None once a window of full size was answered."""

    @property
    def count(self) -> int:
        """Events to read for the next batch, at most."""
        return self._count

    @property
    def bytes(self) -> int:
        """Bytes of the next body, at most."""
        if self._bytes_cap < self._bytes_max and self._monotonic() >= self._bytes_cap_until:
            self._bytes_cap = self._bytes_max
        return self._bytes_cap

    @property
    def is_open(self) -> bool:
        """Whether nothing limits the window but the settings."""
        return self._count == self._count_max and self._suspect_through is None

    def cut(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the head of `entries` that the next batch may hold; at least one entry."""
        count = self._count
        if self._suspect_through is not None:
            # A suspect range is known to be refused whole: send half of it, or its only event. Counted by sequence,
            # since only a part of the range may have been read.
            suspects = self._suspect_through - entries[0].seq + 1
            if suspects > 0:
                count = min(count, max(suspects // 2, 1))
        return cut_entries(entries, count_max=count, bytes_max=self.bytes)

    def refused(self, entries: Sequence[Entry]) -> None:
        """A batch was refused for one of several events, unnamed."""
        self._suspect_through = entries[-1].seq
        self._count = len(entries)

    def isolated(self) -> None:
        """A single event was refused: begin behind it with small steps."""
        self._count = 1

    def too_large(self, entries: Sequence[Entry], body_bytes: int) -> None:
        """A batch of several events was too large."""
        self._count = max(len(entries) // 2, 1)
        self._bytes_cap = max(min(self._bytes_cap, body_bytes) // 2, 1)
        self._bytes_cap_until = self._monotonic() + BYTES_CAP_HELD_S

    def unanswered(self, entries: Sequence[Entry], took_s: float) -> None:
        """A batch got no answer within this time: it may have been too much for the line, or for the centre."""
        if took_s >= _UNANSWERED_S_MIN:
            self._too_long_s = took_s
            self._count = max(len(entries) // 2, 1)

    def passed(self, entries: Sequence[Entry], took_s: float = 0.0) -> None:
        """A whole batch was answered for, within this time."""
        if self._suspect_through is not None and entries[-1].seq >= self._suspect_through:
            self._suspect_through = None
        if self._suspect_through is None:
            known = max(self._count, len(entries))
            self._count = min(self._count_max, max(known, min(known * _GROWTH, self._dared(entries, took_s))))
            if self._count == self._count_max:
                self._too_long_s = None

    def _dared(self, entries: Sequence[Entry], took_s: float) -> int:
        """How many events may be expected to be answered in time, when so many took so long."""
        if self._too_long_s is None or took_s <= 0:
            return self._count_max
        return int(len(entries) * self._too_long_s * _TIME_SHARE / took_s)

    def partly_passed(self, count: int) -> None:
        """Only the first `count` events of a batch were answered for: do not send the rest over and over."""
        self._count = max(count, 1)
