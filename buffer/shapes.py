"""What the rows of each table look like, so that a row without its table can be told, and a broken one refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from buffer.digest import DIGEST_BYTES

_COLUMN: dict[str, Callable[[Any], bool]] = {
    "i": lambda value: type(value) is int,
    "n": lambda value: value is None or type(value) is int,
    "t": lambda value: isinstance(value, str),
    "u": lambda value: value is None or isinstance(value, str),
    "b": lambda value: isinstance(value, bytes),
    "h": lambda value: isinstance(value, bytes) and len(value) == DIGEST_BYTES,
}
"""i number, n number or nothing, t text, u text or nothing, b bytes, h hash."""

SHAPES = {
    "entry": "ittttibhh",
    "ledger": "iihiiiiutih",
    "epoch": "iithti",
    "purged": "iih",
    "age_mark": "ii",
    "audit": "iiitttnth",
    "incident": "iiu",
    "state": "tb",
    "redelivery": "ttbbi",
    "cursor": "tiiiiiii",
    "quarantine": "tittti",
    "annex": "ttb",
}
"""The columns of each table in the order in which they are declared; sql/ says what they mean."""

_ADDED = {"ledger": ("", 0, bytes(DIGEST_BYTES)), "cursor": (0,)}
"""What columns hold that an older schema did not have."""
WITHOUT_ROWID = frozenset({"state", "redelivery", "cursor", "quarantine", "annex"})


def shaped(table: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return the values as a row of a table, with columns that an older schema lacks; None when they are none."""
    shape = SHAPES[table]
    added = _ADDED.get(table, ())
    lacking = len(shape) - len(values)
    if lacking:
        if not 0 < lacking <= len(added):
            return None
        values = (*values, *added[len(added) - lacking :])
    return tuple(values) if all(_COLUMN[kind](value) for kind, value in zip(shape, values, strict=True)) else None


def recognised(rowid: int | None, values: Sequence[Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Return the table that a row found on some page must be of, and the row; None when it is of none.

    The number of a row is not stored among its values, where its column holds nothing.
    """
    if rowid is not None:
        if not values or values[0] is not None:
            return None
        values = (rowid, *values[1:])
    for table in SHAPES:
        if (table in WITHOUT_ROWID) == (rowid is None) and (row := shaped(table, values)) is not None:
            return table, row
    return None
