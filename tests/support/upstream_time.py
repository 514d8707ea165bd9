"""Virtual time for one pump: nothing waits, everything that would have waited is known."""

import asyncio
import heapq
from collections.abc import Callable

TURNS = 60
"""Turns of the loop after which everything that can happen without time passing has happened."""


class VirtualTime:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> int:
        return 1_795_248_000_000 + int(self.now * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, woken))
        await woken

    async def turn(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, waking whoever is due on the way."""
        until = self.now + seconds
        await self.turn()
        while self._next_due() is not None and self._sleepers[0][0] <= until:
            self._wake_next()
            await self.turn()
        self.now = until

    async def until(self, is_so: Callable[[], bool], *, within_s: float = 100_000.0) -> None:
        """Let time pass until something is so; fails when nothing more would happen or it takes too long."""
        limit = self.now + within_s
        while True:
            for _ in range(TURNS):
                if is_so():
                    return
                await asyncio.sleep(0)
            assert self._next_due() is not None, "nothing will ever happen"
            assert self._sleepers[0][0] <= limit, "it takes too long"
            self._wake_next()

    def _next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake_next(self) -> None:
        due, _, woken = heapq.heappop(self._sleepers)
        self.now = max(self.now, due)
        if not woken.done():
            woken.set_result(None)
