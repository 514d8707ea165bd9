"""The books: accepted = delivered + pending + quarantined + discarded + skipped + lost, for each upstream.

Every term has a source of its own. Accepted is a counter kept by the commit that stored the entries; delivered and
skipped are counters kept by the commits that settled and skipped them, row by row; lost is a counter of the salvage;
pending, quarantined and discarded are counted from rows. One row deleted behind our back makes the sum wrong.

Counting a million pending rows means reading the whole table, so counts of complete segments behind the head are
remembered. A remembered count is an old observation: every census counts a few of them again, oldest observation first,
and `fresh` counts all. A loss is therefore seen at once in a small outbox and within a bounded number of looks in a
large one.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from buffer.errors import UpstreamUnknown

SEGMENT_ROWS = 8192
RECOUNT_SEGMENTS = 8
"""Remembered segments that every census counts again; up to this many (65,536 rows) every census is exact."""


@dataclass(frozen=True, slots=True)
class Census:
    """Where every entry accepted for one upstream is."""

    accepted: int
    delivered: int
    pending: int
    quarantined: int
    discarded: int
    skipped: int
    """Removed before an optional upstream had them, because the outbox was full."""
    lost: int = 0
    """Gone when a damaged outbox was salvaged, and announced; an incident names their sequences."""

    @property
    def imbalance(self) -> int:
        """Entries that are nowhere (positive) or twice (negative). Always 0, or something is lost."""
        told = self.delivered + self.pending + self.quarantined + self.discarded + self.skipped + self.lost
        return self.accepted - told


class Segments:
    """Remembered counts of entry rows by seq."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def count(self, connection: sqlite3.Connection, after: int, head: int, *, fresh: bool = False) -> int:
        """Return how many entries have a seq above `after`; `head` is the newest seq."""
        first, last = after // SEGMENT_ROWS + 1, head // SEGMENT_ROWS - 1
        if last < first:
            return self._rows(connection, after + 1, max(head, after))
        if fresh:
            self._counts.clear()
        # What is before this position stays: it is counted for upstreams that are further behind, of the same rows.
        for segment in [one for one in self._counts if one > last]:
            del self._counts[segment]
        # Dictionaries keep insertion order: the first keys are the oldest observations.
        oldest = [one for one in self._counts if one >= first]
        for segment in oldest[:RECOUNT_SEGMENTS]:
            del self._counts[segment]
        total = self._rows(connection, after + 1, first * SEGMENT_ROWS - 1)
        for segment in range(first, last + 1):
            if segment not in self._counts:
                start = segment * SEGMENT_ROWS
                self._counts[segment] = self._rows(connection, start, start + SEGMENT_ROWS - 1)
            total += self._counts[segment]
        return total + self._rows(connection, (last + 1) * SEGMENT_ROWS, head)

    def forget(self, through: int | None = None) -> None:
        """Drop what is remembered of sequences up to `through`, whose rows were removed in order; else of all."""
        for segment in [one for one in self._counts if through is None or one * SEGMENT_ROWS <= through]:
            del self._counts[segment]

    def _rows(self, connection: sqlite3.Connection, first: int, last: int) -> int:
        (rows,) = connection.execute("SELECT count(*) FROM entry WHERE seq BETWEEN ? AND ?", (first, last)).fetchone()
        return int(rows)


_QUARANTINE = """
SELECT count(*) FILTER (WHERE state IN ('open', 'retry') AND entry.seq IS NOT NULL),
       count(*) FILTER (WHERE state = 'discarded'),
       count(*) FILTER (WHERE quarantine.seq > ?2 AND entry.seq IS NOT NULL)
FROM quarantine LEFT JOIN entry ON entry.seq = quarantine.seq
WHERE upstream = ?1
"""


def take_census(connection: sqlite3.Connection, upstream: str, segments: Segments, *, fresh: bool = False) -> Census:
    """Count, inside the caller's read transaction. Raises UpstreamUnknown."""
    row = connection.execute(
        "SELECT seq, accepted_before, delivered, skipped, lost, accepted, head_seq,"
        " coalesce((SELECT max(last_seq) FROM purged), 0)"
        " FROM cursor JOIN ledger WHERE upstream = ?",
        (upstream,),
    ).fetchone()
    if row is None:
        raise UpstreamUnknown(f"no upstream {upstream!r} is registered")
    cursor, accepted_before, delivered, skipped, lost, accepted, head, purged_through = row
    segments.forget(None if purged_through > cursor else purged_through)
    held, discarded, ahead = connection.execute(_QUARANTINE, (upstream, cursor)).fetchone()
    # A row past the head that the ledger knows was put there by nobody we know: counting it shows the surplus.
    (beyond,) = connection.execute("SELECT count(*) FROM entry WHERE seq > ?", (head,)).fetchone()
    pending = segments.count(connection, cursor, head, fresh=fresh) + beyond - ahead
    return Census(accepted - accepted_before, delivered, pending, held, discarded, skipped, lost)
