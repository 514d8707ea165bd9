"""Clearance: rows of closed documents, resolved exceptions and old picks that nobody needs any more go.

Theory of operation. A site keeps a month of them, hundreds of thousands of rows where every piece has a serial number.
So they are looked at a few hundred at a time, in steps between the scans, and what is old goes with the commit of the
step. A round looks at all of them once; the next begins an hour later, or at once when a document still had pieces: its
own row goes when none is left, so that no piece is ever without it. Between two steps somebody may scan for the
document again: it is looked at anew for every row that goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.checks.checker import Checker
from gateway.checks.docket import state_pages
from gateway.checks.documents import document_key
from gateway.checks.exception import case_key
from gateway.checks.found import Found
from gateway.checks.picks import PREFIX as PICKED
from gateway.checks.picks import decode_picks
from gateway.checks.piece import piece_key

GONE_MAX: Final = 200
"""Rows that go in one commit."""
LOOKED_AT_MAX: Final = 500
"""Rows that are looked at in one step: some milliseconds."""
PAGE_ROWS: Final = 200


class Clearance:
    """One round."""

    def __init__(self, checker: Checker, before_ms: int) -> None:
        """What was closed or resolved before that time of the operating clock may go."""
        self._checker = checker
        self._before_ms = before_ms
        self._looks = self._old_rows()
        self.is_done = False
        self.has_more = False
        """Documents are left whose pieces went: another round is due at once."""

    def step(self, found: Found) -> None:
        """Look at some rows, and let go of those that are old."""
        for _ in range(LOOKED_AT_MAX):
            if len(found.state) >= GONE_MAX:
                return
            try:
                old = next(self._looks)
            except StopIteration:
                self.is_done = True
                return
            if old is not None:
                found.state[old] = None

    # -- within

    def _old_rows(self) -> Iterator[str | None]:
        """Yield the key of each row that may go, and None for each that may not."""
        yield from self._documents()
        for page in self._checker.docket.pages():
            for case in page:
                is_old = case.done_ms is not None and case.done_ms <= self._before_ms
                yield case_key(case.id) if is_old else None
        for key, value in self._rows(PICKED):
            yield key if decode_picks(value)[-1].ms <= self._before_ms else None

    def _documents(self) -> Iterator[str | None]:
        for document, activity, _ in self._checker.documents.each():
            if not self._is_old(document, activity):
                yield None
                continue
            is_bare = True
            for key, _ in self._rows(piece_key(document, activity)):
                if not self._is_old(document, activity):
                    break
                is_bare, self.has_more = False, True
                yield key
            if is_bare and self._is_old(document, activity):
                yield document_key(document, activity)

    def _is_old(self, document: str, activity: str) -> bool:
        """Whether a document is closed for long, and no step in flight works on it."""
        progress = self._checker.documents.committed(document, activity)
        is_over = progress is not None and progress.is_closed and progress.touched_ms <= self._before_ms
        return is_over and self._checker.documents.let_go(document, activity)

    def _rows(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        for rows in state_pages(self._checker.outbox, prefix, PAGE_ROWS):
            for row in rows:
                if row.value is not None:
                    yield row.key, row.value
