"""Devices that spoke and are not configured.

They are refused, counted and shown with the lines that would admit them. Their ids come from outside and are hostile
until proven: the register is bounded, and lines are offered only for an id that could stand in a configuration. When it
is full, whoever was silent for longest leaves: a technician who has just switched a new handheld on must find it here,
however many strangers came by before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

KNOCKING_MAX: Final = 100
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SHOWN_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Knock:
    """One unknown device."""

    device: str
    """Its id, with what cannot be printed escaped, at most 64 characters."""
    readings: int
    first_ms: int
    last_ms: int
    """Wall clock, milliseconds since 1970 UTC."""
    admit: str | None
    """The configuration lines that would admit it, for a person to check; None when the id can never be one."""


class KnockingRegister:
    """The unknown devices seen since start."""

    def __init__(self, knocking_max: int = KNOCKING_MAX) -> None:
        self._max = knocking_max
        self._knocks: dict[str, Knock] = {}  # the one heard last is last
        self.unlisted = 0
        """Readings of devices that left the register when it was full."""

    def note(self, device: str, driver: str, stations: tuple[str, ...], now_ms: int) -> None:
        """Count one refused reading. `driver` is what would probably speak to the device."""
        shown = ascii(device)[1:-1][:_SHOWN_MAX]
        known = self._knocks.pop(shown, None)
        if known is not None:
            knock = replace(known, readings=known.readings + 1, last_ms=now_ms)
        else:
            knock = Knock(shown, 1, now_ms, now_ms, _lines(device, driver, stations) if _ID.fullmatch(device) else None)
        self._knocks[shown] = knock
        if len(self._knocks) > self._max:
            self.unlisted += self._knocks.pop(next(iter(self._knocks))).readings

    def forget(self, device: str) -> None:
        """Strike a device off, because it is configured now."""
        self._knocks.pop(device, None)

    def knocks(self) -> list[Knock]:
        """Return the register, the latest first."""
        return list(reversed(self._knocks.values()))


def _lines(device: str, driver: str, stations: tuple[str, ...]) -> str:
    station = stations[0] if stations else "floor"
    others = f"   # or {', '.join(stations[1:6])}" if len(stations) > 1 else ""
    return f'[[device]]\nid = "{device}"\nstation = "{station}"{others}\ndriver = "{driver}"\n'
