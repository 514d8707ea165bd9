"""What is remembered of a point: the last raw value, in a row that commits together with the event it explains.

The row also says which registers the value came from and how they were read. A point that was moved to another
address, or whose word order was corrected, has never been seen before: the difference between two different
registers is not a number of parts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from drivers.modbus_map import Point


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last value of a point that is on disk."""

    raw: str
    """Decimal string, or "true" and "false"."""

    def encode(self, definition: str) -> bytes:
        """As it is stored."""
        return json.dumps({"definition": definition, "raw": self.raw}, separators=(",", ":")).encode()


def definition_of(point: Point, unit_id: int) -> str:
    """Everything that decides what a raw value means. `unit_id` is the unit it is really read from."""
    parts = (unit_id, point.table, point.address, point.type, point.word_order, point.byte_order, point.bit)
    return "/".join("-" if part is None else str(part) for part in parts) + f"/{point.means}"


def remembered(row: bytes | None, definition: str) -> Remembered | None:
    """What the row says, or None when nothing was stored, or for another definition of the point."""
    if row is None:
        return None
    try:
        stored = json.loads(row)
        known = (stored["definition"], stored["raw"])
    except (ValueError, KeyError, TypeError):
        return None
    if known[0] != definition or not isinstance(known[1], str):
        return None
    return Remembered(known[1])
