"""What is known about a link: its state, how old its last reading is, and when a change is worth an event.

Theory of operation. A driver only runs or has failed; whether the device is *up* is derived here, with hysteresis both
ways, so that a flapping cable makes one "degraded" instead of a thousand ups and downs. A link is up once a reading
came or once it has held for a while; it is down once it has been away for a while; it is silent when it is up and says
nothing for longer than its configuration calls normal. Nothing here waits or reads a clock: `Availability.settle` is
told the time and says when to ask again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers import Reading
from gateway.id_order import id_order

Reported = Literal["up", "down", "silent", "degraded"]
"""What a device event says."""
LinkState = Literal["opening", "up", "down", "silent", "degraded", "faulty", "no-storage", "stopped"]
"""What the status page says. faulty: the device answers wrongly or refuses us, a person has to look. no-storage: the
device is well, but its readings cannot be stored."""

SIGHTINGS_MAX = 10_000
LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FLAP_WINDOW_S = 120.0
FLAPS_MAX = 4
"""More losses than this within the window make a link degraded; it needs a quiet window to be up again."""


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """A device went up, down, silent or degraded."""

    device: str
    state: Reported
    previous: Reported | None
    reason: str | None


Announce = Callable[[DeviceChange], Awaitable[None]]
"""Return once the change is on disk as an event; raises StorageUnavailable."""


@dataclass(slots=True)
class LinkHealth:
    """What the status page shows of one link. Times are seconds of the monotonic clock unless they say `_ms`."""

    device: str
    driver: str
    state: LinkState = "opening"
    since_ms: int = 0
    """Wall clock when the state began."""
    readings: int = 0
    last_reading: float | None = None
    last_byte: float | None = None
    """When the device last sent anything, understood or not; None for a link that cannot tell."""
    restarts: int = 0
    last_error: str | None = None
    hint: str | None = None
    next_attempt: float | None = None


class Sightings:
    """When each device was last heard, for links that serve many.

    Bounded: ids come from outside. Who was silent for longest leaves, so that no number of strangers, nor of names that
    a pattern admits, hides a device that is at work.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float, bool]] = {}  # the one heard last is last

    def note(self, readings: Sequence[Reading], now: float) -> None:
        """Count readings that were taken."""
        last = self._last
        for reading in readings:
            known = last.pop(reading.device, None)
            last[reading.device] = ((known[0] if known else 0) + 1, now, reading.message_id is not None)
            if len(last) > SIGHTINGS_MAX:
                del last[next(iter(last))]

    def of(self, device: str) -> Sighting | None:
        """Return what is known of a device, or None when it was not heard since the start."""
        known = self._last.get(device)
        return Sighting(device, *known) if known else None

    def all(self) -> list[Sighting]:
        """Return every device heard, by id."""
        return [Sighting(device, *self._last[device]) for device in sorted(self._last, key=id_order)]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One device that was heard."""

    device: str
    readings: int
    last: float
    """Monotonic clock, seconds."""
    is_numbered: bool
    """Whether its last message carried a number of its own: only then is a redelivery recognised."""


class Latency:
    """How long takes took, in buckets, from hand-on to commit."""

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one take."""
        self.counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How long a link must be away, or hold, before it is news."""

    down_after_s: float
    up_after_s: float
    silent_after_s: float | None = None


class Availability:
    """Turns openings, readings and failures of one link into changes worth reporting."""

    def __init__(self, hysteresis: Hysteresis) -> None:
        self._limits = hysteresis
        self.reported: Reported | None = None
        self._opened: float | None = None
        self._down_since: float | None = None
        self._held_since: float | None = None
        self._heard = False
        self._last_reading: float | None = None
        self._losses: deque[float] = deque(maxlen=FLAPS_MAX + 1)

    def opened(self, now: float, *, tells: bool) -> None:
        """The driver started to run. `tells`: it will say when it reaches its device; else it is believed to, until it
        fails."""
        self._opened, self._heard = now, False
        self._held_since = None if tells else now
        if self._down_since is None and self.reported is None:
            self._down_since = now

    def connected(self, now: float) -> None:
        """The driver says that it reaches its device."""
        self._held_since = now

    def heard(self, now: float) -> None:
        """A reading came: the link is up."""
        self._heard, self._last_reading = True, now
        self._down_since = None

    def failed(self, now: float) -> None:
        """The driver ended."""
        if self.is_up(now):
            self._losses.append(now)
            self._down_since = now
        elif self._down_since is None:
            self._down_since = now
        self._opened, self._held_since, self._heard = None, None, False

    def settle(self, now: float) -> tuple[Reported | None, float | None]:
        """Return (the state to report now, when to ask again in seconds); None means nothing new, no need to."""
        desired, again = self._desired(now)
        if desired is None or desired == self.reported:
            return None, again
        return desired, again

    def is_up(self, now: float) -> bool:
        """True when a reading came in this run, or the link has held long enough."""
        held = self._held_since is not None and now - self._held_since >= self._limits.up_after_s
        return self._heard or held

    def _desired(self, now: float) -> tuple[Reported | None, float | None]:
        if self.is_up(now):
            self._down_since = None
            return self._desired_while_up(now)
        waits: list[float] = []
        if self._held_since is not None:
            waits.append(self._held_since + self._limits.up_after_s - now)
        if self._flaps(now):
            return "degraded", min(waits, default=None)
        if self._down_since is None:
            return None, min(waits, default=None)
        remaining = self._down_since + self._limits.down_after_s - now
        if remaining <= 0:
            return "down", min(waits, default=None)
        return None, min([*waits, remaining])

    def _desired_while_up(self, now: float) -> tuple[Reported | None, float | None]:
        if self._flaps(now):
            return "degraded", self._losses[0] + FLAP_WINDOW_S - now
        if self.reported == "degraded" and self._losses and now - self._losses[-1] < FLAP_WINDOW_S:
            return None, self._losses[-1] + FLAP_WINDOW_S - now
        if self._limits.silent_after_s is None or self._opened is None:
            return "up", None
        quiet = now - max(self._opened, self._last_reading or self._opened)
        if quiet >= self._limits.silent_after_s:
            return "silent", None
        return "up", self._limits.silent_after_s - quiet

    def _flaps(self, now: float) -> bool:
        return len(self._losses) > FLAPS_MAX and now - self._losses[0] < FLAP_WINDOW_S
