"""One expected line: what checks use of it, and the few bytes it is kept in.

A document may have a hundred thousand lines, so they are never all objects at once: each becomes bytes as soon as it is
understood, and an object again when a scan asks for it.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any, NamedTuple
from zlib import crc32

from pydantic_core import from_json, to_json


class Line(NamedTuple):
    """One expected line, as checks use it."""

    order: int
    """Its place in the document."""
    line: str
    item: dict[str, str]
    quantity: Decimal
    unit: str
    lots: Collection[str]
    serials: Collection[str]
    locations: tuple[str, ...]
    price: Decimal | None
    return_disposition: str | None


class EncodedLine(NamedTuple):
    """A line on its way to the shelf."""

    line: str
    identities: tuple[str, ...]
    """What it is found by."""
    fields: bytes
    """Members of a JSON list but the first, its place in the document."""
    quantity: Decimal = Decimal(0)
    unit: str = ""

    def placed(self, order: int) -> bytes:
        """Return the line as JSON, at a place of the document."""
        return b"[%d,%s]" % (order, self.fields)


def encode_fields(fields: list[Any]) -> bytes:
    """Return members of a JSON list without its brackets."""
    return to_json(fields)[1:-1]


def sealed(value: bytes) -> bytes:
    """Return a value with its CRC-32 before it: a flipped bit in a quantity is still a quantity."""
    return crc32(value).to_bytes(4, "big") + value


def decode_line(row: bytes) -> Line:
    """Return the line of a row. Raises ValueError when the row is damaged."""
    return _line(from_json(_checked(row)))


def decode_lines(row: bytes) -> tuple[Line, ...]:
    """Return the lines of a row of several. Raises ValueError when the row is damaged."""
    return tuple([_line(fields) for fields in from_json(_checked(row))])


def _checked(row: bytes) -> bytes:
    value = row[4:]
    if crc32(value).to_bytes(4, "big") != row[:4]:
        raise ValueError("a line of an expected document is damaged; send the document again")
    return value


def _line(fields: list[Any]) -> Line:
    order, line, item, quantity, unit, lots, serials, locations, price, disposition = fields
    return Line(
        order,
        line,
        item,
        Decimal(quantity),
        unit,
        _names(lots),
        _names(serials),
        tuple(locations),
        None if price is None else Decimal(price),
        disposition,
    )


def _names(values: list[str]) -> Collection[str]:
    """Return each name once. A set of one takes five times the room of a tuple, and lines that are worked on stay."""
    return frozenset(values) if len(values) > 1 else tuple(values)
