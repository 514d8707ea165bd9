"""Decimal numbers as text, the way events carry them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

_PLAIN: Final = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?")
_UNIT: Final = re.compile(r"[A-Z0-9]{2,3}")


def decimal_text(text: str) -> str | None:
    """Return a non-negative number in the form of events ("12", "0.5"), or None when `text` is none.

    "007", "1E+2" and "+5" are numbers of devices and spreadsheets: they are brought into form, their value is kept.
    """
    if text.isdigit() and text.isascii() and text[0] != "0" and len(text) <= 18:
        return text  # nearly always, and four times faster than the expression
    if _PLAIN.fullmatch(text):
        return text
    if not text.isascii() or len(text) > 40 or "_" in text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.is_signed() or number.adjusted() > 17:
        return None
    formed = f"{number:f}"
    return formed if _PLAIN.fullmatch(formed) else None


def is_unit(text: str) -> bool:
    """Return True when `text` has the form of a UN/ECE Recommendation 20 code."""
    return _UNIT.fullmatch(text) is not None
