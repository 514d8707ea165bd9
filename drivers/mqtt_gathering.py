"""Single scans of many devices, taken in together.

At a couple of hundred scans a second most of the work is not the scan but waking up for it: a read, a decision, a
commit and an answer find every cache cold. So reads that follow each other closely wait for company, `GATHER_S` at most
after the last ones were taken, and are acted on in one turn: their scans are handed on as one list and share decision,
commit and flush. A read after a quiet moment is acted on at once, and so is every read while one device talks alone:
one that waits for each answer before it says the next would only be slowed down. A crowd does not wait, nor does a
large read.

What waits is unread as far as anybody is told: it is not acknowledged, and a connection that ends acts on it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

GATHER_S: Final = 0.03
"""Nobody at a dock notices it, and at two hundred scans a second it shares each wake-up between six."""
CLOSE_S: Final = 0.01
READS_MAX: Final = 3
"""This many within `CLOSE_S` are company enough: at a thousand scans a second, where waiting longer would cost more
than it saves."""
CROWD_MAX: Final = 32
"""This many never wait."""
READ_BYTES_MAX: Final = 1024
"""A read of more is a crowd by itself."""


class Talker(Protocol):
    """A connection that reads."""

    def act_on(self, data: bytes) -> None:
        """Act on bytes of one or more reads."""


class Gathering:
    """The reads of one listener. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop` tells the time and wakes; None takes the running one."""
        self._loop = loop or asyncio.get_running_loop()
        self._waiting: list[tuple[Talker, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = -GATHER_S
        self._began_at = 0.0
        """When the first of those that wait arrived."""
        self._alone: Talker | None = None
        """Who talked last, when nobody else did since it began."""
        self.is_acting = False
        """Several talkers have their turn; `on_acted` is called when all of them had it."""
        self.on_acted: Callable[[], None] = lambda: None

    def arrive(self, talker: Talker, data: bytes) -> None:
        """Bytes were read: act on them now or, in this order, within `GATHER_S`."""
        waiting = self._waiting
        if waiting:
            waiting.append((talker, data))
            if len(data) > READ_BYTES_MAX or (
                len(waiting) >= READS_MAX
                and (len(waiting) >= CROWD_MAX or self._loop.time() - self._began_at <= CLOSE_S)
            ):
                self.open()
            return
        now = self._loop.time()
        due = self._opened_at + GATHER_S
        if talker is self._alone or now >= due or len(data) > READ_BYTES_MAX:
            self._opened_at, self._alone = now, talker
            talker.act_on(data)
            return
        waiting.append((talker, data))
        self._began_at = now
        self._timer = self._loop.call_at(due, self.open)

    def open(self) -> None:
        """Act on everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._opened_at, self._alone = self._loop.time(), waiting[0][0] if len(waiting) == 1 else None
        self.is_acting = True
        try:
            for talker, data in waiting:
                talker.act_on(data)
        finally:
            self.is_acting = False
            self.on_acted()
