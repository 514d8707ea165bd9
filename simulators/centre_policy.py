"""What a simulated centre insists on, and what it remembers of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulators.centre_script import Act


@dataclass(slots=True)
class Policy:
    """What the centre insists on. May be changed while it runs."""

    token: str | None = None
    secret: str | None = None
    """Standard Webhooks secret; with it every batch must be signed."""
    body_bytes_max: int = 16_000_000
    takes_gzip: bool = True
    says_gzip: bool = False
    """Announce gzip in `Accept-Encoding`."""
    poison: tuple[str, ...] = ()
    """Texts that make an event unacceptable when they occur in it."""
    poison_answer: Literal["named", "400", "422"] = "named"
    knows_gaps: bool = True
    answers: Literal["both", "through", "ids", "plain"] = "both"
    """How it acknowledges; plain is a webhook's 200 without content."""
    instance: str = "centre-1"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to the events path."""

    number: int
    at: float
    """Monotonic clock, seconds."""
    headers: dict[str, str]
    body: bytes
    """Content coding taken off; empty when it was refused before it was read."""
    ids: tuple[str, ...]
    act: Act | None
    status: int | None
    """None when nothing was answered."""


@dataclass(slots=True)
class Tally:
    """What the fast mode counts."""

    events: int = 0
    requests: int = 0
    through: int = 0
    gaps: int = 0
    """Sequences that were jumped over."""
    repeats: int = 0
    """Sequences that came again."""
