"""The annex: rows the owner keeps beside the events, found by name.

Two kinds of rows are opaque to the outbox. `state` explains events and commits with them. The annex is reference data:
large, seldom changed, written in commits of its own, and not in memory: a row is looked up when a scan asks for it.
Both lookups are synchronous, by key in the table's own order, on a read-only connection: some microseconds each.
"""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from buffer import memory
from buffer.desk import Desk
from buffer.entry import StateRow
from buffer.errors import OutboxError
from buffer.writer import Writer

_LAST: str = "\U0010ffff"
"""Sorts behind whatever may follow a prefix."""
_GET = "SELECT value FROM annex WHERE space = ? AND key = ?"
_LIST = "SELECT space, key, value FROM annex WHERE space = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
_PUT = "INSERT OR REPLACE INTO annex (space, key, value) VALUES (?,?,?)"
_DROP = "DELETE FROM annex WHERE space = ? AND key = ?"
_DROP_UNDER = (
    "DELETE FROM annex WHERE space = ?1 AND key IN "
    "(SELECT key FROM annex WHERE space = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4)"
)


class AnnexRow(NamedTuple):
    """One row of the annex. `value` None removes it."""

    space: str
    key: str
    value: bytes | None


class Note(NamedTuple):
    """An audit record that commits with rows."""

    action: str
    """noun_participle."""
    actor: str
    detail: str = ""
    upstream: str = ""


class AnnexDesk(Desk):
    """What the owner keeps in the outbox beside the events; `Outbox` is one."""

    @abstractmethod
    def _fault(self, error: sqlite3.Error) -> OutboxError:
        """Return what an error of a lookup means."""

    @abstractmethod
    def _forget(self, states: Sequence[str], answers: Sequence[tuple[str, str]]) -> None:
        """Have rows that were found damaged removed and told of."""

    @property
    def operating_ms(self) -> int:
        """How long this gateway has been running, all runs added, in milliseconds; never goes back."""
        return self._opened.clock.now_ms()

    def state(self, key: str) -> bytes | None:
        """Return the committed state row of exactly that key; None when there is none. Raises OutboxError."""
        return next((row.value for row in self._states(key, key + "\0") if row.key == key), None)

    def states(self, prefix: str = "", *, after: str = "", count_max: int | None = None) -> list[StateRow]:
        """Return the state rows whose key begins with `prefix`, by key, in committed rows only; the first `count_max`
        behind the key `after`.

        One that is damaged counts as not there; that it was forgotten is on its way to the incidents.
        """
        return self._states(max(prefix, after + "\0") if after else prefix, prefix + _LAST, count_max)

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Do several lookups on one state of the file, between two turns of the loop: each by itself begins and ends a
        read of its own, which costs as much as finding the row."""
        quick = self._opened.quick
        try:
            quick.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._fault(error) from error
        try:
            yield
        finally:
            if quick.in_transaction:  # an error of a lookup may have ended it
                quick.execute("COMMIT")

    def annex(self, space: str, key: str) -> bytes | None:
        """Return a committed row; None when there is none. Raises OutboxError."""
        try:
            row = self._opened.quick.execute(_GET, (space, key)).fetchone()
        except sqlite3.Error as error:
            raise self._fault(error) from error
        return None if row is None else row[0]

    def annex_under(self, space: str, prefix: str = "", *, after: str = "", count_max: int = 1000) -> list[AnnexRow]:
        """Return the committed rows of a space whose key begins with `prefix`, by key, those behind the key `after`.
        Raises OutboxError."""
        try:
            return _listed(self._opened.quick, space, prefix, after, count_max)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    async def keep(self, rows: Sequence[AnnexRow], *, note: Note | None = None) -> None:
        """Write rows, all or none, with the audit record that tells why; returns when they are on disk."""
        await self._write(_keep, rows, note)

    async def drop_under(self, space: str, prefix: str, *, count_max: int = 1000) -> int:
        """Remove at most `count_max` rows whose key begins with `prefix`; returns how many, when they are gone."""
        return await self._write(_drop_under, space, prefix, count_max)

    async def put_states(self, rows: Sequence[StateRow], *, note: Note | None = None) -> None:
        """Write state rows that no event needs any more (or that no event brought), all or none, with the audit record
        that tells why; returns when they are on disk."""
        await self._write(_put_states, rows, note)

    def _states(self, first: str, before: str, count_max: int | None = None) -> list[StateRow]:
        try:
            rows, damaged = memory.read_states(self._opened.quick, first, before, count_max)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        if damaged:
            self._forget(damaged, ())
        return rows


def _listed(connection: sqlite3.Connection, space: str, prefix: str, after: str, count_max: int) -> list[AnnexRow]:
    first = max(prefix, after + "\0") if after else prefix
    rows = connection.execute(_LIST, (space, first, prefix + _LAST, count_max)).fetchall()
    return [AnnexRow(*row) for row in rows]


def _keep(writer: Writer, rows: Sequence[AnnexRow], note: Note | None) -> None:
    execute: Callable[..., object] = writer.connection.executemany
    execute(_PUT, [row for row in rows if row.value is not None])
    execute(_DROP, [(row.space, row.key) for row in rows if row.value is None])
    _record(writer, note)


def _put_states(writer: Writer, rows: Sequence[StateRow], note: Note | None) -> None:
    writer.put_state(rows)
    _record(writer, note)


def _record(writer: Writer, note: Note | None) -> None:
    if note is not None:
        writer.record(note.action, actor=note.actor, upstream=note.upstream, detail=note.detail)


def _drop_under(writer: Writer, space: str, prefix: str, count_max: int) -> int:
    return writer.connection.execute(_DROP_UNDER, (space, prefix, prefix + _LAST, count_max)).rowcount
