"""Sending events again that an upstream has had: under their ids and sequences, slowly, beside the live delivery.

Theory of operation. A replay has an upstream connection and a place of its own and never touches a cursor: what it
sends is settled already, and what it does not reach is not lost. Before every batch it lets the live delivery go first,
and its rate is bounded, so a replay of a year does not delay the scan of this minute. How far it is, is kept in the
outbox after every batch that was answered: a kill in the middle resumes there, and at most one batch is sent twice,
which a consumer knows by its ids. Entries in quarantine for this upstream, discarded ones included, are left out: a
person decides about those one by one. Their gap records stand in their place, as well as those of what is damaged or
gone, so that who builds a stretch anew from a replay has no hole in it that nothing explains.

An answer counts for what it names. A centre that only tells a high-water mark above the old sequences confirms
nothing; after `TRIES` such answers the batch counts as sent and unconfirmed, and the replay goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from buffer.entry import Accepted, Entry, Outcome, Rejected, StateRow
from buffer.errors import OutboxFull
from buffer.reader import EntryFilter
from sync.backoff import Backoff
from sync.batch import cut_entries, join_batch
from sync.errors import BatchRefused, BatchTooLarge, NotAnAnswer, SyncError, Unanswered, UpstreamHolds
from sync.outbox_port import OutboxPort
from sync.position import known_instance
from sync.upstream import Upstream

_log = logging.getLogger(__name__)

BATCH_EVENTS_MAX = 200
UNANSWERED_EVENTS_MIN = 10
"""A request that gets no answer is halved down to this: what carries no ten events carries no one."""
READ_EVENTS = 500
READ_BYTES = 4 * 1024 * 1024
TRIES = 3
YIELD_S = 0.25
"""How long a step aside for the live delivery lasts."""
YIELDS_MAX = 20
"""After so many steps aside one batch is sent: a backlog that never ends must not end the replay."""
KEY_PREFIX = "replay/"

ReplayStatus = Literal["running", "waiting", "finished", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What is to be sent again, to whom, how fast, and who wants it."""

    id: str
    upstream: str
    wanted: EntryFilter
    """Its `limit` and order do not count."""
    events_per_s: float
    actor: str
    reason: str
    total: int
    """Events that the filter let through when the order was given."""


@dataclass(frozen=True, slots=True)
class ReplayState:
    """How a replay goes."""

    order: ReplayOrder
    status: ReplayStatus = "running"
    through: int = 0
    """Everything up to this sequence is done."""
    accepted: int = 0
    rejected: int = 0
    unconfirmed: int = 0
    left_out: int = 0
    """In quarantine for this upstream, damaged, or gone; told by a gap record."""
    note: str = ""
    """What it waits for, or why it ended."""

    @property
    def done(self) -> int:
        """Events dealt with."""
        return self.accepted + self.rejected + self.unconfirmed

    def as_row(self) -> StateRow:
        """Return what the outbox keeps, so that a restart goes on."""
        return StateRow(KEY_PREFIX + self.order.id, json.dumps(asdict(self)).encode())

    @classmethod
    def of_row(cls, row: StateRow) -> ReplayState | None:
        """Return what was kept; None when it cannot be read."""
        try:
            found: dict[str, Any] = json.loads(row.value or b"")
            order: dict[str, Any] = found.pop("order")
            wanted = EntryFilter(**order.pop("wanted"))
            return cls(ReplayOrder(wanted=wanted, **order), **found)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Replay:
    """One replay. `run` ends when everything was sent, or with the task that runs it."""

    def __init__(
        self,
        outbox: OutboxPort,
        upstream: Upstream,
        state: ReplayState,
        *,
        is_live_behind: Callable[[], bool],
        backoff: Backoff,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Touch nothing yet. `is_live_behind` tells whether the live delivery has events waiting."""
        self._outbox = outbox
        self._upstream = upstream
        self._is_live_behind = is_live_behind
        self._backoff = backoff
        self._monotonic = monotonic
        self._sleep = sleep
        self._count_max = BATCH_EVENTS_MAX
        self._tries = 0
        self.changed = asyncio.Event()
        """Set, and replaced, whenever `state` changes."""
        self.state = state

    async def run(self) -> None:
        """Send everything; return when the last answer is kept. Raises OutboxError."""
        order = self.state.order
        start_s, sent = self._monotonic(), 0
        while batch := await self._next():
            await self._step_aside()
            outcomes = await self._send(batch)
            if outcomes is None:
                continue
            await self._keep(batch, outcomes)
            sent += len(batch)
            ahead_s = start_s + sent / order.events_per_s - self._monotonic()
            if ahead_s > 0:
                await self._sleep(ahead_s)
        self.end("finished")

    def end(self, status: ReplayStatus, note: str = "") -> None:
        """Say that it is over."""
        self._show(replace(self.state, status=status, note=note))

    async def _next(self) -> Sequence[Entry]:
        """Return the next events that the order wants; empty at the end. Moves over what it does not."""
        order = self.state.order
        last = min(order.wanted.seq_to, 2**62)
        while self.state.through < last:
            entries = await self._outbox.head(
                order.upstream, after=self.state.through, count_max=READ_EVENTS, bytes_max=READ_BYTES
            )
            if not entries:
                break
            wanted: list[Entry] = []
            for entry in entries:
                if (entry.gap_first or entry.seq) > last:
                    break
                # Of a damaged or missing entry nobody knows what it was: it counts as one that was wanted.
                if _is_wanted(entry, order.wanted):
                    wanted.append(entry)
                elif not wanted:
                    self.state = replace(self.state, through=entry.seq)
            if wanted:
                count = min(self._count_max, max(1, int(order.events_per_s)))
                return cut_entries(wanted, count_max=count, bytes_max=1024 * 1024)
            if entries[-1].seq > last:
                break
        return ()

    def _left_out(self, entries: Sequence[Entry]) -> int:
        """Return how many of the events that were ordered the gap records among the entries stand for."""
        wanted = self.state.order.wanted
        return sum(
            min(entry.seq, wanted.seq_to) - max(entry.gap_first or entry.seq, wanted.seq_from) + 1
            for entry in entries
            if entry.gap_reason is not None
        )

    async def _step_aside(self) -> None:
        for _ in range(YIELDS_MAX):
            if not self._is_live_behind():
                return
            self._show(replace(self.state, status="waiting", note="the live delivery goes first"))
            await self._sleep(YIELD_S)

    async def _send(self, entries: Sequence[Entry]) -> list[Outcome | None] | None:
        """Return an outcome an event (None: unconfirmed); None when the same is to be tried again."""
        try:
            instance = known_instance(self._outbox, self.state.order.upstream)
            batch = join_batch(self._outbox.source_of, entries, retry=True, instance=instance)
            outcomes = await self._upstream.send(batch)
        except (BatchRefused, BatchTooLarge) as error:
            if len(entries) > 1:
                self._count_max = max(1, len(entries) // 2)
                return None
            self._count_max = BATCH_EVENTS_MAX
            return [Rejected(str(error))]
        except SyncError as error:
            if isinstance(error, Unanswered):
                self._count_max = min(self._count_max, max(UNANSWERED_EVENTS_MIN, len(entries) // 2))
            self._tries += isinstance(error, NotAnAnswer)
            if self._tries >= TRIES:
                self._tries = 0
                return [None for _ in entries]
            await self._wait(error)
            return None
        self._backoff.succeeded()
        self._tries = 0
        return [outcome if isinstance(outcome, Accepted | Rejected) else None for outcome in outcomes]

    async def _wait(self, error: SyncError) -> None:
        retry_after_s = 30.0 if isinstance(error, UpstreamHolds) else getattr(error, "retry_after_s", None)
        self._show(replace(self.state, status="waiting", note=str(error)))
        await self._sleep(self._backoff.failed(retry_after_s))

    async def _keep(self, entries: Sequence[Entry], outcomes: Sequence[Outcome | None]) -> None:
        left_out = self._left_out(entries)
        events = [pair for pair in zip(entries, outcomes, strict=True) if pair[0].gap_reason is None]
        for entry, outcome in events:
            if isinstance(outcome, Rejected):
                _log.warning("replay_rejected upstream=%s seq=%d reason=%r", self.state.order.upstream, entry.seq,
                             outcome.reason)  # fmt: skip
        accepted = sum(isinstance(outcome, Accepted) for _, outcome in events)
        rejected = sum(isinstance(outcome, Rejected) for _, outcome in events)
        state = replace(
            self.state,
            status="running",
            note="",
            through=entries[-1].seq,
            accepted=self.state.accepted + accepted,
            rejected=self.state.rejected + rejected,
            unconfirmed=self.state.unconfirmed + len(events) - accepted - rejected,
            left_out=self.state.left_out + left_out,
        )
        while True:
            try:
                await self._outbox.note(state.as_row())
                break
            except OutboxFull as error:
                self._show(replace(self.state, status="waiting", note=str(error)))
                await self._sleep(self._backoff.failed())
        self._show(state)

    def _show(self, state: ReplayState) -> None:
        self.state = state
        self.changed.set()
        self.changed = asyncio.Event()


def _is_wanted(entry: Entry, wanted: EntryFilter) -> bool:
    if entry.gap_reason is not None and not entry.id:
        return entry.seq >= wanted.seq_from
    return matches(entry, wanted)


def matches(entry: Entry, wanted: EntryFilter) -> bool:
    """Whether a filter lets an entry through."""
    return (
        wanted.seq_from <= entry.seq <= wanted.seq_to
        and (wanted.type is None or entry.type == wanted.type)
        and (wanted.station is None or entry.station == wanted.station)
        and (wanted.device is None or entry.device == wanted.device)
        and (wanted.captured_from is None or entry.captured_at >= wanted.captured_from)
        and (wanted.captured_before is None or entry.captured_at < wanted.captured_before)
    )
