"""The newest entries, kept in memory as they were committed.

An upstream that keeps up asks for what was committed a moment ago. Reading that back costs a change of threads and as
much as it cost to write, and can find nothing that memory does not have. So the event loop is told what every commit
brought and keeps the end of it; whoever asks for something older, or has entries in quarantine behind its position,
reads the file. What is in quarantine is asked once and believed until something is written that could change it.
What every asker has gone past is let go of at once: memory that was used a moment ago is cheap to use again, and eight
megabytes that nobody will ask for push everything else out of the processor's cache.

What is handed on from here was on disk when the loop was told. Its digest is not looked at again: it was computed from
these very bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, Literal

from buffer.digest import EntryRow
from buffer.entry import Entry

_PAYLOAD: Final[Literal[6]] = 6
"""Column of the payload."""


class Tail:
    """The end of the journal, without gaps. Belongs to the event loop."""

    def __init__(self, bytes_max: int, held_through: Callable[[str], int]) -> None:
        """Keep at most so many bytes of payload. `held_through` tells the newest seq that an upstream does not get as
        itself (quarantine), as far as it is on disk."""
        self._bytes_max = bytes_max
        self._held_through = held_through
        self._rows: deque[EntryRow] = deque()
        self._bytes = 0
        self._asked: dict[str, int] = {}
        """Behind which seq each upstream asked last."""
        self._held: dict[str, int] = {}
        self._writes = 0

    @property
    def kept_bytes(self) -> int:
        """Payload that is in memory."""
        return self._bytes

    def extend(self, rows: Sequence[EntryRow]) -> None:
        """Take note of a commit; its entries follow those of the commit before."""
        kept = self._rows
        kept.extend(rows)
        self._bytes += sum([len(row[_PAYLOAD]) for row in rows])
        while self._bytes > self._bytes_max:
            self._bytes -= len(kept.popleft()[_PAYLOAD])

    def write_began(self, written: asyncio.Future[Any]) -> None:
        """Something is written that may change what is in quarantine: read no upstream from memory meanwhile."""
        self._writes += 1
        written.add_done_callback(self._write_ended)

    def _write_ended(self, _: asyncio.Future[Any]) -> None:
        self._writes -= 1
        self._held.clear()

    def behind(self, upstream: str, after: int, *, count_max: int, bytes_max: int) -> list[Entry]:
        """Return the entries that follow `after`, at most so many and so many bytes of payload (at least one).

        Empty when the one that follows is not here, or not everything behind `after` is to be sent as itself.
        Raises what `held_through` raises.
        """
        self._let_go(upstream, after)
        rows = self._rows
        if not rows or self._writes or not rows[0][0] <= after + 1 <= rows[-1][0]:
            return []
        held = self._held.get(upstream)
        if held is None:
            held = self._held[upstream] = self._held_through(upstream)
        if held > after:
            return []
        found: list[Entry] = []
        size = 0
        for row in _span(rows, after + 1 - rows[0][0], count_max):
            size += len(row[_PAYLOAD])
            if found and size > bytes_max:
                break
            found.append(Entry(*row))
        return found

    def _let_go(self, upstream: str, after: int) -> None:
        """Drop what nobody will ask for: one who goes back reads the file. While one does not ask any more, because it
        was taken out of the settings, only the bound on bytes counts, until the next start."""
        self._asked[upstream] = after
        passed, rows = min(self._asked.values()), self._rows
        while rows and rows[0][0] <= passed:
            self._bytes -= len(rows.popleft()[_PAYLOAD])


def _span(rows: deque[EntryRow], first: int, count_max: int) -> Iterable[EntryRow]:
    """Return `rows[first : first + count_max]`, counted from the end that is nearer: a deque is walked, not indexed."""
    length = len(rows)
    end = min(first + count_max, length)
    if first <= length - end:
        return islice(rows, first, end)
    found = list(islice(reversed(rows), length - end, length - first))
    found.reverse()
    return found
