"""The board of a running daemon, and what is looked at once in a while for its day: depth, lag, waits, exceptions.

The day is in memory, and in the outbox's state every few minutes and at a stop. After a power cut the last minutes are
missing; minutes in which no gateway ran are told apart from minutes in which nothing happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from buffer import EntryFilter, Outbox, StateRow
from buffer.errors import OutboxError
from gateway.andon.board import Board
from gateway.capture.intake import Intake
from gateway.deliveries import Deliveries
from gateway.health import LATENCY_BOUNDS_S, Latency
from gateway.log import event
from gateway.wiring import World

if TYPE_CHECKING:
    from gateway.daemon import Daemon

log = logging.getLogger(__name__)

STATE_KEY = "history/1"
LOOK_S = 5.0
KEEP_S = 300.0


class AndonService:
    """Keeps the board."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._intake: Intake | None = None
        self._outbox: Outbox | None = None
        self.board = Board(self._station_of, world.wall)
        self.since_ms = world.wall()
        self.lag_s: dict[str, float] = {}
        """By upstream: how old the oldest event is that it does not have, seconds; 0 when it has them all."""
        self._task: asyncio.Task[None] | None = None

    def start(self, daemon: Daemon) -> None:
        """Go on from what the last run kept, and look from now on at what the daemon has built."""
        self._intake, self._outbox = daemon.intake, daemon.outbox
        self._load(daemon.outbox)
        latency, opened = daemon.supervisor.latency, daemon.measures.measures.opened
        self._task = asyncio.create_task(self._live(daemon.outbox, daemon.deliveries, latency, opened), name="andon")

    async def stop(self) -> None:
        """Return when nothing is looked at any more, and the day is kept or that was not possible."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._outbox is not None:
            await self._keep(self._outbox)

    def _station_of(self, device: str) -> str | None:
        route = None if self._intake is None else self._intake.route(device)
        return None if route is None else route.station.id

    async def _live(self, outbox: Outbox, deliveries: Deliveries, latency: Latency, opened: Callable[[], int]) -> None:
        day = self.board.day
        exceptions, depth_at, lag_at, p99_at = (day.names.index(name) for name in
                                                ("exceptions", "depth", "lag_s", "ack_p99_s"))  # fmt: skip
        counted, minute = opened(), day.row(self._world.wall())
        before = waits = list(latency.counts)
        kept_at = self._world.monotonic()
        while True:
            try:
                depth, self.lag_s = await self._look(outbox, deliveries)
            except OutboxError as error:
                log.warning("%s", event("lag_not_looked_at", reason=error, hint=error.hint))
                depth = 0
            row = day.row(self._world.wall())
            if row is not minute:
                minute, waits = row, before
            before = list(latency.counts)
            so_far = opened()
            row[exceptions] += so_far - counted
            counted = so_far
            row[depth_at] = max(row[depth_at], depth)
            row[lag_at] = max(row[lag_at], *self.lag_s.values(), 0)
            row[p99_at] = quantile_s([now - then for now, then in zip(before, waits, strict=True)], 0.99)
            if self._world.monotonic() - kept_at >= KEEP_S:
                await self._keep(outbox)
                kept_at = self._world.monotonic()
            await self._world.sleep(LOOK_S)

    async def _keep(self, outbox: Outbox) -> None:
        """Packed, a day is some kilobytes; as text it would be a hundred, written three hundred times a day."""
        told = {"since_ms": self.since_ms, **self.board.dump()}
        value = zlib.compress(json.dumps(told, separators=(",", ":")).encode())
        try:
            await outbox.note(StateRow(STATE_KEY, value))
        except OutboxError as error:
            log.warning("%s", event("history_not_kept", reason=error, hint=error.hint))

    def _load(self, outbox: Outbox) -> None:
        try:
            rows = [row.value for row in outbox.states(STATE_KEY) if row.key == STATE_KEY]
            if rows and rows[0] is not None:
                kept = json.loads(zlib.decompress(rows[0]))
                self.board.load(kept)
                self.since_ms = min(self.since_ms, int(kept["since_ms"]))
        except (OutboxError, zlib.error, LookupError, ValueError, TypeError, AttributeError) as error:
            # Figures are no reason not to start.
            log.warning("%s", event("history_begun_anew", reason=error))

    async def _look(self, outbox: Outbox, deliveries: Deliveries) -> tuple[int, dict[str, float]]:
        """Return how many events the slowest upstream does not have, and each upstream's lag."""
        depth, lag = 0, {}
        for settings, state in deliveries.states():
            if not state.newest:
                continue  # it has not looked at its position yet
            behind = max(0, outbox.newest - state.settled_through)
            depth = max(depth, behind)
            lag[settings.name] = 0.0
            if behind:
                wanted = EntryFilter(seq_from=state.settled_through + 1, limit=1, newest_first=False)
                oldest = await outbox.entries(wanted)
                if oldest:
                    lag[settings.name] = round(max(0, self._world.wall() - oldest[0].captured_at) / 1000, 1)
        return depth, lag


def quantile_s(counts: Sequence[int], share: float) -> float:
    """Return the bound of the bucket in which a quantile lies, seconds; 0 when nothing was counted."""
    total, seen = sum(counts), 0
    if not total:
        return 0.0
    for bound, count in zip((*LATENCY_BOUNDS_S, LATENCY_BOUNDS_S[-1]), counts, strict=True):
        seen += count
        if seen >= share * total:
            return bound
    return LATENCY_BOUNDS_S[-1]
