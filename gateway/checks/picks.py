"""Which objects were picked, whatever the document: the same serial number cannot be taken twice.

One row an object, committed with the pick and removed when the object comes back. It names the picks that stand, the
first one first: when that is undone, the next one is the pick. Looked up by name, so nothing but what is in flight is
in memory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.checks.docket import StatePort
from gateway.checks.found import Found
from gateway.checks.piece import US

PREFIX: Final = "picked/"
STANDING_MAX: Final = 8
"""Picks of one object that are remembered; of more, the first ones."""
_BACK: Final = frozenset({"return", "receipt"})


class Pick(NamedTuple):
    """One pick of an object."""

    document: str
    event: str
    ms: int
    """Operating clock."""


class Picks:
    """Objects that were picked and have not come back."""

    def __init__(self, outbox: StatePort) -> None:
        self._outbox = outbox
        self._flying: dict[str, bytes | None] = {}

    def taken(self, unique: str) -> Pick | None:
        """Return the first pick of an object that stands; None when it is not picked."""
        picks = self._picks(unique)
        return picks[0] if picks else None

    def note(self, unique: str, activity: str, document: str, event: str, found: Found) -> None:
        """Note that an object was picked, or is back."""
        if activity == "pick":
            picks = self._picks(unique)
            if len(picks) < STANDING_MAX:
                self._put(unique, [*picks, Pick(document, event, self._outbox.operating_ms)], found)
        elif activity in _BACK and self.taken(unique) is not None:
            self._put(unique, [], found)

    def undone(self, unique: str, event: str, found: Found) -> None:
        """The event was undone: if it was a pick, it does not stand."""
        picks = self._picks(unique)
        left = [pick for pick in picks if pick.event != event]
        if len(left) < len(picks):
            self._put(unique, left, found)

    def forget(self) -> None:
        """Go by what is committed."""
        self._flying.clear()

    def _picks(self, unique: str) -> list[Pick]:
        value = self._flying[unique] if unique in self._flying else self._outbox.state(PREFIX + unique)
        return [] if value is None else decode_picks(value)

    def _put(self, unique: str, picks: list[Pick], found: Found) -> None:
        value = US.join(f"{pick.document}{US}{pick.event}{US}{pick.ms}" for pick in picks).encode() or None
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

        found.changed(undo, landed)


def decode_picks(value: bytes) -> list[Pick]:
    """Return the picks of a row. Raises ValueError for a row of another form."""
    fields = value.decode().split(US)
    return [Pick(fields[at], fields[at + 1], int(fields[at + 2])) for at in range(0, len(fields) - 2, 3)]
