"""Writes down how far an upstream is.

The next request does not wait for that: the position is a convenience, and events that a crash makes us send again are
known by their ids. So the upstream may be some requests ahead of the disk, and what was answered while one commit was
under way is written by the next one. A commit of a busy gateway takes as long as several requests, and a delivery that
waited for each would fall behind the intake. What quarantines events is waited for, and so is everything else before
the position is asked for again, and before the delivery waits or calls itself idle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from buffer.errors import OutboxFull
from sync.backoff import Backoff
from sync.guard import Settlement
from sync.outbox_port import OutboxPort
from sync.pump_state import Alarm
from sync.settings import PumpSettings

_log = logging.getLogger(__name__)

AHEAD_MAX = 8
"""Requests that may be answered and not written down: a crash repeats them."""
TRICKLE_MAX = 100
"""So few events in a request that has nothing behind it: the next one is not due before the commit that comes anyway,
and waiting for that here takes less than writing beside it."""


class Settler:
    """Moves the cursor of one upstream."""

    def __init__(
        self,
        outbox: OutboxPort,
        settings: PumpSettings,
        *,
        rng: Random,
        sleep: Callable[[float], Awaitable[None]],
        on_settled: Callable[[Settlement], None],
        on_refused: Callable[[Alarm], None],
    ) -> None:
        """`on_settled` is told what is on disk, `on_refused` that the disk does not take it; neither may raise."""
        self._outbox = outbox
        self._settings = settings
        self._rng = rng
        self._sleep = sleep
        self._on_settled = on_settled
        self._on_refused = on_refused
        self._due: list[Settlement] = []
        """Answered, and to be written by the next commit."""
        self._ahead = 0
        """Answered and not known to be on disk."""
        self._writing: asyncio.Task[None] | None = None
        self._is_refused = False

    async def settle(self, settlement: Settlement, *, patience_s: float) -> None:
        """Move the cursor as the settlement says. What it rejects is in quarantine when this returns, and what readers
        have to be told of is due; the rest is on its way. `patience_s` is how long it may wait for a commit that is
        made anyway. Raises OutboxError."""
        is_urgent = bool(settlement.rejected or settlement.unannounced)
        if is_urgent or (patience_s and settlement.accepted <= TRICKLE_MAX):
            await self.settled()
            await self._settle(settlement, 0.0 if is_urgent else patience_s)
            return
        has_failed = self._writing is not None and self._writing.done()
        if has_failed or self._is_refused or self._ahead >= AHEAD_MAX:
            await self.settled()
        self._due.append(settlement)
        self._ahead += 1
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(patience_s))

    async def settled(self) -> None:
        """Return when nothing is on its way to the disk. Raises OutboxError."""
        if self._writing is not None:
            try:
                await self._writing
            finally:
                self._writing = None
                self._ahead = 0

    def drop(self) -> None:
        """Wait for nothing any more: the pump has ended. What is on its way arrives or does not."""
        self._due.clear()
        self._ahead = 0
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    async def record(self, record: Callable[[], Awaitable[None]]) -> None:
        """Write what the upstream said. While the disk refuses, nothing more is sent: it would be sent for nothing."""
        refused = Backoff(self._rng, base_s=1.0, cap_s=15.0, retry_after_max_s=15.0)
        while True:
            try:
                await record()
                self._is_refused = False
                return
            except OutboxFull as error:
                self._is_refused = True
                self._on_refused(Alarm("cursor_not_written", str(error), error.hint))
                await self._sleep(refused.failed())

    async def _write(self, patience_s: float) -> None:
        while self._due:
            due, self._due = self._due, []
            await self._settle(replace(due[-1], accepted=sum(one.accepted for one in due)), patience_s)
            self._ahead -= len(due)
        self._writing = None

    async def _settle(self, settlement: Settlement, patience_s: float) -> None:
        name, through = self._settings.name, settlement.through
        assert through is not None, "a settlement that is written moves the cursor"
        await self.record(
            lambda: self._outbox.settle(
                name,
                through=through,
                rejected=settlement.rejected,
                untold=settlement.unannounced,
                owner=self._settings.quarantine_owner,
                patience_s=patience_s,
            )
        )
        for seq, reason in settlement.rejected:
            _log.warning("entry_quarantined upstream=%s seq=%d reason=%r", name, seq, reason)
        self._on_settled(settlement)
