"""GS1 element strings, with the traps of their transmission closed.

Theory of operation. A message is split at its Application Identifiers by one table (`application_identifiers`), and
every part of every value is held to what the General Specifications say of it. What contradicts them is refused,
because a wrong item is worse than an unread label:

- A wrong check digit, an impossible date, a country that does not exist, a character outside set 82: each is named with
  its Application Identifier, the text that arrived and what was expected.
- A missing separator (FNC1, sent as GS, 0x1D) is silent: a lot swallows what follows it. Three signs betray it. A
  variable-length field that ends at its longest form while data goes on; a count of a million or more; and a text
  field in a message without any separator whose tail reads as another field that is not there: a plausible date, a key
  with a correct check digit, a net weight, or a serial number behind a long lot. None of them is repaired: the same
  bytes could be a longer lot. Where a site's real lots look so, an item pattern of the site says so. A short lot
  followed by a short serial number cannot be told from a longer lot by anybody but the scanner.
- A separator behind a field of predefined length, at either end or twice in a row changes nothing.
- A separator may have been replaced by text on its way ("<GS>"), or the printed brackets may have been encoded.
- Application Identifiers that exclude or need one another are held to it (`element_company`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from gateway.capture.application_identifiers import DIGITS, IDENTIFIERS, Identifier
from gateway.capture.element_company import company
from gateway.capture.element_date import gs1_date
from gateway.capture.element_value import CHECKS
from gateway.events.check_digit import check_digit_problem, is_closed

SEPARATOR: Final = "\x1d"
"""FNC1 as scanners transmit it: ASCII group separator."""

# GS1 AI encodable character set 82, the "#" of set 39 (AI 8010) and the separator.
_ALLOWED: Final = re.compile(r"[\x1d!-#%-?A-Z_a-z]*")
_SPELLED_OUT: Final = re.compile(r"<GS>|<FNC1>|<0x1D>|<29>|\(GS\)|\(FNC1\)|%1D|_x001D_", re.IGNORECASE)
_SPELLED_WITH: Final = frozenset("<(%_")
"""One of these is in each of them: looking for that first costs a tenth."""
GTINS_CACHED_MAX: Final = 8_192
_KEYS: Final[Mapping[str, str]] = {
    "00": "SSCC", "01": "GTIN", "02": "GTIN", "03": "GTIN", "253": "GDTI", "255": "GCN", "402": "GSIN", "8003": "GRAI",
    "8006": "ITIP", "8017": "GSRN", "8018": "GSRN", "8026": "ITIP",
    **{f"41{last}": "GLN" for last in range(8)},
}  # fmt: skip
"""What the key with a check digit is called."""
_COUNTS: Final = ("30", "37")
_COUNT_DIGITS_MAX: Final = 6
"""The format allows eight digits, but a million pieces under one label is a missing separator, not a count."""
_SERIAL_BEHIND_LOT: Final = re.compile(r".{3,}?21.{4,}")
_LOT_SUSPECT_MIN: Final = 12
_TAIL: Final = re.compile(
    r"(?P<date>(?:11|12|13|15|16|17)[0-9]{6})|(?P<gtin>0[12][0-9]{14})|(?P<sscc>00[0-9]{18})|(?P<weight>310[0-5][0-9]{6})"
)
_NEXT: Final = ("", "10", "11", "12", "13", "15", "16", "17", "20", "21", "30", "310", "37", "240")
_DATE_LENGTH: Final = 8
_YEARS_BACK, _YEARS_AHEAD = 5, 12
"""How far off a date on goods in a warehouse may plausibly lie, when it is only suspected to be one."""


class ElementProblem(Exception):
    """The label cannot be taken as it is; the message says why, in words for a person."""

    def __init__(self, message: str, *, is_mismatch: bool = False) -> None:
        super().__init__(message)
        self.is_mismatch = is_mismatch
        """The data was read well and contradicts itself (a check digit), rather than being unreadable."""


def read_message(data: str, year: int, gtin: str | None = None) -> dict[str, str]:
    """Return the values of a message without its symbology identifier, by Application Identifier in the order of the
    message; raise ElementProblem.

    `year` is the current year, for two-digit years. `gtin` is what the linear half of a composite symbol said before
    this message.
    """
    data = data.removeprefix(SEPARATOR).rstrip(SEPARATOR)  # some scanners send the FNC1 in first position as well
    _check_characters(data)
    values = checked_elements(_split(data), year, gtin)
    if SEPARATOR not in data:
        _check_tail(values, year)
    return values


def checked_elements(elements: Iterable[tuple[Identifier, str]], year: int, gtin: str | None = None) -> dict[str, str]:
    """Return the values by Application Identifier, when each one and their company hold; raise ElementProblem.
    `gtin` as for `read_message`."""
    values = {} if gtin is None else {"01": gtin}
    for identifier, value in elements:
        ai = identifier.ai
        if ai in values:
            _check_again(ai, values[ai], value)
        values[ai] = value
        if not identifier.shape.fullmatch(value):
            raise ElementProblem(f"AI {ai}: {_misshapen(identifier, value)}")
        if identifier.checks:
            _check_value(identifier, value, year)
        if ai in _COUNTS and len(value.lstrip("0")) > _COUNT_DIGITS_MAX:
            raise ElementProblem(f"AI {ai}: a count of {value}? The separator behind it is missing")
    contradiction = company(frozenset(values)).problem
    if contradiction:
        raise ElementProblem(contradiction, is_mismatch=True)
    return values


def _check_again(ai: str, first: str, second: str) -> None:
    """The same field twice with one value is harmless, but what is handled is named once on a label."""
    if first != second:
        raise ElementProblem(f"AI {ai} says {first} and {second}", is_mismatch=True)
    if ai in ("00", "01", "02"):
        raise ElementProblem(f"{first} arrived twice in one scan", is_mismatch=True)


@lru_cache(maxsize=GTINS_CACHED_MAX)
def gtin_problem(digits: str) -> str | None:
    """Return what is wrong with the GTIN, or None."""
    return check_digit_problem("GTIN", digits)


def _check_characters(data: str) -> None:
    if not data:
        raise ElementProblem("no data behind the symbology identifier")
    if data[0] == "(":
        raise ElementProblem("the printed brackets are part of the data: the label is no GS1 element string")
    allowed = _ALLOWED.match(data)
    end = allowed.end() if allowed else 0
    if end < len(data):
        raise ElementProblem(
            f"{data[end]!a} cannot stand in an element string; does the scanner replace the separator by it?"
        )
    if not _SPELLED_WITH.isdisjoint(data) and (spelled := _SPELLED_OUT.search(data)):
        raise ElementProblem(f'the separator arrives as the text "{spelled[0]}"; set the scanner to send GS (0x1D)')


def _split(data: str) -> Iterator[tuple[Identifier, str]]:
    position, end = 0, len(data)
    while position < end:
        if data[position] == SEPARATOR:
            position += 1
            continue
        digits = DIGITS.get(data[position : position + 2], 0)
        identifier = IDENTIFIERS.get(data[position : position + digits])
        if identifier is None:
            raise ElementProblem(f"no Application Identifier begins {data[position : position + 8]!a}")
        position += digits
        if identifier.is_fixed:
            value = data[position : position + identifier.length_max]
            if SEPARATOR in value:
                value = value.partition(SEPARATOR)[0]
        else:
            stop = data.find(SEPARATOR, position)
            value = data[position:stop] if stop >= 0 else data[position:]
            if len(value) > identifier.length_max:
                raise ElementProblem(_run_on(identifier, value))
        position += len(value)
        yield identifier, value


def _run_on(identifier: Identifier, value: str) -> str:
    end = identifier.length_max
    return f"AI {identifier.ai}: no separator between {value[:end]} and {value[end : end + 8]}"


def _misshapen(identifier: Identifier, value: str) -> str:
    """Say why a value is not of the shape its Application Identifier gives it."""
    kind = "digits" if identifier.is_numeric else "characters"
    shortest, longest = identifier.length_min, identifier.length_max
    if not shortest <= len(value) <= longest:
        wanted = str(longest) if shortest == longest else f"{shortest} to {longest}"
        return f"{value or 'nothing'} has {len(value)} {kind}, {wanted} expected"
    if identifier.is_numeric and not (value.isascii() and value.isdigit()):
        return f"{value} is not a number"
    outside = next((character for character in value if character == "#" or not _ALLOWED.fullmatch(character)), None)
    if outside is not None and not identifier.shape.pattern.startswith("[#"):
        return f"{value} holds {outside!a}, which is not in character set 82"
    return f"{value} is not of the form the General Specifications give it"


def _check_value(identifier: Identifier, value: str, year: int) -> None:
    ai = identifier.ai
    for name, start, end in identifier.checks:
        part = value[start:end]
        if not part:
            return  # an optional component that is not there, and nothing can stand behind it
        if name == "digit":
            problem = gtin_problem(part) if _KEYS[ai] == "GTIN" else check_digit_problem(_KEYS[ai], part)
            if problem:
                raise ElementProblem(problem, is_mismatch=True)
        else:
            problem = CHECKS[name](part, year)
            if problem:
                raise ElementProblem(f"AI {ai}: {problem}", is_mismatch=name == "pair")


def _check_tail(values: dict[str, str], year: int) -> None:
    """Look for a field inside another: without a separator a variable-length field takes all that follows."""
    ai, value = next(reversed(values.items()))
    if ai not in ("10", "21", "240", "241", "250", "251", "400"):
        return
    for found in _tails(value):
        if not _is_plausible(found, year):
            continue
        if found[:2] not in values:
            raise ElementProblem(f"AI {ai}: {value} may hold AI {found}; a separator is missing, or the lot looks so")
        if found[:2] in ("00", "01") and len(found) > _DATE_LENGTH:
            raise ElementProblem(f"two scans arrived as one: {found[2:]} stands in AI {ai}", is_mismatch=True)
    behind_lot = ai == "10" and "21" not in values and len(value) >= _LOT_SUSPECT_MIN
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
    return found.startswith("310") or is_closed(value)
