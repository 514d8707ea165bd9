"""One request and its answer over HTTP, and what carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sync.answer import Answer


class NoConnection(Exception):
    """Nobody was reached: no name, no road, no open port, or no agreement about TLS. The cause says which."""


class BrokenConnection(Exception):
    """The connection ended, or spoke no HTTP, before the whole answer was here. Nothing is known of the request."""


class NotHttp(BrokenConnection):
    """What came is no HTTP/1.1: another service has this port, or the other kind of http and https."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    method: str
    url: str
    """Absolute, ASCII, http or https."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Without Host and Content-Length: those are the carrier's."""
    body: bytes = b""
    answer_bytes_max: int = 1_048_576
    """The body of the answer is read this far and one byte, as `Answer.is_cut` wants it."""
    on_bytes: Callable[[], None] | None = None
    """Called for every piece of the answer that comes, for whoever waits as long as something does."""


class Carrier(Protocol):
    """Carries requests to a server. No cookies, no redirects, no proxy, no content coding: what is said is sent."""

    async def exchange(self, request: Request) -> Answer:
        """Return the answer. Raises NoConnection, BrokenConnection. Has no deadline: cancelling it is safe."""

    def close(self) -> None:
        """Close what is open; the next exchange connects anew."""
