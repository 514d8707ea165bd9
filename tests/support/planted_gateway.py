"""The gateway with one bug planted, to show that a test can fail.

python planted_gateway.py BUG run --config FILE
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from buffer import Outbox, connection, lock, opening
from buffer.errors import OutboxError
from buffer.writer import OnKnown, Writer
from drivers.modbus_counter import Counter, Increment, Observed
from gateway.web.server import BoundedProtocol

ANSWER_AFTER_S = 0.05
PROMISED = 13
"""Appends kept back: not fewer than a site under test has scans that wait for their answer, so that what is answered
last is never what is committed already, however slow the machine is."""


def acknowledge_first() -> None:
    """Every append says that it is on disk at once; its commit waits until a round of others has come."""
    really_append = Outbox.append
    promised: deque[Callable[[], object]] = deque()

    def append(self: Outbox, *drafts: Any, on_known: OnKnown | None = None, **rows: Any) -> asyncio.Future[None]:
        promised.append(lambda: really_append(self, *drafts, **rows))
        if len(promised) > PROMISED:
            promised.popleft()()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        done.set_result(None)
        if on_known is not None:
            loop.call_soon(on_known, None)
        return done

    Outbox.append = append  # type: ignore[method-assign,assignment]


def forget_redeliveries() -> None:
    """No message is ever recognised as one that was heard before. Answers leave a little after the commit, so that a
    kill falls in between not only by luck."""
    really_append = Outbox.append

    def append(self: Outbox, *drafts: Any, on_known: OnKnown | None = None, **rows: Any) -> asyncio.Future[None]:
        def late(error: OutboxError | None) -> None:
            if on_known is not None:
                asyncio.get_running_loop().call_later(ANSWER_AFTER_S, on_known, error)

        return really_append(self, *drafts, on_known=late, **rows)

    Outbox.append = append  # type: ignore[method-assign,assignment]
    Outbox.redeliveries = lambda self, keys: {}  # type: ignore[method-assign]


def hang_loop() -> None:
    """The event loop stands still at the next append once the file named in the environment is there; once."""
    really_append = Outbox.append

    def append(self: Outbox, *drafts: Any, **rows: Any) -> asyncio.Future[None]:
        hang_if_asked()
        return really_append(self, *drafts, **rows)

    Outbox.append = append  # type: ignore[method-assign]


def hang_writer() -> None:
    """The same for the thread that writes, in the middle of its work."""
    really_commit = Writer.commit

    def commit(self: Writer, *items: Any) -> Any:
        hang_if_asked()
        return really_commit(self, *items)

    Writer.commit = commit  # type: ignore[method-assign]


def hang_if_asked() -> None:
    trigger = Path(os.environ["DOCKLINE_TEST_HANG"])
    if trigger.exists():
        trigger.unlink()
        time.sleep(3600)


def boots() -> None:
    """No bug: the name of this start of the computer is what the file named in the environment says, as after a power
    cut, which a test can only bring upon a file system."""
    opening.boot_id = lock.boot_id = lambda: Path(os.environ["DOCKLINE_TEST_BOOT"]).read_text()


def no_flush() -> None:
    """Commits are not flushed; and the computer has power cuts."""
    boots()

    def configure(sqlite: Any) -> None:
        really_configure(sqlite)
        sqlite.execute("PRAGMA synchronous = OFF")

    really_configure = connection.configure_writer
    connection.configure_writer = configure


def keep_payloads() -> None:
    """What was committed is never let go of; each scan a little more, as a cache without a bound."""
    really_append = Outbox.append
    kept: list[bytes] = []

    def append(self: Outbox, *drafts: Any, **rows: Any) -> asyncio.Future[None]:
        kept.extend(b"%b" % draft.payload * 30 for draft in drafts[0])
        return really_append(self, *drafts, **rows)

    Outbox.append = append  # type: ignore[method-assign]


def keep_sockets() -> None:
    """Of the connections of the local API a third is never closed."""
    really_lost = BoundedProtocol.connection_lost
    kept: list[socket.socket] = []

    def lost(self: BoundedProtocol, exc: Exception | None) -> None:
        if random.random() < 0.3:
            kept.append(self.transport.get_extra_info("socket").dup())
        really_lost(self, exc)

    BoundedProtocol.connection_lost = lost  # type: ignore[method-assign]


def pocket_parts() -> None:
    """Of the increments of a counter the third is noted as told, and is not told."""
    really_see = Counter.see
    increments = itertools.count(1)

    def see(self: Counter, now: int, now_s: float) -> Observed | None:
        observed = really_see(self, now, now_s)
        if isinstance(observed, Increment) and next(increments) == 3:
            self.settle(now)
            return None
        return observed

    Counter.see = see  # type: ignore[method-assign]


BUGS = {
    "boots": boots,
    "no-flush": no_flush,
    "acknowledge-first": acknowledge_first,
    "forget-redeliveries": forget_redeliveries,
    "hang-loop": hang_loop,
    "hang-writer": hang_writer,
    "keep-payloads": keep_payloads,
    "keep-sockets": keep_sockets,
    "pocket-parts": pocket_parts,
}

if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    from gateway.__main__ import main

    main()
