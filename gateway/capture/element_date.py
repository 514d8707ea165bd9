"""Dates of element strings: YYMMDD, whose century has to be told from the current year.

General Specifications, section 7.12: a two-digit year lies within 49 back and 50 ahead of the current one, which is
handed in, since a gateway may wake up in 1970. Day 00, where it may stand, is the last of the month.
"""

from __future__ import annotations

import calendar
from functools import lru_cache
from typing import Final

DATES_CACHED_MAX: Final = 4_096
"""Eleven years of days: the labels of a site share their dates."""


@lru_cache(maxsize=DATES_CACHED_MAX)
def gs1_date(value: str, year: int) -> str | None:
    """Return YYMMDD as ISO 8601 date, day 00 as the last of the month; None when there is no such day."""
    month, day = int(value[2:4]), int(value[4:6])
    full = full_year(int(value[:2]), year)
    if not 1 <= month <= 12:
        return None
    last = calendar.monthrange(full, month)[1]
    if day > last:
        return None
    return f"{full:04d}-{month:02d}-{day or last:02d}"


def full_year(two_digits: int, year: int) -> int:
    """Return the year meant by its last two digits (General Specifications, section 7.12)."""
    century = year - year % 100
    difference = two_digits - year % 100
    if difference >= 51:
        return century - 100 + two_digits
    if difference <= -50:
        return century + 100 + two_digits
    return century + two_digits
