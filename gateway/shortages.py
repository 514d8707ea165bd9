"""What the process itself runs short of: file descriptors, a place for its log, memory.

None belongs to a device or an upstream. The first two stop no scan: connections that stand go on, lines that do not
fit are lost. Somebody has to know all the same, so each is an alarm while it lasts and a moment longer. A process that
gets no memory is another matter: it lives and answers the watchdog, and every connection dies of its first read. It is
ended, and systemd starts one that has the memory of the dead.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.log import event
from gateway.status import AlarmStatus

log = logging.getLogger(__name__)

LASTS_S: Final = 60.0
"""How long after it was last met a shortage counts as lasting."""
_NO_MORE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Why the kernel hands out no further connection: ours are used up, everybody's are, no memory for it."""
_REOPENS = "._start_serving("
"""What the loop calls a second after a refused connection, named in its message."""
_NO_CONNECTION_HINT = "ss -tnp shows who holds connections open; LimitNOFILE= of the unit is how many there may be"
_NO_MEMORY_HINT = "it ends, to be started again; what takes the memory? MemoryMax= of the unit bounds ours"
_NO_LINE_HINT = "is the disk of the journal full, or does the journal hang?"


class Shortages:
    """Notes what ran out, and tells it as alarms."""

    def __init__(
        self, monotonic: Callable[[], float], lines_lost: Callable[[], int], *, on_starved: Callable[[], None]
    ) -> None:
        """`lines_lost` is how many lines of the log could not be written so far; `on_starved` ends the process."""
        self._monotonic = monotonic
        self._on_starved = on_starved
        self._lines_lost = lines_lost
        self._lines_seen = 0
        self._lines_at = float("-inf")
        self._refused_at = float("-inf")
        self._refused = ""

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Take an error nobody handled, as the event loop reports it (`set_exception_handler`).

        A door that may not open further is no fault of the program: the loop tries again after a second. Everything
        else is logged as asyncio does.
        """
        error = context.get("exception")
        if isinstance(error, MemoryError):
            log.critical("%s", event("memory_refused", hint=_NO_MEMORY_HINT))
            self._on_starved()
            return
        if isinstance(error, ValueError) and _REOPENS in str(context.get("message")) and self._is_refusing():
            return  # the second is over, and the door was shut for good meanwhile: the gateway stops, or moved it
        if not isinstance(error, OSError) or error.errno not in _NO_MORE:
            loop.default_exception_handler(dict(context))
            return
        now = self._monotonic()
        if now - self._refused_at > LASTS_S:
            log.error("%s", event("connections_refused", reason=error.strerror, hint=_NO_CONNECTION_HINT))
        self._refused_at, self._refused = now, error.strerror or str(error)

    def _is_refusing(self) -> bool:
        return self._monotonic() - self._refused_at <= LASTS_S

    def alarms(self) -> list[AlarmStatus]:
        """Return what is short now."""
        found, now = [], self._monotonic()
        if self._is_refusing():
            text = f"no further connection can be taken: {self._refused}; those that stand go on"
            found.append(AlarmStatus("connections_refused", "gateway", text, _NO_CONNECTION_HINT))
        lost = self._lines_lost()
        if lost > self._lines_seen:
            self._lines_seen, self._lines_at = lost, now
        if now - self._lines_at <= LASTS_S:
            text = f"{lost} {'line' if lost == 1 else 'lines'} of the log could not be written"
            found.append(AlarmStatus("log_lines_lost", "log", text, _NO_LINE_HINT))
        return found
