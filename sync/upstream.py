"""The other end of a delivery, as the pump sees it.

An upstream turns a batch into one outcome an entry, or raises one of `sync.errors`: results are values, the absence of
an answer is an exception. It holds no position, never retries and never sleeps; the pump does all of that. One contract
suite (`tests/contract/test_upstream_contract.py`) runs every implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from buffer.entry import Outcome
from sync.batch import Batch


@dataclass(frozen=True, slots=True)
class Position:
    """How far the other side says it is."""

    source: str
    """The CloudEvents source the position is about."""
    through: int
    """The highest sequence up to which it holds everything; 0 for nothing."""
    instance: str | None = None
    """Changes when the other side was rebuilt or restored (`centre_instance` on the wire)."""


class Upstream(Protocol):
    """Takes batches of events."""

    claimed_through: int
    """Up to which sequence it holds everything, as an answer to `send` last said; 0 when none did."""

    async def send(self, batch: Batch) -> list[Outcome]:
        """Deliver; return one outcome an entry, in the order of the batch, when the upstream has said so.

        Raises UpstreamUnavailable, UpstreamHolds, BatchRefused or BatchTooLarge.
        """

    async def position(self, source: str) -> Position | None:
        """Say how far the upstream is, or None when it cannot tell. Raises as `send`."""

    def refreshed(self) -> bool:
        """Return whether a credential or certificate changed since it was last used: a held delivery tries again."""

    async def aclose(self) -> None:
        """Close the connections. An upstream that was closed may be used again; it connects anew."""
