"""The replays of one daemon: begun by a person, kept in the outbox, gone on with after a restart.

Each has an upstream connection of its own and runs beside the pumps. One at a time an upstream: two would only share
the rate, and nobody could tell whose answer is whose.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from buffer import EntryFilter, Note, Outbox, OutboxError, StateRow
from gateway.deliveries import Deliveries, OpenUpstream
from gateway.log import event
from sync import Replay, ReplayOrder, ReplayState, Upstream, UpstreamSettings
from sync.backoff import Backoff
from sync.replay import KEY_PREFIX

log = logging.getLogger(__name__)

KEPT_MAX = 20
"""Replays that are over and still shown."""
BACKOFF_MAX_S = 30.0
CLOSE_S = 2.0


class ReplayRefused(Exception):
    """This replay cannot begin."""


@dataclass
class _Running:
    replay: Replay
    upstream: Upstream
    task: asyncio.Task[None] = field(init=False)
    is_cancelled_by: str | None = None


class Replays:
    """Begins, shows and ends replays."""

    def __init__(
        self,
        outbox: Outbox,
        deliveries: Deliveries,
        open_upstream: OpenUpstream,
        *,
        rng: random.Random,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._deliveries = deliveries
        self._open_upstream = open_upstream
        self._rng = rng
        self._monotonic = monotonic
        self._sleep = sleep
        self._running: dict[str, _Running] = {}
        self._over: dict[str, ReplayState] = {}
        self._ordering = asyncio.Lock()
        """Held from the look for another one until an order runs."""
        self._is_stopping = False

    def resume(self) -> None:
        """Go on with what the last run did not end. An upstream that is not configured any more has to wait."""
        for row in self._outbox.states(KEY_PREFIX):
            state = ReplayState.of_row(row)
            if state is None:
                log.warning("%s", event("replay_unreadable", key=row.key))
            elif (settings := self._settings(state.order.upstream)) is None:
                self._over[state.order.id] = replace(state, status="waiting", note="its upstream is not configured")
            else:
                self._begin(settings, state)

    async def order(
        self, upstream: str, wanted: EntryFilter, *, events_per_s: float, actor: str, reason: str
    ) -> ReplayState:
        """Begin a replay and return it when it is on disk. Raises ReplayRefused, OutboxError."""
        async with self._ordering:
            return await self._order(upstream, wanted, events_per_s, actor, reason)

    async def _order(
        self, upstream: str, wanted: EntryFilter, events_per_s: float, actor: str, reason: str
    ) -> ReplayState:
        settings = self._settings(upstream)
        if settings is None:
            raise ReplayRefused(f"no upstream {upstream!r} is configured")
        if any(one.replay.state.order.upstream == upstream for one in self._running.values()):
            raise ReplayRefused(f"a replay to {upstream} is under way")
        # What comes later is delivered anyway; without an end a replay would follow the live events for ever.
        head = self._outbox.stats().head_seq
        wanted = replace(wanted, seq_to=min(wanted.seq_to, head))
        tally = await self._outbox.tally(wanted)
        if not tally.count:
            raise ReplayRefused("there is no such event here")
        assert tally.first is not None
        order = ReplayOrder(
            f"r{self._rng.getrandbits(48):012x}", upstream, wanted, events_per_s, actor, reason, tally.count
        )
        state = ReplayState(order, through=max(wanted.seq_from, tally.first) - 1)
        detail = f"{order.id}: {tally.count} events, {tally.first} to {tally.last}, {_said(wanted)}: {reason}"
        await self._outbox.put_states([state.as_row()], note=Note("replay_ordered", actor, detail, upstream))
        self._begin(settings, state)
        return state

    def states(self) -> list[ReplayState]:
        """Return the replays that run, and the last that are over."""
        return [*(one.replay.state for one in self._running.values()), *self._over.values()]

    def find(self, id_: str) -> ReplayState | None:
        """Return one replay; None when there is none."""
        return next((state for state in self.states() if state.order.id == id_), None)

    async def changed(self, id_: str, wait_s: float) -> None:
        """Return when a running replay has gone on, or after `wait_s`."""
        running = self._running.get(id_)
        if running is not None:
            changed = asyncio.ensure_future(running.replay.changed.wait())
            await asyncio.wait([changed, running.task], timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()

    async def cancel(self, id_: str, *, actor: str, reason: str) -> bool:
        """End a replay where it is; returns whether it ran."""
        running = self._running.get(id_)
        if running is None:
            return False
        running.is_cancelled_by = f"{actor}: {reason}"
        running.task.cancel()
        await asyncio.wait([running.task])
        return True

    async def stop_all(self) -> None:
        """Stop; the next start goes on."""
        self._is_stopping = True
        tasks = [one.task for one in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    def _settings(self, upstream: str) -> UpstreamSettings | None:
        return next((settings for settings, _ in self._deliveries.states() if settings.name == upstream), None)

    def _begin(self, settings: UpstreamSettings, state: ReplayState) -> None:
        upstream = self._open_upstream(settings)
        replay = Replay(
            self._outbox,
            upstream,
            state,
            is_live_behind=lambda: self._is_live_behind(settings.name),
            backoff=Backoff(self._rng, base_s=1.0, cap_s=BACKOFF_MAX_S, retry_after_max_s=settings.retry_after_max_s),
            monotonic=self._monotonic,
            sleep=self._sleep,
        )
        running = _Running(replay, upstream)
        running.task = asyncio.create_task(self._keep(running), name=f"replay {state.order.id}")
        self._running[state.order.id] = running

    def _is_live_behind(self, upstream: str) -> bool:
        """Whether the live delivery has events waiting that it can deliver."""
        for settings, state in self._deliveries.states():
            if settings.name == upstream:
                return state.health == "delivering" and state.newest > state.settled_through
        return False

    async def _keep(self, running: _Running) -> None:
        replay = running.replay
        going = asyncio.ensure_future(replay.run())
        try:
            # Waited for, not awaited: whatever ends it is told and touches nothing else.
            await asyncio.wait([going])
        except asyncio.CancelledError:
            going.cancel()
            await asyncio.wait([going])
            if running.is_cancelled_by is not None:
                replay.end("cancelled", running.is_cancelled_by)
        else:
            error = None if going.cancelled() else going.exception()
            if error is not None:
                log.error("%s", event("replay_failed", replay=replay.state.order.id), exc_info=error)
                replay.end("failed", str(error) if isinstance(error, OutboxError) else "a fault of the program")
        finally:
            del self._running[replay.state.order.id]
        if not self._is_stopping:
            await self._end(replay.state)
        await running.upstream.aclose()

    async def _end(self, state: ReplayState) -> None:
        self._over[state.order.id] = state
        for id_ in list(self._over)[:-KEPT_MAX]:
            del self._over[id_]
        detail = (
            f"{state.order.id}: {state.accepted} accepted, {state.rejected} rejected, {state.unconfirmed} unconfirmed,"
            f" {state.left_out} left out{f'; {state.note}' if state.note else ''}"
        )
        note = Note(f"replay_{state.status}", state.order.actor, detail, state.order.upstream)
        try:
            await self._outbox.put_states([StateRow(KEY_PREFIX + state.order.id, None)], note=note)
        except OutboxError as error:
            log.warning("%s", event("replay_not_recorded", replay=state.order.id, reason=error))


def _said(wanted: EntryFilter) -> str:
    parts = [
        f"{name} {value}"
        for name, value in (("type", wanted.type), ("station", wanted.station), ("device", wanted.device))
        if value is not None
    ]
    return ", ".join(parts) or "all"
