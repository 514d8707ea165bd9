"""What intake counts, for metrics and the status page. Nothing here is a decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from buffer.entry import Draft
from gateway.events.model import event_type

_UNRECOGNISED: Final = event_type("unrecognised")


@dataclass(frozen=True, slots=True)
class IntakeCounts:
    """Since the start of the process."""

    accepted: int
    """Events on disk."""
    redelivered: int
    """Numbered messages answered with their first verdict."""
    possible_redeliveries: int
    """Events flagged because an unnumbered device may have repeated itself."""
    repeat_reads: int
    """Tag reads covered by an event that was already stored."""
    refused: Mapping[str, int]
    """Readings not stored, by reason: unknown_device, device_disabled, storage."""
    unrecognised: Mapping[str, int]
    """Events that could not be understood, by device."""
    knocking_unlisted: int
    """Readings of unknown devices that found the register full."""
    tags_forced_out: int
    """Present tags forgotten for want of room; each is observed again."""


@dataclass(slots=True)
class Tally:
    """The running numbers."""

    accepted: int = 0
    redelivered: int = 0
    possible_redeliveries: int = 0
    repeat_reads: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unrecognised: Counter[str] = field(default_factory=Counter)

    def accept(self, drafts: Sequence[Draft]) -> None:
        """Count the events of one commit."""
        self.accepted += len(drafts)
        for draft in drafts:
            if draft.type == _UNRECOGNISED:
                self.unrecognised[draft.device] += 1

    def counts(self, knocking_unlisted: int, tags_forced_out: int) -> IntakeCounts:
        """Return the numbers as they are now."""
        return IntakeCounts(
            self.accepted,
            self.redelivered,
            self.possible_redeliveries,
            self.repeat_reads,
            dict(self.refused),
            dict(self.unrecognised),
            knocking_unlisted,
            tags_forced_out,
        )
