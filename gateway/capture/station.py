"""A station session: what the people at a station have said about their work, so far.

Theory of operation. A fixed scanner sends codes and nothing else. The document, location, badge, quantity and command
labels scanned before an item give it its meaning; the session remembers them. A session is an immutable value, each
transition a pure function of the last value, so that `Intake` can hold the uncommitted one beside the committed one and
drop it when a commit fails. It travels as one row a station, in the commit of what changed it: a scan that only sets
context is on disk before its beep.

What holds how long:

    activity     until another activity label; it ends the document and the location, which belonged to the old one
    document     until another document or `close`
    operator     until another badge
    location     until another location, or the document ends
    quantity     the next item (one label, one use: a forgotten quantity must not multiply the rest of the day)
    damaged      the next item, for the same reason

A session idle for longer than the station's `session_idle_s` is empty: whoever comes back from lunch scans the document
again rather than booking on the last one. While the gateway runs, idleness is monotonic time. Over a restart only the
wall clock can tell: the row carries the time of the last use, at most a quarter of the idle time old, and a clock that
was set back counts as no time at all.

A device that carries its own context (a handheld) has a session of its own, so that two of them at one station do not
set each other's location, and whatever context its message states goes before the session and leaves it untouched.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

from gateway.capture.decimal_text import decimal_text
from gateway.capture.label import Label

STATE_PREFIX: Final = "session/"
ACTIVITIES: Final = ("receipt", "putaway", "pick", "count", "shipment", "return", "transfer")


@dataclass(frozen=True, slots=True)
class Session:
    """What holds for the next item scanned here."""

    activity: str | None = None
    """Set by a command label; else the station's own."""
    document: str | None = None
    document_type: str | None = None
    document_line: str | None = None
    location: str | None = None
    operator: str | None = None
    quantity: str | None = None
    """Decimal string, for the next item only."""
    damaged: bool = False
    """For the next item only."""


EMPTY: Final = Session()


class CommandUnknown(Exception):
    """The command label says nothing this program knows; the message is for the operator."""


def told(session: Session, label: Label) -> Session:
    """Return the session after a context label; raise CommandUnknown."""
    match label.kind:
        case "document":
            return replace(
                _without_document(session),
                document=label.text,
                document_type=label.document_type,
                document_line=label.document_line,
            )
        case "location":
            return replace(session, location=label.text)
        case "operator":
            return replace(session, operator=label.text)
        case "quantity":
            return replace(session, quantity=label.text)
        case "command":
            return _commanded(session, label.text)
        case _:
            raise AssertionError(f"{label.kind} is no context")


def used(session: Session) -> Session:
    """Return the session after an item: what was meant for one item is gone."""
    if session.quantity is None and not session.damaged:
        return session
    return replace(session, quantity=None, damaged=False)


def _without_document(session: Session) -> Session:
    return replace(
        session, document=None, document_type=None, document_line=None, location=None, quantity=None, damaged=False
    )


def _commanded(session: Session, words: str) -> Session:
    verb, _, rest = words.strip().lower().partition(" ")
    if not rest and verb in ACTIVITIES:
        return replace(_without_document(session), activity=verb)
    match verb:
        case "damaged" if not rest:
            return replace(session, damaged=True)
        case "close" if not rest:
            return _without_document(session)
        case "quantity":
            value = decimal_text(rest.strip())
            if value is not None:
                return replace(session, quantity=value)
    raise CommandUnknown(f'"{words[:40]}" is not a command')


def encode_session(session: Session, used_at_ms: int | None) -> bytes:
    """Return the session as the value of its row; `used_at_ms` is the wall clock, for `decode_session` alone; None
    while nobody vouches for it."""
    fields = {key: value for key, value in asdict(session).items() if value}
    return json.dumps({**fields, "used_at": used_at_ms}, separators=(",", ":")).encode()


def decode_session(value: bytes, wall_ms: int | None, idle_s: float) -> Session:
    """Return the session of a row, empty when it was idle too long. Raises ValueError for a row of another form.

    How long it was idle is known only when the clock was right then and is right now (`wall_ms` is not None). Else it
    counts as in use: a restart takes seconds, and a document whose label was acknowledged must not be forgotten because
    a clock was set.
    """
    fields = json.loads(value)
    if not isinstance(fields, dict):
        raise ValueError("a session row is a JSON object")  # noqa: TRY004 (a stored value is wrong, not a type)
    used_at = fields.pop("used_at", 0)
    if used_at is not None and wall_ms is not None and wall_ms - int(used_at) > idle_s * 1000:
        return EMPTY
    known = {key: fields[key] for key in Session.__dataclass_fields__ if key in fields}
    return Session(**known)
