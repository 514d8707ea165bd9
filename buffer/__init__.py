"""The promise: what was emitted survives."""

from buffer.annex import AnnexRow, Note
from buffer.audit import AuditRecord
from buffer.census import Census
from buffer.delivery import Position
from buffer.entry import Accepted, Draft, Entry, Outcome, Redelivery, Rejected, Released, StateRow
from buffer.errors import (
    CommitUnknown,
    DraftRefused,
    NotDurable,
    OutboxClosed,
    OutboxDamaged,
    OutboxError,
    OutboxFull,
    OutboxLocked,
    OutboxMissing,
    QuarantineRefused,
    SchemaNewer,
    UpstreamUnknown,
)
from buffer.incident import Incident, Told
from buffer.ledger import ChainHead, Epoch
from buffer.limits import Limits
from buffer.outbox import Outbox
from buffer.quarantine import QuarantineCase, Quarantined, QuarantineState
from buffer.reader import EntryFilter, OutboxReader, Tally
from buffer.stats import OutboxStats
from buffer.verify import Verification

__all__ = [
    "Accepted",
    "AnnexRow",
    "AuditRecord",
    "Census",
    "ChainHead",
    "CommitUnknown",
    "Draft",
    "DraftRefused",
    "Entry",
    "EntryFilter",
    "Epoch",
    "Incident",
    "Limits",
    "NotDurable",
    "Note",
    "Outbox",
    "OutboxClosed",
    "OutboxDamaged",
    "OutboxError",
    "OutboxFull",
    "OutboxLocked",
    "OutboxMissing",
    "OutboxReader",
    "OutboxStats",
    "Outcome",
    "Position",
    "QuarantineCase",
    "QuarantineRefused",
    "QuarantineState",
    "Quarantined",
    "Redelivery",
    "Rejected",
    "Released",
    "SchemaNewer",
    "StateRow",
    "Tally",
    "Told",
    "UpstreamUnknown",
    "Verification",
]
