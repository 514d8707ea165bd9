"""A piece: what one event adds to the totals of a document.

Theory of operation. Totals are not kept, pieces are: one small row an event, committed with it. A total is the sum over
pieces by event id, so the order of arrival does not matter, an event that is seen twice counts once, and one that is
undone is simply gone. What a piece belongs to (which line) is found by comparing with the expected document, never
stored: the pieces outlive a new version of it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.capture.label import LabelItem
from gateway.capture.quantity import Measures
from gateway.events.epcis_uri import is_one_thing

PREFIX: Final = "piece/"
US: Final = "\x1f"
NOT_COUNTED: Final = 0
"""Round of a piece that is stored and counts nowhere: a recount by the person who counted first."""


RESTS_CACHED_MAX: Final = 1_024


class Piece(NamedTuple):
    """What one event says was handled."""

    event: str
    item: LabelItem
    quantity: Decimal
    unit: str | None = None
    """None where nobody stated one: as labelled."""
    line: str | None = None
    location: str | None = None
    operator: str | None = None
    damaged: bool = False
    is_repeat: bool = False
    """The event may be a repeat of a device that does not number its messages."""
    round: int = 1
    """Of counting: 1, 2 for a recount."""
    return_disposition: str | None = None
    basis: str = ""
    """Who said how many: label, stated, stated_with_unit; empty: nobody, or an older program wrote the row."""
    measures: Measures = ()
    """Trade measures of all of it."""

    def unique(self, activity: str) -> str | None:
        """Return the name of the very object, when its label carries one; None for one of many."""
        return unique_of(self.item, activity)


_OUT_OF_UNITS: Final = ("pick", "count")
"""Goods are taken out of a logistic unit, and counted in it, more than once by the same label."""
_NAMES: Final = ("urn:epc:id:", "https://id.gs1.org/")
"""How the EPC of a tag that was decoded begins: by its scheme, or by TDS 2.x."""
_REST: Final = 3
"""Members before it are of the one scan."""
_DEFAULTS: Final = tuple([Piece._field_defaults[name] for name in Piece._fields[_REST:]])


def unique_of(item: LabelItem, activity: str) -> str | None:
    """Return the name of one object: SSCC, serialised GTIN, EPC, another key of one thing (GIAI, serialised GRAI ...);
    None when the label names only its kind."""
    if not (item.serial or item.sscc or item.epc):
        return item.code if item.code and is_one_thing(item.code) else None  # nearly every scan has no code
    kind = item.gtin or item.code  # an in-store number is a code
    if item.sscc and kind and activity in _OUT_OF_UNITS:
        return None
    if item.sscc:
        # A unit of mixed goods has a label for each kind of them: the same kind and lot again is the same scan again.
        contents = [part for part in (kind, item.lot) if part]
        return ":".join(["sscc", item.sscc, *contents])
    if item.serial and (key := item.gtin or item.sku or item.code):
        return serial_name(key, item.serial)
    if item.epc and item.epc.startswith(_NAMES):
        return item.epc
    return None


def serial_name(kind: str, serial: str) -> str:
    """Return the name of the object with a serial number, among those of a GTIN or item number."""
    return f"serial:{kind}:{serial}"


def piece_key(document: str, activity: str, event: str = "") -> str:
    """Return the name of the row of a piece; without an event the beginning that all pieces of a book share."""
    return f"{PREFIX}{document}{US}{activity}{US}{event}"


def encode_piece(piece: Piece, item: str) -> bytes:
    """Return the piece as the value of its row; its event is in the name of the row. `item` is its item as JSON, as it
    stands in the event: to make it again would cost as much as all the rest."""
    return f'[{item},"{piece.quantity}"{_rest(piece[_REST:])}]'.encode("utf-8", "replace")


@lru_cache(maxsize=RESTS_CACHED_MAX)
def _rest(fields: tuple[Any, ...]) -> str:
    """Return the members behind the quantity, without those at the end that say nothing: the same scan after scan."""
    last = max((number for number, one in enumerate(fields) if one != _DEFAULTS[number]), default=-1)
    return "".join([f",{json.dumps(one)}" for one in fields[: last + 1]])


def decode_piece(event: str, value: bytes) -> Piece:
    """Return the piece of a row. Raises ValueError for a row of another form."""
    item, quantity, *rest = json.loads(value)
    known = {name: value for name, value in item.items() if name in LabelItem._fields}
    piece = Piece(event, LabelItem(**known), Decimal(quantity), *rest)
    return (
        piece._replace(measures=tuple([(value, unit) for value, unit in piece.measures])) if piece.measures else piece
    )
