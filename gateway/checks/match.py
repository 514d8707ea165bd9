"""Which lines of a document a piece belongs to, and what about it is not as expected.

Theory of operation. The answer depends on the piece and the document alone, never on what was scanned before: that is
what makes totals independent of order. Lines that a piece fits equally well form a pool; the pool is filled as one, and
shared out over its lines, in the order of the document, only when somebody looks.

A line that names lots, serial numbers or places is for those; a label that does not say its lot can fit any. Another
object than those a line names fills no line: it would hide that one of them is missing. How much of its lines a piece
is: see `gateway.checks.amount`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.checks.amount import UNFIT, amount_of, by_unit
from gateway.checks.expectation import identities
from gateway.checks.line import Line
from gateway.checks.piece import Piece
from gateway.checks.shelf import Header, Shelf
from gateway.events.finding import ExceptionCode


class Match(NamedTuple):
    """Where a piece belongs."""

    lines: tuple[Line, ...]
    """The lines it fits equally well, in the order of the document; none: it is not on the document."""
    problems: tuple[ExceptionCode, ...] = ()
    """What about it is not as the lines say, although the item is."""
    nearest: tuple[Line, ...] = ()
    """The lines of its item, when it fills none of them."""
    amount: Decimal | None = None
    """How much it is, in the unit of the first of its lines; None: they measure, and nobody says how much it is."""


def match(piece: Piece, header: Header, shelf: Shelf, *, activity: str) -> Match:
    """Return where a piece belongs in the document."""
    lines: tuple[Line, ...] = ()
    for identity in identities(piece.item):
        lines = shelf.lines_of(header, identity)
        if lines:
            break
    if len(lines) > 1 and piece.line is not None:
        lines = tuple(line for line in lines if line.line == piece.line) or lines
    if lines and piece.unit is not None:
        lines = tuple(line for line in lines if amount_of(piece, line.unit) is not UNFIT)
    if not lines:
        return Match(())
    if len(lines) == 1 and _agrees(piece, lines[0]):
        amount = amount_of(piece, lines[0].unit)  # nearly every scan
        return Match(lines, amount=None if isinstance(amount, str) else amount)
    problems: list[ExceptionCode] = []
    lot, serial, location = piece.item.lot, piece.item.serial, piece.location
    if lot is not None:
        lines = _narrowed(lines, lambda line: line.lots, lambda line: lot in line.lots, problems, "lot_mismatch")
    if serial is not None:
        lines = _narrowed(
            lines, lambda line: line.serials, lambda line: serial in line.serials, problems, "serial_mismatch"
        )
    if location is not None:
        before = len(problems)
        code: ExceptionCode = "putaway_failure" if activity == "putaway" else "wrong_location"
        lines = _narrowed(
            lines, lambda line: line.locations, lambda line: fits(location, line.locations), problems, code
        )
        if activity == "count" and len(problems) > before:
            return Match((), tuple(problems))  # what stands elsewhere does not fill this place
    if "serial_mismatch" in problems:
        return Match((), tuple(problems), lines)
    lines, told = by_unit(piece, lines)
    return Match(lines, tuple(problems), amount=told)


def _agrees(piece: Piece, line: Line) -> bool:
    """Return True when nothing that the piece says is against the line."""
    lot, serial, location = piece.item.lot, piece.item.serial, piece.location
    return (
        (lot is None or not line.lots or lot in line.lots)
        and (serial is None or not line.serials or serial in line.serials)
        and (location is None or not line.locations or fits(location, line.locations))
    )


def fits(text: str, patterns: Sequence[str]) -> bool:
    """Return True when one of the names or patterns is that of the text."""
    return any(text == pattern or fnmatchcase(text, pattern) for pattern in patterns)


def _narrowed(
    lines: tuple[Line, ...],
    asks: Callable[[Line], object],
    agrees: Callable[[Line], bool],
    problems: list[ExceptionCode],
    code: ExceptionCode,
) -> tuple[Line, ...]:
    """Return the lines that ask for what the piece is; else those that do not ask; else all of them, with a problem."""
    exact = tuple(line for line in lines if asks(line) and agrees(line))
    if exact:
        return exact
    open_ones = tuple(line for line in lines if not asks(line))
    if open_ones:
        return open_ones
    problems.append(code)
    return lines
