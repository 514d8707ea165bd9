"""An expected document arrives, or a newer version of it, while work on it is under way.

What was unchecked is checked now: every piece as if it were scanned, though nobody is there to hear it; many of them by
steps (`counting`). What was closed unchecked gets its tally and its variance. A document that works by another
version goes on with that one, until a person switches; then what only the old version called wrong is resolved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.checks.book import Book
from gateway.checks.closing import Closer
from gateway.checks.comparison import Comparer
from gateway.checks.docket import GATEWAY_ACTOR, Docket, over_line
from gateway.checks.documents import Documents, OpenDocument
from gateway.checks.found import Found
from gateway.checks.piece import NOT_COUNTED
from gateway.checks.scene import Scene
from gateway.checks.shelf import Header, Shelf

PIECES_AT_ONCE_MAX: Final = 500
"""More are counted by steps: comparing costs some 40 us a piece, and a millisecond where it raises an exception."""
BY_PIECE: Final = frozenset(
    {"unexpected_item", "wrong_item", "lot_mismatch", "serial_mismatch", "wrong_location", "barcode_mismatch"}
)
"""Codes of what a version of the document says about a piece, beside that its line has too much. What is a duplicate is
one by every version."""


class Arrival:
    """Brings documents in progress and expected documents together."""

    def __init__(
        self,
        documents: Documents,
        docket: Docket,
        shelf: Shelf,
        *,
        comparer: Comparer,
        closer: Closer,
        on_late: Callable[[], object],
    ) -> None:
        """`on_late` is called when a document has to be counted by steps."""
        self._on_late = on_late
        self._documents = documents
        self._docket = docket
        self._shelf = shelf
        self._comparer = comparer
        self._closer = closer

    def arrived(self, document: str, found: Found) -> None:
        """Check what was done for a document while it was not known."""
        header = self._shelf.newest(document)
        if header is None:
            return
        for one in self._documents.known(document):
            is_long = one.progress.is_switching or one.book.events > PIECES_AT_ONCE_MAX
            if self._documents.waits(one) is not None and not is_long:
                self._switch(one, header, found)
                if one.progress.is_closed:
                    self._closer.close(document, one.activity, None, found)
            if self._documents.waits(one) is not None or one.progress.is_closing:
                self._on_late()

    def switch(self, document: str, found: Found) -> list[str]:
        """Have the work on a document go on by its newest version; return the activities that do, or that will when
        they are counted by steps."""
        header = self._shelf.newest(document)
        switched = []
        for one in self._documents.known(document):
            if header is None or one.progress.is_closed or one.progress.copy == header.copy:
                continue
            if one.book.events > PIECES_AT_ONCE_MAX:
                self._documents.put(one, replace(one.progress, is_switching=True), found)
                found.on_disk(self._on_late)  # whoever counts looks at what is committed
            else:
                self._switch(one, header, found)
            switched.append(one.activity)
        return switched

    def resumed(self, one: OpenDocument, found: Found) -> None:
        """Work on a document that was closed goes on, and by another version than before."""
        header = one.header
        if header is None:
            return
        if one.book.events > PIECES_AT_ONCE_MAX:
            self._documents.put(one, replace(one.progress, is_switching=True), found)
            found.on_disk(self._on_late)  # whoever counts looks at what is committed
        else:
            self._switch(one, header, found)

    # -- within

    def _switch(self, one: OpenDocument, header: Header, found: Found) -> None:
        before = {case.id for case in self._docket.open_cases() if is_by_piece(case.key, one.id, one.activity)}
        still = self._work_by(one, header, found)
        for case_id in sorted(before - still):
            case = self._docket.case(case_id)
            if case is not None and case.is_open:
                self._docket.resolve(case, GATEWAY_ACTOR, not_so(header), found)

    def _work_by(self, one: OpenDocument, header: Header, found: Found) -> set[str]:
        """Count every piece again by a version; return the open exceptions that it confirms."""
        before = one.book
        one.book = Book(one.activity, header, self._shelf)
        found.changed(lambda: setattr(one, "book", before))
        progress = replace(one.progress, copy=header.copy, version=header.version, type=header.type)
        self._documents.put(one, progress, found)
        confirmed = set()
        for piece in self._documents.all_pieces(one):
            added = one.book.add(piece)
            if piece.round != NOT_COUNTED:
                raised = self._comparer.compare(
                    Scene(piece, one.activity, one), added, found, is_twin=added.twin is not None
                )
                confirmed |= {case.id for case in raised}
        found.remarks.clear()  # nobody is there to hear them
        return confirmed


def is_by_piece(key: str, document: str, activity: str) -> bool:
    """Return True when an exception is what a version of the document says about pieces."""
    code, _, about = key.partition("|")
    begins = f"{document}|{activity}|"
    return about.startswith(begins) and (code in BY_PIECE or about.startswith(begins + over_line("")))


def not_so(header: Header) -> str:
    """Return why an exception of another version is over."""
    return f"not so by version {header.version} of the document"
