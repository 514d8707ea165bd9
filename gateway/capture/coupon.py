"""The inside of North American coupons (AI 8110 and 8112): digits that say how many digits follow.

GS1 US, North American Coupon Application Guideline, whose grammar the General Specifications (section 3.9) point to.
An 8110 names the company, the offer, what is saved and what has to be bought, then optional parts that each begin with
a number and stand in its order; an 8112 names the funder, the offer and the serial number of a paperless coupon.

Theory of operation. A part is a row of fields. `6` is six digits; `vli` a digit that says how many digits beyond `more`
follow it; `one` a digit out of a set; a date is six digits that name a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.capture.element_date import gs1_date


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    digits: int = 0
    """That always stand there."""
    first: str = ""
    """What its first digit, beside `digits`, may be: a code, or a length when `is_length`."""
    is_length: bool = False
    more: int = 0
    """Digits beyond those that the length says; a length of 9, where a company prefix may have it, means none."""
    is_date: bool = False


def _company(name: str, first: str = "0123456") -> _Field:
    return _Field(name, first=first, is_length=True, more=6)


def _amount(name: str) -> _Field:
    return _Field(name, first="12345", is_length=True)


def _purchase(which: str) -> tuple[_Field, ...]:
    return (
        _amount(f"{which} purchase requirement"),
        _Field(f"{which} purchase requirement code", first="012349"),
        _Field(f"{which} purchase family code", digits=3),
    )


_OFFER: Final = _Field("offer code", digits=6)
_SERIAL: Final = _Field("serial number", first="0123456789", is_length=True, more=6)
_COUPON: Final = (_company("company prefix"), _OFFER, _amount("save value"), *_purchase("first"))
_OPTIONAL: Final = {
    "1": (
        _Field("additional purchase rules", first="0123"),
        *_purchase("second"),
        _company("second company prefix", "01234569"),
    ),
    "2": (*_purchase("third"), _company("third company prefix", "01234569")),
    "3": (_Field("expiry", digits=6, is_date=True),),
    "4": (_Field("start", digits=6, is_date=True),),
    "5": (_SERIAL,),
    "6": (_Field("retailer", first="1234567", is_length=True, more=6),),
    "9": (
        _Field("save value code", first="01256"),
        _Field("item the save value applies to", first="012"),
        _Field("store coupon flag", digits=1),
        _Field("do not multiply flag", first="01"),
    ),
}
_PAPERLESS: Final = (_Field("format", first="01"), _company("funder"), _OFFER, _SERIAL)


def coupon(text: str, year: int) -> str | None:
    """Return what is wrong with the data of AI 8110, in words for a person, or None."""
    if not text.isdigit():
        return f"{text} is not a number"
    at, problem = _read(_COUPON, text, 0, year)
    begun = "0"
    days: dict[str, str] = {}
    while problem is None and at < len(text):
        option, start = text[at], at + 1
        if option not in _OPTIONAL or option <= begun:
            return f"coupon: {text[at:]} is no part that may stand there"
        begun = option
        at, problem = _read(_OPTIONAL[option], text, start, year)
        if problem is None and option in "34":
            days[option] = gs1_date(text[start:at], year) or ""
    if problem is None and len(days) == 2 and days["3"] < days["4"]:
        return f"coupon: it expires on {days['3']}, before it starts on {days['4']}"
    return problem


def paperless_coupon(text: str, year: int) -> str | None:
    """Return what is wrong with the data of AI 8112, in words for a person, or None."""
    if not text.isdigit():
        return f"{text} is not a number"
    at, problem = _read(_PAPERLESS, text, 0, year)
    if problem is None and at < len(text):
        return f"coupon: {text[at:]} stands behind its end"
    return problem


def _read(fields: Sequence[_Field], text: str, at: int, year: int) -> tuple[int, str | None]:
    """Return where the fields end, and what is wrong with one of them."""
    for field in fields:
        digits, what = field.digits, text[at : at + field.digits]
        if field.first:
            first = text[at : at + 1]
            if first and first not in field.first:
                return at, f"coupon: {field.name} {first}, which is none of {', '.join(field.first)}"
            digits = 1
            if field.is_length and first and not (first == "9" and field.first.endswith("69")):
                digits += int(first) + field.more
        if at + digits > len(text) or not text[at : at + 1]:
            return at, f"coupon: {field.name} is cut off"
        if field.is_date and (what[4:] == "00" or gs1_date(what, year) is None):
            return at, f"coupon: {field.name} {what} is not a date"
        at += digits
    return at, None
