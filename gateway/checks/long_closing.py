"""Long documents are closed by steps, between the scans: a hundred thousand lines take a second or two.

What a document comes to is worked out in slices of `SLICE_S`; a scan waits for no more than one of them. When the
document changed meanwhile the work begins anew. The end of it (the tally, the exception, how far the document is) is
one step in one commit like every other, and until then the document says that it is being closed, over a power cut too.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.checks.checker import Checker
from gateway.checks.closing import Prepared
from gateway.checks.desk import Record
from gateway.checks.documents import OpenDocument
from gateway.checks.found import Found, Place
from gateway.log import event

log = logging.getLogger(__name__)

SLICE_S: Final = 0.01
TRIES_MAX: Final = 10
"""Somebody who goes on scanning a document they closed is not waited for any longer: then it is done at once."""
PAUSE_S: Final = 0.5


class LongClosing:
    """Closes what waits to be closed by steps."""

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

    async def run(self) -> None:
        """Close every document that waits; returns when none does. Raises OutboxError, StorageUnavailable."""
        waiting: list[OpenDocument] = []
        # In a step, because after a commit that failed memory is read again there.
        await self._record(self._checker.own(lambda _: waiting.extend(self._checker.documents.closing())))
        for one in waiting:
            await self._close(one.id, one.activity)

    async def _close(self, document: str, activity: str) -> None:
        for number in range(1, TRIES_MAX + 1):
            one = self._checker.documents.open(document, activity)
            if not one.progress.is_closing:
                return
            prepared = await self._prepared(one, in_slices=number < TRIES_MAX)
            if await self._finished(one, prepared):
                return
            log.info("%s", event("closing_begun_anew", document=document, activity=activity))
            await self._sleep(PAUSE_S)

    async def _prepared(self, one: OpenDocument, *, in_slices: bool) -> Prepared:
        steps = self._checker.closer.steps(one)
        until = self._monotonic() + SLICE_S
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                prepared: Prepared = ended.value
                return prepared
            if in_slices and self._monotonic() >= until:
                await self._sleep(0)
                until = self._monotonic() + SLICE_S

    async def _finished(self, before: OpenDocument, prepared: Prepared) -> bool:
        done: list[bool] = []

        def finish(found: Found) -> None:
            one = self._checker.documents.open(before.id, before.activity)
            done.append(self._checker.closer.finish(one, prepared, found))

        where = before.progress.closing_at
        await self._record(self._checker.own(finish, Place(*where) if where else None))
        return done[0]
