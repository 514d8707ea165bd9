"""What a label says in numbers beside its item: net weight and amounts of money.

The last digit of these Application Identifiers is the number of decimals (GS1 General Specifications, section 3.6 for
measures, 3.7 for amounts): 3103 with 001250 is 1.250 kg, 3932 with 978 and 1250 is 12.50 euros.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.capture.decimal_text import decimal_text
from gateway.capture.iso_codes import CURRENCY_LETTERS

_AMOUNTS: Final = {"390": "payable", "391": "payable", "392": "price", "393": "price"}
_WITH_CURRENCY: Final = ("391", "393")
_CURRENCY_DIGITS: Final = 3
_MEASURED: Final = {
    "310": "KGM", "311": "MTR", "314": "MTK", "315": "LTR", "316": "MTQ",
    "320": "LBR", "321": "INH", "322": "FOT", "323": "YRD",
    "350": "INK", "351": "FTK", "352": "YDK", "356": "APZ",
    "360": "QT", "361": "GLL", "364": "INQ", "365": "FTQ", "366": "YDQ",
}  # fmt: skip
"""Trade measures by unit (UN/ECE Recommendation 20). Width and depth (312n, 313n and their siblings) are no quantity of
goods; 357n does not say whether its ounces are of weight or of volume; logistic measures (33nn, 34nn, 353n ...) include
what is around the goods."""
_ROLL: Final = "8001"
_ROLL_LENGTH: Final = slice(4, 9)
"""Of a roll: width in mm, length in m, core diameter in mm, direction, splices."""
_CONTAINERS: Final = ("01", "02")
_VARIABLE: Final = "9"
_COUNTS: Final = ("30", "37")
_TRADE_MEASURES: Final = frozenset(
    {"350", "351", "352", "356", "357", "360", "361", "364", "365", "366"}
    | {f"{family}{last}" for family in ("31", "32") for last in range(10)}
)
"""How the Application Identifiers of trade measures begin (section 3.6.2), also those that are no quantity of goods."""


class LabelAmount(NamedTuple):
    """An amount of money."""

    value: str
    """Decimal string, with the decimals the label states."""
    kind: str
    """payable: amount payable or coupon value (AI 390n, 391n). price: of an item of variable measure (392n, 393n)."""
    currency: str | None = None
    """ISO 4217, three letters; None: that of the place where it is read (AI 390n, 392n)."""


def net_weight_kg(values: Mapping[str, str]) -> str | None:
    """Return the net weight in kilograms (AI 310n) as a decimal string; None when there is none."""
    for ai, value in values.items():
        if ai[:3] == "310":
            return _decimal(value, int(ai[3]))
    return None


def trade_measures(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what an item of variable measure measures, as decimal strings with their units, in the order of the label:
    net weight, length, area, net volume (General Specifications, section 3.6.2), the length of a roll (3.9.1)."""
    found = []
    for ai, value in values.items():
        unit = _MEASURED.get(ai[:3]) if len(ai) == 4 else None
        if unit is not None and value.strip("0") and (number := _decimal(value, int(ai[3]))) is not None:
            found.append((number, unit))
        elif ai == _ROLL and (number := decimal_text(value[_ROLL_LENGTH])) is not None:
            found.append((number, "MTR"))
    return tuple(found)


def kilograms(grams: str) -> str | None:
    """Return a weight in grams, a decimal string, as one in kilograms; None beyond what events hold."""
    return decimal_text(f"{Decimal(grams) / 1000:f}")


def unmeasured(values: Mapping[str, str]) -> str | None:
    """Return what to remark on the measures of a label; None when all is well.

    A GTIN that begins with 9 names goods whose measure differs from piece to piece (section 2.1.10); it says nothing
    without it, and a logistic weight does not tell it. The measure may stand in another symbol of the same label. A
    count or a measure of zeros is a printer's mistake: nothing would be counted by it.
    """
    for ai in values:
        if (ai in _COUNTS or (len(ai) == 4 and ai[:3] in _MEASURED)) and not values[ai].strip("0"):
            return f"AI {ai}: {values[ai]} is nothing"
    for ai in _CONTAINERS:
        if values.get(ai, "")[:1] == _VARIABLE and not any(_is_measure(one) or one == "30" for one in values):
            return f"AI {ai}: {values[ai]} is of variable measure, and its measure is not in this symbol"
    return None


def _is_measure(ai: str) -> bool:
    return ai == _ROLL or (len(ai) == 4 and ai[:3] in _TRADE_MEASURES)


def amount(values: Mapping[str, str]) -> LabelAmount | None:
    """Return the amount of money of a label; None when there is none. No label holds two: they exclude each other."""
    for ai, value in values.items():
        kind = _AMOUNTS.get(ai[:3]) if len(ai) == 4 else None
        if kind is None:
            continue
        currency = None
        if ai[:3] in _WITH_CURRENCY:
            code, value = value[:_CURRENCY_DIGITS], value[_CURRENCY_DIGITS:]
            currency = CURRENCY_LETTERS[code]
        number = _decimal(value, int(ai[3]))
        return None if number is None else LabelAmount(number, kind, currency)
    return None


def _decimal(digits: str, decimals: int) -> str | None:
    """Return the number whose last digits are decimals; the zeros behind the point are the label's own."""
    if not decimals:
        return decimal_text(digits)
    whole = digits.zfill(decimals + 1)
    return decimal_text(f"{whole[:-decimals].lstrip('0') or '0'}.{whole[-decimals:]}")
