"""Numbers of EPCIS: canonical events have decimal strings, JSON-LD has numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def number_of(text: Any) -> int | float | None:
    """Return a decimal string as the JSON number EPCIS wants; None when it is none."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def text_of(number: float) -> str:
    """Return a number as a decimal string without an exponent; `number_of` gives the number again."""
    return str(number) if isinstance(number, int) else f"{Decimal(repr(number)):f}"
