"""What devices and centre had been told at any moment of a recording, read from the bytes on the wires alone.

Nothing of the program is asked. An acknowledgement counts from its first byte on, an answer from its last.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crash_trace import Said, Step

from simulators.token import Token, find_tokens

ACK = b"\x06"
NAK = b"\x15"
_REFUSED = "refused"


class Ports(NamedTuple):
    """Who is behind which port."""

    listener: int
    scanner: int
    centre: int


class Scanned(NamedTuple):
    """The program had read all of a scan."""

    at: int
    token: Token


class Heard(NamedTuple):
    """A device began to hear that its scan counts."""

    at: int
    token: Token
    device: str
    message_id: str
    """Empty for a device that does not number."""
    events: tuple[str, ...] | None
    """Event ids it was told; None when its answer has no room for them."""


class Sent(NamedTuple):
    """An event began to go out."""

    at: int
    source: str
    seq: int
    id: str
    body: bytes
    """As the outbox should hold it."""


class Answered(NamedTuple):
    """The centre has named events, up to a sequence and one by one."""

    at: int
    through: int
    accepted: frozenset[int]
    rejected: frozenset[int]


@dataclass(slots=True)
class History:
    """Everything that was said, each kind in order."""

    scanned: list[Scanned] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    missing: frozenset[int] = frozenset()
    """Sequences that were lost with damage done on purpose."""

    def until(self, at: int) -> History:
        """Return what had happened when step `at` had begun."""

        def cut(rows: list[Any]) -> list[Any]:
            return rows[: bisect_right(rows, at, key=lambda row: row.at)]

        return History(cut(self.scanned), cut(self.heard), cut(self.sent), cut(self.answered), self.missing)

    def earlier(self) -> History:
        """Return the same as something that happened before the first step of another recording."""

        def moved(rows: list[Any]) -> list[Any]:
            return [row._replace(at=-1) for row in rows]

        return History(moved(self.scanned), moved(self.heard), moved(self.sent), moved(self.answered), self.missing)

    def followed_by(self, later: History) -> History:
        """Return both, one after the other."""
        return History(
            self.scanned + later.scanned,
            self.heard + later.heard,
            self.sent + later.sent,
            self.answered + later.answered,
            self.missing | later.missing,
        )


class Stream:
    """One direction of one connection: bytes, and which step each of them came with."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._ends: list[int] = []
        self._steps: list[int] = []

    def add(self, said: Said) -> None:
        self.data += said.data
        self._ends.append(len(self.data))
        self._steps.append(said.at)

    def step_of(self, offset: int) -> int:
        """Return the step that carried the byte at `offset`."""
        return self._steps[bisect_right(self._ends, offset)]


class Wire:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self.inward, self.outward = Stream(), Stream()


def read_history(steps: Sequence[Step], ports: Ports) -> History:
    """Return what was said. Raises AssertionError for bytes that are not what the rig speaks."""
    wires: dict[tuple[int, int], Wire] = {}
    for step in steps:
        if isinstance(step, Said):
            wire = wires.setdefault((step.near, step.far), Wire())
            (wire.outward if step.sent else wire.inward).add(step)
    history = History()
    for (near, far), wire in wires.items():
        if near == ports.listener:
            _read_handheld(wire, history)
        elif far == ports.scanner:
            _read_scanner(wire, history)
        elif far == ports.centre:
            _read_centre(wire, history)
    for rows in (history.scanned, history.heard, history.sent, history.answered):
        rows.sort(key=lambda row: row.at)  # type: ignore[attr-defined]
    return history


# -- handhelds: MQTT 5


class _Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes
    first: int
    last: int


def _packets(stream: Stream) -> Iterator[_Packet]:
    """Cut a stream into control packets (MQTT 5, 2.1); an unfinished one at the end is left out."""
    data, at = bytes(stream.data), 0
    while at < len(data):
        size, shift, head = 0, 0, at + 1
        while True:
            if head >= len(data):
                return
            size |= (data[head] & 0x7F) << shift
            shift, head = shift + 7, head + 1
            if data[head - 1] < 0x80:
                break
        end = head + size
        whole = end <= len(data)
        if not whole:
            return
        yield _Packet(data[at] >> 4, data[at] & 15, data[head:end], stream.step_of(at), stream.step_of(end - 1))
        at = end


def _publication(packet: _Packet) -> tuple[str, int, Any]:
    """Return topic, packet id (0 for QoS 0) and the JSON of a PUBLISH (MQTT 5, 3.3)."""
    body = packet.body
    at = 2 + int.from_bytes(body[:2], "big")
    topic = body[2:at].decode()
    number = 0
    if packet.flags & 0b0110:
        number, at = int.from_bytes(body[at : at + 2], "big"), at + 2
    size, shift = 0, 0
    while True:
        octet = body[at]
        size |= (octet & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if octet < 0x80:
            break
    return topic, number, json.loads(body[at + size :])


def _read_handheld(wire: Wire, history: History) -> None:
    asked: dict[str, Token] = {}
    by_packet: dict[int, str] = {}
    device = ""
    for packet in _packets(wire.inward):
        if packet.kind == 3:
            topic, number, message = _publication(packet)
            device = topic.split("/")[3]
            (token,) = find_tokens(message["code"]).whole
            asked[message["id"]] = token
            by_packet[number] = message["id"]
            history.scanned.append(Scanned(packet.last, token))
    for packet in _packets(wire.outward):
        if packet.kind == 4:  # PUBACK: it may name its packet, and it counts
            message_id = by_packet[int.from_bytes(packet.body[:2], "big")]
            assert len(packet.body) < 3 or packet.body[2] < 0x80, "a scan of this rig was refused"
            history.heard.append(Heard(packet.first, asked[message_id], device, message_id, None))
        elif packet.kind == 3:
            _, _, found = _publication(packet)
            for answer in found if isinstance(found, list) else [found]:
                assert answer["result"] != _REFUSED, answer
                events = tuple(answer["events"])
                history.heard.append(Heard(packet.first, asked[answer["id"]], device, answer["id"], events))


# -- the scanner: a line, and one byte back


def _read_scanner(wire: Wire, history: History) -> None:
    tokens: list[Token] = []
    for line in re.finditer(rb"[^\r]*\r", bytes(wire.inward.data)):
        (token,) = find_tokens(line[0].decode("latin-1")).whole
        tokens.append(token)
        history.scanned.append(Scanned(wire.inward.step_of(line.end() - 1), token))
    for number, byte in enumerate(bytes(wire.outward.data)):
        if bytes([byte]) == ACK:
            history.heard.append(Heard(wire.outward.step_of(number), tokens[number], "", "", None))
        else:
            assert bytes([byte]) == NAK


# -- the centre: HTTP


class _Message(NamedTuple):
    head: bytes
    body: bytes
    first: int
    last: int


def _messages(stream: Stream) -> Iterator[_Message]:
    data, at = bytes(stream.data), 0
    while (split := data.find(b"\r\n\r\n", at)) >= 0:
        head = data[at:split]
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        end = split + 4 + (int(length[1]) if length else 0)
        # What was broken off counts as sent, as far as it can be read: at this centre it cannot.
        if end > len(data):
            return
        yield _Message(head, data[split + 4 : end], stream.step_of(at), stream.step_of(end - 1))
        at = end


_NUMBER = re.compile(r'\{"sequence":"\d{20}",')


def _read_centre(wire: Wire, history: History) -> None:
    asked = [message for message in _messages(wire.outward) if message.head.startswith(b"POST")]
    told = list(_messages(wire.inward))
    seqs: dict[str, int] = {}
    for message in asked:
        for event, octets in _members(message.body):
            seq = int(event["sequence"])
            seqs[event["id"]] = seq
            history.sent.append(Sent(message.first, event["source"], seq, event["id"], octets))
    for message in told:
        if not message.head.startswith(b"HTTP/1.1 2"):
            continue
        answer = json.loads(message.body)
        accepted = frozenset(seqs[one] for one in answer.get("accepted", ()))
        rejected = frozenset(seqs[one["id"]] for one in answer.get("rejected", ()))
        through = int(answer.get("accepted_through", 0))
        history.answered.append(Answered(message.last, through, accepted, rejected))


def _members(body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each event of a batch, and its text without the sequence that was put in front: as the outbox holds it."""
    text, at, decoder = body.decode(), 1, json.JSONDecoder()
    while at < len(text):
        event, end = decoder.raw_decode(text, at)
        yield event, _NUMBER.sub("{", text[at:end], count=1).encode()
        at = end + 1
