"""Which objects were picked, whatever the document: the same serial number cannot be taken twice.

One row an object, committed with the pick and removed when the object comes back. Looked up by name, so nothing but
what is in flight is in memory.
"""

from __future__ import annotations

from typing import Final

from gateway.checks.docket import StatePort
from gateway.checks.found import Found
from gateway.checks.piece import US

PREFIX: Final = "picked/"
_BACK: Final = frozenset({"return", "receipt"})


class Picks:
    """Objects that were picked and have not come back."""

    def __init__(self, outbox: StatePort) -> None:
        self._outbox = outbox
        self._flying: dict[str, bytes | None] = {}

    def taken(self, unique: str) -> tuple[str, str] | None:
        """Return (document, event) of the pick of an object; None when it is not picked."""
        value = self._flying[unique] if unique in self._flying else self._outbox.state(PREFIX + unique)
        if value is None:
            return None
        document, event, _ = value.decode().split(US)
        return document, event

    def note(self, unique: str, activity: str, document: str, event: str, found: Found) -> None:
        """Note that an object was picked, or is back."""
        if activity == "pick":
            self._put(unique, f"{document}{US}{event}{US}{self._outbox.operating_ms}".encode(), found)
        elif activity in _BACK and self.taken(unique) is not None:
            self._put(unique, None, found)

    def undone(self, unique: str, event: str, found: Found) -> None:
        """The event was undone: if it was the pick, the object is not picked."""
        taken = self.taken(unique)
        if taken is not None and taken[1] == event:
            self._put(unique, None, found)

    def forget(self) -> None:
        """Go by what is committed."""
        self._flying.clear()

    def _put(self, unique: str, value: bytes | None, found: Found) -> None:
        was_flying, before = unique in self._flying, self._flying.get(unique)
        self._flying[unique] = value
        found.state[PREFIX + unique] = value

        def undo() -> None:
            if was_flying:
                self._flying[unique] = before
            else:
                self._flying.pop(unique, None)

        def landed() -> None:
            if self._flying.get(unique) is value:
                self._flying.pop(unique, None)

        found.changed(undo)
        found.on_disk(landed)
