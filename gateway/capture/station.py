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
    damaged      the next item, for the same reason; so does what shall become of a return
    trail        what `undo` can still reach: the last events of each device, until the document is closed

A session idle for longer than the station's `session_idle_s` is empty: whoever comes back from lunch scans the document
again rather than booking on the last one. While the gateway runs, idleness is monotonic time in which the sleep of the
computer counts too. Over a restart only the wall clock can tell: the row carries the time of the last use, at most a
quarter of the idle time old, and a clock that was set back counts as no time at all.

A device that carries its own context (a handheld) has a session of its own, so that two of them at one station do not
set each other's location, and whatever context its message states goes before the session and leaves it untouched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.capture.label import Label

STATE_PREFIX: Final = "session/"
ACTIVITIES: Final = ("receipt", "putaway", "pick", "count", "shipment", "return", "transfer")
UNDO_STEPS_MAX: Final = 12
"""Events of one device that `undo` can reach back over. Whoever has to undo more counts anew."""


class Done(NamedTuple):
    """An event that can be undone."""

    device: str
    event: str
    activity: str | None = None
    document: str | None = None


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
    return_disposition: str | None = None
    """What shall become of the next item that came back."""
    trail: tuple[Done, ...] = ()
    """What was stored here and can be undone, oldest first; kept only where command labels are in use."""


EMPTY: Final = Session()
TRAILS_CACHED_MAX: Final = 1_024
_WITHOUT_TRAIL: Final = tuple(name for name in Session.__dataclass_fields__ if name != "trail")


def told(session: Session, label: Label) -> Session:
    """Return the session after a context label."""
    match label.kind:
        case "document":
            return replace(
                without_document(session),
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
        case _:
            raise AssertionError(f"{label.kind} is no context")


def used(session: Session) -> Session:
    """Return the session after an item: what was meant for one item is gone."""
    if session.quantity is None and not session.damaged and session.return_disposition is None:
        return session
    return replace(session, quantity=None, damaged=False, return_disposition=None)


def followed(session: Session, done: Done) -> Session:
    """Return the session after an event that can be undone."""
    trail = (*session.trail, done)
    own = [index for index, one in enumerate(trail) if one.device == done.device]
    if len(own) > UNDO_STEPS_MAX:
        trail = trail[: own[0]] + trail[own[0] + 1 :]
    return replace(session, trail=trail)


def without_document(session: Session) -> Session:
    """Return the session without its document, and without what belonged to it."""
    return replace(
        session,
        document=None,
        document_type=None,
        document_line=None,
        location=None,
        quantity=None,
        damaged=False,
        return_disposition=None,
    )


def encode_session(session: Session, used_at_ms: int | None) -> bytes:
    """Return the session as the value of its row; `used_at_ms` is the wall clock, for `decode_session` alone; None
    while nobody vouches for it."""
    fields = {key: value for key in _WITHOUT_TRAIL if (value := getattr(session, key))}
    text = json.dumps({**fields, "used_at": used_at_ms}, separators=(",", ":"))
    if session.trail:
        # Each is the same in a dozen rows, of which one is written a scan.
        text = f'{text[:-1]},"trail":[{",".join(map(_done_text, session.trail))}]}}'
    return text.encode()


@lru_cache(maxsize=TRAILS_CACHED_MAX)
def _done_text(done: Done) -> str:
    return json.dumps(done, separators=(",", ":"))


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
    if "trail" in known:
        try:
            known["trail"] = tuple(Done(*done) for done in known["trail"])
        except TypeError as error:
            raise ValueError("a trail is a list of devices and events") from error
    return Session(**known)
