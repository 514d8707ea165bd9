"""How much of a line a piece is: counted in pieces, or measured in the unit of the line.

A line in a unit that measures (KGM, LTR, MTR ...) is filled by what the label of an item of variable measure says in
that dimension (GS1 General Specifications, section 3.6.2), or by the number that somebody stated for it: never by one.
A line in any other unit is filled by how many are labelled, whatever they weigh.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

from gateway.checks.line import Line
from gateway.checks.piece import Piece
from gateway.events.unit import MEASURES, PIECES, converted

UNTOLD: Final = "untold"
"""The piece belongs to the line, and nobody says how much of it that is."""
UNFIT: Final = "unfit"
"""Somebody stated a unit that is not the line's."""
_ONE: Final = Decimal(1)

Amount = Decimal | Literal["untold", "unfit"]


def amount_of(piece: Piece, unit: str) -> Amount:
    """Return how much a piece is in the unit of a line."""
    if unit not in MEASURES:
        if piece.unit is None or piece.unit == unit:
            return piece.quantity
        return piece.quantity if piece.unit in PIECES and unit in PIECES else UNFIT
    if piece.unit in MEASURES:
        stated = converted(piece.quantity, piece.unit, unit)
        return UNFIT if stated is None else stated
    measured = _measured(piece, unit)
    if measured is not None:
        return measured
    return piece.quantity if _is_open(piece) else UNTOLD


def by_unit(piece: Piece, lines: Sequence[Line]) -> tuple[tuple[Line, ...], Decimal | None]:
    """Return those of the lines whose unit suits a piece best, and how much it is in the unit of the first of them;
    None when nobody says. Lines of one dimension may stand together, others may not: they have no sum."""
    amounts = [amount_of(piece, line.unit) for line in lines]
    if piece.measures or piece.unit in MEASURES:
        for line, amount in zip(lines, amounts, strict=True):
            if line.unit in MEASURES and not isinstance(amount, str):
                return _alike(lines, line.unit), amount
    for line, amount in zip(lines, amounts, strict=True):
        if line.unit not in MEASURES and not isinstance(amount, str):
            return tuple([one for one in lines if one.unit not in MEASURES]), amount
    for line, amount in zip(lines, amounts, strict=True):
        if not isinstance(amount, str):
            return tuple([one for one in lines if one.unit == line.unit]), amount  # a number: in whose unit?
    return tuple(lines), None


def _measured(piece: Piece, unit: str) -> Decimal | None:
    found = None
    for value, code in piece.measures:
        if code == unit:
            return Decimal(value)
        if found is None:
            found = converted(Decimal(value), code, unit)
    return found


def _is_open(piece: Piece) -> bool:
    """Return True when somebody stated a number and no unit: it is in that of the line. A piece of an older program
    does not say who stated its number."""
    return piece.unit is None and (piece.basis == "stated" or (not piece.basis and piece.quantity != _ONE))


def _alike(lines: Sequence[Line], unit: str) -> tuple[Line, ...]:
    return tuple([one for one in lines if converted(_ONE, unit, one.unit) is not None])
