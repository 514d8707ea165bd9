"""Whether a connection is read: it is not while there is one reason against it.

Not reading is how a listener says "slower": TCP fills up, and the device waits. Reasons come and go independently (the
client is being introduced, the disk is behind, the device is over its rate or had its turn, the listener stops), so
they are a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

BURST_S: Final = 1.0
"""A device may bring a second's worth of its rate at once."""
IN_FLIGHT_BYTES_MAX: Final = 262_144
"""Of one connection: beyond it all others would wait for the disk as long as one that pours without waiting itself."""


class Valve:
    """The reading side of one transport."""

    def __init__(self, messages_per_s_max: float | None, on_open: Callable[[], None] = lambda: None) -> None:
        """`on_open`: called in the turn after it was opened; it may be shut again by then."""
        self._loop = asyncio.get_running_loop()
        self._on_open = on_open
        self._rate = messages_per_s_max
        self._ready_at = 0.0
        """When all that came so far would have come, at the rate."""
        self._slowing: asyncio.TimerHandle | None = None
        self._bytes_held = 0
        """On their way to disk."""
        self._reasons: set[str] = set()
        self._transport: asyncio.Transport | None = None

    @property
    def is_shut(self) -> bool:
        """True while the device is not listened to."""
        return bool(self._reasons)

    def attach(self, transport: asyncio.Transport) -> None:
        """Work on this transport from now on."""
        self._transport = transport

    def shut(self, reason: str) -> None:
        """Do not read."""
        if not self._reasons and self._transport is not None:
            self._transport.pause_reading()
        self._reasons.add(reason)

    def open(self, reason: str) -> None:
        """This reason is gone; read when it was the last."""
        self._reasons.discard(reason)
        if not self._reasons and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._loop.call_soon(self._on_open)

    def yield_turn(self) -> None:
        """More is here than one connection may have in a turn: shut until the others had theirs."""
        self.shut("turn")
        self._loop.call_soon(self.open, "turn")

    def hold(self, size: int) -> None:
        """Bytes of this connection went on their way to disk."""
        self._bytes_held += size
        if self._bytes_held > IN_FLIGHT_BYTES_MAX:
            self.shut("share")

    def release(self, size: int) -> None:
        """They arrived, or never will."""
        self._bytes_held -= size
        if "share" in self._reasons and self._bytes_held <= IN_FLIGHT_BYTES_MAX:
            self.open("share")

    def count(self, messages: int) -> None:
        """Messages came, or a message with as many scans; shut for as long as they were too many."""
        if self._rate is None:
            return
        now = self._loop.time()
        self._ready_at = max(self._ready_at, now) + messages / self._rate
        ahead_s = self._ready_at - now - BURST_S
        if ahead_s > 0:
            self.shut("rate")
            if self._slowing is not None:
                self._slowing.cancel()
            self._slowing = self._loop.call_later(ahead_s, self.open, "rate")
