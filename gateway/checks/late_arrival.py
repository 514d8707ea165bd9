"""A document that comes after many of its scans: they are counted by it in steps, between the scans of others.

A second book is filled beside the one that is in use, in slices of `SLICE_S`, each a step of the gateway's own: the
exceptions that a slice raises commit with it. What is scanned or undone meanwhile is noted by the document and follows
at the end. When nothing is left, the second book takes the place of the first, in the same step. Until then the
document is unchecked, over a power cut too: then it begins anew, and an exception that is open already is not raised
again.

When the document changes, or work on it begins by another way, what was done so far is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.checks.book import Book
from gateway.checks.checker import Checker
from gateway.checks.desk import Record
from gateway.checks.documents import OpenDocument, Progress
from gateway.checks.found import Found
from gateway.checks.piece import NOT_COUNTED, Piece
from gateway.checks.scene import Scene
from gateway.checks.shelf import Header
from gateway.log import event

log = logging.getLogger(__name__)

SLICE_S: Final = 0.01
EXCEPTIONS_A_SLICE_MAX: Final = 20


class LateArrival:
    """Counts what waits to be counted by steps."""

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
        """Count every document that waits; returns when none does. Raises OutboxError, StorageUnavailable."""
        waiting: list[OpenDocument] = []
        # In a step, because after a commit that failed memory is read again there.
        await self._record(self._checker.own(lambda _: waiting.extend(self._checker.arrival.late())))
        for one in waiting:
            header = self._checker.shelf.newest(one.id)
            if header is not None:
                await self._count(one, header)

    async def _count(self, one: OpenDocument, header: Header) -> None:
        work = _Work(self._checker, one, header)
        one.since = []
        one.flying += 1  # it stays in memory
        try:
            while work.is_of_use() and not work.is_done:
                is_over = partial(self._is_over, self._monotonic() + SLICE_S)
                await self._record(self._checker.own(partial(work.slice, is_over)))
                await self._sleep(0)
        finally:
            one.since = None
            one.flying -= 1
        if not work.is_done:
            log.info("%s", event("counting_dropped", document=one.id, activity=one.activity))

    def _is_over(self, until: float) -> bool:
        return self._monotonic() >= until


class _Work:
    """One document on its way from unchecked to checked."""

    def __init__(self, checker: Checker, one: OpenDocument, header: Header) -> None:
        self._checker = checker
        self._one = one
        self._header = header
        self._book = Book(one.activity, header, checker.shelf)
        self._scene = OpenDocument(one.id, one.activity, self._progress(), self._book)
        self._seen: set[str] = set()
        self._gone: set[str] = set()
        self._pieces = self._committed()
        self.is_done = False

    def is_of_use(self) -> bool:
        """True while the document is still unchecked, and its newest version the one that is counted by."""
        one = self._one
        is_the_same = self._checker.documents.peek(one.id, one.activity) is one
        return is_the_same and one.progress.copy is None and self._checker.shelf.newest(one.id) == self._header

    def slice(self, is_over: Callable[[], bool], found: Found) -> None:
        """Count some pieces, and finish when none is left; runs inside a step."""
        if not self.is_of_use():
            return
        while not is_over() and len(found.drafts) < EXCEPTIONS_A_SLICE_MAX:
            piece = next(self._pieces, None)
            if piece is not None:
                self._add(piece, found)
            elif self._one.since:
                self._follow(*self._one.since.pop(0), found)
            else:
                self._finish(found)
                break
        found.remarks.clear()  # nobody is there to hear them

    # -- within

    def _progress(self) -> Progress:
        header = self._header
        return replace(self._one.progress, copy=header.copy, version=header.version, type=header.type)

    def _committed(self) -> Iterator[Piece]:
        yield from list(self._one.pieces.values())  # on their way to disk, as this begins
        for page in self._checker.documents.pages(self._one):
            yield from page

    def _add(self, piece: Piece, found: Found) -> None:
        if piece.event in self._seen or piece.event in self._gone or piece.event in self._one.gone:
            return
        self._seen.add(piece.event)
        added = self._book.add(piece)
        if piece.round != NOT_COUNTED:
            scene = Scene(piece, self._one.activity, self._scene)
            self._checker.comparer.compare(scene, added, found, is_twin=added.twin is not None)

    def _follow(self, piece: Piece, is_added: bool, found: Found) -> None:
        if is_added:
            self._gone.discard(piece.event)
            self._add(piece, found)
        else:
            self._gone.add(piece.event)
            if piece.event in self._seen:
                self._seen.discard(piece.event)
                self._book.remove(piece)

    def _finish(self, found: Found) -> None:
        one, before = self._one, self._one.book
        one.book = self._book
        found.changed(lambda: setattr(one, "book", before))
        self._checker.documents.put(one, self._progress(), found)
        if one.progress.is_closed:
            self._checker.closer.close(one.id, one.activity, None, found)
        self.is_done = True
