"""The message of a handheld: JSON to readings, verdicts to acknowledgements.

Theory of operation. The same body arrives over the listener, over a site broker and over HTTP, so it is understood in
one place, without I/O. Nearly every body is one flat object of strings with perhaps a whole-number quantity: pydantic
checks and decodes those in about a microsecond. Whatever is not that (an array, a fraction, a repeated or unknown
key, a mistake) is read again by the careful parser, which keeps numbers as they were written and can say what is wrong.

Three decisions worth knowing:

- A quantity is a decimal number that somebody will be billed for. It is never a float: `0.1` stays `0.1`.
- JSON lets a key appear twice and parsers disagree which one counts. Here the message is unreadable. The quick path
  notices by counting quotation marks: a flat object of n keys has 2n of them, and two more for each string value.
- An unknown key does not spoil a message: newer handhelds talk to older gateways. It is named in the acknowledgement.

Nothing is thrown away: a body, or a member of an array, that cannot be understood becomes a reading of kind
`unreadable` with the bytes that arrived and the reason in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from drivers.reading import Reading, ScanContext, Verdict
from drivers.stated_time import stated_time

CODE_CHARACTERS_MAX: Final = 7089
"""The most a data carrier holds: QR Code version 40-L in numeric mode (ISO/IEC 18004)."""
TEXT_CHARACTERS_MAX: Final = 256
"""Longest document, location, operator, unit, activity or time."""
ID_CHARACTERS_MAX: Final = 128
SCANS_MAX: Final = 1000
"""Members of one array. They commit together, so the limit bounds one transaction."""
BODY_BYTES_MAX: Final = 262_144
DEPTH_MAX: Final = 8
"""Nesting of one body. The known keys need 2; the rest is room for keys of the future."""
REASON_CHARACTERS_MAX: Final = 200

_TEXT_KEYS: Final = ("at", "activity", "document", "location", "unit", "operator")
_KEYS: Final = frozenset({"id", "code", "quantity", "device", *_TEXT_KEYS})
"""`device` is known and not believed: in a lab it names the sender over HTTP, anywhere else the connection does."""
_QUANTITY: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?(?:[eE][+-]?[0-9])?")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SYMBOLOGY: Final = re.compile(r"\][A-Za-z][0-9A-Za-z]")


class ParsedBody(NamedTuple):
    """What one body said."""

    readings: list[Reading]
    """In the order of the body. Empty when the body was well formed and spoke of nothing (a heart-beat)."""
    problem: str | None = None
    """Why the body as a whole could not be understood; its only reading is then `unreadable`."""
    is_array: bool = False
    """The answer is an array too."""


_Text = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]


class _PlainScan(TypedDict, total=False):
    """The shape that the quick path accepts. Everything else goes to the careful parser."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]

    id: Required[Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS_MAX)]]
    code: Required[Annotated[str, Field(min_length=4, max_length=CODE_CHARACTERS_MAX)]]
    at: _Text
    activity: _Text
    document: _Text
    location: _Text
    quantity: Annotated[int, Field(ge=0, lt=10**15)]
    unit: _Text
    operator: _Text


_read_plain = TypeAdapter(_PlainScan).validator.validate_json


def parse_scans(device: str, body: bytes) -> ParsedBody:
    """Return the readings in a body. Never raises: what is not understood is a reading too."""
    if len(body) > BODY_BYTES_MAX:
        return _unreadable_body(
            device, body[:BODY_BYTES_MAX], f"longer than {BODY_BYTES_MAX} bytes; the rest is cut off"
        )
    try:
        scan = _read_plain(body)
    except ValidationError:
        return _parse_carefully(device, body)
    quantity = scan.get("quantity")
    code = scan["code"]
    if body.count(b'"') != 4 * len(scan) - (0 if quantity is None else 2):
        return _parse_carefully(device, body)
    symbology = None
    if code[0] == "]" and _SYMBOLOGY.match(code):
        symbology, code = code[:3], code[3:]
    get = scan.get
    at = get("at")
    return ParsedBody(
        [
            Reading(
                device,
                "scan",
                body,
                code,
                symbology,
                scan["id"],
                at,
                ScanContext(
                    get("activity"),
                    get("document"),
                    get("location"),
                    None if quantity is None else str(quantity),
                    get("unit"),
                    get("operator"),
                )
                if len(scan) > (2 if at is None else 3)
                else None,
            )
        ]
    )


# The careful parser.


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Object(dict[str, Any]):
    """A JSON object that remembers a key it was given twice."""

    repeated: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        found.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_Number, parse_int=_Number)


class _Mistake(Exception):
    """One scan is not usable; the message says why."""


@dataclass(frozen=True, slots=True)
class _Member:
    value: Any
    raw: bytes


def _parse_carefully(device: str, body: bytes) -> ParsedBody:
    try:
        # Checks syntax, UTF-8 and lone surrogates, and bounds the nesting before Python's own parser recurses.
        depth = _depth(from_json(body, allow_inf_nan=False))
    except ValueError as error:
        return _unreadable_body(device, body, f"not JSON: {_known_slip(body) or error}")
    if depth > DEPTH_MAX:
        return _unreadable_body(device, body, f"nested more than {DEPTH_MAX} deep")
    text = body.decode()
    start = _skip_space(text, 0)
    if text[start] != "[":
        value, _ = _decoder.raw_decode(text, start)
        if not isinstance(value, dict):
            return _unreadable_body(device, body, "neither an object nor an array of objects")
        return ParsedBody([_careful_scan(device, value, body)])
    return _parse_array(device, body, text, start)


def _known_slip(body: bytes) -> str | None:
    """Return what an author of an app wants to hear about the slips that are made again and again."""
    if body.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark; send UTF-8 without one"
    if b"\0" in body[:4]:
        return "it looks like UTF-16; send UTF-8"
    if b"\x1d" in body:
        return "GS (0x1D) stands in it as a byte; in JSON it is written \\u001d"
    return None


def _parse_array(device: str, body: bytes, text: str, start: int) -> ParsedBody:
    members = list(_members(text, start))
    if not members:
        return _unreadable_body(device, body, "an empty array")
    if len(members) > SCANS_MAX:
        return _unreadable_body(device, body, f"an array of more than {SCANS_MAX} scans")
    return ParsedBody([_careful_scan(device, member.value, member.raw) for member in members], is_array=True)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _skip_space(text: str, index: int) -> int:
    found = _SPACE.match(text, index)
    assert found is not None
    return found.end()


def _members(text: str, start: int) -> Iterator[_Member]:
    """Yield the members of an array that is known to be well formed, each with the text it was written as."""
    index = _skip_space(text, start + 1)
    while text[index] != "]":
        value, end = _decoder.raw_decode(text, index)
        yield _Member(value, text[index:end].encode())
        index = _skip_space(text, end)
        if text[index] == ",":
            index = _skip_space(text, index + 1)


def _careful_scan(device: str, value: Any, raw: bytes) -> Reading:
    message_id: str | None = None
    if not isinstance(value, _Object):
        return Reading(device, "unreadable", raw, reason="not an object")
    try:
        if value.repeated != "id":
            message_id = _text(value, "id", ID_CHARACTERS_MAX, required=True)
        scan = _understood(value)
    except _Mistake as mistake:
        return Reading(device, "unreadable", raw, message_id=message_id, reason=str(mistake))
    unknown = [key for key in value if key not in _KEYS]
    return Reading(
        device,
        "scan",
        raw,
        code=scan.code,
        symbology=scan.symbology,
        message_id=message_id,
        at=scan.at,
        context=scan.context if scan.context != ScanContext() else None,
        reason=f"unknown key {', '.join(map(_quoted, unknown[:3]))} ignored" if unknown else None,
    )


class _Understood(NamedTuple):
    code: str
    symbology: str | None
    at: str | None
    context: ScanContext


def _understood(value: _Object) -> _Understood:
    """Return what the keys of one scan say. Raises _Mistake."""
    if value.repeated is not None:
        raise _Mistake(f"key {_quoted(value.repeated)} appears twice")
    code = _text(value, "code", CODE_CHARACTERS_MAX, required=True) or ""
    texts = {key: _text(value, key, TEXT_CHARACTERS_MAX) for key in _TEXT_KEYS}
    quantity = _quantity(value.get("quantity"))
    symbology = None
    if _SYMBOLOGY.match(code):
        symbology, code = code[:3], code[3:]
    if not code:
        raise _Mistake('"code" is a symbology identifier and nothing else')
    return _Understood(code, symbology, texts.pop("at"), ScanContext(quantity=quantity, **texts))


def _text(value: _Object, key: str, characters_max: int, *, required: bool = False) -> str | None:
    found = value.get(key)
    if found is None and not required:
        return None
    if found is None:
        raise _Mistake(f'required key "{key}" is missing')
    if type(found) is not str:
        raise _Mistake(f'"{key}" is not a string')
    if len(found) > characters_max:
        raise _Mistake(f'"{key}" is longer than {characters_max} characters')
    if required and not found:
        raise _Mistake(f'"{key}" is empty')
    return found


def _quantity(found: Any) -> str | None:
    """Return a quantity as a plain decimal string, digit for digit as it was written."""
    if found is None:
        return None
    if not isinstance(found, str):
        raise _Mistake('"quantity" is not a number')
    if not _QUANTITY.fullmatch(found):
        raise _Mistake('"quantity" is not a number of at most 15 digits before and 9 behind the point, zero or more')
    return format(Decimal(found), "f")


def _quoted(key: str) -> str:
    return json.dumps(key[:40])


def _unreadable_body(device: str, body: bytes, problem: str) -> ParsedBody:
    problem = problem[:REASON_CHARACTERS_MAX]
    return ParsedBody([Reading(device, "unreadable", body, reason=problem)], problem=problem)


# Acknowledgements.


def encode_acks(readings: Sequence[Reading], verdicts: Sequence[Verdict], *, is_array: bool = False) -> bytes:
    """Return what a handheld is told about its message, as JSON: an object, or for an array an array in order."""
    acks = [_ack(reading, verdict) for reading, verdict in zip(readings, verdicts, strict=True)]
    return to_json(acks if is_array else acks[0])


def _ack(reading: Reading, verdict: Verdict) -> dict[str, Any]:
    exceptions = [{"code": remark.code, "message": remark.message} for remark in verdict.exceptions]
    result: str = verdict.result
    if reading.kind == "unreadable" and verdict.is_positive:
        # It is on disk as evidence, and it is no scan: an operator must not hear the good beep for it.
        if all(remark["code"] != "unreadable" for remark in exceptions):
            exceptions.insert(0, {"code": "unreadable", "message": reading.reason or "not understood"})
        if result == "stored":
            result = "stored_with_exception"
    ack: dict[str, Any] = {
        "id": reading.message_id,
        "result": result,
        "events": list(verdict.events),
        "exceptions": exceptions,
    }
    if verdict.redelivered:
        ack["redelivered"] = True
    if verdict.reason is not None:
        ack["reason"] = verdict.reason
    if reading.kind == "scan":
        notices = [] if reading.reason is None else [reading.reason]
        if reading.at is not None and stated_time(reading.at) is None:
            notices.append(f"{_quoted(reading.at)} is no time of RFC 3339; the time of capture stands for it")
        if notices:
            ack["notice"] = "; ".join(notices)
    return ack
