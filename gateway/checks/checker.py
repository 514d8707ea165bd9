"""The checks of one gateway: an event comes in, what is wrong about it comes out, in the same step.

Theory of operation. A scan of a document becomes a piece in the book of that document and activity; what the book and
the piece show is compared by rules, and what fails becomes an exception: an event of the gateway's own, behind the
event it is about, in the same commit. Whatever is kept in memory can be taken back (`undo`) or made again from
committed rows (`forget`).

An event is never refused for what a check says: it happened. The operator hears of it with the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Final, Protocol, cast

from buffer.entry import Draft
from buffer.errors import OutboxError
from drivers.reading import Reading, ScanContext
from gateway.capture.captured import Captured, Moment
from gateway.capture.checks_port import Change, Judged
from gateway.capture.site_map import Route
from gateway.capture.station import Session
from gateway.checks.arrival import Arrival
from gateway.checks.closing import NEEDS_BADGE, SAME_PERSON, Closer
from gateway.checks.comparison import Comparer
from gateway.checks.docket import GATEWAY_ACTOR, Docket, Identity, StatePort, Trouble
from gateway.checks.documents import Documents, OpenDocument
from gateway.checks.found import Found, Place
from gateway.checks.inspection import UNDECIDED
from gateway.checks.picks import Picks
from gateway.checks.piece import NOT_COUNTED, US, Piece
from gateway.checks.policy import Policy
from gateway.checks.shelf import AnnexPort, Shelf
from gateway.events.cloudevents import EventIds
from gateway.events.finding import ExceptionCode
from gateway.events.model import ClockQuality, DeviceState
from gateway.log import event

log = logging.getLogger(__name__)

_NO_CONTEXT: Final = ScanContext()
FAULTS: Final = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
"""What a mistake in a check, or a row that a salvage garbled, looks like."""
_ONE: Final = Decimal(1)
_TROUBLES: Final = ("unreadable", "barcode_mismatch")
"""Codes of remarks that are exceptions too."""
OUTAGES: Final = ("down", "silent", "degraded")


class OutboxPort(StatePort, AnnexPort, Protocol):
    """What the checks need of the outbox."""


class Checker:
    """Implements `Checks`. Belongs to the event loop."""

    def __init__(
        self,
        outbox: OutboxPort,
        policy: Policy,
        identity: Identity,
        *,
        ids: EventIds,
        clock_quality: Callable[[], ClockQuality],
    ) -> None:
        self.outbox = outbox
        self.shelf = Shelf(outbox)
        self.documents = Documents(outbox, self.shelf)
        self.docket = Docket(outbox, ids, identity, clock_quality)
        self.picks = Picks(outbox)
        self.on_long: Callable[[], object] = lambda: None
        """Called when a long document waits to be closed, or one that came late to be counted, by steps."""
        self._identity = identity
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Go by other rules from the next event on; open exceptions keep those they were raised by."""
        self.policy = policy
        self.comparer = Comparer(policy, self.docket, self.picks)
        self.closer = Closer(policy, self.docket, self.documents, self.shelf, on_long=self._waits_for_steps)
        self.arrival = Arrival(
            self.documents,
            self.docket,
            self.shelf,
            comparer=self.comparer,
            closer=self.closer,
            on_late=self._waits_for_steps,
        )
        self.look_again()

    def look_again(self) -> None:
        """Decide anew whether there is anything to check by: something may have come to the shelf, or left it."""
        asked = self.policy.is_asked_for
        self.is_on = not self.shelf.is_empty() if asked is None else asked

    # -- the seam

    def judge(self, route: Route, reading: Reading, session: Session, captured: Captured, at: Moment) -> Judged | None:
        """Return what is to be said about a reading; see `Checks`."""
        if not self.is_on:
            return None
        if captured.item is None and captured.voids is None and captured.closes is None:
            return self._trouble(route, captured, at) if captured.remarks and captured.draft is not None else None
        found = Found(at, route)
        try:
            self._check(route, reading, session, captured, found)
        except OutboxError:
            self._take_back(found.changes)
            raise
        except FAULTS as error:
            # The event is a fact and the check is an opinion: the scan is stored, and somebody mends the check.
            self._take_back(found.changes)
            log.error("%s", event("check_failed", device_id=route.device, reason=repr(error)), exc_info=error)
            return None
        return found.judged()

    def _check(self, route: Route, reading: Reading, session: Session, captured: Captured, found: Found) -> None:
        if captured.voids is not None:
            self._void(reading, session, captured.voids, found)
        elif captured.closes is not None:
            context = reading.context or _NO_CONTEXT
            activity = context.activity or session.activity or route.station.activity
            self._close(captured.closes.replace(US, " "), activity, context.operator or session.operator, found)
        else:
            self._item(route, reading, session, captured, found)

    def judge_device(
        self, route: Route, state: DeviceState, reason: str | None, draft: Draft, at: Moment
    ) -> Judged | None:
        """Return what is to be said about a device event; see `Checks`."""
        if not self.is_on:
            return None
        found = Found(at, route)
        before = self.docket.by_key("device_outage", route.device)
        if state == "up" and before is not None:
            self.docket.resolve(before, GATEWAY_ACTOR, "the device is back", found)
        elif state in OUTAGES:
            said = f"{route.device} is {state}" + (f": {reason}" if reason else "")
            self.comparer.raise_(Trouble("device_outage", route.device, said, events=(draft.id,)), found)
        return found.judged()

    def undo(self, judged: Sequence[Judged]) -> None:
        """Take back the effects of a step that was not appended, the last first."""
        for one in reversed(judged):
            self._take_back(one.changes)

    def settle(self, judged: Sequence[Judged]) -> None:
        """The effects of a step are on disk."""
        for one in judged:
            for change in one.changes:
                change.landed()

    def forget(self) -> None:
        """Memory may hold what is on no disk; read again what is committed."""
        self.documents.forget()
        self.picks.forget()
        self.docket.forget()
        self.shelf.forget()

    # -- what the gateway does by itself, inside a step of its own

    def own(self, do: Callable[[Found], object], place: Place | None = None) -> Callable[[Moment], Judged]:
        """Return what `Intake.record` runs for something the gateway or a person does; at its own place, or another."""
        return partial(self._own, do, place or self.own_place())

    def own_place(self) -> Place:
        """Return where the gateway itself is."""
        return Place(self._identity.gateway, self._identity.gateway)

    def _own(self, do: Callable[[Found], object], place: Place, at: Moment) -> Judged:
        found = Found(at, place)
        try:
            do(found)
        except (OutboxError, *FAULTS):
            self._take_back(found.changes)
            raise
        return found.judged() or Judged()

    # -- within

    def _waits_for_steps(self) -> None:
        self.on_long()

    @staticmethod
    def _take_back(changes: Sequence[Change]) -> None:
        for change in reversed(changes):
            change.undo()

    def _trouble(self, route: Route, captured: Captured, at: Moment) -> Judged | None:
        """A scan that was not understood: one exception a device and kind, however often it happens."""
        remark = captured.remarks[0]
        if remark.code not in _TROUBLES or captured.draft is None:
            return None
        found = Found(at, route)
        code = cast("ExceptionCode", remark.code)
        trouble = Trouble(code, route.device, f"{route.device}: {remark.message}", events=(captured.draft.id,))
        self.comparer.raise_(trouble, found)
        return found.judged()

    def _item(self, route: Route, reading: Reading, session: Session, captured: Captured, found: Found) -> None:
        context = reading.context or _NO_CONTEXT
        activity = context.activity or session.activity or route.station.activity
        assert captured.draft is not None and captured.item is not None and captured.item_text is not None
        if activity is None:
            return
        document = context.document or session.document
        quantity = captured.quantity
        piece = Piece(
            captured.draft.id,
            captured.item,
            _ONE if quantity.value == "1" else Decimal(quantity.value),
            quantity.unit,
            session.document_line if context.document is None else None,
            context.location or session.location or route.station.location,
            context.operator or session.operator,
            session.damaged,
            reading.may_repeat,
            1,
            _return_disposition(session) if activity == "return" else None,
            quantity.basis,
            quantity.measures,
        )
        found.is_tag = reading.kind == "tag"
        if document is None:
            self.comparer.check(piece, activity, None, None, found)
            return
        document = document.replace(US, " ")
        one = self.documents.open(document, activity)
        if one.progress.is_closed or not one.progress.touched_ms:
            self._begin(one, session.document_type if context.document is None else None, found)
            if self.documents.waits(one) is not None:
                found.on_disk(self._waits_for_steps)
        if activity == "count":
            piece = self._recounted(one, piece, found)
        added = one.book.add(piece)
        self.documents.add(one, piece, captured.item_text, found)
        self.comparer.check(piece, activity, one, added, found)

    def _recounted(self, one: OpenDocument, piece: Piece, found: Found) -> Piece:
        """A recount is made by somebody else; who counted first cannot be told what was wrong. What was recounted and
        closed may be counted once more: that is another recount, or two people's counts would be added up."""
        progress = one.progress
        round_ = progress.round
        if round_ == 1 and progress.again and one.book.lines_for(piece) in progress.recount:
            round_ = progress.again
        if round_ == 1:
            return piece
        if piece.operator is not None and piece.operator not in progress.first:
            return piece._replace(round=round_)
        found.remarks.append(NEEDS_BADGE if piece.operator is None else SAME_PERSON)
        return piece._replace(round=NOT_COUNTED)

    def _begin(self, one: OpenDocument, kind: str | None, found: Found) -> None:
        """Work on a document begins, or goes on after it was closed: by the newest version, and then what only the old
        one called wrong is over."""
        before = (
            (one.header, one.progress.version) if one.progress.is_closed and one.progress.copy is not None else None
        )
        self.documents.begin(one, kind, found)
        if before is not None and one.header is not None and (one.header, one.progress.version) != before:
            self.arrival.resumed(one, found)

    def _close(self, document: str, activity: str | None, operator: str | None, found: Found) -> None:
        """Close a document; one that is closed goes by its newest version then, as the lines of others are not kept."""
        if activity is not None:
            one = self.documents.open(document, activity)
            newest = self.shelf.newest(document)
            # A copy may have the number of one that was withdrawn: then its version is another one.
            is_other = newest != one.header or (newest is not None and newest.version != one.progress.version)
            if one.progress.is_closed and one.progress.copy is not None and is_other:
                self._begin(one, one.progress.type, found)
        self.closer.close(document, activity, operator, found)

    def _void(self, reading: Reading, session: Session, event: str, found: Found) -> None:
        done = next((done for done in session.trail if done.event == event), None)
        context = reading.context or _NO_CONTEXT
        document = done.document if done is not None else context.document or session.document
        activity = done.activity if done is not None else context.activity or session.activity
        self.docket.undone(event, found)  # first, because nothing may be told with evidence that is void
        if document is None or activity is None:
            return
        one = self.documents.open(document, activity)
        piece = self.documents.remove(one, event, found)
        if piece is None:
            return
        self.comparer.undone(one, piece, found)
        if one.progress.is_closed:  # by another device: its tally is wrong now, and nobody would say so
            self._close(document, activity, context.operator or session.operator, found)


def _return_disposition(session: Session) -> str | None:
    """Return what shall become of goods that came back; damaged ones that nobody decided about are to be looked at."""
    return session.return_disposition or (UNDECIDED if session.damaged else None)
