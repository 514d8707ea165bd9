"""What the rows of each table look like, so that a row without its table can be told, and a broken one refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from buffer.digest import DIGEST_BYTES
from buffer.row_check import CHECKS

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
    "state": "tbi",
    "redelivery": "ttbbii",
    "cursor": "tiiiiiiii",
    "quarantine": "tittti",
    "annex": "ttb",
    "announcement": "ti",
}
"""The columns of each table in the order in which they are declared; sql/ says what they mean."""

_ADDED: dict[str, tuple[Any, ...]] = {
    "ledger": ("", 0, bytes(DIGEST_BYTES)),
    "cursor": (0, None),
    "state": (None,),
    "redelivery": (None,),
}
"""What columns hold that an older schema did not have; None: the check of the row, which is computed."""
WITHOUT_ROWID = frozenset({"state", "redelivery", "cursor", "quarantine", "annex", "announcement"})


def shaped(table: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return the values as a row of a table, with columns that an older schema lacks; None when they are none."""
    shape = SHAPES[table]
    added = _ADDED.get(table, ())
    lacking = len(shape) - len(values)
    if lacking:
        if not 0 < lacking <= len(added):
            return None
        values = (*values, *added[len(added) - lacking :])
        if table in CHECKS and values[-1] is None:
            values = (*values[:-1], 0)
            return _as_shaped(shape, values) and (*values[:-1], CHECKS[table](*values[:-1]))
    return _as_shaped(shape, values)


def _as_shaped(shape: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    return tuple(values) if all(_COLUMN[kind](value) for kind, value in zip(shape, values, strict=True)) else None


def is_believable(table: str, row: Sequence[Any]) -> bool:
    """Whether the check of a row, if it has one, fits the row."""
    return table not in CHECKS or bool(CHECKS[table](*row[:-1]) == row[-1])


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
