"""The promise: what was emitted survives."""

from buffer.annex import AnnexRow, Note
from buffer.audit import AuditRecord
from buffer.backup import Clocks, Proof, Receipt, admit, back_up, rehearse, reserve
from buffer.census import Census
from buffer.connection import DATABASE_NAME
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
from buffer.quarantine import QuarantineCase, Quarantined, QuarantineReason, QuarantineState
from buffer.reader import EntryFilter, OutboxReader, Tally
from buffer.restore import Present, Restored, present, restore
from buffer.settlement import Settlement
from buffer.snapshot import snapshot
from buffer.stats import OutboxStats
from buffer.verify import Verification
from buffer.wipe import wipe

__all__ = [
    "DATABASE_NAME",
    "Accepted",
    "AnnexRow",
    "AuditRecord",
    "Census",
    "ChainHead",
    "Clocks",
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
    "Present",
    "Proof",
    "QuarantineCase",
    "QuarantineReason",
    "QuarantineRefused",
    "QuarantineState",
    "Quarantined",
    "Receipt",
    "Redelivery",
    "Rejected",
    "Released",
    "Restored",
    "SchemaNewer",
    "Settlement",
    "StateRow",
    "Tally",
    "Told",
    "UpstreamUnknown",
    "Verification",
    "admit",
    "back_up",
    "present",
    "rehearse",
    "reserve",
    "restore",
    "snapshot",
    "wipe",
]
