"""A desk over an outbox in memory: expected documents are put on the shelf as the local API does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from outbox_fake import OutboxFake

from buffer import AnnexRow, Entry, EntryFilter, Note
from gateway.checks.checker import Checker
from gateway.checks.clerk import SLICE_S, Clerk
from gateway.checks.desk import ChecksDesk, Record


class Keeper:
    """The part of an outbox that the desk writes to and reads the journal of."""

    def __init__(self, outbox: OutboxFake) -> None:
        self._outbox = outbox
        self.notes: list[str] = []
        self.fails: Callable[[str], Exception | None] = lambda _: None
        """Asked before each call, with its name: what it is to raise."""

    def state(self, key: str) -> bytes | None:
        return self._outbox.state(key)

    def annex_under(self, space: str, prefix: str = "", *, count_max: int = 1000) -> list[AnnexRow]:
        return self._outbox.annex_under(space, prefix, count_max=count_max)

    async def keep(self, rows: Sequence[AnnexRow], *, note: Note | None = None) -> None:
        self._may_fail("keep")
        self._outbox.put_annex(rows)
        if note is not None:
            self.notes.append(note.action)

    async def drop_under(self, space: str, prefix: str, *, count_max: int = 1000) -> int:
        self._may_fail("drop_under")
        found = self._outbox.annex_under(space, prefix, count_max=count_max)
        self._outbox.put_annex([AnnexRow(row.space, row.key, None) for row in found])
        return len(found)

    async def record(self, action: str, *, actor: str, upstream: str = "", detail: str = "") -> None:
        self.notes.append(action)

    async def entries(self, wanted: EntryFilter) -> list[Entry]:
        self._may_fail("entries")
        found = [
            Entry(seq, one.id, one.type, one.station, one.device, one.captured_at, one.payload, b"", b"")
            for seq, one in enumerate(self._outbox.entries, 1)
            if wanted.seq_from <= seq <= wanted.seq_to and (wanted.contains or b"") in one.payload
        ]
        return (found[::-1] if wanted.newest_first else found)[: wanted.limit]

    def _may_fail(self, call: str) -> None:
        error = self.fails(call)
        if error is not None:
            raise error


async def _aside(work: Callable[[], Any]) -> Any:
    return work()


def desk_of(keeper: Keeper, checker: Checker, record: Record) -> ChecksDesk:
    """Return the desk of a site."""
    return ChecksDesk(keeper, checker, record, aside=_aside)


async def settled(
    checker: Checker,
    record: Record,
    *,
    pieces: int | None = None,
    on_turn: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Count and close what waits to be done by steps, a few pieces each; `on_turn` is what others do between them."""
    looks = 0
    asked = True

    def monotonic() -> float:
        nonlocal looks
        looks += 1
        return 0.0 if pieces is None else looks * SLICE_S / pieces

    async def sleep(_: float) -> None:
        if on_turn is not None:
            await on_turn()

    def on_long() -> None:
        nonlocal asked
        asked = True

    checker.on_long = on_long
    clerk = Clerk(checker, record, monotonic=monotonic, sleep=sleep)
    while asked:
        asked = False
        await clerk.count()
        await clerk.close()
