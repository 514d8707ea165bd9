"""The newest entry on disk, and who waits for a newer one."""

from __future__ import annotations

import asyncio


class Newest:
    """What the event loop knows of the end of the journal."""

    def __init__(self, seq: int, chain: bytes) -> None:
        self.seq = seq
        self.chain = chain
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def move(self, seq: int, chain: bytes) -> None:
        """A commit brought entries up to `seq`: wake whoever waited for one of them."""
        self.seq, self.chain = seq, chain
        if not self._waiters:
            return
        due = [waiter for after, waiter in self._waiters if after < seq]
        self._waiters = [(after, waiter) for after, waiter in self._waiters if after >= seq and not waiter.done()]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)

    async def beyond(self, after: int) -> None:
        """Return when there is an entry above `after`."""
        if self.seq > after:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((after, waiter))
        try:
            await waiter
        finally:  # not left to the next commit: on a quiet week-end there is none
            self._waiters = [one for one in self._waiters if one[1] is not waiter]

    def let_go(self) -> None:
        """Cancel whoever waits: there will be no newer one."""
        for _, waiter in self._waiters:
            waiter.cancel()
