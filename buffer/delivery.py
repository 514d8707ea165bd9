"""Positions: how far each upstream is. Jobs for the writer; each runs inside its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buffer import quarantine
from buffer.announcement import announce, forget_announcements, withdraw
from buffer.audit import OUTBOX_ACTOR
from buffer.errors import UpstreamTaken, UpstreamUnknown
from buffer.incident import REWIND_SHORT, Told, positions_are_lost, record_incident
from buffer.retention import before_all
from buffer.row_check import position_row, seal_cursor
from buffer.settlement import note_settled
from buffer.writer import Writer

CENTRE_ACTOR = "centre"
"""Who acted when a centre said where it is."""

_OWN_ROWS = """
SELECT (SELECT count(*) FROM entry WHERE seq > ?1 AND seq <= ?2)
     - (SELECT count(*) FROM quarantine JOIN entry USING (seq) WHERE upstream = ?3 AND seq > ?1 AND seq <= ?2)
"""


@dataclass(frozen=True, slots=True)
class Position:
    """One upstream and how far it is."""

    upstream: str
    seq: int
    required: bool
    delivered: int
    skipped: int


def cursor_of(writer: Writer, upstream: str) -> int:
    """Return the position of an upstream; raises UpstreamUnknown, OutboxDamaged when it cannot be believed."""
    row = position_row(writer.connection, upstream)
    if row is None:
        raise UpstreamUnknown(f"no upstream {upstream!r} is registered")
    return int(row[1])


def register(writer: Writer, upstream: str, *, required: bool, retained: bool) -> None:
    """Give an upstream a cursor: after the newest entry, or before the oldest one still here.

    An upstream that has one keeps it; only whether it is required follows the configuration. When a salvage lost
    positions, this may be one of them: everything kept is delivered again, and what is gone is told of.
    """
    execute = writer.connection.execute
    row = position_row(writer.connection, upstream)
    if row is not None:
        if bool(row[2]) != required:
            execute("UPDATE cursor SET required = ? WHERE upstream = ?", (required, upstream))
            seal_cursor(writer.connection, upstream)
            writer.record(
                "upstream_changed", actor=OUTBOX_ACTOR, upstream=upstream, detail=f"required = {required}".lower()
            )
        return
    seq = writer.ledger.head_seq
    (accepted,) = execute("SELECT accepted FROM ledger").fetchone()
    # The counter of the ledger is written at the end of the commit; what this commit appended is not in it yet.
    (stored_head,) = execute("SELECT head_seq FROM ledger").fetchone()
    accepted += writer.ledger.head_seq - stored_head
    is_lost = positions_are_lost(writer.connection)
    if retained or is_lost:
        oldest, rows = execute("SELECT min(seq), count(*) FROM entry").fetchone()
        seq = seq if oldest is None else oldest - 1
        accepted -= rows
    if is_lost:
        seq = before_all(writer.connection, required=required)
    execute(
        "INSERT INTO cursor (upstream, seq, required, accepted_before, delivered, skipped, registered_at, lost)"
        " VALUES (?, ?, ?, ?, 0, 0, ?, 0)",
        (upstream, seq, required, accepted, writer.wall()),
    )
    seal_cursor(writer.connection, upstream)
    writer.record("upstream_registered", actor=OUTBOX_ACTOR, upstream=upstream, detail=f"after sequence {seq}")


def unregister(writer: Writer, upstream: str, *, actor: str, reason: str) -> None:
    """Forget an upstream, its position and its quarantine: it will never get what it does not have. Audited.

    A position that is damaged can be forgotten like any other.
    """
    execute = writer.connection.execute
    row = execute("SELECT seq FROM cursor WHERE upstream = ?", (upstream,)).fetchone()
    if row is None:
        raise UpstreamUnknown(f"no upstream {upstream!r} is registered")
    (held,) = execute("SELECT count(*) FROM quarantine WHERE upstream = ?", (upstream,)).fetchone()
    execute("DELETE FROM quarantine WHERE upstream = ?", (upstream,))
    execute("DELETE FROM settlement WHERE upstream = ?", (upstream,))
    forget_announcements(writer.connection, upstream)
    execute("DELETE FROM cursor WHERE upstream = ?", (upstream,))
    writer.record(
        "upstream_removed",
        actor=actor,
        upstream=upstream,
        detail=f"at sequence {row[0]} of {writer.ledger.head_seq}, {held} rows of quarantine: {reason}",
    )
    writer.retention_due = True


def rename(writer: Writer, upstream: str, name: str, *, actor: str, reason: str, replace: bool = False) -> None:
    """Give an upstream another name; position and quarantine go with it. Audited.

    `replace` forgets the position that the name has, in the same commit. Raises UpstreamUnknown, UpstreamTaken.
    """
    cursor_of(writer, upstream)
    if upstream == name:
        raise UpstreamTaken(f"upstream {name!r} is called that already")
    execute = writer.connection.execute
    if execute("SELECT 1 FROM cursor WHERE upstream = ?", (name,)).fetchone() is not None:
        if not replace:
            raise UpstreamTaken(f"upstream {name!r} has a position of its own")
        unregister(writer, name, actor=actor, reason=f"replaced by {upstream}: {reason}")
    execute("UPDATE cursor SET upstream = ? WHERE upstream = ?", (name, upstream))
    seal_cursor(writer.connection, name)
    writer.record("upstream_renamed", actor=actor, upstream=name, detail=f"from {upstream}: {reason}")


def settle(
    writer: Writer,
    upstream: str,
    *,
    through: int,
    rejected: Sequence[tuple[int, str]],
    untold: Sequence[int] = (),
    owner: str,
) -> None:
    """Move the cursor to `through`; `rejected` entries enter quarantine, all others up to it count as delivered.

    Of the gap records on the way `untold` were refused.
    Delivered is counted row by row: an entry that vanished is never counted as delivered.
    """
    cursor = cursor_of(writer, upstream)
    if not cursor <= through <= writer.ledger.head_seq:
        raise ValueError(f"{upstream}: cannot settle through {through}: at {cursor}, head {writer.ledger.head_seq}")
    for seq, reason in rejected:
        if not cursor < seq <= writer.ledger.head_seq:
            raise ValueError(f"{upstream}: cannot reject {seq}: at {cursor}, head {writer.ledger.head_seq}")
        quarantine.admit(writer, upstream, seq, reason=reason, owner=owner)
    execute = writer.connection.execute
    (delivered,) = execute(_OWN_ROWS, (cursor, through, upstream)).fetchone()
    execute("UPDATE cursor SET seq = ?, delivered = delivered + ? WHERE upstream = ?", (through, delivered, upstream))
    seal_cursor(writer.connection, upstream)
    # What is held on this stretch was told in its place; what was rejected just now was not.
    withdraw(writer.connection, upstream, cursor + 1, through)
    held = [seq for seq in untold if quarantine.state_of(writer.connection, upstream, seq) is not None]
    for seq in (*(seq for seq, _ in rejected), *held):
        announce(writer.connection, upstream, seq)
    note_settled(
        writer.connection,
        upstream,
        after=cursor,
        through=through,
        operating_ms=writer.clock.now_ms(),
        at=writer.wall(),
    )
    writer.retention_due = True


def settle_announced(writer: Writer, upstream: str, told: Sequence[tuple[int, str]]) -> None:
    """Note that an upstream answered for gap records (seq, their reason). What was decided since is still due."""
    for seq, reason in told:
        found = writer.connection.execute(
            "SELECT state, reason FROM quarantine WHERE upstream = ? AND seq = ?", (upstream, seq)
        ).fetchone()
        if found is None or reason in (quarantine.told_as(*found), quarantine.DAMAGED):
            withdraw(writer.connection, upstream, seq, seq)


def rewind(writer: Writer, upstream: str, *, to: int, actor: str, reason: str) -> int:
    """Move the cursor back, so that entries are delivered again; what is gone is told in its place. Audited.

    Returns the sequence behind which everything is kept: `to`, or a higher one when some of what follows it has left.
    """
    cursor = cursor_of(writer, upstream)
    if not 0 <= to <= cursor:
        raise ValueError(f"{upstream}: cannot rewind to {to}: it is at {cursor}")
    execute = writer.connection.execute
    (left,) = execute("SELECT max(min(last_seq, ?1)) FROM purged WHERE first_seq <= ?1", (cursor,)).fetchone()
    kept_behind = max(to, left or 0)
    (again,) = execute(_OWN_ROWS, (to, cursor, upstream)).fetchone()
    again += quarantine.retry_again(writer, upstream, through=to, actor=actor, reason=reason)
    execute("UPDATE cursor SET seq = ?, delivered = delivered - ? WHERE upstream = ?", (to, again, upstream))
    seal_cursor(writer.connection, upstream)
    writer.record("upstream_rewound", actor=actor, upstream=upstream, detail=f"from {cursor} to {to}: {reason}")
    if kept_behind > to and actor == CENTRE_ACTOR:
        # Nobody looks at what a centre asks for: a person has to know that it cannot be had.
        lacking = f"events up to {kept_behind} are not all kept any more"
        told = Told(f"{upstream} wanted what follows {to}, and {lacking}: {reason}")
        record_incident(writer.connection, REWIND_SHORT, told, at=writer.wall(), operating_ms=writer.clock.now_ms())
    return kept_behind
