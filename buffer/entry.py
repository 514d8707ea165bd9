"""What the outbox keeps and what may happen to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Draft(NamedTuple):
    """An event on its way into the outbox: everything but the sequence, which the writer assigns in the commit."""

    id: str
    type: str
    station: str
    device: str
    captured_at: int
    """Wall clock at capture, milliseconds since 1970 UTC. For people and queries; order is `seq`."""
    payload: bytes
    """The CloudEvent as JSON bytes, without `sequence`; never re-encoded after this."""


class Entry(NamedTuple):
    """An event in the outbox."""

    seq: int
    id: str
    type: str
    station: str
    device: str
    captured_at: int
    payload: bytes
    digest: bytes
    chain: bytes
    gap_reason: str | None = None
    """Set when this entry cannot be delivered as itself to the upstream asking (quarantined, discarded, damaged,
    skipped, missing): a gap record is sent in its place. The other columns may then be empty."""
    gap_first: int | None = None
    """Set when the gap is a run of entries: its first sequence; `seq` is the last."""


class StateRow(NamedTuple):
    """A row that explains events and commits with them; opaque to the outbox. `value` None deletes it."""

    key: str
    value: bytes | None


class Redelivery(NamedTuple):
    """The answer a numbered message was given, kept so that the same message gets the same answer."""

    device: str
    message_id: str
    fingerprint: bytes
    verdict: bytes
    """Opaque to the outbox."""

    @property
    def is_damaged(self) -> bool:
        """Whether the row is not what was committed: the number was used, and nobody knows for what."""
        return not self.fingerprint


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upstream named this entry as taken."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upstream will never take this entry as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """The upstream did not say; send again, not before `retry_after_s` when it is given."""

    retry_after_s: float | None = None


Outcome = Accepted | Rejected | Released
