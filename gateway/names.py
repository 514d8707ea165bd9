"""Looking up host names without holding up anything else.

The system's look-up (getaddrinfo) cannot be interrupted, and with a name server that does not answer it takes half a
minute. asyncio runs it in the threads it has for everything: six of them on a small PC, in which serial ports are
opened and passwords verified as well, and which a stop waits for. A dead uplink would then keep scanners from coming
back and the service from stopping. So every name has a thread of its own here, at most one at a time, that nobody waits
for longer than he wants to.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from threading import Thread
from typing import Any

from drivers.slow_lane import LaneLoop

_Found = list[tuple[Any, Any, int, str, Any]]
_Outcome = tuple[_Found, OSError | UnicodeError | None]


class NameLoop(LaneLoop):
    """An event loop whose look-ups hold up neither its other threads nor its end."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[object, ...], asyncio.Future[_Outcome]] = {}

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> _Found:
        """Return the addresses of a name; raises OSError when there are none. Who asks for the same shares the answer.

        To cancel it is to stop waiting: the look-up itself goes on, and the next to ask joins it.
        """
        asked = (host, port, family, type, proto, flags)
        lookup = self._lookups.get(asked)
        if lookup is None:
            lookup = self.create_future()
            lookup.add_done_callback(lambda _: self._lookups.pop(asked))
            # A daemon thread: the process may end while the system still waits for an answer.
            thread = Thread(target=self._look_up, args=(asked, lookup), name=f"look-up of {host}", daemon=True)
            try:
                thread.start()
            except RuntimeError as starved:  # at a limit of threads (TasksMax=) or memory; the next to ask may get one
                raise OSError(errno.EAGAIN, str(starved)) from None
            self._lookups[asked] = lookup
        found, error = await asyncio.shield(lookup)
        if error is not None:
            raise error.with_traceback(None)
        return found

    def _look_up(self, asked: Any, lookup: asyncio.Future[_Outcome]) -> None:
        """Ask the system, in a thread, and tell the loop if it is still there."""
        try:
            outcome: _Outcome = (socket.getaddrinfo(*asked), None)
        except (OSError, UnicodeError) as error:
            outcome = ([], error)
        with suppress(RuntimeError):
            self.call_soon_threadsafe(_tell, lookup, outcome)


def _tell(lookup: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not lookup.done():
        lookup.set_result(outcome)
