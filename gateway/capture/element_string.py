"""GS1 element strings, with the traps of their transmission closed.

Theory of operation. biip splits a message at its Application Identifiers and knows every format of the GS1 General
Specifications. What it lets pass is refused here, because a wrong item is worse than an unread label:

- A wrong check digit is reported by biip beside a result; here it is a problem. Keys biip does not check (GRAI, ITIP,
  GDTI, GSIN and others) are checked too.
- A missing separator (FNC1, sent as GS, 0x1D) is silent: a lot swallows what follows it. Three signs betray it. A
  variable-length field that ends at its longest form while data goes on; a count of seven or more digits; and a text
  field in a message without any separator whose tail reads as another field that is not there: a plausible date, a key
  with a correct check digit, a net weight, or a serial number behind a long lot. None of them is repaired: the same
  bytes could be a longer lot. Where a site's real lots look so, an item pattern of the site says so. A short lot
  followed by a short serial number cannot be told from a longer lot by anybody but the scanner.
- A separator may have been replaced by text on its way ("<GS>"), or the printed brackets may have been encoded.
- Two-digit years are read by the rule of the General Specifications (section 7.12: 49 years back, 50 ahead) against a
  year that is handed in: biip asks the system's clock, and a gateway that starts in 1970 would write 1927 for 2027.
- Application Identifiers that exclude or need one another (GS1 syntax dictionary, `ex=` and `req=`) are held to it
  where it changes how many of what were handled: 01, 02, 37, and a lot or serial number that belongs to nothing.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from biip import ParseConfig, ParseError
from biip.checksums import gs1_standard_check_digit
from biip.gs1_element_strings import GS1ElementString
from biip.gs1_messages import GS1Message

SEPARATOR: Final = "\x1d"
"""FNC1 as scanners transmit it: ASCII group separator."""

# A date that does not exist must name its field in our words, not fail the message in biip's.
_CONFIG: Final = ParseConfig(gs1_element_strings_verify_date=False)
# GS1 AI encodable character set 82, the "#" of set 39 (AI 8010) and the separator.
_ALLOWED: Final = re.compile(r"[\x1d!-#%-?A-Z_a-z]*")
_SPELLED_OUT: Final = re.compile(r"<GS>|<FNC1>|\(GS\)|\(FNC1\)", re.IGNORECASE)
_DATES: Final = ("11", "12", "13", "15", "16", "17")
_CHECKED: Final = {"253": 13, "255": 13, "402": 17, "8003": 14, "8006": 14, "8017": 18, "8018": 18}
"""Keys biip does not check, with the digits their check digit closes."""
_COUNTS: Final = ("30", "37")
_COUNT_DIGITS_MAX: Final = 6
"""The format allows eight digits, but a million pieces under one label is a missing separator, not a count."""
_SERIAL_BEHIND_LOT: Final = re.compile(r".{3,}?21.{4,}")
_LOT_SUSPECT_MIN: Final = 12
_TAIL: Final = re.compile(
    r"(?P<date>(?:11|12|13|15|16|17)[0-9]{6})|(?P<gtin>0[12][0-9]{14})|(?P<sscc>00[0-9]{18})|(?P<weight>310[0-5][0-9]{6})"
)
_NEXT: Final = ("", "10", "11", "12", "13", "15", "16", "17", "20", "21", "30", "310", "37", "240")
_YEARS_BACK, _YEARS_AHEAD = 5, 12
"""How far off a date on goods in a warehouse may plausibly lie, when it is only suspected to be one."""


class Element(NamedTuple):
    """One element string."""

    ai: str
    value: str


class ElementProblem(Exception):
    """The label cannot be taken as it is; the message says why, in words for a person."""

    def __init__(self, message: str, *, is_mismatch: bool = False) -> None:
        super().__init__(message)
        self.is_mismatch = is_mismatch
        """The data was read well and contradicts itself (a check digit), rather than being unreadable."""


def read_message(data: str, year: int) -> tuple[Element, ...]:
    """Return the element strings of a message without its symbology identifier; raise ElementProblem.

    `year` is the current year, for two-digit years.
    """
    data = data.removeprefix(SEPARATOR).rstrip(SEPARATOR)  # some scanners send the FNC1 in first position as well
    _check_characters(data)
    try:
        message = GS1Message.parse(data, config=_CONFIG)
    except ParseError as error:
        raise ElementProblem(_explained(str(error))) from error
    strings = list(message.element_strings)
    _check_separators(data, strings)
    elements = check_elements(strings, year)
    if SEPARATOR not in data:
        _check_tails(elements, year)
    return elements


def check_elements(strings: list[GS1ElementString], year: int) -> tuple[Element, ...]:
    """Return what biip found, when every key, date and combination holds; raise ElementProblem."""
    values: dict[str, str] = {}
    for string in strings:
        ai, value = string.ai.ai, string.value
        if not value.isascii():  # a percent-encoded digit of another script passes biip's patterns
            raise ElementProblem(f"AI {ai}: {value!a} is not valid")
        if values.setdefault(ai, value) != value:
            raise ElementProblem(f"AI {ai} says {values[ai]} and {value}", is_mismatch=True)
        _check_key(string)
        if ai in _DATES and gs1_date(value, year) is None:
            raise ElementProblem(f"AI {ai}: {value} is not a date")
        if ai in _COUNTS and len(value) > _COUNT_DIGITS_MAX:
            raise ElementProblem(f"AI {ai}: a count of {value}? The separator behind it is missing")
    _check_company(values)
    return tuple(Element(ai, value) for ai, value in values.items())


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


def gtin_problem(digits: str) -> str | None:
    """Return what is wrong with the GTIN, or None."""
    if not digits.strip("0"):
        return "a GTIN of zeros identifies nothing"
    return check_digit_problem("GTIN", digits)


def check_digit_problem(key: str, digits: str) -> str | None:
    """Return what is wrong with the last digit of a GS1 key, or None."""
    expected = gs1_standard_check_digit(digits[:-1])
    return None if expected == int(digits[-1]) else f"{key} {digits}: check digit {digits[-1]}, expected {expected}"


def _check_characters(data: str) -> None:
    if not data:
        raise ElementProblem("no data behind the symbology identifier")
    allowed = _ALLOWED.match(data)
    end = allowed.end() if allowed else 0
    if end < len(data):
        raise ElementProblem(
            f"{data[end]!a} cannot stand in an element string; does the scanner replace the separator by it?"
        )
    spelled = _SPELLED_OUT.search(data)
    if spelled:
        raise ElementProblem(f'the separator arrives as the text "{spelled[0]}"; set the scanner to send GS (0x1D)')


def _explained(message: str) -> str:
    """Say in our words what biip could not do: its message quotes the regular expression."""
    failed = re.search(r"Failed to match '(.*?)' with GS1 AI \((\d+)\)", message, re.DOTALL)
    if failed:
        value = failed[1].removeprefix(failed[2])
        kind = "a date" if failed[2] in _DATES else "valid"
        return f"AI {failed[2]}: {value or 'nothing'} is not {kind}"
    unknown = re.search(r"Application Identifier from '(.*)'", message, re.DOTALL)
    return f"no Application Identifier begins {(unknown[1] if unknown else message)[:8]!a}"


def _check_separators(data: str, strings: list[GS1ElementString]) -> None:
    position = 0
    for string in strings:
        position += len(string)
        goes_on = position < len(data)
        if goes_on and data[position] != SEPARATOR and string.ai.separator_required:
            raise ElementProblem(
                f"AI {string.ai.ai}: no separator between {string.value} and {data[position : position + 8]}"
            )
        while position < len(data) and data[position] == SEPARATOR:
            position += 1


def _check_key(string: GS1ElementString) -> None:
    ai, value = string.ai.ai, string.value
    problem: str | None = None
    if ai in ("01", "02", "03"):
        problem = gtin_problem(value)
    elif ai == "00":
        problem = check_digit_problem("SSCC", value)
    elif string.gln_error is not None:
        problem = check_digit_problem("GLN", value) or string.gln_error
    elif ai in _CHECKED:
        problem = check_digit_problem(f"AI {ai}", value[: _CHECKED[ai]])
    if problem:
        raise ElementProblem(problem, is_mismatch=True)


def _check_company(values: dict[str, str]) -> None:
    """Hold Application Identifiers to the company the syntax dictionary gives them, where quantity depends on it."""
    if "01" in values and ("02" in values or "37" in values):
        raise ElementProblem("AI 01 with 02 or 37: is it the item or its content?", is_mismatch=True)
    if "02" in values and "37" not in values:
        raise ElementProblem("AI 02 without 37: how many are contained?")
    if "37" in values and not values.keys() & {"02", "8026"}:
        raise ElementProblem("AI 37 without 02: many of what?")


def _check_tails(elements: tuple[Element, ...], year: int) -> None:
    """Look for a field inside another: without a separator a variable-length field takes all that follows."""
    if not elements or elements[-1].ai not in ("10", "21", "240", "241", "250", "251", "400"):
        return
    ai, value = elements[-1]
    present = {element.ai for element in elements}
    for found in _tails(value):
        if found[:2] not in present and _is_plausible(found, year):
            raise ElementProblem(f"AI {ai}: {value} may hold AI {found}; a separator is missing, or the lot looks so")
    behind_lot = ai == "10" and "21" not in present and len(value) >= _LOT_SUSPECT_MIN
    if behind_lot and _SERIAL_BEHIND_LOT.fullmatch(value):
        raise ElementProblem(f"AI 10: {value} may hold AI 21; a separator is missing, or the lot looks so")


def _tails(value: str) -> Iterator[str]:
    for start in range(1, len(value) - 7):
        found = _TAIL.match(value, start)
        if found and any(value[found.end() :].startswith(ai) if ai else found.end() == len(value) for ai in _NEXT):
            yield found[0]


def _is_plausible(found: str, year: int) -> bool:
    value = found[2:]
    if len(value) == 6:
        date = gs1_date(value, year)
        return date is not None and year - _YEARS_BACK <= int(date[:4]) <= year + _YEARS_AHEAD
    if found.startswith("310"):
        return True
    return check_digit_problem("", value) is None
