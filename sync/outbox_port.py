"""What the pump needs of the outbox, and nothing more. `buffer.Outbox` is one; so is the fake of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from buffer.entry import Entry, StateRow


class ChainHead(Protocol):
    """The newest link of the outbox's hash chain."""

    @property
    def source(self) -> str:
        """The source with its epoch."""

    @property
    def seq(self) -> int:
        """Sequence of the newest entry; 0 when there is none."""

    @property
    def chain_hex(self) -> str:
        """Its chain hash."""


class Epoch(Protocol):
    """A stretch of the journal under one source."""

    @property
    def source(self) -> str:
        """The source with its epoch."""

    @property
    def first_seq(self) -> int:
        """The sequence from which it holds, to the one before the next epoch."""


class OutboxPort(Protocol):
    """The side of the outbox that faces an upstream. Every call may raise `buffer.errors.OutboxError`."""

    @property
    def source(self) -> str:
        """The CloudEvents source with its epoch, of what is captured now."""

    def source_of(self, seq: int) -> str:
        """Return the source under which a sequence was given: an older epoch's, for older entries."""

    @property
    def epochs(self) -> Sequence[Epoch]:
        """Every epoch of this journal, oldest first."""

    async def cursor(self, upstream: str) -> int:
        """Return the sequence through which everything is settled for this upstream."""

    async def head(self, upstream: str, *, after: int, count_max: int, bytes_max: int) -> list[Entry]:
        """Return the next entries behind `after`, in order, digest checked; empty when there are none."""

    async def settle(
        self,
        upstream: str,
        *,
        through: int,
        rejected: Sequence[tuple[int, str]] = (),
        untold: Sequence[int] = (),
        owner: str = "",
        patience_s: float = 0.0,
    ) -> None:
        """Move the cursor and quarantine what was rejected, in one commit, which may wait for company that long.

        `untold` are sequences on the way whose gap record was refused."""

    async def announcements(self, upstream: str, *, count_max: int) -> list[Entry]:
        """Return gap entries of what the upstream rejected and was not told of, oldest first."""

    async def settle_announced(self, upstream: str, told: Sequence[tuple[int, str]]) -> None:
        """Record that it answered for them (seq, gap reason)."""

    async def retries(self, upstream: str, *, count_max: int) -> list[Entry]:
        """Return quarantined entries that a person wants tried again."""

    async def settle_retry(self, upstream: str, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
        """Record how that went."""

    @property
    def newest(self) -> int:
        """The newest sequence on disk; 0 when there is none."""

    @property
    def exposed(self) -> int:
        """The newest sequence that anybody outside can have: found at the open, or read by `head` since."""

    async def keep_exposed(self) -> None:
        """Let the next run know that too, since nobody could be asked in this one."""

    async def appended(self, after: int) -> None:
        """Return when an entry behind `after` is committed; at once when there is one."""

    async def head_of_chain(self) -> ChainHead:
        """Return the newest link of the hash chain."""

    async def rewind(self, upstream: str, *, to: int, actor: str, reason: str) -> object:
        """Move the cursor back; audited. What is not here any more comes as gap entries."""

    async def begin_epoch(self, reason: str) -> str:
        """Give out sequences under a new source from now on, so that none is used twice under one; returns it."""

    def states(self, prefix: str = "") -> list[StateRow]:
        """Return the committed state rows whose key begins with `prefix`."""

    async def note(self, row: StateRow) -> None:
        """Keep a row, also while the outbox is full and takes no entries."""
