"""What the data of an Application Identifier has to pass, part by part.

Every check is a function of the text and of the current year that returns what is wrong, in words for a person, or
None; `CHECKS` has them by the names that `gateway.capture.application_identifiers` uses. They are called with text of
the right length and kind of characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.capture.coupon import coupon, paperless_coupon
from gateway.capture.element_date import gs1_date
from gateway.capture.iso_codes import COUNTRIES, COUNTRY_LETTERS, CURRENCIES
from gateway.capture.package_types import PACKAGE_TYPES
from gateway.events.check_digit import check_pair, is_iban

Checker = Callable[[str, int], str | None]

_NAMES_ALL_COUNTRIES: Final = "999"
_PREFIX_DIGITS_MIN: Final = 4
"""The shortest GS1 Company Prefix."""
_MEDIA: Final = frozenset(f"{number:02d}" for number in (*range(1, 11), *range(80, 100)))
"""AI 7241: 01 to 10 are assigned, 80 to 99 are for local use."""
_PERCENT: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_PLACE: Final = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)")


def _day_or_none(text: str, year: int) -> str | None:
    return None if gs1_date(text, year) else f"{text} is not a date"


def _day(text: str, year: int) -> str | None:
    return None if gs1_date(text, year) and text[4:] != "00" else f"{text} is not a date"


def _full_day(text: str, year: int) -> str | None:
    del year
    return _day(text[2:], int(text[:4])) and f"{text} is not a date"


def _days(text: str, year: int) -> str | None:
    """Two days: from the first to the second."""
    first, last = gs1_date(text[:6], year), gs1_date(text[6:], year)
    return f"{text} ends before it begins" if first and last and last < first else None


def _time(text: str, year: int) -> str | None:
    del year
    return None if text[:2] < "24" and text[2:] < "60" else f"{text} is not a time"


def _hour(text: str, _: int) -> str | None:
    return None if text < "24" else f"{text} is not an hour"


def _minute(text: str, _: int) -> str | None:
    return None if text < "60" else f"{text} is not a minute or second"


def _some(text: str, _: int) -> str | None:
    return None if text.strip("0") else f"{text} is nothing"


def _zero(text: str, _: int) -> str | None:
    return None if text == "0" else f"{text} stands where 0 has to"


def _no_zero_first(text: str, _: int) -> str | None:
    return f"{text} begins with 0" if text[0] == "0" else None


def _owner(text: str, _: int) -> str | None:
    prefix = text[:_PREFIX_DIGITS_MIN]
    return None if len(prefix) == _PREFIX_DIGITS_MIN and prefix.isdigit() else f"{text} begins with no company prefix"


def _letter(text: str, _: int) -> str | None:
    return f"{text} has no letter" if text.isdigit() else None


def _pair(text: str, _: int) -> str | None:
    if len(text) < 3:
        return f"{text} is too short for its check characters"
    expected = check_pair(text[:-2])
    return None if text[-2:] == expected else f"{text}: check characters {text[-2:]}, expected {expected}"


def _piece(text: str, _: int) -> str | None:
    piece, total = text[:2], text[2:]
    return None if "00" < piece <= total else f"piece {piece} of {total} does not exist"


def _country(text: str, _: int) -> str | None:
    return None if text in COUNTRIES else f"{text} is not a country (ISO 3166)"


def _country_or_all(text: str, year: int) -> str | None:
    return None if text == _NAMES_ALL_COUNTRIES else _country(text, year)


def _country_letters(text: str, _: int) -> str | None:
    return None if text in COUNTRY_LETTERS else f"{text} is not a country (ISO 3166)"


def _currency(text: str, _: int) -> str | None:
    return None if text in CURRENCIES else f"{text} is not a currency (ISO 4217)"


def _latitude(text: str, _: int) -> str | None:
    return None if text <= "1800000000" else f"{text} is no latitude"


def _longitude(text: str, _: int) -> str | None:
    return None if text <= "3600000000" else f"{text} is no longitude"


def _percent(text: str, _: int) -> str | None:
    return None if _PERCENT.fullmatch(text) else f'{text} has a "%" that encodes nothing'


def _place_in_order(text: str, _: int) -> str | None:
    found = _PLACE.fullmatch(text)
    return None if found and int(found[1]) <= int(found[2]) else f"{text} is not one of a number"


def _iban(text: str, _: int) -> str | None:
    return None if is_iban(text) and text[:2] in COUNTRY_LETTERS else f"{text} is not an IBAN"


def _one_of(allowed: str) -> Checker:
    return lambda text, _: None if text in allowed else f"{text} is none of {', '.join(allowed)}"


def _medium(text: str, _: int) -> str | None:
    return None if text in _MEDIA else f"{text} is not a kind of data carrier"


def _package(text: str, _: int) -> str | None:
    return None if text in PACKAGE_TYPES else f"{text} is not a type of package (UN/ECE Recommendation 21)"


def _importer(text: str, _: int) -> str | None:
    return None if text.isalnum() or text in "-_" else f"{text} is not an importer's index"


CHECKS: Final[Mapping[str, Checker]] = {
    "country": _country,
    "country_letters": _country_letters,
    "country_or_all": _country_or_all,
    "coupon": coupon,
    "currency": _currency,
    "day": _day,
    "day0": _day_or_none,
    "days": _days,
    "full_day": _full_day,
    "hour": _hour,
    "iban": _iban,
    "importer": _importer,
    "latitude": _latitude,
    "letter": _letter,
    "longitude": _longitude,
    "medium": _medium,
    "minus": _one_of("-"),
    "minute": _minute,
    "no_zero_first": _no_zero_first,
    "owner": _owner,
    "package": _package,
    "pair": _pair,
    "paperless_coupon": paperless_coupon,
    "percent": _percent,
    "piece": _piece,
    "place_in_order": _place_in_order,
    "sex": _one_of("0129"),
    "some": _some,
    "time": _time,
    "winding": _one_of("019"),
    "yes_no": _one_of("01"),
    "zero": _zero,
}
"""By name. "digit", the check digit of a key, is not among them: its problem is another one (see element_string)."""
