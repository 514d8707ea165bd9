"""GS1 Digital Link URIs: a web address in which a GS1 key and its attributes stand (URI Syntax 1.6, uncompressed).

    https://shop.example/p/01/09521234543213/10/A%2FB/21/S1?17=271231&utm_source=label#top
            any domain,   key   GTIN        qualifiers, in   attributes; other    ignored
            any stem                        their order      parameters are ignored

Theory of operation. The key is the rightmost primary key from which Application Identifier and value alternate to the
end of the path. Values are percent-decoded and then held to the same rules as element strings. An address without a key
is no Digital Link and none of our business. One that has a key, and breaks the standard otherwise, is a problem: a
qualifier out of order, an attribute in the path or a qualifier in the query, an unknown number as a parameter, the same
identifier twice. So is what can be read in two ways: "+" in a query (a plus or a space), ";" in a query (a character or
a separator).

The scheme may be written in any case. A GTIN may be written with 8, 12 or 13 digits, as early versions of the standard
allowed. The compressed form is not read: it needs a table of its own and says nothing to the eye; it stays plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.capture.application_identifiers import IDENTIFIERS, Identifier
from gateway.capture.element_string import ElementProblem, checked_elements
from gateway.events.check_digit import is_closed

_ADDRESS: Final = re.compile(
    r"https?://[A-Z0-9.:-]+(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.IGNORECASE | re.DOTALL
)
_URI: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""RFC 3986, section 2."""
_SECOND: Final = re.compile(r"https?://", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_SET_82: Final = re.compile(r"[!\"#%-?A-Z_a-z]+")
_STRANDED: Final = re.compile(r"/(?:01/(?P<gtin>[0-9]{14})|00/(?P<sscc>[0-9]{18}))(?=/)")
_GTIN_SHORT: Final = (8, 12, 13)


def read_link(address: str, year: int) -> dict[str, str] | None:
    """Return the values by Application Identifier, key first; None when the address is no Digital Link. Raises
    ElementProblem for one that breaks the standard. `year` as for `read_message`."""
    _check_single(address)
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return None
    segments = parts["path"].split("/")[1:]
    start = _key(segments)
    if start is None:
        _check_stranded(parts["path"])
        return None
    if not _URI.fullmatch(address):
        raise ElementProblem("GS1 Digital Link: there are characters in it that a web address cannot have")
    return checked_elements(_elements(segments[start:], parts["query"] or ""), year)


def _check_single(address: str) -> None:
    """Two scans that run together are not one address, though an address may stand in a parameter of another."""
    for second in _SECOND.finditer(address, 1):
        if address[second.start() - 1] != "=":
            raise ElementProblem("two scans arrived as one: two web addresses", is_mismatch=True)


def _key(segments: list[str]) -> int | None:
    """Return where the key stands: the rightmost one with nothing but identifiers and values behind it."""
    for start in range(len(segments) - 2, -1, -2):
        identifier = IDENTIFIERS.get(segments[start])
        if identifier is None:
            return None
        if identifier.qualifiers is not None:
            return start if segments[start + 1][:1].isdigit() or not segments[start + 1] else None
    return None


def _check_stranded(path: str) -> None:
    found = _STRANDED.search(path)
    if found and is_closed(found["gtin"] or found["sscc"]):
        raise ElementProblem(f"GS1 Digital Link: {found[0][1:]} is followed by what the standard does not allow there")


def _elements(segments: list[str], query: str) -> Iterator[tuple[Identifier, str]]:
    path = [(IDENTIFIERS[ai], value) for ai, value in zip(segments[::2], segments[1::2], strict=True)]
    key, *qualifiers = (identifier for identifier, _ in path)
    names = [identifier.ai for identifier in qualifiers]
    if not _is_ordered(key, names):
        order = " or ".join(", ".join(row) for row in key.qualifiers or () if row) or "none"
        raise ElementProblem(f"GS1 Digital Link: {', '.join(names)} behind AI {key.ai}; it allows, in order: {order}")
    seen = set(names) | {key.ai}
    for identifier, value in path:
        yield identifier, _gtin(identifier.ai, _decoded(identifier.ai, value))
    for identifier, value in _attributes(query):
        ai = identifier.ai
        if ai in seen:
            raise ElementProblem(f"GS1 Digital Link: AI {ai} stands in it twice", is_mismatch=True)
        seen.add(ai)
        if any(_is_ordered(key, [*names[:place], ai, *names[place:]]) for place in range(len(names) + 1)):
            raise ElementProblem(f"GS1 Digital Link: AI {ai} belongs into the path, not behind the question mark")
        if not identifier.is_attribute:
            raise ElementProblem(f"GS1 Digital Link: AI {ai} must not stand behind the question mark")
        yield identifier, _decoded(ai, value)


def _is_ordered(key: Identifier, names: list[str]) -> bool:
    for row in key.qualifiers or ():
        rest = iter(row)
        if all(name in rest for name in names):
            return True
    return False


def _attributes(query: str) -> Iterator[tuple[Identifier, str]]:
    for parameter in query.split("&"):
        name, equals, value = parameter.partition("=")
        if not equals or not (name.isascii() and name.isdigit()):
            continue
        identifier = IDENTIFIERS.get(name)
        if identifier is None:
            raise ElementProblem(f"GS1 Digital Link: {name} is no Application Identifier")
        for character, otherwise in (("+", "a space"), (";", "the end of the parameter")):
            if character in value:
                what = f'GS1 Digital Link: AI {name}: "{character}" may also mean {otherwise}'
                raise ElementProblem(f"{what}; it has to be written %{ord(character):02X}")
        yield identifier, value


def _decoded(ai: str, value: str) -> str:
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
    if "%" in _ESCAPE.sub("", value):
        raise ElementProblem(f'GS1 Digital Link: AI {ai}: {value} has a "%" that encodes nothing')
    if text and not _SET_82.fullmatch(text):
        raise ElementProblem(f"GS1 Digital Link: AI {ai}: {text!a} is not in character set 82")
    return text


def _gtin(ai: str, value: str) -> str:
    return value.zfill(14) if ai == "01" and len(value) in _GTIN_SHORT else value
