"""GS1 identifiers as the canonical, constrained GS1 Digital Link URIs that the event hash id is made from.

Two spellings of one identifier must hash alike: the EPC URN a tag is decoded to and the Digital Link a label gives, and
a Digital Link on any host, with a lot behind a serial number or a query. GS1 Digital Link URI syntax 1.2, section 4.11,
and EPC Tag Data Standard for the URNs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from gateway.events.check_digit import check_digit

_HOST: Final = "https://id.gs1.org/"
_URN: Final = re.compile(r"urn:epc:(?:id|class|idpat):([a-z]+):(.+)")
_LINK: Final = re.compile(
    r"https?://[^/?#]+(?:/[^?#]*?)?/((?:00|01|253|255|401|402|414|417|8003|8004|8006|8010|8017|8018)/[^?#]+)"
)
_QUALIFIERS: Final = {"01": ("21", "10", "235"), "8006": ("21", "10"), "414": ("254",), "8010": ("8011",)}
"""Behind a key only the finest of these stays."""
_ANY: Final = "*"


def canonical_link(text: str) -> str:
    """Return the canonical Digital Link URI of a GS1 identifier; any other text as it is."""
    if text.startswith("urn:epc:"):
        return _from_urn(text) or text
    if text.startswith("http"):
        return _from_link(text) or text
    return text


def _from_link(text: str) -> str | None:
    found = _LINK.match(text)
    if found is None:
        return None
    key, value, *rest = found[1].split("/")
    if not value:
        return None
    pairs = dict(zip(rest[::2], rest[1::2], strict=False))
    if key == "01" and value.isdigit():
        value = value.zfill(14)
    for qualifier in _QUALIFIERS.get(key, ()):
        if qualifier in pairs:
            return f"{_HOST}{key}/{value}/{qualifier}/{pairs[qualifier]}"
    return f"{_HOST}{key}/{value}"


def _from_urn(text: str) -> str | None:
    found = _URN.fullmatch(text)
    write = _SCHEMES.get(found[1]) if found else None
    if found is None or write is None:
        return None
    parts = found[2].split(".")
    try:
        return _HOST + write(parts)
    except (IndexError, ValueError):
        return None


def _checked(digits: str) -> str:
    return digits + str(check_digit(digits))


def _escaped(part: str) -> str:
    return quote(unquote(part), safe="-._~'")


def _qualified(key: str, qualifier: str, part: str) -> str:
    return key if part == _ANY else f"{key}/{qualifier}/{_escaped(part)}"


def _gtin(parts: list[str]) -> str:
    return _checked(parts[1][0] + parts[0] + parts[1][1:])


def _serial(parts: list[str], at: int) -> str:
    part = ".".join(parts[at:])
    return "" if part == _ANY else _escaped(part)


def _location(parts: list[str]) -> str:
    key = "414/" + _checked(parts[0] + parts[1])
    extension = ".".join(parts[2:])
    return key if extension in ("0", "") else _qualified(key, "254", extension)


_SCHEMES: Final[dict[str, Callable[[list[str]], str]]] = {
    "sgtin": lambda parts: _qualified("01/" + _gtin(parts), "21", ".".join(parts[2:])),
    "lgtin": lambda parts: _qualified("01/" + _gtin(parts), "10", ".".join(parts[2:])),
    "upui": lambda parts: _qualified("01/" + _gtin(parts), "235", ".".join(parts[2:])),
    "sscc": lambda parts: "00/" + _checked(parts[1][0] + parts[0] + parts[1][1:]),
    "sgln": _location,
    "pgln": lambda parts: "417/" + _checked(parts[0] + parts[1]),
    "grai": lambda parts: "8003/0" + _checked(parts[0] + parts[1]) + _serial(parts, 2),
    "giai": lambda parts: "8004/" + parts[0] + _serial(parts, 1),
    "gdti": lambda parts: "253/" + _checked(parts[0] + parts[1]) + _serial(parts, 2),
    "sgcn": lambda parts: "255/" + _checked(parts[0] + parts[1]) + _serial(parts, 2),
    "gsrn": lambda parts: "8018/" + _checked(parts[0] + parts[1]),
    "gsrnp": lambda parts: "8017/" + _checked(parts[0] + parts[1]),
    "ginc": lambda parts: "401/" + parts[0] + _serial(parts, 1),
    "gsin": lambda parts: "402/" + _checked(parts[0] + parts[1]),
    "cpi": lambda parts: _qualified("8010/" + parts[0] + _escaped(parts[1]), "8011", ".".join(parts[2:])),
    "itip": lambda parts: _qualified("8006/" + _gtin(parts) + parts[2] + parts[3], "21", ".".join(parts[4:])),
}
