"""What a pump tells the world about itself: for status, metrics and health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["starting", "idle", "delivering", "unavailable", "on_hold", "stopped"]
"""starting: no request was answered yet. idle: everything is delivered. delivering: requests are answered.
unavailable: nobody answers, it is tried again by itself. on_hold: the upstream refuses us, a person is needed; it is
tried again slowly. stopped: the pump ended."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A trouble that lasts, named."""

    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class PumpState:
    """One upstream at one moment."""

    upstream: str
    health: Health = "starting"
    alarm: Alarm | None = None
    settled_through: int = 0
    """Everything up to this sequence is delivered, quarantined or announced as a gap."""
    newest: int = 0
    """The newest sequence when the last request was made."""
    next_attempt_at: float | None = None
    """On the monotonic clock, seconds; None unless the pump is waiting to try again."""
    failures: int = 0
    """Failures since the last answer."""
    requests: int = 0
    """Batches sent since the start, every attempt counted."""
    delivered: int = 0
    """Events accepted since the start."""
    rejected: int = 0
    """Events rejected since the start."""
    answered_at: float | None = None
    """When the upstream last gave an answer, on the monotonic clock."""

    @property
    def lag(self) -> int:
        """Events between the newest and the settled one."""
        return max(self.newest - self.settled_through, 0)
