"""Every configured upstream with its pump: begun, paused, replaced, each by itself.

A pump ends only when the daemon stops. If the outbox failed it (a damaged page that a query met), or a bug did, it is
begun again after a pause: the other upstreams and every device go on meanwhile. An upstream whose position cannot be
made because the disk is full waits for room in the same way; neither a start nor a reload fails over it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from buffer import Outbox
from buffer.errors import OutboxClosed, OutboxError, OutboxFull
from gateway.log import event
from sync import Pump, PumpState, Upstream, UpstreamSettings

log = logging.getLogger(__name__)

RESTART_S = 10.0
"""Pause before a pump that ended is begun again."""
CLOSE_S = 5.0
"""How long an upstream may take to close its connections."""

_FIGURES = re.compile(r"\d+")

OpenUpstream = Callable[[UpstreamSettings], Upstream]


@dataclass
class _Delivery:
    settings: UpstreamSettings
    upstream: Upstream
    pump: Pump
    task: asyncio.Task[None] = field(init=False)
    waits_because: str | None = None
    """Why its position cannot be written; None once it is."""
    is_resting: bool = False
    """Nothing is under way; it waits before it is begun again."""
    said: tuple[str, str] | None = None
    """Alarm that was logged last."""


class UpstreamConfigured(Exception):
    """The upstream is in the configuration."""

    def __init__(self, name: str) -> None:
        super().__init__(f'upstream "{name}" is in the configuration')


class Deliveries:
    """The pumps of one daemon."""

    def __init__(
        self,
        outbox: Outbox,
        open_upstream: OpenUpstream,
        *,
        rng: random.Random,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._open_upstream = open_upstream
        self._rng = rng
        self._monotonic = monotonic
        self._sleep = sleep
        self._running: dict[str, _Delivery] = {}
        self._changing = asyncio.Lock()
        """Held while deliveries are begun and ended: a reload must not begin one that a rewind is holding."""

    async def apply(self, wanted: tuple[UpstreamSettings, ...]) -> None:
        """Return when exactly the wanted upstreams are delivered to; unchanged ones are not touched.

        A position belongs to a name: it is made once, kept when the upstream is taken out, and found when it returns.
        Raises OutboxError when the outbox cannot go on.
        """
        by_name = {settings.name: settings for settings in wanted}
        async with self._changing:
            for name in list(self._running):
                if by_name.get(name) != self._running[name].settings:
                    await self._stop(name)
            for name, settings in by_name.items():
                if name not in self._running:
                    self._start(settings, waits_because=await self._register(settings))

    # -- what people decide about positions

    async def rewind(self, name: str, *, to: int, actor: str, reason: str) -> int:
        """Deliver again what is kept behind `to`, and tell of the rest; returns from where on all is kept. Audited.

        The delivery is begun anew: a request under way would move the position forward again. Raises OutboxError,
        ValueError for a position ahead of the upstream's.
        """
        async with self._paused(name):
            return await self._outbox.rewind(name, to=to, actor=actor, reason=reason)

    async def remove(self, name: str, *, actor: str, reason: str) -> None:
        """Forget an upstream that is not configured any more. Audited. Raises UpstreamConfigured, OutboxError."""
        if name in self._running:
            raise UpstreamConfigured(name)
        await self._outbox.unregister(name, actor=actor, reason=reason)

    async def rename(self, name: str, new: str, *, actor: str, reason: str, replace: bool) -> None:
        """Give the position of an upstream that is not configured any more to another name. Audited.

        Raises UpstreamConfigured, OutboxError.
        """
        if name in self._running:
            raise UpstreamConfigured(name)
        async with self._paused(new):
            await self._outbox.rename(name, new, actor=actor, reason=reason, replace=replace)

    @asynccontextmanager
    async def _paused(self, name: str) -> AsyncIterator[None]:
        """Hold a delivery, if there is one, and begin it anew."""
        async with self._changing:
            delivery, order = self._running.get(name), list(self._running)
            if delivery is None:
                yield
                return
            await self._stop(name)
            try:
                yield
            finally:
                self._start(delivery.settings, waits_because=await self._register(delivery.settings))
                self._running = {one: self._running[one] for one in order}

    def nudge(self, name: str | None = None) -> None:
        """Have one pump, or all, try at once and look for retries."""
        for delivery in self._running.values():
            if name is None or delivery.settings.name == name:
                delivery.pump.nudge()

    def states(self) -> list[tuple[UpstreamSettings, PumpState]]:
        """Return each upstream and how it is, in the order of the configuration."""
        return [(delivery.settings, delivery.pump.state) for delivery in self._running.values()]

    def waiting(self) -> list[tuple[str, str]]:
        """Return the upstreams whose position cannot be written yet, each with the reason."""
        return [(name, one.waits_because) for name, one in self._running.items() if one.waits_because is not None]

    async def stop_all(self, deadline_s: float) -> None:
        """Return when every request under way is settled, or abandoned at the deadline: it is then sent again."""
        deliveries = list(self._running.values())
        for delivery in deliveries:
            delivery.pump.stop()
            if delivery.is_resting:
                delivery.task.cancel()
        tasks = [delivery.task for delivery in deliveries]
        if tasks:
            await asyncio.wait(tasks, timeout=max(deadline_s, 0))
        for name in list(self._running):
            await self._stop(name)

    async def _register(self, settings: UpstreamSettings) -> str | None:
        """Give the upstream its position, or return why that has to wait: the disk is full."""
        try:
            await self._outbox.register(settings.name, required=settings.required, start=settings.start)
        except OutboxFull as error:
            log.warning("%s", event("upstream_waits", upstream=settings.name, reason=error, hint=error.hint))
            return str(error)
        return None

    def _start(self, settings: UpstreamSettings, *, waits_because: str | None) -> None:
        upstream = self._open_upstream(settings)
        delivery: _Delivery

        def say(state: PumpState) -> None:
            _log_alarm(delivery, state)

        pump = Pump(
            self._outbox,
            upstream,
            settings,
            rng=self._rng,
            monotonic=self._monotonic,
            sleep=self._sleep,
            on_state=say,
        )
        delivery = _Delivery(settings, upstream, pump, waits_because=waits_because)
        delivery.task = asyncio.create_task(self._keep(delivery), name=f"pump {settings.name}")
        self._running[settings.name] = delivery

    async def _keep(self, delivery: _Delivery) -> None:
        while delivery.waits_because is not None:
            await self._rest(delivery)
            delivery.waits_because = await self._register(delivery.settings)
        while True:
            running = asyncio.ensure_future(delivery.pump.run())
            try:
                # Waited for, not awaited: whatever ended it, the pump is begun again and its error not lost.
                await asyncio.wait([running])
            except asyncio.CancelledError:
                running.cancel()
                await asyncio.wait([running])
                raise
            error = None if running.cancelled() else running.exception()
            if error is None or isinstance(error, OutboxClosed):
                return
            _log_ending(delivery.settings.name, error)
            await self._rest(delivery)

    async def _rest(self, delivery: _Delivery) -> None:
        delivery.is_resting = True
        await self._sleep(RESTART_S)
        delivery.is_resting = False

    async def _stop(self, name: str) -> None:
        delivery = self._running.pop(name)
        delivery.task.cancel()
        await asyncio.wait([delivery.task], timeout=CLOSE_S)
        closing = asyncio.ensure_future(delivery.upstream.aclose())
        await asyncio.wait([closing], timeout=CLOSE_S)
        closing.cancel()
        for task in (delivery.task, closing):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                log.warning("%s", event("delivery_not_closed", upstream=name, reason=error))


def _log_ending(name: str, error: BaseException) -> None:
    """Say why a pump ended: in a line what the outbox refused, whole what is a bug."""
    if isinstance(error, OutboxError):
        log.error("%s", event("delivery_interrupted", upstream=name, reason=error, hint=error.hint))
    else:
        log.error("%s", event("delivery_failed", upstream=name), exc_info=error)


def _log_alarm(delivery: _Delivery, state: PumpState) -> None:
    """Log an alarm when it begins, changes or ends; not at every attempt, though it may tell the time or a count."""
    alarm = state.alarm
    said = (alarm.code, _FIGURES.sub("", alarm.message)) if alarm else None
    if said == delivery.said:
        return
    name = delivery.settings.name
    if alarm is not None:
        line = event("upstream_troubled", upstream=name, code=alarm.code, reason=alarm.message, hint=alarm.hint)
        log.warning("%s", line)
    elif delivery.said is not None:
        log.info("%s", event("upstream_recovered", upstream=name, code=delivery.said[0]))
    delivery.said = said
