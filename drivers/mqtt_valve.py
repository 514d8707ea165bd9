"""Whether a connection is read: it is not while there is one reason against it.

Not reading is how a listener says "slower": TCP fills up, and the device waits. Reasons come and go independently (the
client is being introduced, the disk is behind, the device is over its rate, the listener stops), so they are a set.
"""

from __future__ import annotations

import asyncio
from typing import Final

BURST_S: Final = 1.0
"""A device may bring a second's worth of its rate at once."""


class Valve:
    """The reading side of one transport."""

    def __init__(self, messages_per_s_max: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._rate = messages_per_s_max
        self._ready_at = 0.0
        """When all that came so far would have come, at the rate."""
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

    def count(self, messages: int) -> None:
        """Messages came; shut for as long as they were too many."""
        if self._rate is None:
            return
        now = self._loop.time()
        self._ready_at = max(self._ready_at, now) + messages / self._rate
        ahead_s = self._ready_at - now - BURST_S
        if ahead_s > 0:
            self.shut("rate")
            self._loop.call_later(ahead_s, self.open, "rate")
