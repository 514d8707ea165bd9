"""What intake asks of the checks, if there are any.

Theory of operation. Checks are a part of the one step between look-up and append: they see an event before it is
appended, and what they find (exceptions, tallies, running totals) commits with it. They keep running totals in memory,
uncommitted effects included; so they are told how each step ended. `undo` takes back the effects of a step that was
never appended. `forget` drops everything, after a failed commit, to be read again from what is committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from buffer.entry import Draft
from drivers.reading import Reading, Remark
from gateway.capture.captured import Captured, Moment
from gateway.capture.site_map import Route
from gateway.capture.station import Session
from gateway.events.model import DeviceState


class Change(Protocol):
    """Something that changed in the memory of the checks, until its commit is known."""

    def undo(self) -> object:
        """Take it back: it was not appended."""

    def landed(self) -> object:
        """It is on disk."""


class Judged(NamedTuple):
    """What the checks found about one reading."""

    drafts: Sequence[Draft] = ()
    """Events of the gateway itself, to be stored behind the event."""
    state: Mapping[str, bytes | None] = {}
    """Rows that commit with them; None removes one."""
    remarks: tuple[Remark, ...] = ()
    """For the operator, with the verdict."""
    is_duplicate: bool = False
    """The very object was here before, and that is all there is to say."""
    changes: Sequence[Change] = ()
    """What changed in the memory of the checks, in order."""


class Checks(Protocol):
    """The checks of one gateway."""

    def judge(self, route: Route, reading: Reading, session: Session, captured: Captured, at: Moment) -> Judged | None:
        """Return what is to be said about a reading; None when that is nothing. `session` is the one before it.
        Raises OutboxError when what is committed cannot be read."""

    def judge_device(
        self, route: Route, state: DeviceState, reason: str | None, draft: Draft, at: Moment
    ) -> Judged | None:
        """Return what is to be said about a device event, the draft; None when that is nothing."""

    def undo(self, judged: Sequence[Judged]) -> None:
        """Take back the effects of a step that was not appended, the last first."""

    def settle(self, judged: Sequence[Judged]) -> None:
        """The effects of a step are on disk."""

    def forget(self) -> None:
        """A commit failed: memory may hold what is on no disk. Read again what is committed, when it is needed."""
