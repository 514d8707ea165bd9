"""Second tries of quarantined entries, when a person asked for them.

They go under their old ids and sequences, in batches of their own, and never hold up what is new: a centre that cannot
confirm an old event is noted and left alone. An answer counts for what it names exactly; a high-water mark above an
old sequence says nothing about it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from buffer.entry import Accepted, Entry, Outcome, Rejected, Released
from buffer.errors import QuarantineRefused
from sync.batch import join_batch
from sync.errors import BatchRefused, BatchTooLarge, NotAnAnswer
from sync.outbox_port import OutboxPort
from sync.upstream import Upstream

_log = logging.getLogger(__name__)

RETRY_EVENTS_MAX = 100

Record = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
"""Does the writing it is given, again while the disk is full."""


@dataclass(frozen=True, slots=True)
class RetryPass:
    """What one pass brought."""

    delivered: int = 0
    rejected: int = 0
    has_more: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether the upstream settled anything."""
        return bool(self.delivered or self.rejected)


class Retries:
    """The second tries of one upstream."""

    def __init__(self, outbox: OutboxPort, upstream: Upstream, name: str, record: Record) -> None:
        self._outbox = outbox
        self._upstream = upstream
        self._name = name
        self._record = record

    async def run_once(self, instance: str | None) -> RetryPass:
        """Send what a person asked for, to this instance of the centre, and record how it went.

        Raises as `Upstream.send` when nobody answers.
        """
        entries = await self._outbox.retries(self._name, count_max=RETRY_EVENTS_MAX)
        if not entries:
            return RetryPass()
        outcomes = await self._send(entries, instance)
        delivered: list[int] = []
        rejected: list[tuple[int, str]] = []
        for entry, outcome in zip(entries, outcomes, strict=True):
            match outcome:
                case Accepted():
                    delivered.append(entry.seq)
                case Rejected(reason):
                    rejected.append((entry.seq, reason))
                case Released():
                    _log.warning("retry_not_confirmed upstream=%s seq=%d", self._name, entry.seq)
        if delivered or rejected:
            await self._settle(delivered, rejected)
        has_more = len(entries) == RETRY_EVENTS_MAX and bool(delivered or rejected)
        return RetryPass(len(delivered), len(rejected), has_more)

    async def _send(self, entries: Sequence[Entry], instance: str | None) -> list[Outcome]:
        try:
            return await self._upstream.send(join_batch(self._outbox.source_of, entries, retry=True, instance=instance))
        except NotAnAnswer:
            # Not raised: if it is a portal that answers, the next ordinary batch finds out.
            return [Released() for _ in entries]
        except (BatchRefused, BatchTooLarge) as error:
            if len(entries) == 1:
                return [Rejected(str(error))]
            return [(await self._send([entry], instance))[0] for entry in entries]

    async def _settle(self, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
        try:
            await self._record(lambda: self._outbox.settle_retry(self._name, delivered, rejected))
        except QuarantineRefused as error:
            # A person decided about one of them in the meantime; that must not undo what is true of the others.
            if len(delivered) + len(rejected) == 1:
                _log.warning("retry_not_settled upstream=%s reason=%r", self._name, str(error))
                return
            for seq in delivered:
                await self._settle([seq], [])
            for row in rejected:
                await self._settle([], [row])
