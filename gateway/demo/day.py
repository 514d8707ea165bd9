"""One bad day at a simulated site.

Devices work all day. In the middle of it the uplink is cut, the gateway is killed with SIGKILL and started again, the
uplink returns, and the centre loses some of its answers after taking the events. At the end nothing may be missing,
doubled, invented or out of order; the judge compares what the devices remember with what the centre received.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.child import GatewayProcess, free_port
from gateway.demo.configuration import demo_configuration
from simulators.ledger import Ledger, reconcile
from simulators.parts import PartsCount
from simulators.site import Site, SitePlan

DELIVERY_TIMEOUT_S = 60.0
CUT_AT, KILL_AT, MEND_AT = 0.2, 0.4, 0.6
"""Shares of the day's scans after which something happens."""
EVENING = 2.0
"""More than there is: when all work has ended."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the day."""

    ledger: Ledger
    parts: PartsCount
    answers_lost: int
    """Batches that the centre took and whose answer never arrived."""
    kills: int
    outage_s: float
    gateway_exit: int

    @property
    def holds(self) -> bool:
        """True when every promise held, all parts arrived, and the gateway stopped in good order."""
        return self.ledger.holds and self.parts.missing == 0 and self.parts.counted > 0 and self.gateway_exit == 0


class Day:
    """The story and where it stands; `run` tells it."""

    def __init__(self, folder: Path, plan: SitePlan) -> None:
        self.folder = folder
        self.plan = plan
        self.uplink = "up"
        self.gateway_state = "starting"
        self.story: list[str] = []
        listener = free_port()
        self._listener, self._api = listener, free_port()
        self.site = Site(folder, plan, listener_port=listener)
        self.gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log")
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is something new to see."""
        self.on_tell: Callable[[str], object] = lambda _: None
        """Called with each sentence of the story."""
        self._kills = 0
        self._outage_s = 0.0

    async def run(self) -> Verdict:
        """Live through the day and return the verdict. Raises ChildFailed if the gateway does not start."""
        async with self.site:
            self.gateway.config.write_text(
                demo_configuration(self.folder, self.site, listener=self._listener, api=self._api)
            )
            await self.gateway.start()
            try:
                self._tell("the gateway takes scans", gateway="running")
                work = asyncio.create_task(self.site.work())
                try:
                    await self._go_wrong(work)
                    await work
                finally:
                    work.cancel()
                self._tell("every device has heard an answer to everything it said")
                await self._all_delivered()
            finally:
                exit_code = await self.gateway.stop()
            self._tell("the gateway stopped in good order", gateway="stopped")
            return self._verdict(exit_code)

    async def _go_wrong(self, work: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        await self._after(CUT_AT, work)
        self.site.uplink.cut()
        cut_at = loop.time()
        self._tell("the uplink is cut", uplink="CUT")
        await self._after(KILL_AT, work)
        await self.gateway.kill()
        self._kills += 1
        self._tell("the gateway is killed in mid-flow (SIGKILL)", gateway="KILLED")
        await self.gateway.start()
        self._tell("the gateway is back, with the uplink still down", gateway="running")
        await self._after(MEND_AT, work)
        await self.site.uplink.mend()
        self._outage_s = loop.time() - cut_at
        self._tell("the uplink returns; the centre loses some answers", uplink="up")
        await self._after(EVENING, work)

    async def _after(self, share: float, work: asyncio.Task[None]) -> None:
        """Return once this share of the day's scans is acknowledged, or all work has ended."""
        while not work.done() and self.site.done() < share * self.site.tokens_expected:
            await asyncio.wait({work}, timeout=0.1)
            self.on_change()

    async def _all_delivered(self) -> None:
        """Return when the centre has everything, or when it will not come any more: then the verdict says so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self.site.centre.until(lambda _: self._is_complete())

    def _is_complete(self) -> bool:
        self.on_change()
        ledger = reconcile(self.site.device_scans(), self.site.centre_events())
        return not ledger.lost and ledger.delivered == ledger.injected and self.site.parts().missing <= 0

    def _verdict(self, exit_code: int) -> Verdict:
        return Verdict(
            ledger=reconcile(self.site.device_scans(), self.site.centre_events()),
            parts=self.site.parts(),
            answers_lost=sum(attempt.act is not None for attempt in self.site.centre.attempts),
            kills=self._kills,
            outage_s=self._outage_s,
            gateway_exit=exit_code,
        )

    def _tell(self, what: str, *, uplink: str | None = None, gateway: str | None = None) -> None:
        self.story.append(what)
        self.on_tell(what)
        self.uplink = uplink or self.uplink
        self.gateway_state = gateway or self.gateway_state
        self.on_change()
