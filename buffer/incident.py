"""Damage that a person has to know of, until somebody says that he does.

An incident is an audit record whose detail is JSON, so that it is chained like everything else in the audit; the table
beside it says which of them nobody has acknowledged yet. The runs of entries it names as missing are what the proof of
the journal accepts as missing: a run that no incident announces is a problem.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buffer import audit
from buffer.errors import OutboxError

if TYPE_CHECKING:
    from buffer.writer import Writer

SALVAGED = "outbox_salvaged"
LOG_LOST = "log_lost"
MEMORY_DAMAGED = "memory_damaged"
EPOCH_CHANGED = "epoch_changed"
REWIND_SHORT = "rewind_short"
ACKNOWLEDGED = "incident_acknowledged"

Run = tuple[int, int]
"""First and last of a run of numbers."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an incident says about itself."""

    reason: str
    kept_as: str = ""
    """Folder beside the outbox with the damaged files; empty when nothing was set aside."""
    carried: int = 0
    """Entries that were carried into the new file."""
    missing: tuple[Run, ...] = ()
    """Sequences that could not be carried and that retention had not removed."""
    audit_missing: tuple[Run, ...] = ()
    """Numbers of audit records that could not be carried."""
    links_broken: tuple[int, ...] = ()
    """Entries that are whole and whose link of the chain is not, with nothing before them to mend it by."""
    positions_lost: bool = False
    """A position of an upstream could not be carried: it gets everything again that is kept."""
    memory_lost: int = 0
    """Sessions, counters and answers to numbered messages that were damaged and are not believed."""

    def as_text(self) -> str:
        """Return it for the audit."""
        return json.dumps(
            {
                "reason": self.reason,
                "kept_as": self.kept_as,
                "carried": self.carried,
                "missing": self.missing,
                "audit_missing": self.audit_missing,
                "links_broken": self.links_broken,
                "positions_lost": self.positions_lost,
                "memory_lost": self.memory_lost,
            }
        )

    @classmethod
    def of_text(cls, text: str) -> Told:
        """Read it from the audit; a text that is none says so."""
        try:
            found = json.loads(text)
            return cls(
                str(found["reason"]),
                str(found["kept_as"]),
                int(found["carried"]),
                tuple((int(first), int(last)) for first, last in found["missing"]),
                tuple((int(first), int(last)) for first, last in found["audit_missing"]),
                tuple(int(seq) for seq in found["links_broken"]),
                bool(found["positions_lost"]),
                int(found.get("memory_lost", 0)),
            )
        except (ValueError, KeyError, TypeError):
            return cls(text)

    @property
    def missing_count(self) -> int:
        """How many sequences are missing."""
        return sum(last - first + 1 for first, last in self.missing)


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident."""

    number: int
    """Of its audit record."""
    at: int
    """Wall clock, milliseconds since 1970 UTC."""
    kind: str
    """outbox_salvaged, log_lost, memory_damaged, epoch_changed or rewind_short."""
    told: Told
    acknowledged_by: str | None


def record_incident(connection: sqlite3.Connection, kind: str, told: Told, *, at: int, operating_ms: int) -> int:
    """Write an incident inside the caller's transaction; returns its number."""
    number = audit.record(
        connection, at=at, operating_ms=operating_ms, actor=audit.OUTBOX_ACTOR, action=kind, detail=told.as_text()
    )
    connection.execute("INSERT INTO incident VALUES (?, ?, NULL)", (number, told.positions_lost))
    return number


def incidents(connection: sqlite3.Connection, *, unacknowledged_only: bool = False) -> list[Incident]:
    """Return the incidents, oldest first."""
    rows = connection.execute(
        "SELECT number, at, action, detail, acknowledged_by"
        " FROM incident JOIN audit ON number = audit_number"
        " WHERE NOT ?1 OR acknowledged_by IS NULL ORDER BY number",
        (unacknowledged_only,),
    )
    return [Incident(number, at, kind, Told.of_text(detail), by) for number, at, kind, detail, by in rows]


def positions_are_lost(connection: sqlite3.Connection) -> bool:
    """Whether an incident that nobody acknowledged lost positions."""
    row = connection.execute("SELECT 1 FROM incident WHERE positions_lost AND acknowledged_by IS NULL").fetchone()
    return row is not None


def acknowledge(writer: Writer, number: int, *, actor: str, note: str) -> None:
    """Note that a person knows of an incident; audited. Raises OutboxError when there is none open of that number."""
    changed = writer.connection.execute(
        "UPDATE incident SET acknowledged_by = ? WHERE audit_number = ? AND acknowledged_by IS NULL", (actor, number)
    )
    if not changed.rowcount:
        raise OutboxError(f"there is no open incident {number}")
    writer.record(ACKNOWLEDGED, actor=actor, detail=f"{number}: {note}")
