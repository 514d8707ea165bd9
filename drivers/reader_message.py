"""RFID readers' own messages: foreign JSON to readings, by a mapping from a profile.

Theory of operation. Every maker's reader pushes JSON of its own shape: one message or an array of them (batching) or
several one after the other (streams), the tag in the message or in a list inside it, the EPC as hex or base64. A
`TagMapping` says where things are; this module only walks the paths. What a message is, is decided in this order: a
match in `health` (errors of the reader itself), a match in `ignore` (heartbeats), records with an EPC, and anything
else is not understood: all such messages of one body become one unreadable reading, beside the tags that were.

Sans-IO: bytes in, readings out, no clock. Hostile input ends as an unreadable reading, never as an exception: bodies,
lists, nesting, numbers and texts are bounded.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from drivers.reading import Reading, TagRead
from drivers.scan_message import ParsedBody
from drivers.tag_mapping import MISSING, Match, Path, Plan, TagMapping, keys_of, plan_of, walk

BODY_BYTES_MAX: Final = 1024 * 1024
"""A batch of a busy portal is tens of kilobytes; the links announce smaller limits of their own."""
RAW_BYTES_MAX: Final = 64 * 1024
"""Kept as evidence of a body over `BODY_BYTES_MAX`."""
RECORDS_MAX: Final = 5_000
"""Tag records in one body. They commit together, and a scan at the next station waits for that commit."""
DEPTH_MAX: Final = 16
EPC_BYTES_MAX: Final = 62
"""31 words, all that the length field of a tag's protocol control word can state."""

_TIME_UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_OFFSET_WITHOUT_COLON: Final = re.compile(r"[+-]\d{4}$")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")
"""RFC 4648, 5: the other alphabet of base64. It says nothing that the first one does not."""
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Message:
    """One JSON value of the body and the bytes it was."""

    value: Any
    raw: bytes


class _Unreadable(Exception):
    """The body, or a record in it, is not what the mapping describes."""


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """What one body of a reader said."""

    readings: list[Reading]
    """Tags in order, then at most one unreadable reading with all that was not understood."""
    problem: str | None = None
    """Why the body, or part of it, was not understood, in words for a person."""
    ignored: int = 0
    """Messages recognised and not kept: heartbeats and what the reader says about itself."""
    health: tuple[str, ...] = ()
    """What the reader says about its own health, a line each, for the log and the device's status."""


def parse_tags(device: str, mapping: TagMapping, body: bytes) -> ParsedBody:
    """Return the tag reads in `body`, in order; what is not understood is a reading too. Never raises.

    No readings and no problem is a heartbeat or its like: acknowledge it.
    """
    report = parse_report(device, mapping, body)
    return ParsedBody(report.readings, report.problem)


def parse_report(device: str, mapping: TagMapping, body: bytes) -> ReaderReport:
    """Return all that `body` says, the reader's own health included. Never raises."""
    if len(body) > BODY_BYTES_MAX:
        reason = f"{len(body)} bytes, more than {BODY_BYTES_MAX}; the first {RAW_BYTES_MAX} are kept"
        return _unreadable(device, body[:RAW_BYTES_MAX], reason)
    try:
        return _parse(device, mapping, body)
    except _Unreadable as error:
        return _unreadable(device, body, str(error))


def _unreadable(device: str, raw: bytes, reason: str) -> ReaderReport:
    return ReaderReport([Reading(device, "unreadable", raw, reason=reason)], problem=reason)


def _parse(device: str, mapping: TagMapping, body: bytes) -> ReaderReport:
    plan = plan_of(mapping)
    readings: list[Reading] = []
    unknown: list[bytes] = []
    reason = None
    ignored = 0
    health: list[str] = []
    for message in _messages(body):
        alarm = _matches(mapping.health, message.value)
        if alarm is not None:
            health.append(alarm)
        if alarm is not None or _matches(mapping.ignore, message.value) is not None:
            ignored += 1
            continue
        try:
            readings.extend(_tags(device, plan, message))
        except _Unreadable as error:
            unknown.append(message.raw)
            reason = reason or str(error)
        if len(readings) + len(unknown) + ignored > RECORDS_MAX:
            raise _Unreadable(f"more than {RECORDS_MAX} tag records in one message")
    if unknown:
        raw = body if not readings and not ignored else b"[" + b",".join(unknown) + b"]"
        reason = reason if len(unknown) == 1 else f"{len(unknown)} messages not understood; the first: {reason}"
        readings.append(Reading(device, "unreadable", raw, reason=reason))
    return ReaderReport(readings, reason, ignored, tuple(health))


def _messages(body: bytes) -> Generator[_Message]:
    """Yield each message with its own bytes: a JSON value, or the members of an array, or several values in a row."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"not UTF-8 at byte {error.start}") from None
    if _depth(body) > DEPTH_MAX:
        raise _Unreadable(f"nested deeper than {DEPTH_MAX}")
    at = _skip(text, 0)
    if at == len(text):
        raise _Unreadable("an empty message")
    while at < len(text):
        if text[at] == "[":
            at = yield from _members(text, at + 1)
        else:
            value, end = _value(text, at)
            yield _Message(value, text[at:end].encode())
            at = end
        at = _skip(text, at)


def _members(text: str, at: int) -> Generator[_Message, None, int]:
    """Yield the members of an array whose bracket was just passed; return where the array ended."""
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        value, end = _value(text, at)
        yield _Message(value, text[at:end].encode())
        at = _skip(text, end)
        match text[at : at + 1]:
            case ",":
                at = _skip(text, at + 1)
            case "]":
                return at + 1
            case _:
                raise _Unreadable(f"not JSON at character {at}: the array does not go on")


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        raise _Unreadable("nested too deep") from None
    except json.JSONDecodeError as error:
        raise _Unreadable(f"not JSON at character {error.pos}: {error.msg}") from None
    except ValueError as error:  # a number of thousands of digits
        raise _Unreadable(f"not JSON at character {at}: {error}") from None


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _depth(body: bytes) -> int:
    """Return how deep brackets nest. Brackets inside texts are looked through only when it matters."""
    depth = _bracket_depth(body)
    return depth if depth <= DEPTH_MAX else _bracket_depth(_STRING.sub(b"", body))


def _bracket_depth(body: bytes) -> int:
    depth = deepest = 0
    for bracket in body.translate(None, _ALL_BUT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return deepest


def _matches(matches: tuple[Match, ...], message: Any) -> str | None:
    """Return the text of the first match, None when there is none."""
    for match in matches:
        value = walk(message, keys_of(match.path))
        if isinstance(value, str) and value in match.values:
            told = walk(message, keys_of(match.text)) if match.text is not None else MISSING
            return f"{value}: {_printable(told)}" if isinstance(told, str) else value
    return None


def _tags(device: str, plan: Plan, message: _Message) -> list[Reading]:
    if plan.records is None:
        return [_tag(device, plan, message.value, message.value, message.raw)]
    records = walk(message.value, plan.records)
    if not isinstance(records, list):
        raise _Unreadable(f"no list of tag records at {'.'.join(plan.records)}")
    if len(records) > RECORDS_MAX:
        raise _Unreadable(f"{len(records)} tag records in one message, more than {RECORDS_MAX}")
    return [_tag(device, plan, record, message.value, _encoded(record)) for record in records]


def _encoded(record: Any) -> bytes:
    """A record inside a message has no bytes of its own to keep; this is the same JSON, set again."""
    return json.dumps(record, separators=(",", ":")).encode()


def _tag(device: str, plan: Plan, record: Any, message: Any, raw: bytes) -> Reading:
    def at(path: Path | None) -> Any:
        # walk() written out: this is called seven times for every read of every tag
        if path is None:
            return MISSING
        value = message if path[0] else record
        for key in path[1]:
            if not isinstance(value, dict):
                return MISSING
            value = value.get(key, MISSING)
        return value

    read = TagRead(
        epc=_epc(at(plan.epc_hex), at(plan.epc_base64)),
        antenna=_whole(at(plan.antenna), 0, 65_535),
        rssi_dbm=_rssi(at(plan.rssi), plan.rssi_scale),
        tid=_tid(at(plan.tid_hex), at(plan.tid_base64)),
        seen_count=_whole(at(plan.seen_count), 1, 1_000_000) or 1,
    )
    message_id = at(plan.message_id)
    return Reading(
        device,
        "tag",
        raw,
        message_id=_printable(str(message_id)) if isinstance(message_id, str | int) else None,
        at=_time(at(plan.time), plan.time_unit),
        tag=read,
    )


def _epc(as_hex: Any, as_base64: Any) -> bytes:
    try:
        if isinstance(as_hex, str):
            epc = binascii.unhexlify(as_hex)
        elif isinstance(as_base64, str):
            epc = base64.b64decode(as_base64.translate(_FROM_URL_SAFE), validate=True)
        else:
            raise _Unreadable("no EPC where the profile expects it")
    except ValueError:
        raise _Unreadable("the EPC is not whole bytes of hexadecimal or base64 text") from None
    if not 0 < len(epc) <= EPC_BYTES_MAX:
        raise _Unreadable(f"an EPC of {len(epc)} bytes; a tag holds 1 to {EPC_BYTES_MAX}")
    return epc


def _tid(as_hex: Any, as_base64: Any) -> str | None:
    try:
        return _epc(as_hex, as_base64).hex().upper()
    except _Unreadable:
        return None  # the tag was seen all the same


def _number(value: Any) -> float | None:
    if value is MISSING:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)  # NaN and infinity are in no range and end at the callers' bounds
    except (ValueError, OverflowError):
        return None


def _whole(value: Any, low: int, high: int) -> int | None:
    if type(value) is int and low <= value <= high:
        return value
    number = _number(value)
    return int(number) if number is not None and low <= number <= high and number == int(number) else None


def _rssi(value: Any, scale: float) -> float | None:
    number = _number(value)
    return round(number * scale, 2) if number is not None and abs(number * scale) < 1000 else None


def _time(value: Any, unit: str) -> str | None:
    """Return RFC 3339 text. Readers write the offset as +0000; the colon is added, nothing else is changed."""
    if unit == "rfc3339":
        if not isinstance(value, str) or len(value) > 40:
            return None
        text = f"{value[:-2]}:{value[-2:]}" if _OFFSET_WITHOUT_COLON.search(value) else value
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return None
        return text
    number = _number(value)
    try:
        return None if number is None else datetime.fromtimestamp(number * _TIME_UNITS_S[unit], UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:200])
