"""What can still be read of a damaged outbox: by SQLite as far as it gets, and page by page where it does not.

Nothing here changes a damaged file. Entries are handed out only when their digest holds; the rows of the small tables
carry no digest, and whoever takes them checks what can be checked.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from buffer.connection import open_reader
from buffer.digest import is_whole
from buffer.entry import Entry
from buffer.inspection import Finding, frames_taken
from buffer.pages import Era, Pages
from buffer.shapes import SHAPES, is_believable, recognised, shaped

Values = tuple[Any, ...]

_ORDERS = {
    "entry": "seq",
    "audit": "number",
    "epoch": "number",
    "ledger": "one",
    "purged": "first_seq",
    "age_mark": "operating_ms",
    "incident": "audit_number",
    "state": "key",
    "redelivery": "device, message_id",
    "cursor": "upstream",
    "quarantine": "upstream, seq",
    "annex": "space, key",
    "announcement": "upstream, seq",
}
_FROM_BEHIND = {table: ", ".join(f"{column} DESC" for column in order.split(", ")) for table, order in _ORDERS.items()}
SMALL = tuple(table for table in SHAPES if table != "entry")


class Wreck:
    """A damaged database with its log."""

    def __init__(self, database: Path, finding: Finding) -> None:
        wal = database.with_name(database.name + "-wal")
        self._connection = _opened(database, use_log=finding.use_log)
        if self._connection is not None:
            self._connection.execute("PRAGMA cell_size_check = ON")
        taken = (frames_taken(wal) or 0) if self._connection is not None and finding.use_log else 0
        self.pages = Pages(database, wal if finding.use_log else None, taken)
        self.unread: set[str] = set()
        """Tables that SQLite could not read to their end."""
        self.unbelieved: dict[str, set[Values]] = {}
        """Rows of tables with checks whose check does not fit, by their key."""
        self._later: dict[str, dict[Values, Values]] = {}
        """Rows of small tables found on pages, by their key, the newest."""

    def close(self) -> None:
        """Close the files."""
        self.pages.close()
        if self._connection is not None:
            self._connection.close()

    def read(self, table: str) -> Iterator[Values]:
        """Yield the rows of a table that SQLite can read, from both ends when there is a break between them."""
        if self._connection is None:
            self.unread.add(table)
            return
        try:
            for row in self._ordered(table, _ORDERS[table]):
                if row is None:
                    # SQLite takes a cell of zeros for a row of nothing: here stood one that nobody can name any more.
                    self.unread.add(table)
                elif self._believe(table, row):
                    yield row
            return
        except (sqlite3.Error, UnicodeDecodeError, OverflowError):
            self.unread.add(table)
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError, OverflowError):
            for row in self._ordered(table, _FROM_BEHIND[table]):
                if row is not None and self._believe(table, row):
                    yield row

    def _believe(self, table: str, row: Values) -> bool:
        """Whether a row may be carried. A position may: whoever carries it puts it back when its check fails."""
        if is_believable(table, row):
            return True
        self.unbelieved.setdefault(table, set()).add(_key(table, row))
        return table == "cursor"

    def _ordered(self, table: str, order: str) -> Iterator[Values | None]:
        assert self._connection is not None
        for row in self._connection.execute(f"SELECT * FROM {table} ORDER BY {order}"):  # noqa: S608
            # The digest of an entry vouches for all its columns but the last.
            yield shaped(table, row) if table != "entry" else row if len(row) == 9 and type(row[8]) is bytes else None

    def entries(self) -> Iterator[Values]:
        """Yield the entries that SQLite can read and whose digest holds; some twice when there is a break."""
        return (row for row in self.read("entry") if row[0] > 0 and is_whole(Entry(*row)))

    def carve(self, *, log_only: bool, wanted: Callable[[int], bool] | None) -> Iterator[tuple[Era, Values]]:
        """Look at every page; yield the entries whose digest holds, and keep the rows of small tables for `found`."""
        for rowid, values, era in self.pages.rows(log_only=log_only, wanted=wanted):
            known = recognised(rowid, values)
            if known is None:
                continue
            table, row = known
            if table == "entry":
                if row[0] > 0 and is_whole(Entry(*row)):
                    yield era, row
            elif not is_believable(table, row):
                continue
            elif era is Era.BEYOND or (era is Era.PRESENT and table in self.unread):
                self._later.setdefault(table, {})[_key(table, row)] = row

    def found(self, table: str) -> list[Values]:
        """Return the rows of a small table that `carve` came across and SQLite does not show."""
        return list(self._later.get(table, {}).values())

    def merged(self, table: str, read: Sequence[Values]) -> list[Values]:
        """Return what SQLite read of a small table with what `carve` found, which is newer; in the order of the key."""
        rows = {_key(table, row): row for row in read}
        for row in self.found(table):
            # What stands behind the break of the log is newer than anything SQLite shows.
            rows[_key(table, row)] = row
        return [rows[key] for key in sorted(rows)]


def _key(table: str, row: Values) -> Values:
    return row[:2] if table in {"redelivery", "quarantine", "annex", "announcement"} else row[:1]


def _opened(database: Path, *, use_log: bool) -> sqlite3.Connection | None:
    """Open what SQLite opens; None when it does not."""
    # Next to an empty file SQLite deletes the log, even through a connection that cannot write.
    if not database.exists() or not database.stat().st_size:
        return None
    try:
        connection = open_reader(database, immutable=not use_log)
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    return connection
