"""Findings in the words of events: numbers, items, documents, variances."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from gateway.capture.label import LabelItem
from gateway.checks.documents import OpenDocument
from gateway.checks.piece import Piece
from gateway.checks.rule import Deviation
from gateway.checks.shelf import Header
from gateway.events.finding import ExpectationReference, Variance
from gateway.events.model import Document, Item

_NINTH: Final = Decimal("0.000000001")
_MILLI: Final = Decimal("0.001")
_HUGE: Final = 10**18
"""Events hold 18 digits before the point; more is a mistake of somebody's, and is shown as the most there is."""


def plain(value: Decimal) -> str:
    """Return a number as events carry it: no exponent, no trailing zeros."""
    if abs(value) >= _HUGE:
        return str((_HUGE - 1) * (-1 if value < 0 else 1))
    if -int(value.as_tuple().exponent) > 9:
        value = value.quantize(_NINTH)
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def item_of(item: LabelItem) -> Item:
    """Return the item as events tell it."""
    return Item.model_construct(None, **{name: value for name, value in item._asdict().items() if value})


def document_of(one: OpenDocument, line: str | None = None) -> Document:
    """Return the document as events tell it, and the line of it that a finding is about."""
    kind = one.header.type if one.header is not None else one.progress.type
    return Document(id=one.id, type=kind, line=line)


def reference_of(header: Header | None) -> ExpectationReference | None:
    """Return which copy was compared with."""
    if header is None:
        return None
    return ExpectationReference(id=header.id, type=header.type, version=header.version, digest=header.digest)


def variance_of(deviation: Deviation, unit: str, header: Header | None) -> Variance:
    """Return a deviation as events tell it."""
    value, percent = deviation.value, deviation.percent
    return Variance(
        direction="over" if deviation.difference > 0 else "short",
        expected=plain(deviation.expected),
        observed=plain(deviation.observed),
        difference=plain(deviation.difference),
        unit=unit,
        percent=None if percent is None or abs(percent) >= _HUGE else plain(percent.quantize(_MILLI)),
        value=None if value is None else plain(value),
        currency=None if value is None or header is None else header.currency,
    )


def shown_object(piece: Piece) -> str:
    """Return what a person calls the very object."""
    item = piece.item
    if item.sscc:
        return item.sscc
    return f"{shown(piece)} serial {item.serial}" if item.serial else shown(piece)


def shown(piece: Piece) -> str:
    """Return what a person calls the item."""
    item = piece.item
    kind = item.sku or item.gtin or item.sscc or item.code or item.epc or "the item"
    return f"{kind} lot {item.lot}" if item.lot else kind
