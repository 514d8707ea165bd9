"""Work that nobody counted, because there was nothing to check by yet: found again when its document comes.

A gateway that knows no expected document, no rule and no address for them stores scans and counts none: most sites that
use it so never expect anything, and every scan would cost a row. When the first document comes after all (a late ASN at
the dock), what was scanned for it before stands in the journal: it is read from there, part by part between the scans,
and counted as if the document had been unchecked all along. An event that is counted already is left alone, so nothing
is counted twice.

How far back that may be needed is a row of state: the sequence at which the gateway began to count.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final, Protocol

from buffer import Entry, EntryFilter
from gateway.capture.captured import Moment
from gateway.capture.checks_port import Judged
from gateway.capture.label import LabelItem
from gateway.capture.quantity import told_quantity
from gateway.checks.checker import Checker
from gateway.checks.documents import OpenDocument
from gateway.checks.found import Found
from gateway.checks.inspection import UNDECIDED
from gateway.checks.piece import US, Piece
from gateway.checks.scene import Scene
from gateway.events.cloudevents import quote

STATE_KEY: Final = "uncounted"
LOOK_BACK_MAX: Final = 200_000
"""Entries before the gateway began to count that are looked through: some days of a busy dock."""
IN_FLIGHT_MAX: Final = 10_000
"""Scans that may be on their way to disk when it begins to count; one that is counted already is left alone."""
PAGE: Final = 1_000
AT_ONCE_MAX: Final = 200
"""Events that are counted in one step: a scan waits for no more than that."""
_NAMED: Final = b'"document":{"id":'
_PLACES: Final = ("to_location", "from_location", "business_location")


class Journal(Protocol):
    """The part of the outbox that is read here."""

    def state(self, key: str) -> bytes | None:
        """Return a committed row."""

    async def entries(self, wanted: EntryFilter) -> list[Entry]:
        """Return the entries that a filter lets through."""


class Uncounted:
    """Finds and counts it."""

    def __init__(
        self,
        journal: Journal,
        checker: Checker,
        record: Callable[[Callable[[Moment], Judged]], Awaitable[None]],
        *,
        aside: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._journal = journal
        self._checker = checker
        self._record = record
        self._aside = aside
        self._stretches: dict[str, tuple[int, int]] = {}
        """First and last sequence by document, of what was stored up to `_until`."""
        self._until = 0

    async def mark(self) -> None:
        """Note that the gateway counts from now on; returns when that is on disk, and every scan before it."""
        newest = await self._journal.entries(EntryFilter(limit=1))
        until = str((newest[0].seq if newest else 0) + IN_FLIGHT_MAX).encode()
        await self._record(self._checker.own(lambda found: found.state.__setitem__(STATE_KEY, until)))

    async def recall(self, document: str) -> None:
        """Count what was scanned for a document before the gateway counted anything."""
        value = self._journal.state(STATE_KEY)
        if value is None:
            return
        await self._look(int(value))
        stretch = self._stretches.get(document)
        if stretch is None:
            return
        first, last = stretch
        needle = _NAMED + quote(document).encode()
        while first <= last:
            wanted = EntryFilter(seq_from=first, seq_to=last, contains=needle, limit=AT_ONCE_MAX, newest_first=False)
            entries = await self._journal.entries(wanted)
            if not entries:
                break
            told = await self._aside(partial(_told, entries))
            await self._record(self._checker.own(partial(self._count, document, told)))
            first = entries[-1].seq + 1
        del self._stretches[document]  # only now: a disk that fails in between is asked again

    # -- within

    async def _look(self, until: int) -> None:
        """Learn which documents are named in what was not counted, in one pass however many come."""
        if until == self._until:
            return
        stretches: dict[str, tuple[int, int]] = {}
        first = max(1, until - IN_FLIGHT_MAX - LOOK_BACK_MAX)
        while True:
            wanted = EntryFilter(seq_from=first, seq_to=until, contains=_NAMED, limit=PAGE, newest_first=False)
            entries = await self._journal.entries(wanted)
            for document, seq in await self._aside(partial(_named, entries)):
                stretches[document] = (stretches.get(document, (seq, seq))[0], seq)
            if len(entries) < PAGE:
                break
            first = entries[-1].seq + 1
        self._stretches, self._until = stretches, until

    def _count(self, document: str, told: Sequence[tuple[str, dict[str, Any]]], found: Found) -> None:
        for event, data in told:
            activity = data.get("activity")
            if data.get("document", {}).get("id") != document or activity is None:
                continue
            one = self._checker.documents.open(document.replace(US, " "), activity)
            if "voids" in data:
                piece = self._checker.documents.remove(one, data["voids"], found)
                if piece is not None:
                    self._checker.comparer.undone(one, piece, found)
                    self._checker.docket.undone(data["voids"], found)
            elif "item" in data and "quantity" in data and self._checker.documents.piece(one, event) is None:
                self._add(one, _piece(event, data), data, found)
        found.remarks.clear()  # nobody is there to hear them

    def _add(self, one: OpenDocument, piece: Piece, data: dict[str, Any], found: Found) -> None:
        documents = self._checker.documents
        if not one.progress.touched_ms:
            now_ms = self._checker.outbox.operating_ms + 1
            documents.put(one, replace(one.progress, type=data["document"].get("type"), touched_ms=now_ms), found)
        added = one.book.add(piece)
        documents.add(one, piece, json.dumps(data["item"], separators=(",", ":")), found)
        if added.match is not None:  # somebody scanned for it since the document came
            self._checker.comparer.compare(
                Scene(piece, one.activity, one), added, found, is_twin=added.twin is not None
            )


def _data(entry: Entry) -> dict[str, Any]:
    """Return what an event says; nothing of one whose payload is gone or damaged."""
    try:
        data = json.loads(entry.payload)["data"]
    except (ValueError, TypeError, LookupError):
        return {}
    return data if isinstance(data, dict) else {}


def _told(entries: Sequence[Entry]) -> list[tuple[str, dict[str, Any]]]:
    return [(one.id, _data(one)) for one in entries]


def _named(entries: Sequence[Entry]) -> list[tuple[str, int]]:
    return [(document, one.seq) for one in entries if (document := _data(one).get("document", {}).get("id"))]


def _piece(event: str, data: dict[str, Any]) -> Piece:
    """Return what an event adds to the totals of its document, as the scan would have."""
    known = {name: value for name, value in data["item"].items() if name in LabelItem._fields}
    quantity = told_quantity(data)
    is_damaged = data.get("disposition") == "damaged"
    return Piece(
        event,
        LabelItem(**known),
        Decimal(quantity.value),
        quantity.unit,
        data["document"].get("line"),
        next((data[place] for place in _PLACES if place in data), None),
        data.get("operator"),
        is_damaged,
        bool(data.get("possible_redelivery")),
        1,
        data.get("return_disposition") or (UNDECIDED if is_damaged and data["activity"] == "return" else None),
        quantity.basis,
        quantity.measures,
    )
