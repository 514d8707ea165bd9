"""Command labels: what a person with a scanner and no keyboard can say to a station.

    receipt putaway pick count shipment return transfer     what scans mean from now on; ends the document
    quantity 12                                             how many the next item is
    damaged                                                 the next item is damaged
    restock refurbish vendor-return disposal                what shall become of the next item that came back
    undo                                                    the last event of this device in the open document is void
    cancel                                                  nothing of that was meant for the next item
    close                                                   the document is done: checks look at the whole of it
    clear                                                   forget everything said here; nothing is closed

Theory of operation. A command is a pure function of the session it is said in, as every context label is, so what it
changes commits with its answer. `undo` and `close` mean more than context: `Obeyed` says which event is void and which
document is closed, for whoever makes events of it. A command that cannot be followed changes nothing.

A device that states its context in each message says commands in the same way (the label's text as its code); the
document it states is the one meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from gateway.capture.decimal_text import decimal_text
from gateway.capture.station import ACTIVITIES, EMPTY, Done, Session, without_document

RETURN_DISPOSITIONS: Final = {
    "restock": "restock",
    "refurbish": "refurbish",
    "vendor-return": "vendor_return",
    "disposal": "disposal",
}
"""What shall become of goods that came back: the word on the label, and in the event."""


COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "What a scan means": {activity: activity for activity in ACTIVITIES},
    "The next item": {"damaged": "is damaged", "cancel": "nothing was meant for it after all"},
    "A return shall be": {
        "restock": "put back on stock",
        "refurbish": "refurbished",
        "vendor-return": "sent back to the vendor",
        "disposal": "disposed of",
    },
    "The work": {
        "undo": "the last scan does not count",
        "close": "the document is done",
        "clear": "forget document, place and person",
    },
}
"""Every command but `quantity`, with what it says, by what it is about."""


class Obeyed(NamedTuple):
    """What following a command led to."""

    session: Session
    undone: Done | None = None
    """The event that is void from now on."""
    closes: str | None = None
    """Id of the document that is closed."""


class CommandUnknown(Exception):
    """The command label says nothing this program knows; the message is for the operator."""


class CommandVain(Exception):
    """There is nothing the command could apply to; the message is for the operator."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """Of the remark: nothing_to_undo, nothing_to_close, out_of_place."""


def obey(session: Session, words: str, device: str, activity: str | None, document: str | None = None) -> Obeyed:
    """Return what the words of a command label lead to; raise CommandUnknown or CommandVain.

    `activity` is what a scan means here and now. `document` is the one that the message of the device states beside
    the command, if it states one.
    """
    verb, _, rest = words.strip().lower().partition(" ")
    if rest:
        value = decimal_text(rest.strip()) if verb == "quantity" else None
        if value is None:
            raise CommandUnknown(f'"{words[:40]}" is not a command')
        return Obeyed(replace(session, quantity=value))
    if verb in ACTIVITIES:
        return Obeyed(replace(without_document(session), activity=verb, trail=()))
    if verb in RETURN_DISPOSITIONS:
        if activity != "return":
            raise CommandVain("out_of_place", f"{verb} is said of returns, and this is {activity or 'no activity'}")
        return Obeyed(replace(session, return_disposition=RETURN_DISPOSITIONS[verb]))
    match verb:
        case "damaged":
            return Obeyed(replace(session, damaged=True))
        case "cancel":
            return Obeyed(replace(session, quantity=None, damaged=False, return_disposition=None))
        case "clear":
            return Obeyed(EMPTY)
        case "undo":
            return _undo(session, device, document or session.document)
        case "close":
            return _close(session, document)
    raise CommandUnknown(f'"{words[:40]}" is not a command')


def _undo(session: Session, device: str, document: str | None) -> Obeyed:
    for index in reversed(range(len(session.trail))):
        done = session.trail[index]
        if done.device == device and document in (None, done.document):
            trail = session.trail[:index] + session.trail[index + 1 :]
            return Obeyed(replace(session, trail=trail), undone=done)
    where = f" for document {document}" if document else ""
    raise CommandVain("nothing_to_undo", f"nothing to undo: {device} has no event left here{where}")


def _close(session: Session, document: str | None) -> Obeyed:
    closed = document or session.document
    if closed is None:
        raise CommandVain("nothing_to_close", "nothing to close: no document is open here")
    if closed == session.document:
        return Obeyed(replace(without_document(session), trail=()), closes=closed)
    return Obeyed(
        replace(session, trail=tuple(done for done in session.trail if done.document != closed)), closes=closed
    )
