"""How much the outbox may hold, and when it says no.

Three levels. `calm`: nothing to do. `pressed`: delivered entries are removed before their retention is over, because a
replay window is a wish and intake is a promise. `full`: appends are refused, settling goes on, so what was accepted
still drains. Between full and not full lies a band (hysteresis), else every scan at the mark would get another answer.

Pages that SQLite has freed inside the file count as room, but only for half of the disk reserve: the write-ahead log
needs real space on the disk even when every table fits into freed pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

DAY_MS = 24 * 60 * 60 * 1000
MIB = 1024 * 1024

Level = Literal["calm", "pressed", "full"]

PRESSED_SHARE = 0.80
"""Of the byte cap: from here on there is an alarm, and delivered entries are removed early. A fifth of the room is what
somebody has to come with a bigger disk, or to find out what ails the uplink, before the first scan is refused."""
RESUME_SHARE = 0.95
"""Of the byte cap: a full outbox takes entries again below this."""
RESERVE_RESUME_SHARE = 1.05
RESERVE_PRESSED_SHARE = 1.25

ENTRY_OVERHEAD_BYTES = 250
"""What an entry costs beside its payload (columns, digest, chain, its redelivery row), for estimates only."""

PROBE_AFTER_S = 1.0
"""How long after the disk refused a write the next one is let through to see."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator may choose about the outbox."""

    bytes_max: int = 4096 * MIB
    """Size of the live pages of the file at which appends are refused."""
    disk_reserve_bytes: int = 256 * MIB
    """Free space on the disk at which appends are refused."""
    spare_bytes: int = 0
    """Room set aside for a start, a settle and a salvage on a full disk; more for a large outbox, up to the reserve."""
    retention_ms: int = 14 * DAY_MS
    """How long delivered entries stay, on the operating clock."""
    redelivery_window_ms: int = 30 * DAY_MS
    """How long a numbered message gets the same answer, on the operating clock."""
    commit_entries_max: int = 10_000
    """Entries in one commit; more wait for the next."""
    queue_entries_max: int = 100_000
    """Entries waiting for the writer; more are refused."""
    queue_bytes_max: int = 64 * MIB
    """Bytes waiting for the writer; more are refused."""
    tail_bytes_max: int = 0
    """Payload of the newest entries that is kept in memory for upstreams that keep up; 0 always reads the file."""
    commit_linger_s: float = 0.0
    """Shortest time between the starts of two small commits; 0 commits what queued during the last commit."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at file and disk."""

    bytes_used: int
    """Live pages of the file."""
    bytes_freed: int
    """Pages inside the file that can be used again."""
    disk_free: int
    """Free space for this user on the disk."""


class Room:
    """Whether there is room. The writer thread measures; the event loop only reads `full_reason`."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._refused_at: float | None = None
        self.usage = Usage(0, 0, 0)
        self.level: Level = "calm"
        self.full_reason: str | None = None
        """Why appends are refused; None while they are not."""

    def measure(self, usage: Usage) -> Level:
        """Take note of the usage and return the level it means."""
        self.usage = usage
        reason = self._full_reason(usage, was_full=self.full_reason is not None)
        if reason is None and self._refused_at is not None:
            if self._monotonic() - self._refused_at < PROBE_AFTER_S:
                reason = self.full_reason
            else:
                self._refused_at = None
        self.full_reason = reason
        if reason is not None:
            self.level = "full"
        elif self._is_pressed(usage):
            self.level = "pressed"
        else:
            self.level = "calm"
        return self.level

    def refused(self, reason: str) -> None:
        """The disk itself refused a write: full until a later measure finds room."""
        self._refused_at = self._monotonic()
        self.full_reason = reason
        self.level = "full"

    def _full_reason(self, usage: Usage, *, was_full: bool) -> str | None:
        cap = self._limits.bytes_max * (RESUME_SHARE if was_full else 1.0)
        if usage.bytes_used >= cap:
            return f"the outbox holds {usage.bytes_used // MIB} MiB of {self._limits.bytes_max // MIB} MiB"
        reserve = self._limits.disk_reserve_bytes * (RESERVE_RESUME_SHARE if was_full else 1.0)
        if self._disk_room(usage) < reserve:
            reserve_mib = self._limits.disk_reserve_bytes // MIB
            return f"the disk has {usage.disk_free // MIB} MiB left and {reserve_mib} MiB are kept in reserve"
        return None

    def _is_pressed(self, usage: Usage) -> bool:
        if usage.bytes_used >= self._limits.bytes_max * PRESSED_SHARE:
            return True
        return self._disk_room(usage) < self._limits.disk_reserve_bytes * RESERVE_PRESSED_SHARE

    def _disk_room(self, usage: Usage) -> int:
        return usage.disk_free + min(usage.bytes_freed, self._limits.disk_reserve_bytes // 2)

    def bytes_left(self) -> int:
        """Return how many bytes may still be stored before appends are refused."""
        cap_left = self._limits.bytes_max - self.usage.bytes_used
        disk_left = self._disk_room(self.usage) - self._limits.disk_reserve_bytes
        return max(0, min(cap_left, disk_left))
