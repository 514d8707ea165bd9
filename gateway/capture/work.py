"""The work a scan is part of: everything that it takes from message, session and station, and not from its label.

Who scans a pallet says the same document, place and operator from scan to scan, so what was made of them last time is
kept. A session is compared by identity: a label that changes it makes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from drivers.reading import ScanContext
from gateway.capture.decimal_text import decimal_text, is_unit
from gateway.capture.label import Label
from gateway.capture.quantity import ONE, CapturedQuantity, captured_quantity, quantity_part
from gateway.capture.site_map import Station
from gateway.capture.station import ACTIVITIES, Session
from gateway.events.cloudevents import part, quote

WORKS_KEPT_MAX: Final = 1_024

_LOCATION: Final[Mapping[str, str]] = {
    "receipt": "to_location",
    "putaway": "to_location",
    "pick": "from_location",
    "shipment": "from_location",
    "return": "to_location",
    "transfer": "to_location",
}
_SILENT: Final = Label("item", "")
"""A label that says nothing of how many."""


class Work(NamedTuple):
    """What events of one kind of scan have in common."""

    session: Session
    """That it was made from."""
    problem: str | None
    """What is wrong with what the message states, in words; nothing else counts then."""
    activity: str | None = None
    """None: what is scanned is only seen."""
    parts: str = ""
    """Operator and document, as members of an event."""
    location: str = ""
    """Where, as members of an event."""
    quantity: CapturedQuantity = ONE
    """How much it is when the label does not say it."""
    quantity_and_location: str = ""
    """Both, as members of an event."""

    def is_told(self, quantity: CapturedQuantity) -> bool:
        """Return whether an event says how much: what was only seen has no quantity, unless somebody says so."""
        return self.activity is not None or quantity is not ONE


class Works:
    """The works of one site, made when first met."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ScanContext], Work] = {}

    def work(self, station: Station, context: ScanContext, session: Session) -> Work:
        """Return what a scan at `station` is part of, when its message says `context` and `session` holds."""
        key = station.id, context
        kept = self._kept.get(key)
        if kept is not None and kept.session is session:
            return kept
        if len(self._kept) >= WORKS_KEPT_MAX:
            self._kept.clear()
        self._kept[key] = made = _work(station, context, session)
        return made


def _work(station: Station, context: ScanContext, session: Session) -> Work:
    problem = _problem(context)
    if problem is not None:
        return Work(session, problem)
    activity = context.activity or session.activity or station.activity
    location = location_part(context, session, station, activity)
    quantity = captured_quantity(context, session, _SILENT)
    made = Work(session, None, activity, work_parts(context, session), location, quantity)
    text = quantity_part(quantity) if made.is_told(quantity) else ""
    return made._replace(quantity_and_location=text + location)


def _problem(context: ScanContext) -> str | None:
    """Return what is wrong with what a message states, or None."""
    if context.activity and context.activity not in ACTIVITIES:
        return f'"{context.activity[:40]}" is not an activity'
    if context.quantity is not None and decimal_text(context.quantity) is None:
        return f'"{context.quantity[:40]}" is not a quantity'
    if context.unit and not is_unit(context.unit):
        return f'"{context.unit[:40]}" is not a UN/ECE unit code'
    return None


def work_parts(context: ScanContext, session: Session) -> str:
    """Return operator and document as members of an event."""
    parts = ""
    operator = context.operator or session.operator
    if operator:
        parts = f',"operator":{quote(operator)}'
    if context.document:
        return f'{parts},"document":{{"id":{quote(context.document)}}}'
    if session.document:
        kind = part("type", session.document_type) if session.document_type else ""
        line = part("line", session.document_line) if session.document_line else ""
        return f'{parts},"document":{{"id":{quote(session.document)}{kind}{line}}}'
    return parts


def location_part(context: ScanContext, session: Session, station: Station, activity: str | None) -> str:
    """Return where something is done as members of an event."""
    location = context.location or session.location or station.location
    member = _LOCATION.get(activity) if activity else None
    if location and member is None:
        return f',"business_location":{quote(location)}'
    place = f',"business_location":{quote(station.business_location)}' if station.business_location else ""
    return f'{place},"{member}":{quote(location)}' if location else place
