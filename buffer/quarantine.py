"""Entries an upstream will never take as they are: who is to look, what was decided.

    (rejected or damaged) -> open --retry--> retry --delivered--> delivered
                              ^ |              |
                              | +--discard--+  +--rejected--> open
                              +-------------|--------------------
                                            v
                                        discarded

    delivered --the centre was put back--> retry

Held entries (open, retry) are not purged. Every step is an audit record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from buffer import audit
from buffer.announcement import announce, withdraw
from buffer.audit import OUTBOX_ACTOR, AuditRecord
from buffer.digest import is_whole
from buffer.entry import Entry
from buffer.errors import QuarantineRefused
from buffer.row_check import position_row, seal_cursor
from buffer.writer import Writer

QuarantineState = Literal["open", "retry", "delivered", "discarded"]

DAMAGED = "damaged"
"""Gap reason of an entry whose row is not what was committed."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One entry that one upstream does not have."""

    upstream: str
    seq: int
    reason: str
    owner: str
    state: QuarantineState
    since: int
    """Wall clock when it entered, milliseconds since 1970 UTC."""
    id: str
    type: str
    station: str
    device: str


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """How many entries one upstream rejected for the same reason."""

    upstream: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class QuarantineCase:
    """Everything about one quarantined entry."""

    quarantined: Quarantined
    entry: Entry | None
    """None when its row cannot be read any more."""
    history: tuple[AuditRecord, ...]


def told_as(state: str, reason: str) -> str:
    """Return the reason that the gap record of a held entry gives."""
    if reason == DAMAGED:
        return reason
    return f"{'discarded' if state == 'discarded' else 'quarantined'}: {reason}"


def held_through(connection: sqlite3.Connection, upstream: str) -> int:
    """Return the newest seq that is not delivered to an upstream as itself; 0 when there is none."""
    row = connection.execute(
        "SELECT max(seq) FROM quarantine WHERE upstream = ? AND state != 'delivered'", (upstream,)
    ).fetchone()
    return row[0] or 0


def admit(writer: Writer, upstream: str, seq: int, *, reason: str, owner: str) -> None:
    """Take an entry in as open; one that is in already gets the new reason.

    One that was removed while its answer was under way is not taken in: it is counted as skipped, and nobody could have
    it sent again.
    """
    if writer.connection.execute("SELECT 1 FROM purged WHERE ? BETWEEN first_seq AND last_seq", (seq,)).fetchone():
        return
    changed = writer.connection.execute(
        "INSERT INTO quarantine (upstream, seq, reason, owner, state, since) VALUES (?, ?, ?, ?, 'open', ?)"
        " ON CONFLICT DO UPDATE SET reason = excluded.reason, owner = excluded.owner, state = 'open'"
        " WHERE state IN ('open', 'retry')",
        (upstream, seq, reason, owner, writer.wall()),
    )
    if changed.rowcount:
        writer.record("entry_quarantined", actor=OUTBOX_ACTOR, upstream=upstream, seq=seq, detail=reason)


def admit_damaged(writer: Writer, upstream: str, seqs: Sequence[int]) -> None:
    """Take in entries whose rows were found damaged, once; not those that the upstream has, which a replay may meet."""
    for seq in seqs:
        is_settled = writer.connection.execute(
            "SELECT 1 FROM cursor WHERE upstream = ?1 AND seq >= ?2"
            " UNION ALL SELECT 1 FROM quarantine WHERE upstream = ?1 AND seq = ?2",
            (upstream, seq),
        ).fetchone()
        if is_settled is None:
            admit(writer, upstream, seq, reason=DAMAGED, owner="")


def retry(writer: Writer, upstream: str, seqs: Sequence[int], *, actor: str, note: str = "") -> None:
    """Ask for entries to be sent again. Raises QuarantineRefused when one is not open or is damaged."""
    for seq in seqs:
        row = writer.connection.execute(
            "SELECT seq, id, type, station, device, captured_at, payload, digest, chain FROM entry WHERE seq = ?",
            (seq,),
        ).fetchone()
        if row is None or not is_whole(Entry(*row)):
            raise QuarantineRefused(f"{seq} is damaged and cannot be sent", hint="discard it, with a note why")
        _change(
            writer, upstream, seq, "retry", allowed=("open",), actor=actor, action="entry_retried", detail=note
        )  # fmt: skip


def retry_again(writer: Writer, upstream: str, *, through: int, actor: str, reason: str) -> int:
    """Have sent again what was delivered late at or before `through`: a centre that was put back may lack it.

    Its position does not tell, since the gap record in its place came in order. Returns how many there are; they count
    as quarantined until they are delivered again.
    """
    rows = writer.connection.execute(
        "SELECT seq, id, type, station, device, captured_at, payload, digest, chain"
        " FROM quarantine JOIN entry USING (seq) WHERE upstream = ? AND state = 'delivered' AND seq <= ? ORDER BY seq",
        (upstream, through),
    ).fetchall()
    again = [row[0] for row in rows if is_whole(Entry(*row))]
    for seq in again:
        _change(
            writer, upstream, seq, "retry", allowed=("delivered",), actor=actor, action="entry_retried", detail=reason
        )  # fmt: skip
    return len(again)


def discard(writer: Writer, upstream: str, seqs: Sequence[int], *, actor: str, note: str) -> None:
    """Decide that an upstream never gets these entries. Raises QuarantineRefused when one is settled already."""
    for seq in seqs:
        _change(
            writer, upstream, seq, "discarded", allowed=("open", "retry"), actor=actor, action="entry_discarded",
            detail=note,
        )  # fmt: skip
        if reason_of(writer.connection, upstream, seq) != DAMAGED:  # that was told, and said that it never comes
            announce(writer.connection, upstream, seq)
    writer.retention_due = True


def settle_retry(writer: Writer, upstream: str, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
    """Note what became of entries that were sent again."""
    for seq in delivered:
        _change(writer, upstream, seq, "delivered", allowed=("retry",), actor=OUTBOX_ACTOR, action="entry_delivered")
        withdraw(writer.connection, upstream, seq, seq)
    for seq, reason in rejected:
        _change(writer, upstream, seq, "open", allowed=("retry",), actor=OUTBOX_ACTOR, action="entry_quarantined",
                detail=reason)  # fmt: skip
        writer.connection.execute(
            "UPDATE quarantine SET reason = ? WHERE upstream = ? AND seq = ?", (reason, upstream, seq)
        )
    position_row(writer.connection, upstream)
    writer.connection.execute(
        "UPDATE cursor SET delivered = delivered + ? WHERE upstream = ?", (len(delivered), upstream)
    )
    seal_cursor(writer.connection, upstream)
    writer.retention_due = True


def _change(
    writer: Writer,
    upstream: str,
    seq: int,
    state: QuarantineState,
    *,
    allowed: Sequence[QuarantineState],
    actor: str,
    action: str,
    detail: str = "",
) -> None:
    found = state_of(writer.connection, upstream, seq)
    if found not in allowed:
        raise QuarantineRefused(
            f"{seq} is not in quarantine for {upstream}" if found is None else f"{seq} is {found} for {upstream}"
        )
    writer.connection.execute("UPDATE quarantine SET state = ? WHERE upstream = ? AND seq = ?", (state, upstream, seq))
    writer.record(action, actor=actor, upstream=upstream, seq=seq, detail=detail)


def state_of(connection: sqlite3.Connection, upstream: str, seq: int) -> QuarantineState | None:
    """Return the state of an entry in the quarantine of an upstream; None when it is not in it."""
    row = connection.execute("SELECT state FROM quarantine WHERE upstream = ? AND seq = ?", (upstream, seq)).fetchone()
    return None if row is None else row[0]


def reason_of(connection: sqlite3.Connection, upstream: str, seq: int) -> str | None:
    """Return why an entry is in the quarantine of an upstream; None when it is not in it."""
    row = connection.execute("SELECT reason FROM quarantine WHERE upstream = ? AND seq = ?", (upstream, seq)).fetchone()
    return None if row is None else row[0]


_CASES = """
SELECT upstream, seq, reason, owner, state, since,
       coalesce(id, ''), coalesce(type, ''), coalesce(station, ''), coalesce(device, '')
FROM quarantine LEFT JOIN entry USING (seq)
WHERE (?1 IS NULL OR upstream = ?1) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR seq = ?3)
  AND (?4 IS NULL OR instr(reason, ?4) > 0) AND seq > ?5
ORDER BY upstream, seq LIMIT ?6
"""


def cases(
    connection: sqlite3.Connection,
    *,
    upstream: str | None = None,
    state: QuarantineState | None = None,
    seq: int | None = None,
    reason: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[Quarantined]:
    """Return quarantined entries by upstream and seq: behind `after`, and with `reason` somewhere in their reason."""
    values = (upstream, state, seq, reason, after, limit)
    return [Quarantined(*row) for row in connection.execute(_CASES, values)]


_REASONS = """
SELECT upstream, reason, count(*)
FROM quarantine
WHERE (?1 IS NULL OR upstream = ?1) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR instr(reason, ?3) > 0)
GROUP BY upstream, reason ORDER BY count(*) DESC, upstream, reason
"""


def reasons(
    connection: sqlite3.Connection,
    *,
    upstream: str | None = None,
    state: QuarantineState | None = None,
    reason: str | None = None,
    limit: int,
) -> tuple[int, list[QuarantineReason]]:
    """Return how many entries there are in all, and the `limit` reasons that most of them have, the most first."""
    found = [QuarantineReason(*row) for row in connection.execute(_REASONS, (upstream, state, reason))]
    return sum(one.count for one in found), found[:limit]


def retries(connection: sqlite3.Connection, upstream: str, count_max: int) -> list[Entry]:
    """Return entries that a person asked to send again, oldest first."""
    rows = connection.execute(
        "SELECT seq, id, type, station, device, captured_at, payload, digest, chain"
        " FROM quarantine JOIN entry USING (seq) WHERE upstream = ? AND state = 'retry' ORDER BY seq LIMIT ?",
        (upstream, count_max),
    )
    return [Entry(*row) for row in rows]


def history(connection: sqlite3.Connection, upstream: str, seq: int) -> tuple[AuditRecord, ...]:
    """Return what happened to one quarantined entry, oldest first."""
    return tuple(audit.history(connection, upstream, seq))
