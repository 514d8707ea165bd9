"""The one row that says where the outbox is: head, counters, operating clock, epoch."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buffer import audit, incident
from buffer.errors import OutboxDamaged

SALVAGED_PREFIX = "salvaged: "
"""How the reason of an epoch begins that a salvage wants; it tells of itself."""
LOG_REMOVED = "the write-ahead log was removed"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the outbox is after the last commit."""

    head_seq: int
    head_chain: bytes
    accepted: int
    purged: int
    operating_ms: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of sequences under one source."""

    number: int
    first_seq: int
    source: str
    linked_chain: bytes
    reason: str
    opened_at: int


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest link of the journal; held elsewhere it proves that no tail was cut off."""

    source: str
    seq: int
    chain_hex: str


def read_ledger(connection: sqlite3.Connection) -> Ledger:
    """Return the ledger row."""
    row = connection.execute("SELECT head_seq, head_chain, accepted, purged, operating_ms FROM ledger").fetchone()
    if row is None:
        raise OutboxDamaged("the ledger of the outbox is empty")
    return Ledger(*row)


def read_epochs(connection: sqlite3.Connection) -> list[Epoch]:
    """Return every epoch, oldest first."""
    rows = connection.execute(
        "SELECT number, first_seq, source, linked_chain, reason, opened_at FROM epoch ORDER BY number"
    )
    return [Epoch(*row) for row in rows]


def source_at(epochs: Sequence[Epoch], seq: int) -> str:
    """Return the source under which a sequence was given out; before the first entry that of the newest epoch."""
    if not epochs:
        return ""
    return next((epoch.source for epoch in reversed(epochs) if 0 < epoch.first_seq <= seq), epochs[-1].source)


def begin_run(
    connection: sqlite3.Connection, *, source: str, new_epoch: Callable[[], str], at: int, wal_was_lost: bool
) -> list[Epoch]:
    """Mark the outbox as in use, beginning a new epoch when there is a reason to; returns all epochs.

    Reasons: there is none yet; the gateway got another name; somebody asked for one (`epoch_wanted`); the last run did
    not end in order and its write-ahead log is gone, so that sequences it had given out might be given out again.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        ledger = read_ledger(connection)
        epochs = read_epochs(connection)
        wanted, in_use = connection.execute("SELECT epoch_wanted, in_use FROM ledger").fetchone()
        reason = None
        if wanted is not None:
            reason = wanted
        elif not epochs:
            reason = "created"
        elif in_use and wal_was_lost:
            reason = LOG_REMOVED
            told = incident.Told(LOG_REMOVED)
            incident.record_incident(connection, incident.LOG_LOST, told, at=at, operating_ms=ledger.operating_ms)
        elif epochs[-1].source.rpartition("/")[0] != source:
            reason = "renamed"
        if wanted is not None and not wanted.startswith(SALVAGED_PREFIX):
            told = incident.Told(wanted)
            incident.record_incident(connection, incident.EPOCH_CHANGED, told, at=at, operating_ms=ledger.operating_ms)
        if reason is not None:
            connection.execute(
                "INSERT INTO epoch (first_seq, source, linked_chain, reason, opened_at) VALUES (?,?,?,?,?)",
                (ledger.head_seq + 1, f"{source}/{new_epoch()}", ledger.head_chain, reason, at),
            )
            audit.record(
                connection,
                at=at,
                operating_ms=ledger.operating_ms,
                actor=audit.OUTBOX_ACTOR,
                action="epoch_opened",
                detail=reason,
            )
        connection.execute("UPDATE ledger SET in_use = 1, epoch_wanted = NULL")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return read_epochs(connection)
