"""What intake needs of the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from buffer.entry import Draft, Redelivery, StateRow
from buffer.errors import OutboxError

OnKnown = Callable[[OutboxError | None], None]
"""Told what became of a commit: None when it is on disk."""


class OutboxPort(Protocol):
    """The part of `buffer.Outbox` that intake uses."""

    @property
    def source(self) -> str:
        """The source of events, with its epoch; another one from one call to the next when an epoch begins."""

    @property
    def failed_commits(self) -> int:
        """How many commits failed; grows before anybody is told of a failed commit."""

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        state: Sequence[StateRow] = (),
        redeliveries: Sequence[Redelivery] = (),
        on_known: OnKnown | None = None,
    ) -> asyncio.Future[None]:
        """Queue one commit; the future is done after it. Raises OutboxError at once when nothing can be queued.

        `on_known` is called when the commit is known, in the order of the calls: with None when it is on disk, with
        the reason when it failed, and then for everything queued behind it before anything else runs.
        """

    def one_look(self) -> AbstractContextManager[None]:
        """Do the lookups within on one state of the file; raises OutboxError on entry."""

    def redeliveries(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Redelivery]:
        """Return the committed answers to those (device, message_id) keys."""

    def states(self, prefix: str = "") -> list[StateRow]:
        """Return the committed state rows whose key begins with `prefix`."""
