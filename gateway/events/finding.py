"""What the gateway finds out itself: that a check failed, and what a document came to when it was closed.

An exception has a life: it is open, somebody acknowledges it, it is overdue and escalates, it is resolved. Each step is
an event of its own with the same `exception` id, so a consumer that keeps the newest by sequence has the state, and one
that was away misses nothing. The gateway detects and hands over; it never adjusts stock.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.events.model import Activity, Closed, DecimalText, Document, Instant, Item, Text, WorkData

ExceptionCode = Literal[
    "receiving_variance",
    "unexpected_item",
    "duplicate_scan",
    "duplicate_pick",
    "short_pick",
    "wrong_item",
    "wrong_location",
    "lot_mismatch",
    "serial_mismatch",
    "expired",
    "damaged",
    "count_variance",
    "putaway_failure",
    "unreadable",
    "barcode_mismatch",
    "device_outage",
    "sync_failure",
    "clock_unsynchronised",
]
ExceptionState = Literal["open", "acknowledged", "escalated", "resolved"]
Severity = Literal["info", "minor", "major", "critical"]
ReturnDisposition = Literal["restock", "refurbish", "vendor_return", "disposal"]
Direction = Literal["short", "over"]

SignedDecimalText = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$")]


class RuleReference(Closed):
    """The rule that raised an exception."""

    id: Text
    version: Annotated[int, Field(ge=1)]
    author: Text
    """Who answers for the rule; "dockline" for one that is built in."""


class ExpectationReference(Closed):
    """The expected document that was compared with."""

    id: Text
    type: Text
    version: Text
    """Version as the sender of the document numbers it."""
    digest: Text
    """BLAKE2b-128 over the document as it was kept, in hexadecimal."""


class Variance(Closed):
    """How far what was observed is from what was expected."""

    direction: Direction
    expected: DecimalText
    observed: DecimalText
    difference: SignedDecimalText
    """Observed less expected."""
    unit: Text
    percent: SignedDecimalText | None = None
    """Difference in per cent of what was expected; absent when nothing was expected."""
    value: SignedDecimalText | None = None
    """Difference in money, when the document states prices."""
    currency: Text | None = None
    """ISO 4217."""


class LineVariance(Variance):
    """The variance of one line of the document."""

    line: Text
    item: Item
    location: Text | None = None
    missing_serials: tuple[Text, ...] | None = None
    """Serial numbers that the line names and nobody scanned; at most 1,000 in one event."""


class ExceptionData(WorkData):
    """A check failed, or what became of that."""

    exception: Text
    """Id of the exception: the id of the event that opened it."""
    state: ExceptionState
    code: ExceptionCode
    message: Text
    """In words, for the person who has to act."""
    severity: Severity
    owner: Text
    """Who should act: procurement, finance, quality, supervisor, ..."""
    raised_at: Instant
    due_at: Instant | None = None
    """By when, by the wall clock of the moment it was raised; being overdue is decided by operating time."""
    activity: Activity | None = None
    item: Item | None = None
    location: Text | None = None
    """Where it was scanned, for exceptions about places."""
    expected_locations: tuple[Text, ...] | None = None
    """Where it would have been right."""
    rule: RuleReference
    supplier: Text | None = None
    """GLN or name of the supplier (of the customer, for returns), as the expected document says it."""
    expectation: ExpectationReference | None = None
    events: tuple[Text, ...] = ()
    """Evidence: ids of the events that show it, at most 1,000, oldest first."""
    events_total: Annotated[int, Field(ge=0)] = 0
    """How many events show it, listed or not."""
    variance: Variance | None = None
    """Over the whole document, or of the one line it is about."""
    lines: tuple[LineVariance, ...] | None = None
    """The lines that differ beyond tolerance, at most 1,000."""
    final: bool | None = None
    """For count_variance: false while a recount by a second person is asked for."""
    disposition: Text | None = None
    """CBV disposition where there is one: mismatch_quantity, mismatch_class, mismatch_instance, damaged, expired."""
    return_disposition: ReturnDisposition | None = None
    """For returned goods: what should become of them."""
    invoice_relevant: bool = False
    """The invoice for the document should wait for the resolution."""
    hold: bool = False
    """Further scans of the same document and item are stored with this exception until it is resolved."""
    escalations: Annotated[int, Field(ge=0)] = 0
    """How often it was overdue."""
    actor: Text | None = None
    """Who acknowledged or resolved it."""
    resolution: Text | None = None
    """What was decided, by whoever resolved it."""


class ReturnShare(Closed):
    """How much of what came back shall become what."""

    return_disposition: ReturnDisposition
    quantity: DecimalText


class TallyLine(Closed):
    """What one line of a document came to."""

    line: Text | None = None
    """Absent for what is on no line."""
    item: Item
    location: Text | None = None
    expected: DecimalText | None = None
    """Absent for what was not expected, or when the expected document is not known."""
    observed: DecimalText
    unit: Text
    difference: SignedDecimalText | None = None
    result: Literal["matched", "within_tolerance", "short", "over", "unexpected", "unchecked", "recount"]
    """unchecked: there is nothing to compare with. recount: a second person has to count before it is final."""
    events: Annotated[int, Field(ge=0)] = 0
    """How many events it was observed by."""
    possible_redeliveries: Annotated[int, Field(ge=1)] | None = None
    """How many of them may be repeats of devices that do not number their messages."""
    damaged: DecimalText | None = None
    """How much of the observed was damaged."""
    return_disposition: ReturnDisposition | None = None
    """For returns: what shall become of all of it."""
    return_dispositions: tuple[ReturnShare, ...] | None = None
    """For returns: when that is not one thing for all of it, how much shall become what; the rest is undecided."""


class TallyData(WorkData):
    """A document was closed at a station: expected and observed, line by line."""

    activity: Activity
    document: Document
    number: Annotated[int, Field(ge=1)]
    """How often this document has been closed at this gateway, with this time."""
    checked: bool
    """False: the expected document is not known here."""
    coverage: Literal["complete", "partial"]
    """partial: other gateways may work on the document as well, so what is missing here is not called short."""
    final: bool = True
    """False: lines with the result "recount" are to be counted again by a second person."""
    supplier: Text | None = None
    """GLN or name of the supplier (of the customer, for returns), as the expected document says it."""
    expectation: ExpectationReference | None = None
    expected_total: DecimalText | None = None
    """All lines together; absent when they are in several units."""
    observed_total: DecimalText
    """All that was observed, on lines and on none: a quantity where there is a `total_unit`."""
    total_unit: Text | None = None
    """UN/ECE Recommendation 20 code of both totals; absent when there are several, and no sum means anything."""
    lines: tuple[TallyLine, ...]
    """At most 2,000, those that differ first; then in the order of the document."""
    lines_total: Annotated[int, Field(ge=0)]
    """How many lines there are, listed or not."""
    exceptions: tuple[Text, ...] = ()
    """Ids of the exceptions that this closing opened."""
    biz_step: Text | None = None
    """CBV business step of the activity."""


FINDINGS: dict[str, type[WorkData]] = {"tally": TallyData, "exception": ExceptionData}
"""Model of `data` by event name."""
