"""Answers that the peer has not taken yet, and whether it takes any of them.

A handheld on a bad radio reads its answers slowly; a broken one reads none. Only the second may lose its connection:
the first would send everything again that it was not answered, be as slow as before, and never get through. So what
counts is not how much waits but whether it becomes less, down to what the kernel holds: its buffer is larger than all
answers of a shift, and lets room be seen only when a third of it is free.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable

UNREAD_S = 60.0
"""A peer that took nothing for so long is given up. TCP on a bad radio is silent for twenty seconds and goes on."""


class Unread:
    """What waits for one peer, from `begin` to `end`."""

    def __init__(self, on_stuck: Callable[[], None]) -> None:
        """`on_stuck`: called when the peer took nothing for `UNREAD_S`."""
        self._on_stuck = on_stuck
        self._timer: asyncio.TimerHandle | None = None
        self._size = 0

    def begin(self, transport: asyncio.Transport) -> None:
        """More waits than should: watch whether it becomes less."""
        self.end()
        self._watch(transport)

    def end(self) -> None:
        """It did, or nobody cares any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, transport: asyncio.Transport) -> None:
        self._size = _waiting(transport)
        self._timer = asyncio.get_running_loop().call_later(UNREAD_S, self._look, transport)

    def _look(self, transport: asyncio.Transport) -> None:
        self._timer = None
        if transport.is_closing() or _waiting(transport) >= self._size:
            self._on_stuck()
        else:
            self._watch(transport)


def _waiting(transport: asyncio.Transport) -> int:
    """Return how many bytes the peer has not confirmed, ours and the kernel's."""
    wire = transport.get_extra_info("socket")
    in_kernel = 0
    if wire is not None and wire.fileno() >= 0:
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return transport.get_write_buffer_size() + int(in_kernel)
