"""Sockets that the event loop looks at only now and then.

Theory of operation. Waking up is what a trickle of scans costs: two hundred reads a second are two hundred wakes, each
with cold caches, for scans that would have been taken together anyway. A network card knows the same trouble and holds
its interrupt back for a moment. So does this: sockets in the slow lane are watched through an epoll of their own, and
while that one is held, the loop sleeps through whatever arrives there. Nothing is lost or reordered, it stays in the
kernel; when the lane is released, one wake finds all of it.

Who holds the lane releases it, and says when before he holds it: nothing here has a clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, Final

_READ: Final = selectors.EVENT_READ
_Ready = list[tuple[selectors.SelectorKey, int]]


class LaneSelector(selectors.BaseSelector):
    """Watches sockets in two lanes. For an event loop: `asyncio.SelectorEventLoop(LaneSelector())`."""

    def __init__(self) -> None:
        self._fast = selectors.EpollSelector()
        self._slow = selectors.EpollSelector()
        self._members: set[int] = set()
        """File descriptors that belong to the slow lane, watched at the moment or not."""
        self._fast.register(self._slow, _READ)
        self._is_held = False

    # What a driver says.

    def join(self, fd: int) -> None:
        """Have a socket watched in the slow lane from now on."""
        if fd in self._members:
            return
        key = self._fast.get_map().get(fd)
        if key is not None:
            self._fast.unregister(fd)
            self._slow.register(fd, key.events, key.data)
        self._members.add(fd)

    def leave(self, fd: int) -> None:
        """The socket is about to be closed: the next one with its number is another."""
        if fd not in self._members:
            return
        self._members.discard(fd)
        key = self._slow.get_map().get(fd)
        if key is not None:
            self._slow.unregister(fd)
            self._fast.register(fd, key.events, key.data)

    def hold(self) -> None:
        """Sleep through what arrives in the slow lane, until `release`."""
        if not self._is_held:
            self._is_held = True
            self._fast.unregister(self._slow)

    def release(self) -> None:
        """Look at the slow lane again."""
        if self._is_held:
            self._is_held = False
            self._fast.register(self._slow, _READ)

    # What the event loop asks.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        return self._of(fileobj).register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        return self._of(fileobj).unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        return self._of(fileobj).modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector`."""
        return self._of(fileobj).get_key(fileobj)

    def select(self, timeout: float | None = None) -> _Ready:
        """As `selectors.BaseSelector`; what waits in the slow lane comes in the place of the lane."""
        ready = self._fast.select(timeout)
        for number, (key, _) in enumerate(ready):
            if key.fileobj is self._slow:
                ready[number : number + 1] = self._slow.select(0)
                break
        return ready

    def close(self) -> None:
        """As `selectors.BaseSelector`."""
        self._slow.close()
        self._fast.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As `selectors.BaseSelector`."""
        return ChainMap(self._fast.get_map(), self._slow.get_map())  # type: ignore[arg-type]

    def _of(self, fileobj: Any) -> selectors.EpollSelector:
        return self._slow if fileobj in self._members else self._fast


class LaneLoop(asyncio.SelectorEventLoop):
    """An event loop with a slow lane."""

    def __init__(self) -> None:
        self.lanes = LaneSelector()
        super().__init__(self.lanes)


def running_lanes() -> LaneSelector | None:
    """Return the lanes of the running loop, if it has some."""
    loop = asyncio.get_running_loop()
    return loop.lanes if isinstance(loop, LaneLoop) else None
