"""Numbers that look like a GTIN and are none: in-store numbers, coupons, refund receipts.

GS1 keeps prefixes for numbers that a company or a country gives out by its own rule (General Specifications, section
1.4, table of GS1 Prefixes and GS1-8 Prefixes). They are good inside that company and say nothing elsewhere, where
somebody else has the same number for another thing; often a price or a weight stands in their digits. So they are kept
as the code of the label and never told as a GTIN.

    EAN/UPC   020-029, 200-299    restricted circulation within a region (in-store; 2n of a UPC)
              040-049             restricted circulation within a company (4n of a UPC)
              050-059, 981-984    coupons (05 formerly; nothing else was ever given out there)
              980, 985-999        refund receipts, coupons
    EAN-8     000-099, 200-299    restricted circulation within a company
"""

from __future__ import annotations

from typing import Final

_EIGHT: Final = "000000"
"""How a GTIN-8 begins in fourteen digits; no longer number does."""
_PREFIX_AT: Final = slice(1, 4)
_PREFIXES: Final = ("02", "2", "04", "05", "98", "99")
_LENGTHS: Final = (8, 12, 13, 14)


def restricted_number(digits: str) -> str | None:
    """Return a number of this kind as it is kept, in 13 digits or in 8; None when the digits are a GTIN.

    `digits` are 8, 12, 13 or 14, with a right check digit.
    """
    whole = digits.zfill(14)
    if whole.startswith(_EIGHT):
        return whole[6:] if whole[6] in "02" else None
    prefix = whole[_PREFIX_AT]
    if not prefix.startswith(_PREFIXES):
        return None
    # In fourteen digits an indicator before such a number has no meaning; what has one is kept whole.
    return whole[1:] if whole[0] == "0" else whole


def restricted_names(code: str) -> list[str]:
    """Return what a document may call a restricted number by: in 13 digits, in 12, and in the 14 of a GTIN. None for a
    text that is no such number."""
    if len(code) not in _LENGTHS or not (code.isascii() and code.isdigit()) or restricted_number(code) is None:
        return []
    whole = code.zfill(14)
    forms = [whole[6:]] if whole.startswith(_EIGHT) else [whole[1:]] if whole[0] == "0" else []
    if whole.startswith("00") and not whole.startswith(_EIGHT):
        forms.append(whole[2:])
    return list(dict.fromkeys([code, *forms, whole]))
