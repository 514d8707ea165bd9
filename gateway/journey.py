"""The steps of one event on its way from a device to each upstream, each with its time as far as it is kept.

What is not stored is said to be unknown. The commit and the answer to the device leave no time behind: an entry is
written once, with what was known before. That they happened, and in which order, is certain, because that is how the
program works; so this is what is told of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from buffer import Settlement

Json = dict[str, Any]
OWN_TYPES = ("device", "exception", "tally", "gap")
"""What the gateway says by itself; everything else came from a device."""
WORDS = {
    "accepted": "accepted by {}",
    "settled": "settled with {}",
    "pending": "pending for {}",
    "open": "in quarantine for {}",
    "retry": "to be sent again to {}",
    "delivered": "delivered to {} from quarantine",
    "discarded": "discarded for {} by a person",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    name: str
    at: str | None
    """RFC 3339, UTC; None when it has not happened or is not recorded."""
    note: str


def journey(found: Json, settlements: Sequence[Settlement]) -> list[Step]:
    """Return the steps of an event, as `as_event` gives it."""
    return [*_taken(found), *(_settled(one) for one in settlements)]


def as_json(steps: Sequence[Step]) -> list[Json]:
    """Return what `json` can write."""
    return [asdict(one) for one in steps]


def kind_of(event: Json) -> str:
    """Return the type of an event, short: "receipt"."""
    return str(event.get("type", "")).removeprefix("dockline.").removesuffix(".v1")


def _taken(found: Json) -> Iterator[Step]:
    event = found.get("event") or {}
    data = event.get("data") or {}
    is_own = kind_of(event) in OWN_TYPES or not data.get("device")
    if not data:
        yield Step("received", None, "unknown: the event is damaged in the outbox")
    occurred, captured = data.get("occurred_at"), data.get("captured_at")
    if data and is_own:
        yield Step("made", captured, f"by the gateway itself; its clock was {data.get('clock')}")
    elif data:
        stated = occurred if occurred != captured else None
        yield Step("device time", stated, "by the clock of the device" if stated else "the device states none")
        yield Step("received", captured, f"by the clock of the gateway, {data.get('clock')}")
    yield Step("committed", None, f"as sequence {found['seq']}, after it was received; when is not recorded")
    if data and not is_own:
        yield Step("answered", None, "the device, where it takes an answer, after the commit; when is not recorded")


def _settled(one: Settlement) -> Step:
    name = WORDS[one.fate].format(one.upstream)
    at = None if one.at is None else datetime.fromtimestamp(one.at / 1000, UTC).isoformat(timespec="milliseconds")
    at = at and at.replace("+00:00", "Z")
    match one.fate:
        case "accepted":
            note = "within the second before; when it was sent is not recorded"
        case "settled":
            note = "its position is past it, or began behind it; when is not recorded"
        case "pending":
            note = "it has not taken it yet" if at is None else "it took it at this time, and is to have it again"
        case "delivered" | "discarded":
            note = "by the audit"
        case _:
            note = one.reason or ""
    return Step(name, at, note)
