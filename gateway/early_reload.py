"""SIGHUP before the daemon listens to it: it would end the process, and ignored it would be forgotten.

Imported before anything else, so it imports nothing but `signal`: reading the program from a slow disk takes most of a
start.
"""

from __future__ import annotations

import signal
from collections.abc import Callable


class EarlyReload:
    """Takes SIGHUP, and hands it on once there is somebody to hand it to."""

    def __init__(self) -> None:
        self._is_wanted = False
        self._request: Callable[[], None] | None = None

    def listen(self) -> None:
        """Take the signal from now on."""
        signal.signal(signal.SIGHUP, self._note)

    def pass_on(self, request: Callable[[], None]) -> None:
        """Call `request` for a signal that came, and for each that comes."""
        self._request = request
        if self._is_wanted:
            request()

    def _note(self, *_: object) -> None:
        self._is_wanted = True
        if self._request is not None:
            self._request()


EARLY_RELOAD = EarlyReload()
"""The one of this process."""
