"""A pump in virtual time, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

from upstream_outbox import FakeOutbox
from upstream_time import VirtualTime

from sync import Pump, PumpSettings, PumpState, Upstream


class PumpBench:
    def __init__(
        self,
        outbox: FakeOutbox,
        upstream: Upstream,
        *,
        time: VirtualTime | None = None,
        seed: int = 1,
        **settings: object,
    ) -> None:
        self.time = time or VirtualTime()
        self.outbox = outbox
        self.states: list[PumpState] = []
        self.pump = Pump(
            outbox,
            upstream,
            PumpSettings(name="centre", **settings),  # type: ignore[arg-type]
            rng=Random(seed),
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            on_state=self.states.append,
        )
        self.task: asyncio.Task[None] | None = None

    @property
    def state(self) -> PumpState:
        return self.pump.state

    async def settled(self, through: int) -> None:
        """Return when everything up to `through` is settled."""
        await self.until(lambda: self.outbox.at >= through)
        await self.time.turn()

    async def until(self, is_so: object, *, within_s: float = 100_000.0) -> None:
        def is_so_or_dead() -> bool:
            assert self.task is not None
            if self.task.done():
                self.task.result()
            return bool(is_so())  # type: ignore[operator]

        await self.time.until(is_so_or_dead, within_s=within_s)


@contextlib.asynccontextmanager
async def pumping(outbox: FakeOutbox, upstream: Upstream, **how: object) -> AsyncIterator[PumpBench]:
    bench = PumpBench(outbox, upstream, **how)  # type: ignore[arg-type]
    bench.task = asyncio.ensure_future(bench.pump.run())
    try:
        yield bench
    finally:
        if bench.task.done():
            bench.task.result()
        bench.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bench.task
