"""Units of measure by their UN/ECE Recommendation 20 code: which measure what, and how one becomes another.

A unit that is not in the table counts things (EA, C62, CS, PK ...): as many as are labelled. One that is measures mass,
volume, length or area, and becomes another unit of the same dimension by an exact factor (the international yard and
pound of 1959, NIST Special Publication 811, appendix B). All arithmetic is decimal. A quotient without an end, such as
kilograms in pounds, is cut behind `PLACES` decimals, far below the nine that an event holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal, NamedTuple

Dimension = Literal["mass", "volume", "length", "area"]

PLACES: Final = 18
_QUANTUM: Final = Decimal(1).scaleb(-PLACES)
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
PIECES: Final = frozenset({"EA", "C62", "H87", "NAR", "PCE"})
"""Each, one, piece, number of articles, and the older code for piece: one trade item."""

_TABLE: Final = """
mass    KGM 1  GRM 0.001  MGM 0.000001  HGM 0.1  DTN 100  TNE 1000
        LBR 0.45359237  ONZ 0.028349523125  APZ 0.0311034768  GRN 0.00006479891  STI 6.35029318
        CWA 45.359237  CWI 50.80234544  STN 907.18474  LTN 1016.0469088
volume  LTR 1  MLT 0.001  CLT 0.01  DLT 0.1  HLT 100  K6 1000  MTQ 1000  DMQ 1  CMQ 0.001  MMQ 0.000001
        INQ 0.016387064  FTQ 28.316846592  YDQ 764.554857984  GLL 3.785411784  GLI 4.54609
        QT 0.946352946  QTL 0.946352946  QTI 1.1365225  PTL 0.473176473  PTI 0.56826125
        OZA 0.0295735295625  OZI 0.0284130625
length  MTR 1  KMT 1000  DMT 0.1  CMT 0.01  MMT 0.001  INH 0.0254  FOT 0.3048  YRD 0.9144  SMI 1609.344
area    MTK 1  KMK 1000000  HAR 10000  DMK 0.01  CMK 0.0001  MMK 0.000001
        INK 0.00064516  FTK 0.09290304  YDK 0.83612736
"""


class _Unit(NamedTuple):
    dimension: str
    factor: Decimal
    """How much of the dimension's first unit it is."""


def _units() -> Iterator[tuple[str, _Unit]]:
    dimension = ""
    for line in _TABLE.strip().splitlines():
        words = line.split()
        if len(words) % 2:
            dimension = words.pop(0)
        for code, factor in zip(words[::2], words[1::2], strict=True):
            yield code, _Unit(dimension, Decimal(factor))


_UNITS: Final = dict(_units())
MEASURES: Final = frozenset(_UNITS)
"""Codes of the units that measure and do not count."""


def converted(value: Decimal, unit: str, wanted: str) -> Decimal | None:
    """Return a quantity in another unit; None when there is no way from one to the other."""
    if unit == wanted:
        return value
    given, other = _UNITS.get(unit), _UNITS.get(wanted)
    if given is None or other is None:
        return value if unit in PIECES and wanted in PIECES else None
    if given.dimension != other.dimension:
        return None
    whole = _WIDE.multiply(value, given.factor)
    found = _WIDE.divide(whole, other.factor)
    exponent = found.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -PLACES:
        found = found.quantize(_QUANTUM, context=_WIDE)
    return found.normalize(_WIDE)


def shown_decimals(value: Decimal, places: int = 9) -> Decimal:
    """Return a sum of quantities with as many decimals as events hold."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places:
        return value.quantize(Decimal(1).scaleb(-places), context=_WIDE)
    return value
