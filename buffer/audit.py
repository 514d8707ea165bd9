"""What people and the outbox itself did: an append-only table, chained like the entries."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from hashlib import blake2b

from buffer.digest import DIGEST_BYTES

OUTBOX_ACTOR = "outbox"
"""Who acted when nobody asked."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One thing that was done."""

    number: int
    at: int
    """Wall clock, milliseconds since 1970 UTC."""
    operating_ms: int
    actor: str
    action: str
    upstream: str
    seq: int | None
    detail: str
    chain: bytes

    @property
    def fields(self) -> tuple[int, int, int, str, str, str, int | None, str]:
        """What the chain covers."""
        return (
            self.number, self.at, self.operating_ms, self.actor, self.action, self.upstream, self.seq, self.detail
        )  # fmt: skip


def record(
    connection: sqlite3.Connection,
    *,
    at: int,
    operating_ms: int,
    actor: str,
    action: str,
    upstream: str = "",
    seq: int | None = None,
    detail: str = "",
) -> int:
    """Write one record inside the transaction that does the thing; returns its number.

    The ledger notes the newest record, so that a cut-off tail of the audit is noticed.
    """
    number, chain = connection.execute("SELECT audit_number + 1, audit_chain FROM ledger").fetchone()
    fields = (number, at, operating_ms, actor, action, upstream, seq, detail)
    chain = audit_chain(chain, fields)
    connection.execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?)", (*fields, chain))
    connection.execute("UPDATE ledger SET audit_number = ?, audit_chain = ?", (number, chain))
    return int(number)


def audit_chain(previous: bytes, fields: tuple[int, int, int, str, str, str, int | None, str]) -> bytes:
    """Return the chain after a record with these columns."""
    text = "\0".join("" if field is None else str(field) for field in fields)
    return blake2b(previous + text.encode(), digest_size=DIGEST_BYTES).digest()


def records(connection: sqlite3.Connection, *, after: int | None = None, limit: int = 1000) -> list[AuditRecord]:
    """Return the first records with a number above `after`, or the newest when it is None; oldest first."""
    columns = "SELECT number, at, operating_ms, actor, action, upstream, seq, detail, chain FROM audit"
    if after is None:
        rows = connection.execute(f"{columns} ORDER BY number DESC LIMIT ?", (limit,)).fetchall()[::-1]
    else:
        rows = connection.execute(f"{columns} WHERE number > ? ORDER BY number LIMIT ?", (after, limit)).fetchall()
    return [AuditRecord(*row) for row in rows]


def history(connection: sqlite3.Connection, upstream: str, seq: int) -> list[AuditRecord]:
    """Return what was done about one entry with regard to one upstream, oldest first."""
    rows = connection.execute(
        "SELECT number, at, operating_ms, actor, action, upstream, seq, detail, chain FROM audit"
        " WHERE upstream = ? AND seq = ? ORDER BY number",
        (upstream, seq),
    )
    return [AuditRecord(*row) for row in rows]
