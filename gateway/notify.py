"""Words to systemd: ready, reloading, stopping, and the watchdog's food (sd_notify(3)).

A datagram to the socket systemd names in `$NOTIFY_SOCKET`; without one every call does nothing. A message that cannot
be sent is dropped: the gateway works without systemd, and systemd notices silence by itself.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from collections.abc import Mapping


class Notifier:
    """Speaks to the service manager."""

    def __init__(self, environ: Mapping[str, str], *, pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            # Open from now on: who has no file descriptor left is not dead, and must not be killed for it.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            weakref.finalize(self, self._socket.close)
        self.watchdog_interval_s = _watchdog_interval_s(environ, pid)
        """How often `watchdog` has to be called: half of what systemd allows. None: it does not watch us."""

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def reloading(self, monotonic_s: float) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1_000_000)}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=stopping")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def patience(self, seconds: float, status: str) -> None:
        """Ask for so much more time to get ready, from now on (`EXTEND_TIMEOUT_USEC=`)."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Set the line `systemctl status` shows."""
        self._send(f"STATUS={_one_line(text)}")

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto(message.encode(), self._address)


def _watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or (meant_for and meant_for != str(pid)):
        return None
    return int(microseconds) / 2_000_000


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
