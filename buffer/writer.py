"""The one place where the outbox is written: a whole group of appends and jobs in one transaction.

Runs in the writer thread only. Everything a group does commits together or not at all; numbers, digests and chain are
given inside the transaction. A job that fails for a reason of its own (unknown upstream) is undone to its savepoint and
fails alone. When the transaction fails the in-memory head is what it was before.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from buffer import audit, redelivery, retention
from buffer.bulk import BulkInsert
from buffer.connection import fault_of
from buffer.digest import EntryRow, seal
from buffer.entry import Draft, Redelivery, StateRow
from buffer.errors import CommitUnknown, DraftRefused, OutboxDamaged, OutboxError
from buffer.ledger import Ledger, read_epochs, read_ledger
from buffer.limits import Limits, Room, Usage
from buffer.operating_clock import OperatingClock
from buffer.presence import Presence
from buffer.row_check import state_crc
from buffer.spare import Spare

if TYPE_CHECKING:
    from buffer.epochs import EpochDue

CHECKPOINT_BYTES = 8 * 1024 * 1024
"""Estimated write-ahead log after which it is copied into the database: well inside the first page of the wal-index
(4,062 frames), whose growth on a full disk would be an I/O error instead of an orderly refusal."""

COMMIT_BYTES = 12 * 4096
"""What a commit writes beside its entries: the last page of every table it touches."""

MEASURE_EVERY_MS = 500
"""How long a look at file and disk is good for while there is plenty of room."""

MEASURE_ROOM_BYTES = 64 * 1024 * 1024
"""Less room than this is looked at after every commit."""

SPARE_EVERY_MS = 60_000
"""How often it is looked whether the room set aside is there and large enough."""

RETENTION_RETRY_MS = 10_000
"""How long to leave retention alone after it found nothing to remove."""

_REFUSALS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""What SQLite raises about the rows and not about the disk."""

_INSERT_ENTRY = BulkInsert(
    "INSERT INTO entry (seq, id, type, station, device, captured_at, payload, digest, chain)", columns=9
)
_PUT_STATE = "INSERT OR REPLACE INTO state (key, value, crc) VALUES (?,?,?)"
_UPDATE_LEDGER = (
    "UPDATE ledger SET head_seq = ?, head_chain = ?, accepted = accepted + ?, operating_ms = max(operating_ms, ?)"
)


OnKnown = Callable[[OutboxError | None], None]
"""Told in the event loop, in the order of the appends, what became of one: None when it is on disk."""


@dataclass(slots=True)
class Append:
    """A list of drafts that commits whole or not at all, with the rows that explain it."""

    drafts: Sequence[Draft]
    state: Sequence[StateRow]
    redeliveries: Sequence[Redelivery]
    future: asyncio.Future[None]
    size_bytes: int
    on_known: OnKnown | None = None


@dataclass(slots=True)
class Job:
    """Anything else the writer does; `run` gets the writer inside a transaction (when `writes`)."""

    run: Callable[[Writer], Any]
    future: asyncio.Future[Any]
    writes: bool = True


Item = Append | Job
Outcome = tuple[Item, Any, BaseException | None]
"""What became of an item: result, or the error it failed with."""


class Writer:
    """The writing connection and what it remembers between commits."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        presence: Presence,
        limits: Limits,
        room: Room,
        clock: OperatingClock,
        wall: Callable[[], int],
        spare: Spare,
    ) -> None:
        self.connection = connection
        self.spare = spare
        self.limits = limits
        self.clock = clock
        self.wall = wall
        self.ledger: Ledger = read_ledger(connection)
        """Where the transaction in progress is; the writer thread only."""
        self.committed_head = (self.ledger.head_seq, self.ledger.head_chain)
        """The newest seq on disk and its chain; replaced as one, so any thread may read it."""
        self.retention_due = True
        """Set when something changed that may let entries leave (a settle, pressure)."""
        self.epochs = read_epochs(connection)
        """Every epoch on disk, oldest first; replaced as a whole, so any thread may read it."""
        self.due_epochs: list[EpochDue] = []
        """Epochs that commit with the next transaction, before anything else in it, in their order."""
        self._path = path
        self._presence = presence
        self._room = room
        self.sealed: list[EntryRow] = []
        """The entries of the last commit, in order; the writer thread only."""
        self._sweep = redelivery.Sweep()
        self._sweep_due = 0
        self._wal_bytes = 0
        self._marked_ms, self._marked_seq = retention.last_mark(connection)
        self._retention_at_ms = 0
        self._measured_ms = 0
        self._spare_at_ms = 0
        self._skipping: frozenset[str] = frozenset()
        self.measure()

    @property
    def committed_seq(self) -> int:
        """The newest seq on disk."""
        return self.committed_head[0]

    def commit(self, items: Sequence[Item], *, keeps_house: bool = True) -> list[Outcome]:
        """Do all of it in one transaction and return when it is on disk; `keeps_house`: what may leave leaves with it.

        Raises OutboxFull or DraftRefused (nothing of it is stored), CommitUnknown or OutboxDamaged (unknown).
        """
        if not any(isinstance(item, Append) or item.writes for item in items):
            self.sealed = []
            return [self._run(item, in_transaction=False) for item in items if isinstance(item, Job)]
        execute = self.connection.execute
        skipping = self._skipping
        self.sealed = []
        try:
            execute("BEGIN IMMEDIATE")
            before = self.ledger
            for due in self.due_epochs:
                due.write(self)
            outcomes = self._apply(items)
            if keeps_house:
                self._keep_house(self.ledger.head_seq - before.head_seq, _redelivery_count(items))
            self._write_ledger(before)
            execute("COMMIT")
        except (OutboxError, sqlite3.Error, OverflowError, TypeError, ValueError, AttributeError) as error:
            self._skipping = skipping
            self._undo(error)
        self._wal_bytes += COMMIT_BYTES + sum(item.size_bytes for item in items if isinstance(item, Append))
        self._presence.check()
        if self.due_epochs:
            self.epochs, self.due_epochs = read_epochs(self.connection), []
        self.committed_head = (self.ledger.head_seq, self.ledger.head_chain)
        self._measure_if_due()
        return outcomes

    def check(self) -> None:
        """Return when the files are still there; raises CommitUnknown when they are not."""
        self._presence.check()

    def checkpoint_if_due(self) -> None:
        """Copy the write-ahead log into the database when it has grown. Raises as `commit` does."""
        if self._wal_bytes >= CHECKPOINT_BYTES:
            self.checkpoint("PASSIVE")

    def checkpoint(self, mode: str) -> None:
        """Checkpoint now. Explicit, because SQLite's automatic checkpoint swallows I/O errors."""
        try:
            self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            raise fault_of(error, self._path.parent) from error
        self._wal_bytes = 0

    def _measure_if_due(self) -> None:
        """Measure after every commit when room is short, else now and then: it costs as much as the commit."""
        is_plenty = self._room.level == "calm" and self._room.bytes_left() > MEASURE_ROOM_BYTES
        if not is_plenty or not 0 <= self.clock.now_ms() - self._measured_ms < MEASURE_EVERY_MS:
            self.measure()

    def measure(self) -> None:
        """Look at ledger, file and disk, and set the level of the room."""
        self._measured_ms = self.clock.now_ms()
        execute = self.connection.execute
        try:
            self.ledger = read_ledger(self.connection)
            self.committed_head = (self.ledger.head_seq, self.ledger.head_chain)
            (pages,) = execute("PRAGMA page_count").fetchone()
            (free_pages,) = execute("PRAGMA freelist_count").fetchone()
            (page_bytes,) = execute("PRAGMA page_size").fetchone()
            disk = os.statvfs(self._path.parent)
        except sqlite3.Error as error:
            raise fault_of(error, self._path.parent) from error
        except OSError as error:
            raise CommitUnknown(f"the disk of the outbox cannot be asked: {error}") from error
        usage = Usage((pages - free_pages) * page_bytes, free_pages * page_bytes, disk.f_bavail * disk.f_frsize)
        if self._room.measure(usage) != "calm":
            self.retention_due = True
        elif self._measured_ms >= self._spare_at_ms:
            self._spare_at_ms = self._measured_ms + SPARE_EVERY_MS
            file_bytes = usage.bytes_used + usage.bytes_freed
            keep_free = self.limits.disk_reserve_bytes
            self.spare.make(outbox_bytes=file_bytes, disk_free=usage.disk_free, keep_free=keep_free)

    def record(self, action: str, *, actor: str, upstream: str = "", seq: int | None = None, detail: str = "") -> None:
        """Write an audit record inside the current transaction."""
        audit.record(
            self.connection,
            at=self.wall(),
            operating_ms=self.clock.now_ms(),
            actor=actor,
            action=action,
            upstream=upstream,
            seq=seq,
            detail=detail,
        )

    def _apply(self, items: Sequence[Item]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        run: list[Append] = []
        for item in items:
            if isinstance(item, Append):
                run.append(item)
                outcomes.append((item, None, None))
            else:
                self._insert(run)  # a job sees what was appended before it
                run = []
                outcomes.append(self._run(item, in_transaction=item.writes))
        self._insert(run)
        return outcomes

    def _insert(self, appends: Sequence[Append]) -> None:
        drafts = [draft for append in appends for draft in append.drafts]
        if drafts:
            ledger = self.ledger
            rows, chain = seal(drafts, ledger.head_seq + 1, ledger.head_chain)
            _INSERT_ENTRY.run(self.connection, rows)
            self.sealed += rows
            self.ledger = Ledger(
                ledger.head_seq + len(rows), chain, ledger.accepted, ledger.purged, ledger.operating_ms
            )
        redeliveries = [one for append in appends for one in append.redeliveries]
        if redeliveries:
            redelivery.remember(self.connection, redeliveries, self.clock.now_ms())
        self.put_state([row for append in appends for row in append.state])

    def put_state(self, rows: Sequence[StateRow]) -> None:
        """Write state rows inside the current transaction; of two with one key the later one counts."""
        state = {row.key: row.value for row in rows}
        if state:
            executemany = self.connection.executemany
            executemany(
                _PUT_STATE, [(key, value, state_crc(key, value)) for key, value in state.items() if value is not None]
            )
            executemany("DELETE FROM state WHERE key = ?", [(key,) for key, value in state.items() if value is None])

    def _run(self, job: Job, *, in_transaction: bool) -> Outcome:
        execute = self.connection.execute
        ledger = self.ledger
        if in_transaction:
            execute("SAVEPOINT job")
        try:
            result = job.run(self)
        except (CommitUnknown, OutboxDamaged):
            raise
        except (OutboxError, ValueError) as error:
            if in_transaction:
                execute("ROLLBACK TO job")
                execute("RELEASE job")
            self.ledger = ledger
            return job, None, error
        if in_transaction:
            execute("RELEASE job")
        return job, result, None

    def _keep_house(self, appended: int, redeliveries: int) -> None:
        """Age mark, retention and redelivery sweep, in proportion to what this commit brings."""
        now_ms = self.clock.now_ms()
        head = self.ledger.head_seq
        if head > self._marked_seq and now_ms - self._marked_ms >= retention.MARK_EVERY_MS:
            retention.mark_age(self.connection, now_ms, head)
            self._marked_ms, self._marked_seq = now_ms, head
        self._sweep_due += 2 * redeliveries
        if self._sweep_due >= redelivery.SWEEP_ROWS_MIN:
            self._sweep.advance(self.connection, self._sweep_due, now_ms - self.limits.redelivery_window_ms)
            self._sweep_due = 0
        if self.retention_due or now_ms >= self._retention_at_ms:
            self.purge_chunks(1 + appended // retention.CHUNK_ROWS)

    def purge_chunks(self, chunks_max: int) -> int:
        """Remove what may leave, at most so many chunks, inside the current transaction; returns the rows removed."""
        now_ms = self.clock.now_ms()
        level = self._room.level
        through = retention.settled_through(self.connection, optional_too=level != "full")
        if level == "calm":
            through = min(through, retention.aged_through(self.connection, now_ms - self.limits.retention_ms))
        removed = 0
        for _ in range(chunks_max):
            if through <= 0:
                break
            purge = retention.purge(self.connection, through)
            removed += purge.rows
            self._audit_skips(purge.skipped_by)
            if purge.rows < retention.CHUNK_ROWS:
                break
        self.retention_due = removed > 0
        self._retention_at_ms = now_ms + RETENTION_RETRY_MS
        return removed

    def _audit_skips(self, skipping: frozenset[str]) -> None:
        for upstream in sorted(skipping - self._skipping):
            self.record("entries_skipped", actor=audit.OUTBOX_ACTOR, upstream=upstream, detail="the outbox is full")
        self._skipping = skipping

    def _write_ledger(self, before: Ledger) -> None:
        ledger = self.ledger
        appended = ledger.head_seq - before.head_seq
        self.connection.execute(_UPDATE_LEDGER, (ledger.head_seq, ledger.head_chain, appended, self.clock.now_ms()))

    def _undo(self, error: Exception) -> NoReturn:
        """Roll back and raise what the error means. After a failed rollback nothing is known."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self.ledger = read_ledger(self.connection)
        except sqlite3.Error as second:
            raise fault_of(second, self._path.parent) from error
        if isinstance(error, OutboxError):
            raise error
        if isinstance(error, sqlite3.Error) and not isinstance(error, _REFUSALS):
            raise fault_of(error, self._path.parent) from error
        raise DraftRefused(f"the commit could not be stored: {error}") from error


def _redelivery_count(items: Sequence[Item]) -> int:
    return sum(len(item.redeliveries) for item in items if isinstance(item, Append))
