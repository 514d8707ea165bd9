"""The docket: every exception that is open, and the only place where one begins or changes.

A trouble that is already open gets evidence and no second exception: a torn label that is scanned forty times is one
thing to do for somebody. The operator hears of it each time. Of what has too much, the figures are kept up to date; the
centre is told when they have doubled or halved, and at close: an event a scan would repeat the ids of all before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from buffer.entry import Draft, StateRow
from gateway.checks.exception import (
    EVIDENCE_MAX,
    PREFIX,
    Case,
    acknowledged,
    case_key,
    decode_case,
    encode_case,
    escalated,
    resolved,
    with_evidence,
    with_figures,
    without_evidence,
)
from gateway.checks.found import Found
from gateway.checks.routing import DISPOSITIONS, Assignment
from gateway.checks.rule import Rule
from gateway.events.cloudevents import EventIds, enveloped, instant
from gateway.events.finding import (
    ExceptionCode,
    ExceptionData,
    ExpectationReference,
    RuleReference,
    TallyData,
    Variance,
)
from gateway.events.model import ClockQuality, Device, event_type
from gateway.log import event

log = logging.getLogger(__name__)

GATEWAY_ACTOR: Final = "gateway"
PAGE_ROWS: Final = 100
"""Exceptions that are read before others get their turn: some 4 ms."""
_DUPLICATES: Final = ("duplicate_scan", "duplicate_pick")


class StatePort(Protocol):
    """The part of the outbox in which cases are kept."""

    @property
    def source(self) -> str:
        """The source of events."""

    @property
    def operating_ms(self) -> int:
        """The operating clock."""

    def state(self, key: str) -> bytes | None:
        """Return a committed row."""

    def states(self, prefix: str = "", *, after: str = "", count_max: int | None = None) -> list[StateRow]:
        """Return the committed rows whose key begins with `prefix`, by key, the first `count_max` behind `after`."""


class Trouble(NamedTuple):
    """What a check found."""

    code: ExceptionCode
    about: str
    """What tells it from the same trouble elsewhere: document, line, object, device."""
    message: str
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """Further members of the exception's data."""
    events: tuple[str, ...] = ()
    events_total: int = 0
    hold_key: str = ""
    line: str | None = None
    """The line of the document that it is about, when it is one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the gateway is, in its own events."""

    site: str
    gateway: str


class Docket:
    """Open exceptions in memory; all of them in state rows."""

    def __init__(
        self,
        outbox: StatePort,
        ids: EventIds,
        identity: Identity,
        clock_quality: Callable[[], ClockQuality],
    ) -> None:
        self._outbox = outbox
        self._ids = ids
        self._identity = identity
        self._clock_quality = clock_quality
        self._cases: dict[str, Case] | None = None
        self._by_key: dict[str, str] = {}
        self._holds: dict[str, set[str]] = {}
        self._by_document: dict[str, set[str]] = {}

    # -- looking

    def open_cases(self) -> list[Case]:
        """Return the exceptions that nobody has resolved, oldest first."""
        return sorted(self._loaded().values(), key=lambda case: case.id)

    def all_cases(self) -> list[Case]:
        """Return every exception that is kept, resolved ones too, oldest first: committed ones."""
        return [case for page in self.pages() for case in page]

    def pages(self) -> Iterator[list[Case]]:
        """Yield the same page by page: whoever reads tens of thousands lets scans in between."""
        for rows in state_pages(self._outbox, PREFIX, PAGE_ROWS):
            yield [case for row in rows if (case := _decoded(row)) is not None]

    def count_about(self, document: str) -> int:
        """Return how many open exceptions are about a document."""
        self._loaded()
        return len(self._by_document.get(document, ()))

    def case(self, case_id: str) -> Case | None:
        """Return one exception; None when there is none of that id."""
        found = self._loaded().get(case_id)
        if found is not None:
            return found
        value = self._outbox.state(case_key(case_id))
        return None if value is None else decode_case(value)

    def by_key(self, code: str, about: str) -> Case | None:
        """Return the open exception about something; None when there is none."""
        cases = self._loaded()
        found = self._by_key.get(f"{code}|{about}")
        return None if found is None else cases[found]

    @property
    def has_holds(self) -> bool:
        """True while an open exception holds anything."""
        if self._cases is None:
            self._loaded()
        return bool(self._holds)

    def held(self, keys: Iterable[str], *, event: str) -> Case | None:
        """Return an open exception that holds one of the keys and that this event did not begin; else None."""
        cases = self._loaded()
        if self._holds:
            for key in keys:
                for case_id in self._holds.get(key, ()):
                    if event not in cases[case_id].data.events:
                        return cases[case_id]
        return None

    def forget(self) -> None:
        """Load again what is committed, when it is needed."""
        self._cases = None

    # -- life

    def raise_(self, trouble: Trouble, rule: Rule | None, assignment: Assignment, found: Found) -> Case:
        """Open an exception, or add evidence to the open one about the same; return it."""
        before = self.by_key(trouble.code, trouble.about)
        if before is not None:
            case = before
            for one in trouble.events:
                case = with_evidence(case, one)
            variance = trouble.fields.get("variance")
            if variance is not None:
                expectation = trouble.fields.get("expectation")
                return self.revise(case, trouble.message, variance, found, expectation=expectation)
            if case is not before:
                self._put(case, found)
            return case
        case_id = self._ids(found.at.ms)
        now_ms = self._outbox.operating_ms
        due_s = assignment.due_s
        data = ExceptionData(
            **self._common(found),
            exception=case_id,
            state="open",
            code=trouble.code,
            message=trouble.message,
            severity=assignment.severity,
            owner=assignment.owner,
            raised_at=found.at.text,
            due_at=None if due_s is None else instant(found.at.ms + due_s * 1000),
            rule=RuleReference(id=rule.id, version=rule.version, author=rule.author)
            if rule is not None
            else RuleReference(id=trouble.code, version=1, author="dockline"),
            events=trouble.events[:EVIDENCE_MAX],
            events_total=trouble.events_total or len(trouble.events),
            disposition=DISPOSITIONS.get(trouble.code),
            invoice_relevant=assignment.invoice_relevant,
            hold=bool(trouble.hold_key),
            **trouble.fields,
        )
        case = Case(
            data,
            f"{trouble.code}|{trouble.about}",
            now_ms,
            None if due_s is None else now_ms + due_s * 1000,
            due_s,
            assignment.escalate_to,
            trouble.hold_key,
        )
        case = replace(case, told=str(case.difference))
        self._put(case, found)
        found.drafts.append(self._draft("exception", data, case_id, found))
        log.warning(
            "%s", event("exception_raised", id=case_id, code=trouble.code, owner=data.owner, reason=data.message)
        )
        return case

    def change(self, case: Case, found: Found) -> Case:
        """Keep a changed case and tell of it in an event."""
        data = case.data.model_copy(update=self._common(found))
        case = replace(case, data=data, told=str(case.difference))
        self._put(case, found)
        found.drafts.append(self._draft("exception", data, self._ids(found.at.ms), found))
        log.info("%s", event("exception_changed", id=case.id, code=data.code, state=data.state, actor=data.actor))
        return case

    def revise(
        self,
        case: Case,
        message: str,
        variance: Variance,
        found: Found,
        *,
        expectation: ExpectationReference | None = None,
    ) -> Case:
        """Keep how much an exception is about now; tell of it when that is far from what was told, and when something
        else is expected now: `expectation` is the version that says so, None for the same."""
        before = case.data
        case = with_figures(case, message, variance, expectation or before.expectation)
        is_other = before.variance is not None and before.variance.expected != variance.expected
        if is_other or not case.is_told:
            return self.change(case, found)
        self._put(case, found)
        return case

    def acknowledge(self, case: Case, actor: str, found: Found) -> Case:
        """Note that somebody looks after it."""
        return self.change(acknowledged(case, actor), found)

    def resolve(self, case: Case, actor: str, resolution: str, found: Found) -> Case:
        """Note what was decided."""
        return self.change(resolved(case, actor, resolution, self._outbox.operating_ms), found)

    def escalate(self, case: Case, found: Found) -> Case:
        """Note that it is overdue, and give it to whoever is next."""
        return self.change(escalated(case, self._outbox.operating_ms, found.at.ms), found)

    def undone(self, event_id: str, found: Found) -> None:
        """Take an event that was undone out of the evidence; what has no evidence left is resolved. Of the same object
        twice one scan alone shows nothing; a quantity is too much or too little whichever events show it."""
        for case in self.open_cases():
            if event_id in case.data.events:
                left = without_evidence(case, event_id)
                needed = 2 if case.data.code in _DUPLICATES else 1
                if left.data.events_total >= needed or is_about_quantity(case.key):
                    self._put(left, found)
                else:
                    self.resolve(left, GATEWAY_ACTOR, "the event was undone", found)

    def tally(self, data: dict[str, Any], found: Found) -> None:
        """Store the tally of a closing."""
        tally = TallyData(**self._common(found), **data)
        found.drafts.append(self._draft("tally", tally, self._ids(found.at.ms), found))

    # -- within

    def _common(self, found: Found) -> dict[str, Any]:
        place = found.place
        return {
            "site": self._identity.site,
            "station": place.station,
            "read_point": place.read_point,
            "business_location": place.business_location,
            "occurred_at": found.at.text,
            "captured_at": found.at.text,
            "clock": self._clock_quality(),
            "device": Device(id=place.device, profile=place.profile),
        }

    def _draft(self, name: str, data: ExceptionData | TallyData, event_id: str, found: Found) -> Draft:
        place = found.place
        payload = enveloped(
            name,
            event_id,
            source=self._outbox.source,
            subject=place.station,
            time=data.occurred_at,
            data=data.model_dump_json(exclude_none=True),
        )
        return Draft(event_id, event_type(name), place.station, place.device, found.at.ms, payload)

    def _loaded(self) -> dict[str, Case]:
        if self._cases is None:
            self._cases, self._by_key, self._holds, self._by_document = {}, {}, {}, {}
            for case in self.all_cases():
                if case.is_open:
                    self._index(case)
        return self._cases

    def _put(self, case: Case, found: Found) -> None:
        before = self._loaded().get(case.id)
        self._index(case)
        found.state[case_key(case.id)] = encode_case(case)

        def undo() -> None:
            self._unindex(case)
            if before is not None:
                self._index(before)

        found.changed(undo)

    def _index(self, case: Case) -> None:
        assert self._cases is not None
        if not case.is_open:
            self._unindex(case)
            return
        self._cases[case.id] = case
        self._by_key[case.key] = case.id
        if case.hold_key:
            self._holds.setdefault(case.hold_key, set()).add(case.id)
        if case.data.document is not None:
            self._by_document.setdefault(case.data.document.id, set()).add(case.id)

    def _unindex(self, case: Case) -> None:
        assert self._cases is not None
        self._cases.pop(case.id, None)
        if self._by_key.get(case.key) == case.id:
            del self._by_key[case.key]
        _discard(self._holds, case.hold_key, case.id)
        if case.data.document is not None:
            _discard(self._by_document, case.data.document.id, case.id)


def _discard(index: dict[str, set[str]], key: str, case_id: str) -> None:
    found = index.get(key)
    if found is not None:
        found.discard(case_id)
        if not found:
            del index[key]


def state_pages(outbox: StatePort, prefix: str, rows_max: int) -> Iterator[list[StateRow]]:
    """Yield the committed rows whose key begins with `prefix`, by key, so many at a time. Between two pages others may
    write: what is then behind the last key is still seen. Raises OutboxError."""
    after = ""
    while rows := outbox.states(prefix, after=after, count_max=rows_max):
        after = rows[-1].key
        yield rows


def over_line(line: str) -> str:
    """Return what tells the trouble of a line that has too much from others of its document."""
    return f"over|{line}"


def is_about_quantity(key: str) -> bool:
    """Return True when an exception is about how much there is, of a line or of a closed document."""
    return key.endswith("|close") or "|over|" in key


def _decoded(row: StateRow) -> Case | None:
    """Return the case of a row; None for one that a newer version wrote or a salvage garbled."""
    if row.value is None:
        return None
    try:
        return decode_case(row.value)
    except (ValueError, TypeError) as error:
        log.warning("%s", event("exception_unreadable", key=row.key, reason=error))
        return None
