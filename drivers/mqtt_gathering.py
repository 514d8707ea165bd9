"""Single scans of many devices, taken in together.

At a couple of hundred scans a second most of the work is not the scan but waking up for it: a read, a decision, a
commit and an answer find every cache cold. So reads that follow each other closely wait for company, and are acted on
in one turn: their scans are handed on as one list and share decision, commit and flush. They wait for `GATHER_S` after
the last ones were taken; at a pace at which `COMPANY` reads come sooner than in `CLOSE_S`, only until that many are
here. A read after a quiet moment is acted on at once, and so is every read while one device talks alone: one that waits
for each answer before it says the next would only be slowed down. A crowd does not wait, nor does a large read.

With a lane (`slow_lane`) the loop does not even wake up for what will wait for `GATHER_S`. It may then find a crowd
that it would not have kept waiting, but no later than anybody else.

What waits is unread as far as anybody is told: it is not acknowledged, and a connection that ends acts on it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

GATHER_S: Final = 0.03
"""Nobody at a dock notices it, and at two hundred scans a second it shares each wake-up between six."""
COMPANY: Final = 3
CLOSE_S: Final = 0.01
"""`COMPANY` reads within this are company enough: at a thousand scans a second, where waiting longer would cost more
than it saves."""
CROWD_MAX: Final = 32
"""This many never wait."""
READ_BYTES_MAX: Final = 1024
"""A read of more is a crowd by itself."""
QUIET_S: Final = 0.2
"""After it the pace is forgotten and a quick one expected: what begins must not begin with long waits."""
QUICK_S: Final = 0.004
"""`COMPANY` reads in this, until it is known better."""
_KEPT: Final = 0.8
"""Of what is known of the pace, from one taking in to the next: it follows within a few of them."""


class Talker(Protocol):
    """A connection that reads."""

    def act_on(self, data: bytes) -> None:
        """Act on bytes of one or more reads."""


class Lane(Protocol):
    """Where connections are read that may wait."""

    def hold(self) -> None:
        """Sleep through what arrives."""

    def release(self) -> None:
        """Look at what arrived, in the next turn of the loop."""


class Gathering:
    """The reads of one listener. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, lane: Lane | None = None) -> None:
        """`loop` tells the time and wakes; None takes the running one."""
        self._loop = loop or asyncio.get_running_loop()
        self._lane = lane
        self._waiting: list[tuple[Talker, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = -QUIET_S
        self._is_quick = True
        self._wait_s, self._enough = CLOSE_S, COMPANY
        """How long what comes now waits, since `_opened_at`, and for how many reads."""
        self._reads, self._span_s = float(COMPANY), QUICK_S
        """The pace lately: so many reads in so many seconds."""
        self._is_looking = False
        """The lane was released; what comes in one turn of the loop belongs together."""
        self._alone: Talker | None = None
        """Who talked last, when nobody else did since it began."""
        self.is_acting = False
        """Several talkers have their turn; `on_acted` is called when all of them had it."""
        self.on_acted: Callable[[], None] = lambda: None

    def arrive(self, talker: Talker, data: bytes) -> None:
        """Bytes were read: act on them now or, in this order, within `GATHER_S`."""
        waiting = self._waiting
        if self._is_looking:
            waiting.append((talker, data))
            if len(data) > READ_BYTES_MAX:
                # Not kept until the others of this turn were read, who may bring as much each.
                self.open()
                self._is_looking = True
            elif len(waiting) == 1:
                self._loop.call_soon(self.open)
        elif waiting:
            waiting.append((talker, data))
            if len(data) > READ_BYTES_MAX or len(waiting) >= self._enough:
                self.open()
        else:
            now = self._loop.time()
            if talker is self._alone or now - self._opened_at >= self._wait_s or len(data) > READ_BYTES_MAX:
                self._note(now, 1)
                self._alone = talker
                talker.act_on(data)
            else:
                waiting.append((talker, data))
                self._timer = self._loop.call_at(self._opened_at + self._wait_s, self.open)

    def open(self) -> None:
        """Act on everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lane is not None:
            self._lane.release()
        self._is_looking = False
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._note(self._loop.time(), len(waiting))
            self._alone = waiting[0][0] if len(waiting) == 1 else None
            if self._lane is not None and self._may_sleep(waiting):
                self._lane.hold()
                self._timer = self._loop.call_at(self._opened_at + self._wait_s, self._look)
        self.is_acting = True
        try:
            for talker, data in waiting:
                talker.act_on(data)
        finally:
            self.is_acting = False
            self.on_acted()

    def _note(self, now: float, reads: int) -> None:
        """So many reads are taken in."""
        span_s, self._opened_at = now - self._opened_at, now
        if span_s >= QUIET_S:
            self._reads, self._span_s = COMPANY, QUICK_S
        elif reads >= 2 * COMPANY:
            self._reads, self._span_s = reads, span_s  # what was known is no longer true
        else:
            self._reads = self._reads * _KEPT + reads
            self._span_s = self._span_s * _KEPT + min(span_s, GATHER_S)
        self._is_quick = COMPANY * self._span_s <= CLOSE_S * self._reads
        self._wait_s = CLOSE_S if self._is_quick else GATHER_S
        self._enough = COMPANY if self._is_quick else CROWD_MAX

    def _may_sleep(self, taken: list[tuple[Talker, bytes]]) -> bool:
        """Whether nobody need count what comes next: there is company, and it comes slowly."""
        if self._is_quick or not 1 < len(taken) < CROWD_MAX:
            return False
        return all(len(data) <= READ_BYTES_MAX for _, data in taken)

    def _look(self) -> None:
        assert self._lane is not None
        self._timer = None
        self._is_looking = True
        self._lane.release()
