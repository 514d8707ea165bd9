"""One exception: how it is kept, and the steps of its life.

    open ──► acknowledged ──► resolved
      │            │
      └─► escalated ◄┘        overdue, as often as it is: another owner, another due time

A case is a row of state beside its events: the events are for the centre, the row is what the gateway works by. Being
overdue is decided on the operating clock; `due_at` is what that is by the wall clock, for people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from pydantic_core import from_json

from gateway.events.cloudevents import instant
from gateway.events.finding import ExceptionData, ExpectationReference, Variance

PREFIX: Final = "exception/"
EVIDENCE_MAX: Final = 1_000
"""Ids of events in one exception; more are counted."""


@dataclass(frozen=True, slots=True)
class Case:
    """One exception and what the gateway needs to keep it moving."""

    data: ExceptionData
    key: str
    """What it is about: while a case is open, the same trouble adds evidence to it and opens no other."""
    raised_ms: int
    """Operating clock."""
    due_ms: int | None
    """Operating clock; None: never overdue."""
    due_s: int | None
    """What an escalation has until the next one, in seconds."""
    escalate_to: str
    hold_key: str = ""
    """What is on hold while it is open; empty: nothing."""
    done_ms: int | None = None
    """Operating clock, when it was resolved."""
    told: str = "0"
    """How much too much or too little the last event about it said."""

    @property
    def id(self) -> str:
        """Id of the exception."""
        return self.data.exception

    @property
    def is_open(self) -> bool:
        """True until somebody resolved it."""
        return self.data.state != "resolved"

    @property
    def difference(self) -> Decimal:
        """How much is too much or too little now; 0 for what is not about a quantity."""
        return Decimal(0) if self.data.variance is None else abs(Decimal(self.data.variance.difference))

    @property
    def is_told(self) -> bool:
        """True while the last event about it is near the truth: within half and double of the difference."""
        told = Decimal(self.told)
        return told / 2 < self.difference < told * 2 or self.difference == told

    def is_overdue(self, operating_ms: int) -> bool:
        """Return True when somebody should have acted by now."""
        return self.is_open and self.due_ms is not None and operating_ms >= self.due_ms


def case_key(case_id: str) -> str:
    """Return the name of the row of a case."""
    return PREFIX + case_id


def encode_case(case: Case) -> bytes:
    """Return the case as the value of its row."""
    fields = {
        "data": case.data.model_dump(mode="json", exclude_none=True),
        "key": case.key,
        "raised_ms": case.raised_ms,
        "due_ms": case.due_ms,
        "due_s": case.due_s,
        "escalate_to": case.escalate_to,
        "hold_key": case.hold_key,
        "done_ms": case.done_ms,
        "told": case.told,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_case(value: bytes) -> Case:
    """Return the case of a row. Raises ValueError for a row of another form."""
    fields = from_json(value)
    return Case(data=ExceptionData.model_validate(fields.pop("data")), **fields)


def with_evidence(case: Case, event: str) -> Case:
    """Return the case with another event that shows it, the oldest first: ids are in the order of capture, and another
    version of the document may call what was scanned earlier too much."""
    data = case.data
    if event in data.events:
        return case
    events = (*data.events, event) if len(data.events) < EVIDENCE_MAX else data.events
    if len(events) > 1 and events[-1] < events[-2]:
        events = tuple(sorted(events))
    return replace(case, data=data.model_copy(update={"events": events, "events_total": data.events_total + 1}))


def without_evidence(case: Case, event: str) -> Case:
    """Return the case without an event that was undone."""
    data = case.data
    events = tuple(one for one in data.events if one != event)
    return replace(case, data=data.model_copy(update={"events": events, "events_total": max(data.events_total - 1, 0)}))


def with_figures(case: Case, message: str, variance: Variance, expectation: ExpectationReference | None) -> Case:
    """Return the case with how much it is about now, and by which version of the document."""
    update = {"message": message, "variance": variance, "expectation": expectation}
    return replace(case, data=case.data.model_copy(update=update))


def acknowledged(case: Case, actor: str) -> Case:
    """Return the case after somebody said that they look after it."""
    return replace(case, data=case.data.model_copy(update={"state": "acknowledged", "actor": actor}))


def resolved(case: Case, actor: str, resolution: str, operating_ms: int) -> Case:
    """Return the case after a decision."""
    data = case.data.model_copy(update={"state": "resolved", "actor": actor, "resolution": resolution})
    return replace(case, data=data, done_ms=operating_ms, due_ms=None)


def escalated(case: Case, operating_ms: int, wall_ms: int) -> Case:
    """Return the case after it was overdue: it goes to the next owner, with the same time again."""
    due_s = case.due_s
    data = case.data.model_copy(
        update={
            "state": "escalated",
            "owner": case.escalate_to,
            "escalations": case.data.escalations + 1,
            "due_at": None if due_s is None else instant(wall_ms + due_s * 1000),
        }
    )
    return replace(case, data=data, due_ms=None if due_s is None else operating_ms + due_s * 1000)
