"""The effects of one take, until its commit is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from buffer.entry import Draft
from buffer.errors import OutboxError
from drivers.contract import StorageUnavailable
from drivers.reading import Reading, Remark, Verdict
from gateway.capture.captured import Captured
from gateway.capture.checks_port import Judged
from gateway.capture.event_cycle import EventCycle, Seal
from gateway.capture.site_map import Route
from gateway.capture.station import Session

T = TypeVar("T")

Key = tuple[str, str]
"""Device and its number for a message."""


@dataclass(slots=True)
class Unanswered:
    """A reading of a take that became something, until it is answered."""

    route: Route
    reading: Reading
    session: Session
    """Before it."""
    captured: Captured
    is_reused: bool
    """The number of its message meant another message before."""
    key: Key | None = None
    mark: bytes = b""
    """With `key`: what tells its content."""
    verdict: Verdict | None = None


Taken = Verdict | Unanswered
"""What is known of a reading before the checks see it: the answer, when that does not depend on them."""


class Step:
    """The effects of one take, until its commit is known."""

    __slots__ = (
        "_awaited",
        "answers",
        "cycles",
        "drafts",
        "is_in_flight",
        "judged",
        "last",
        "leans_on",
        "number",
        "redelivered",
        "seals",
        "sessions",
        "state",
        "unanswered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.unanswered: dict[Key, Unanswered] = {}
        """The latest reading of each number, while the take is being decided."""
        self.drafts: list[Draft] = []
        self.state: dict[str, bytes | None] = {}
        self.answers: dict[Key, tuple[bytes, Verdict]] = {}
        self.sessions: dict[str, Session] = {}
        self.last: dict[str, bytes] = {}
        self.cycles: dict[EventCycle, None] = {}
        self.seals: list[tuple[EventCycle, Seal]] = []
        self.judged: list[Judged] = []
        """What the checks found, in order."""
        self.number = 0
        """Order of the appends."""
        self.is_in_flight = False
        """Handed to the outbox, and not known to be on disk."""
        self._awaited: list[Callable[[OutboxError | None], None]] = []
        self.leans_on: Step | None = None
        """The latest step of an earlier take whose commit must be known before this one answers."""
        self.redelivered = 0

    def lean_on(self, earlier: Step) -> None:
        """Answer no sooner than `earlier`. Of several the latest counts: commits happen in order, and one that fails
        takes everything behind it along."""
        if self.leans_on is None or earlier.number > self.leans_on.number:
            self.leans_on = earlier

    def adopt(self, judged: Judged) -> None:
        """Take over what the checks found: behind the event it is about."""
        self.judged.append(judged)
        self.drafts.extend(judged.drafts)
        self.state.update(judged.state)

    def conclude(self, one: Unanswered, judged: Judged | None) -> Verdict:
        """Take over what a reading became and what the checks found about it; return what is said to its device."""
        draft, remarks = one.captured.draft, one.captured.remarks
        if one.is_reused:
            said = f"{one.reading.message_id} was used for another message before; was the device reset?"
            remarks = (*remarks, Remark("message_id_reused", said))
        if draft is not None:
            self.drafts.append(draft)
        if judged is not None:
            self.adopt(judged)
            remarks += judged.remarks
        if draft is None:
            return Verdict("stored_with_exception" if remarks else "stored", (), remarks)
        if remarks:
            if judged is not None and judged.is_duplicate and remarks is judged.remarks:
                return Verdict("duplicate", (draft.id,), remarks)
            return Verdict("stored_with_exception", (draft.id,), remarks)
        return Verdict("stored", (draft.id,))

    def answer(self, value: T) -> asyncio.Future[T]:
        """Return a future that has `value` when the step, and those it leans on, are on disk; it raises
        StorageUnavailable when they are not, or when that is unknown."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        awaited = self if self.is_in_flight else self.leans_on
        if awaited is None or not awaited.is_in_flight:
            future.set_result(value)
        else:
            awaited._awaited.append(partial(_resolve, future, value))
        return future

    def known(self, error: OutboxError | None) -> None:
        """The commit is known: answer whoever waits for it."""
        # Let go of first: who waits refers to steps, and a ring for every scan would wait for the collector.
        awaited, self._awaited, self.leans_on, self.is_in_flight = self._awaited, [], None, False
        for resolve in awaited:
            resolve(error)


def refused(error: OutboxError) -> asyncio.Future[Any]:
    """Return a future that has failed: nothing was stored."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(unavailable(error))
    return future


def unavailable(error: OutboxError) -> StorageUnavailable:
    """Return what an error of the outbox is for a driver."""
    return StorageUnavailable(str(error), hint=error.hint)


def _resolve(future: asyncio.Future[T], value: T, error: OutboxError | None) -> None:
    if future.done():
        return  # whoever asked has gone
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(unavailable(error))
