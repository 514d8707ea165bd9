"""Turns at something scarce, by where those who wait come from: a crowd from one place waits for itself.

To verify a password costs milliseconds by design, so a stranger with a wrong one a few hundred times a second has a
queue stand before the door. Served in the order of arrival, every honest device behind it would wait for all of it, and
lose its place to a newcomer first. Here the origins take turns, each with its first one.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address: whoever has one has all that share these."""


def origin_of(peer: object) -> str:
    """Return where a connection comes from, by the address of its socket: one IPv4 address, one IPv6 network."""
    if not isinstance(peer, tuple) or not peer:
        return ""
    host = str(peer[0]).partition("%")[0]
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), NETWORK_BITS), strict=False))


class Turns:
    """A bounded number of turns at once."""

    def __init__(self, turns_max: int) -> None:
        self._free = turns_max
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By origin; the one whose turn is next is first."""

    @asynccontextmanager
    async def of(self, origin: str) -> AsyncIterator[None]:
        """Wait for a turn and have it."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(origin)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, origin: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(origin, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it was given and not taken
            else:
                self._forget(origin, turn)
            raise

    def _forget(self, origin: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(origin, deque())
        if turn in queue:
            queue.remove(turn)
        if not queue:
            self._waiting.pop(origin, None)

    def _pass_on(self) -> None:
        while self._waiting:
            origin = next(iter(self._waiting))
            queue = self._waiting.pop(origin)
            turn = queue.popleft()
            if queue:
                self._waiting[origin] = queue  # behind the other origins
            if not turn.done():  # who waited for it may have gone, and not know it yet
                turn.set_result(None)
                return
        self._free += 1
