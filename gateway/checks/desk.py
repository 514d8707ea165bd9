"""What people, and the centre through the pull, do with expected documents and exceptions.

Every change is one of two kinds. What is kept on the shelf is written in commits of its own, lines first, with an audit
record. What it means for work that is under way, and every step of an exception, goes through intake as a step of the
gateway's own, so that it stands in the sequence like any scan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from buffer import AnnexRow, Note
from gateway.capture.captured import Moment
from gateway.capture.checks_port import Judged
from gateway.checks.checker import Checker
from gateway.checks.documents import OpenDocument
from gateway.checks.exception import Case
from gateway.checks.expectation import Expectation
from gateway.checks.found import Found
from gateway.checks.shelf import COPY, HEADER, ITEM, LINE, US, Header, chunked, prefix_of, rows_of
from gateway.checks.uncounted import STATE_KEY, Journal, Uncounted

UNFINISHED: Final = "expectation-unfinished"
"""Documents whose earlier work is to be counted from the journal, until it is."""
Record = Callable[[Callable[[Moment], Judged]], Awaitable[None]]
"""`Intake.record`."""
Aside = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs what takes long in another thread."""


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        """expectation_unknown, exception_unknown, already_resolved, nothing_to_switch."""
        self.hint = hint


class AnnexKeeper(Journal, Protocol):
    """The part of the outbox that the desk writes to."""

    def annex_under(self, space: str, prefix: str = "", *, count_max: int = 1000) -> list[AnnexRow]:
        """Return committed rows."""

    async def keep(self, rows: Sequence[AnnexRow], *, note: Note | None = None) -> None:
        """Write rows, all or none; returns when they are on disk."""

    async def drop_under(self, space: str, prefix: str, *, count_max: int = 1000) -> int:
        """Remove rows; returns how many."""

    async def record(self, action: str, *, actor: str, upstream: str = "", detail: str = "") -> None:
        """Write an audit record."""


class ChecksDesk:
    """Decisions about expected documents and exceptions, one at a time."""

    def __init__(self, outbox: AnnexKeeper, checker: Checker, record: Record, *, aside: Aside) -> None:
        self._outbox = outbox
        self._checker = checker
        self._record = record
        self._aside = aside
        self._uncounted = Uncounted(outbox, checker, record, aside=aside)
        self._lock = asyncio.Lock()

    # -- expected documents

    async def put(self, expectation: Expectation, *, origin: str, actor: str) -> tuple[Header, bool]:
        """Keep a document; return its header, and whether anything is new. Returns when it is on disk and counts.

        Work under way by an older version goes on by that one. Raises OutboxError, StorageUnavailable.
        """
        async with self._lock:
            shelf = self._checker.shelf
            newest = shelf.newest(expectation.id)
            version = expectation.version
            if newest is not None and (newest.digest, newest.version) == (expectation.digest, version):
                await self._finish(expectation.id)
                return newest, False
            copy = self._next_copy(expectation.id)
            lines, header_rows = rows_of(expectation, copy, origin)
            await self._clear(expectation.id, copy)
            parts = chunked(lines)
            while rows := await self._aside(lambda: next(parts, None)):
                await self._outbox.keep(rows)
            what = "expectation_added" if newest is None else "expectation_replaced"
            said = f"{expectation.head.type} version {version}, {len(expectation.lines)} lines, by {origin}"
            if newest is None and self._may_be_uncounted():
                header_rows.append(AnnexRow(UNFINISHED, expectation.id, b""))
            await self._outbox.keep(header_rows, note=Note(what, actor, f"{expectation.id} {said}"))
            shelf.forget()
            self._checker.look_again()
            await self._arrive(expectation.id)
            header = shelf.newest(expectation.id)
            assert header is not None, "it was just written"
            return header, True

    async def finish(self) -> None:
        """Go on with documents whose earlier work was being counted when a disk failed or the power was cut. Raises
        OutboxError, StorageUnavailable."""
        for row in self._outbox.annex_under(UNFINISHED):
            async with self._lock:
                await self._finish(row.key)

    async def remove(self, document: str, *, actor: str) -> None:
        """Take a document from the shelf; work under way goes on by the version it began with. Raises Refused."""
        async with self._lock:
            if self._checker.shelf.newest(document) is None:
                raise _unknown_expectation(document)
            note = Note("expectation_removed", actor, document)
            await self._outbox.keep([AnnexRow(HEADER, document, None), AnnexRow(UNFINISHED, document, None)], note=note)
            self._checker.shelf.forget()
            await self._sweep(document)
            self._checker.look_again()
            self._checker.on_long()  # what was to be counted by it first can be closed

    async def switch(self, document: str, *, actor: str, reason: str) -> list[str]:
        """Have the work on a document go on by its newest version; audited. Raises Refused."""
        async with self._lock:
            header = self._checker.shelf.newest(document)
            if header is None:
                raise _unknown_expectation(document)
            switched: list[str] = []
            await self._record(
                self._checker.own(lambda found: switched.extend(self._checker.arrival.switch(document, found)))
            )
            if not switched:
                raise Refused("nothing_to_switch", f"no work on {document} goes by another version")
            detail = f"{document} to version {header.version} in {', '.join(switched)}: {reason}"
            await self._outbox.record("expectation_switched", actor=actor, detail=detail)
            await self._sweep(document)
            return switched

    def header(self, document: str) -> Header:
        """Return what is known of a document. Raises Refused."""
        found = self._checker.shelf.newest(document)
        if found is None:
            raise _unknown_expectation(document)
        return found

    def progress(self, document: str) -> list[OpenDocument]:
        """Return the work on a document here, by activity."""
        return self._checker.documents.known(document)

    # -- exceptions

    def case(self, case_id: str) -> Case:
        """Return one exception. Raises Refused."""
        found = self._checker.docket.case(case_id)
        if found is None:
            raise Refused("exception_unknown", f"there is no exception {case_id} here", hint="it may be past its time")
        return found

    async def acknowledge(self, case_id: str, *, actor: str) -> Case:
        """Note that somebody looks after an exception; returns when it is on disk. Raises Refused."""
        return await self._decide(case_id, lambda case, found: self._checker.docket.acknowledge(case, actor, found))

    async def resolve(self, case_id: str, *, actor: str, resolution: str) -> Case:
        """Note what was decided about an exception; returns when it is on disk. Raises Refused."""
        return await self._decide(
            case_id, lambda case, found: self._checker.docket.resolve(case, actor, resolution, found)
        )

    # -- within

    def _may_be_uncounted(self) -> bool:
        """Return True when there may be scans that nobody counted: the gateway counts only from now on, or began to
        when it had events already."""
        is_beginning = self._checker.policy.is_asked_for is None and not self._checker.is_on
        return is_beginning or self._outbox.state(STATE_KEY) is not None

    async def _arrive(self, document: str) -> None:
        """Bring a document on the shelf and the work for it together."""
        is_unfinished = bool(self._unfinished(document))
        if is_unfinished and self._checker.is_on:
            self._checker.documents.recalled.add(document)
            try:
                if self._outbox.state(STATE_KEY) is None:
                    await self._uncounted.mark()
                await self._uncounted.recall(document)
            finally:
                self._checker.documents.recalled.discard(document)
        await self._record(self._checker.own(lambda found: self._checker.arrival.arrived(document, found)))
        if is_unfinished:
            await self._outbox.keep([AnnexRow(UNFINISHED, document, None)])
        await self._sweep(document)

    async def _finish(self, document: str) -> None:
        """Go on where a disk that failed, or a power cut, came between a document and the work for it."""
        if self._unfinished(document) or self._checker.documents.has_unchecked(document):
            await self._arrive(document)

    def _unfinished(self, document: str) -> list[AnnexRow]:
        return [row for row in self._outbox.annex_under(UNFINISHED, document) if row.key == document]

    async def _decide(self, case_id: str, do: Callable[[Case, Found], Case]) -> Case:
        decided: list[Case] = []

        def decide(found: Found) -> None:
            case = self.case(case_id)
            if not case.is_open:
                raise Refused("already_resolved", f"{case.data.actor} resolved it: {case.data.resolution}")
            decided.append(do(case, found))

        await self._record(self._checker.own(decide))
        return decided[0]

    def _next_copy(self, document: str) -> int:
        rows = self._outbox.annex_under(COPY, document + US)
        return 1 + max((int(row.key.rpartition(US)[2]) for row in rows), default=0)

    async def _sweep(self, document: str) -> None:
        """Remove the copies that nobody works by."""
        newest = self._checker.shelf.newest(document)
        used = {one.progress.copy for one in self._checker.documents.known(document) if not one.progress.is_closed}
        if newest is not None:
            used.add(newest.copy)
        for row in self._outbox.annex_under(COPY, document + US):
            copy = int(row.key.rpartition(US)[2])
            if copy not in used:
                await self._clear(document, copy)
                await self._outbox.keep([AnnexRow(COPY, row.key, None)])

    async def _clear(self, document: str, copy: int) -> None:
        """Remove the lines of a copy, a part at a time."""
        for space in (LINE, ITEM):
            while await self._outbox.drop_under(space, prefix_of(document, copy), count_max=2_000):
                pass


def _unknown_expectation(document: str) -> Refused:
    return Refused("expectation_unknown", f"document {document} is not expected here")
