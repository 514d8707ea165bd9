"""Sockets that the event loop looks at only now and then.

Theory of operation. Waking up is what a trickle of scans costs: two hundred reads a second are two hundred wakes, each
with cold caches, for scans that would have been taken together anyway. A network card knows the same trouble and holds
its interrupt back for a moment. So does this: sockets in the slow lane are watched through an epoll of their own, and
while that one is held, the loop sleeps through whatever arrives there. Nothing is lost or reordered, it stays in the
kernel; when the lane is released, one wake finds all of it.

Who holds the lane releases it, and says when before he holds it: nothing here has a clock.

A burst is the other trouble. Forty handhelds that empty their memories at once bring eight thousand scans in one turn
of the loop, a fifth of a second in which no scanner is answered, no page served and nothing delivered. So a turn looks
at everybody who brings little, and of those who bring much only at as many as `TURN_BYTES` allow, the longest waiting
first: a person who scans one carton does not queue behind the memories of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import selectors
import termios
from array import array
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, Final

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
_IN: Final = select.EPOLLIN
LITTLE_BYTES: Final = 1024
"""Waiting in a socket: four or five scans."""
TURN_BYTES: Final = 32_768
"""Of those who bring more, in one turn; some milliseconds of work. At least one of them has his turn."""
LOOKED_AT_MAX: Final = 256
"""Sockets in one turn; the kernel shows the others first in the next."""
_Ready = list[tuple[selectors.SelectorKey, int]]


class LaneSelector(selectors.BaseSelector):
    """Watches sockets in two lanes. For an event loop: `asyncio.SelectorEventLoop(LaneSelector())`."""

    def __init__(self) -> None:
        self._fast = selectors.EpollSelector()
        self._slow = _SlowLane()
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
        self._slow.forget(fd)
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
                ready[number : number + 1] = self._slow.ready()
                break
        return ready

    def close(self) -> None:
        """As `selectors.BaseSelector`."""
        self._slow.close()
        self._fast.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As `selectors.BaseSelector`."""
        return ChainMap(self._fast.get_map(), self._slow.get_map())  # type: ignore[arg-type]

    def _of(self, fileobj: Any) -> selectors.EpollSelector | _SlowLane:
        return self._slow if fileobj in self._members else self._fast


class _SlowLane:
    """As much of a selector as the slow lane needs, and a fair look at those that are ready."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._turn = 0
        self._turns: dict[int, int] = {}
        """When each who brought much last had his turn."""

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, fd: int, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fd] = selectors.SelectorKey(fd, fd, events, data)
        self._epoll.register(fd, _mask(events))
        return key

    def unregister(self, fd: int) -> selectors.SelectorKey:
        key = self._keys.pop(fd)
        with contextlib.suppress(OSError):  # closed meanwhile
            self._epoll.unregister(fd)
        return key

    def modify(self, fd: int, events: int, data: Any = None) -> selectors.SelectorKey:
        self._epoll.modify(fd, _mask(events))
        key = self._keys[fd] = self._keys[fd]._replace(events=events, data=data)
        return key

    def get_key(self, fd: int) -> selectors.SelectorKey:
        return self._keys[fd]

    def get_map(self) -> dict[int, selectors.SelectorKey]:
        return self._keys

    def ready(self) -> _Ready:
        """Return who is ready now and has his turn."""
        found: _Ready = []
        much: list[tuple[int, int, int]] = []
        keys = self._keys
        # Room for just those: the default is room for a thousand, and it is made anew each time.
        ready = self._epoll.poll(0, min(len(keys), LOOKED_AT_MAX) or 1)
        for fd, mask in ready:
            key = keys.get(fd)
            if key is None:
                continue  # closed, and still open in a copy: the kernel goes on telling of it
            if mask == _IN:
                size = _bytes_waiting(fd) if len(ready) > 1 else 0  # who is alone takes nobody's turn
                if size > LITTLE_BYTES:
                    much.append((self._turns.get(fd, 0), fd, size))
                else:
                    found.append((key, _READ & key.events))
                continue
            # An error or a hang-up is told to whoever reads or writes, as the selectors of Python do.
            events = (_READ if mask & ~select.EPOLLOUT else 0) | (_WRITE if mask & ~select.EPOLLIN else 0)
            found.append((key, events & key.events))
        room = TURN_BYTES
        for _, fd, size in sorted(much):
            if room <= 0:
                break
            room -= size
            self._turn += 1
            self._turns[fd] = self._turn
            found.append((keys[fd], _READ & keys[fd].events))
        return found

    def forget(self, fd: int) -> None:
        """The next socket with this number is another."""
        self._turns.pop(fd, None)

    def close(self) -> None:
        self._epoll.close()


def _bytes_waiting(fd: int) -> int:
    count = array("i", [0])
    with contextlib.suppress(OSError):  # no socket that can tell: it brings little
        fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _mask(events: int) -> int:
    return (select.EPOLLIN if events & _READ else 0) | (select.EPOLLOUT if events & _WRITE else 0)


class LaneLoop(asyncio.SelectorEventLoop):
    """An event loop with a slow lane."""

    def __init__(self) -> None:
        self.lanes = LaneSelector()
        super().__init__(self.lanes)


def running_lanes() -> LaneSelector | None:
    """Return the lanes of the running loop, if it has some."""
    loop = asyncio.get_running_loop()
    return loop.lanes if isinstance(loop, LaneLoop) else None
