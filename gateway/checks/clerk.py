"""The clerk: what takes longer than a scan may wait, done by steps between the scans.

A document that came after many of its scans, or is switched, is counted (`counting`); one with many lines is closed: a
hundred thousand of them take a second or two. Both go in slices of `SLICE_S`, and a scan waits for no more than one.
The end of each is one step in one commit like every other. Until then the document says that it is waiting, over a
power cut too. A document that is to be counted and closed is counted first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from gateway.checks.checker import Checker
from gateway.checks.closing import Prepared
from gateway.checks.counting import Counting
from gateway.checks.desk import Record
from gateway.checks.documents import OpenDocument
from gateway.checks.found import Found, Place
from gateway.log import event

log = logging.getLogger(__name__)

SLICE_S: Final = 0.01
TRIES_MAX: Final = 10
"""Somebody who goes on scanning a document they closed is not waited for any longer: then it is done at once."""
PAUSE_S: Final = 0.5


class Clerk:
    """Counts and closes what waits for it."""

    def __init__(
        self,
        checker: Checker,
        record: Record,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._checker = checker
        self._record = record
        self._monotonic = monotonic
        self._sleep = sleep

    async def count(self) -> None:
        """Count every document that waits; returns when none does. Raises OutboxError, StorageUnavailable."""
        for one in await self._waiting(self._checker.documents.late):
            await self._count(one)

    async def close(self) -> None:
        """Close every document that waits; returns when none does, but for those that are to be counted first. Raises
        OutboxError, StorageUnavailable."""
        for one in await self._waiting(self._checker.documents.closing):
            await self._close(one.id, one.activity)

    # -- within

    async def _waiting(self, look: Callable[[], list[OpenDocument]]) -> list[OpenDocument]:
        waiting: list[OpenDocument] = []
        # In a step, because after a commit that failed memory is read again there.
        await self._record(self._checker.own(lambda _: waiting.extend(look())))
        return waiting

    def _turn(self) -> Callable[[], bool]:
        """Begin a slice; returns what says whether it is over."""
        until = self._monotonic() + SLICE_S
        return lambda: self._monotonic() >= until

    async def _count(self, one: OpenDocument) -> None:
        header = self._checker.documents.waits(one)
        if header is None:
            return
        counting = Counting(self._checker, one, header)
        one.since = []
        one.flying += 1  # it stays in memory
        try:
            while counting.is_of_use() and not counting.is_done:
                await self._record(self._checker.own(partial(counting.slice, self._turn())))
                await self._sleep(0)
        finally:
            one.since = None
            one.flying -= 1
        if not counting.is_done:
            log.info("%s", event("counting_dropped", document=one.id, activity=one.activity))

    async def _close(self, document: str, activity: str) -> None:
        for number in range(1, TRIES_MAX + 1):
            one = self._checker.documents.open(document, activity)
            if not one.progress.is_closing or self._checker.documents.waits(one) is not None:
                return
            prepared = await self._prepared(one, in_slices=number < TRIES_MAX)
            if await self._finished(one, prepared):
                return
            log.info("%s", event("closing_begun_anew", document=document, activity=activity))
            await self._sleep(PAUSE_S)

    async def _prepared(self, one: OpenDocument, *, in_slices: bool) -> Prepared:
        steps = self._checker.closer.steps(one)
        is_over = self._turn()
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                prepared: Prepared = ended.value
                return prepared
            if in_slices and is_over():
                await self._sleep(0)
                is_over = self._turn()

    async def _finished(self, before: OpenDocument, prepared: Prepared) -> bool:
        done: list[bool] = []

        def finish(found: Found) -> None:
            one = self._checker.documents.open(before.id, before.activity)
            done.append(self._checker.closer.finish(one, prepared, found))

        where = before.progress.closing_at
        await self._record(self._checker.own(finish, Place(*where) if where else None))
        return done[0]
