"""What a reading became, and when."""

from __future__ import annotations

from typing import NamedTuple

from buffer.entry import Draft
from drivers.reading import Remark
from gateway.capture.label import LabelItem
from gateway.capture.quantity import ONE, CapturedQuantity
from gateway.capture.station import Session
from gateway.events.cloudevents import instant, quote


class Moment(NamedTuple):
    """When one take happened; all its readings were captured then."""

    ms: int
    """Wall clock, milliseconds since 1970 UTC."""
    text: str
    parts: str
    """The members all its events have in common."""


class Captured(NamedTuple):
    """What a reading became."""

    draft: Draft | None
    """None for a reading that is no event."""
    session: Session
    """The session after it."""
    remarks: tuple[Remark, ...] = ()
    voids: str | None = None
    """Id of the event that the draft, a void event, undoes."""
    closes: str | None = None
    """Id of the document that this reading closed at the station; there is no draft."""
    item: LabelItem | None = None
    """What was handled, for an event about goods."""
    quantity: CapturedQuantity = ONE
    """How much of it."""
    item_text: str | None = None
    """`item` as JSON, as it stands in the event."""


def moment(ms: int, clock: str) -> Moment:
    """Return the moment of the wall clock `ms`; `clock` is its quality."""
    text = instant(ms)
    return Moment(ms, text, f',"captured_at":"{text}","clock":"{clock}"')


def item_text(item: LabelItem | None) -> str:
    """Return the item as JSON, as events and pieces hold it."""
    assert item is not None, "an item label carries its item"
    if item.code and not any(item[:-1]):  # most labels that are not GS1
        return f'{{"code":{quote(item.code)}}}'
    members = [f'"{name}":{quote(value)}' for name, value in zip(LabelItem._fields, item, strict=True) if value]
    return f"{{{','.join(members)}}}"
