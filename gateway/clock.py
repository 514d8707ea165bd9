"""The clocks of the process. Only `daemon.py` and the commands take time from here; everything below is handed it.

Whether the wall clock may be believed is asked of the kernel, which the time service (systemd-timesyncd, chrony, ntpd)
tells when it has synchronised: `adjtimex(2)` with `modes = 0` reads, and needs no privilege. The sandbox of the unit
forbids the call (`ProtectClock=`); then the flag file of systemd-timesyncd is believed, and without it nobody vouches.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

EARLIEST_S = 1_763_683_200
"""2025-11-21: this program did not exist before. A computer whose clock battery is empty believes in 1970 or in the day
its firmware was made, whatever a time service thinks of the rate at which that clock goes."""

_TIMESYNC_FLAG = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
# struct timex is 208 bytes on 64-bit Linux; `modes` and `status` are its first and sixth field (adjtimex(2)).
_TIMEX_BYTES = 256
_STATUS_OFFSET = 5 * ctypes.sizeof(ctypes.c_long)


def wall_ms() -> int:
    """Return the wall clock in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Return a clock in seconds that never goes back; it says nothing about the time of day."""
    return time.monotonic()


def boottime_s() -> float:
    """Return a clock as `monotonic_s` that goes on while the computer sleeps: a lid that is closed, a standby."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_synchronised() -> bool:
    """Return True when the system's time service vouches for the wall clock, and the clock can be right at all."""
    return time.time() >= EARLIEST_S and _is_vouched_for()


def _is_vouched_for() -> bool:
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(buffer))
    except (OSError, AttributeError):
        return _TIMESYNC_FLAG.exists()
    if state < 0:
        return _TIMESYNC_FLAG.exists()
    if state == _TIME_ERROR:
        return False
    status = ctypes.c_int.from_buffer(buffer, _STATUS_OFFSET).value
    return not status & _STA_UNSYNC
