"""A document is counted anew, in slices: one that came after many of its scans, or that is switched to another version.

A second book is filled beside the one that is in use. A slice is a step of the gateway's own, so the exceptions that it
raises commit with it. What is scanned or undone meanwhile is noted by the document: what was undone is looked at first
in every slice, because it must not be counted after that, and what was scanned last, because pieces are counted in
the order of capture. When nothing is left, exceptions about pieces that this version does not confirm are resolved
(they are of another version, or of work that was dropped), and in the last step the second book takes the place of the
first.

Until then the document is as it was, over a power cut too. Then it begins anew, and an exception that is open already
is not raised again. When a newer version comes meanwhile, what was done so far is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.checks.arrival import is_by_piece, not_so
from gateway.checks.book import Book
from gateway.checks.checker import Checker
from gateway.checks.docket import GATEWAY_ACTOR
from gateway.checks.documents import OpenDocument, Progress
from gateway.checks.found import Found
from gateway.checks.piece import NOT_COUNTED, Piece
from gateway.checks.scene import Scene
from gateway.checks.shelf import Header

EXCEPTIONS_A_SLICE_MAX: Final = 20


class Counting:
    """One document on its way to another version."""

    def __init__(self, checker: Checker, one: OpenDocument, header: Header) -> None:
        self._checker = checker
        self._one = one
        self._header = header
        self._book = Book(one.activity, header, checker.shelf)
        self._scene = OpenDocument(one.id, one.activity, self._progress(), self._book)
        self._seen: set[str] = set()
        self._gone: set[str] = set()
        self._pages = (piece for page in checker.documents.pages(one) for piece in page)
        self._newer = dict(one.pieces)
        """Scanned meanwhile, or on its way to disk as this begins."""
        self._confirmed: set[str] = set()
        self.is_done = False

    def is_of_use(self) -> bool:
        """True while the document still waits, and its newest version is the one that is counted by."""
        one = self._one
        is_the_same = self._checker.documents.peek(one.id, one.activity) is one
        return is_the_same and self._checker.documents.waits(one) == self._header

    def slice(self, is_over: Callable[[], bool], found: Found) -> None:
        """Count some pieces, and finish when none is left; runs inside a step."""
        if not self.is_of_use():
            return
        self._note(found)
        while not is_over() and len(found.drafts) < EXCEPTIONS_A_SLICE_MAX:
            piece = next(self._pages, None) or self._next_newer()
            if piece is not None:
                self._add(piece, found)
            elif not self._resolve_others(found):
                self._finish(found)
                break
        found.remarks.clear()  # nobody is there to hear them

    # -- within

    def _progress(self) -> Progress:
        header = self._header
        return replace(
            self._one.progress, copy=header.copy, version=header.version, type=header.type, is_switching=False
        )

    def _note(self, found: Found) -> None:
        """Take in what was scanned and undone since the last slice."""
        since, self._one.since = self._one.since or [], []
        for piece, is_added in since:
            if is_added:
                self._gone.discard(piece.event)
                self._newer[piece.event] = piece
                continue
            self._gone.add(piece.event)
            self._newer.pop(piece.event, None)
            if piece.event in self._seen:
                self._seen.discard(piece.event)
                self._book.remove(piece)
                self._checker.comparer.undone(self._scene, piece, found)

    def _next_newer(self) -> Piece | None:
        return self._newer.pop(min(self._newer)) if self._newer else None

    def _add(self, piece: Piece, found: Found) -> None:
        if piece.event in self._seen or piece.event in self._gone or piece.event in self._one.gone:
            return
        self._seen.add(piece.event)
        added = self._book.add(piece)
        if piece.round != NOT_COUNTED:
            scene = Scene(piece, self._one.activity, self._scene)
            raised = self._checker.comparer.compare(scene, added, found, is_twin=added.twin is not None)
            self._confirmed |= {case.id for case in raised}

    def _resolve_others(self, found: Found) -> bool:
        """Resolve what this version does not say of any piece; return True while there may be more of that."""
        one, docket = self._one, self._checker.docket
        others = [
            case
            for case in docket.open_cases()
            if case.id not in self._confirmed and is_by_piece(case.key, one.id, one.activity)
        ]
        room = EXCEPTIONS_A_SLICE_MAX - len(found.drafts)
        for case in others[:room]:
            docket.resolve(case, GATEWAY_ACTOR, not_so(self._header), found)
        return len(others) > room

    def _finish(self, found: Found) -> None:
        one, before = self._one, self._one.book
        one.book = self._book
        one.since = None  # from here on nobody else looks after what is undone
        found.changed(lambda: setattr(one, "book", before))
        self._checker.documents.put(one, self._progress(), found)
        if one.progress.is_closing:
            found.on_disk(self._checker.on_long)
        elif one.progress.is_closed:
            self._checker.closer.close(one.id, one.activity, None, found)
        self.is_done = True
