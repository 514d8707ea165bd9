"""RFID tags of EPC Tag Data Standard 2.x: keys digit by digit, and texts as long as they are.

The "+" schemes (section 14.5) no longer state where the company prefix ends, so there is no URN of such a tag: its
name is the canonical GS1 Digital Link URI of what it holds. Behind header, data toggle and filter stand the key, four
bits a digit, and behind it mostly a text that says itself how it is written and how long it is. A "++" scheme adds the
host name of a company, which is no part of what is identified. With the toggle set, data of Application Identifiers
follow; they stay in the evidence. Texts in URN Code 40 are not read: such a tag stays raw, like all that does not come
out even.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from gateway.events.check_digit import check_digit_problem

_BASE_64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SET_82: Final = re.compile(r"[!\"%-?A-Z_a-z]+")
_SET_39: Final = re.compile(r"[#\-/0-9A-Z]+")
_DATE_BITS: Final = 20
"""A kind of date and the date, in front of the GTIN (DSGTIN+)."""
_WORD: Final = 16


class _Scheme(NamedTuple):
    name: str
    ai: str
    digits: int
    """Of the key; 0: as many as there are before a delimiter, and a text that belongs to the key."""
    checked: int = 0
    """How many of them, from the first on, end in a check digit; of a GRAI the leading zero is not among them."""
    text_max: int = 0
    """Characters behind the key at most; 0: none."""
    qualifier: str = ""
    """AI of the text; empty: it belongs to the key."""
    is_numeric: bool = False
    """The text is a number, with its length in four bits before it."""
    is_dated: bool = False
    has_host: bool = False


_PLUS: Final = (
    (0xF7, 0xFD, _Scheme("SGTIN", "01", 14, 14, 20, "21")),
    (0xFB, 0xFC, _Scheme("DSGTIN", "01", 14, 14, 20, "21", is_dated=True)),
    (0xF9, 0xEF, _Scheme("SSCC", "00", 18, 18)),
    (0xF2, 0xE9, _Scheme("SGLN", "414", 13, 13, 20, "254")),
    (0xF1, 0xEB, _Scheme("GRAI", "8003", 14, 14, 16)),
    (0xFA, 0xEE, _Scheme("GIAI", "8004", 0, 0, 30)),
    (0xF4, 0xE7, _Scheme("GSRN", "8018", 18, 18)),
    (0xF5, 0xE8, _Scheme("GSRNP", "8017", 18, 18)),
    (0xF6, 0xEA, _Scheme("GDTI", "253", 13, 13, 17)),
    (0xF8, 0xEC, _Scheme("SGCN", "255", 13, 13, 12, is_numeric=True)),
    (0xF3, 0xED, _Scheme("ITIP", "8006", 18, 14, 20, "21")),
    (0xF0, 0xE6, _Scheme("CPI", "8010", 0, 0, 30)),
)
_SCHEMES: Final = {
    **{plus: scheme._replace(name=f"{scheme.name}+") for plus, _, scheme in _PLUS},
    **{host: scheme._replace(name=f"{scheme.name}++", has_host=True) for _, host, scheme in _PLUS},
}


class TagPlus(NamedTuple):
    """What such a tag says."""

    scheme: str
    filter: int
    link: str
    """Canonical GS1 Digital Link URI."""
    ai: str
    key: str
    text: str
    """Behind the key: serial number or extension; empty when there is none."""


class TagPlusError(ValueError):
    """The bits do not come out even."""


class _Bits:
    """The bits of a tag, taken from the front."""

    def __init__(self, epc: bytes) -> None:
        self._bits = f"{int.from_bytes(epc):0{len(epc) * 8}b}"
        self._at = 0

    def number(self, count: int) -> int:
        taken = self._bits[self._at : self._at + count]
        if len(taken) < count:
            raise TagPlusError("the bits break off")
        self._at += count
        return int(taken, 2) if taken else 0

    def digit(self) -> str:
        digit = self.number(4)
        if digit > 9:
            raise TagPlusError(f"{digit:X} is no digit")
        return str(digit)

    def is_over(self) -> bool:
        """Whether nothing is left but zeros to the end of a memory word."""
        rest = self._bits[self._at :]
        return "1" not in rest and len(rest) < _WORD


def scheme_name(header: int) -> str | None:
    """Return the name of the scheme of a header, such as "SGTIN+"; None when it is none of these."""
    scheme = _SCHEMES.get(header)
    return None if scheme is None else scheme.name


def read_tag_plus(epc: bytes) -> TagPlus:
    """Return what a tag says whose header `scheme_name` knows. Raises TagPlusError, with the reason in words."""
    scheme = _SCHEMES[epc[0]]
    bits = _Bits(epc)
    bits.number(8)
    has_data, filter_value = bits.number(1), bits.number(3)
    if scheme.is_dated:
        bits.number(_DATE_BITS)
    key = "".join(bits.digit() for _ in range(scheme.digits)) if scheme.digits else _open_key(bits, scheme)
    text = ""
    if scheme.is_numeric:
        text = _integer(bits, bits.number(4))
    elif scheme.digits and scheme.text_max:
        text = _text(bits)
        if scheme.ai == "414" and text == "0":
            text = ""  # a location without an extension (section 6.3.3)
    elif scheme.ai == "8010":
        text = _integer(bits, bits.number(4))
    _check(scheme, key, text)
    if scheme.has_host:
        _skip_host(bits)
    if not has_data and not bits.is_over():
        raise TagPlusError("the bits hold more than one")
    return TagPlus(scheme.name, filter_value, _link(scheme, key, text), scheme.ai, key, text)


def _open_key(bits: _Bits, scheme: _Scheme) -> str:
    """A key without a length: digits, a delimiter, and behind 0xE a text that belongs to it."""
    digits = ""
    while (digit := bits.number(4)) <= 9:
        digits += str(digit)
    if digit == 0xE:
        digits += _text(bits)
    elif digit != 0xF:
        raise TagPlusError(f"{digit:X} is no digit")
    allowed = _SET_39 if scheme.ai == "8010" else _SET_82
    if len(digits) > scheme.text_max or not allowed.fullmatch(digits):
        raise TagPlusError(f"{digits!a} is no {scheme.name.rstrip('+')}")
    return digits


def _text(bits: _Bits) -> str:
    how, length = bits.number(3), bits.number(5)
    match how:
        case 0:
            return _integer(bits, length)
        case 1:
            return "".join(f"{bits.number(4):X}" for _ in range(length))
        case 2:
            return "".join(f"{bits.number(4):x}" for _ in range(length))
        case 3:
            return "".join(_BASE_64[bits.number(6)] for _ in range(length))
        case 4:
            return "".join(chr(bits.number(7)) for _ in range(length))
        case _:
            raise TagPlusError("URN Code 40 is not read" if how == 5 else f"{how} is no way to write a text")


def _integer(bits: _Bits, length: int) -> str:
    """A number of so many digits, zeros in front too, in as few bits as the largest of them takes."""
    if not length:
        return ""
    text = f"{bits.number((10**length - 1).bit_length()):0{length}d}"
    if len(text) > length:
        raise TagPlusError(f"{text} has more than {length} digits")
    return text


def _skip_host(bits: _Bits) -> None:
    is_ascii, length = bits.number(1), bits.number(6)
    bits.number(7 * length if is_ascii else 16 * -(-length // 3))


def _check(scheme: _Scheme, key: str, text: str) -> None:
    if scheme.checked:
        problem = check_digit_problem(scheme.name.rstrip("+"), key[: scheme.checked])
        if problem is not None:
            raise TagPlusError(problem)
    if len(text) > scheme.text_max or (text and not _SET_82.fullmatch(text)):
        raise TagPlusError(f"{text!a} is no text of a {scheme.name.rstrip('+')}")
    if scheme.qualifier and scheme.ai != "414" and not text:
        raise TagPlusError("there is nothing behind the key")


def _link(scheme: _Scheme, key: str, text: str) -> str:
    qualifier = "8011" if scheme.ai == "8010" else scheme.qualifier
    behind = f"/{qualifier}/{quote(text, safe='')}" if qualifier else quote(text, safe="")
    return f"https://id.gs1.org/{scheme.ai}/{quote(key, safe='')}{behind if text else ''}"
