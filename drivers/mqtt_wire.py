"""MQTT 5 bytes to packets: cut the stream, check what the codec does not, hand the rest to the codec.

Theory of operation. `PacketReader.read` takes whatever one socket read brought and returns the whole packets in it.
Nothing is buffered beyond one packet, and a packet longer than the announced Maximum Packet Size is refused from its
fixed header, before its bytes are kept (MQTT 5, 3.1.2.11.4).

The codec must never see a string that is not UTF-8: it aborts its extension module with a panic, which passes every
`except Exception` and prints to the journal, and anyone who can open a connection could cause it. So every string of
a packet is checked here first (MQTT 5, 1.5.4: ill-formed UTF-8 or U+0000 is a malformed packet). For a PUBLISH on a
topic that was seen before and without properties, which is nearly all of them, that check is one set lookup.

    WireFault      the peer broke the protocol; carries the reason code that a DISCONNECT tells it
    |- OldProtocol the peer speaks MQTT 3.1 or 3.1.1; carries the answer in *its* format
"""

from __future__ import annotations

from typing import Final

import mqtt5
from mqtt5 import DisconnectReasonCode as Reason

CONNECT: Final = 0x10
PUBLISH: Final = 0x30
TURN_PACKETS: Final = 256
TURN_BYTES: Final = 32_768
"""What one connection has in one turn. A socket read brings up to a quarter of a megabyte, which is a hundred thousand
PINGREQs: without a bound a single device could keep all others waiting for seconds, at a megabyte a second."""
EARLY_BYTES_MAX: Final = 65_536
"""Behind a CONNECT, before its sender is known. A read brings four times as much, and five hundred strangers with wrong
passwords would have us hold a third of a gigabyte while they wait for their answer."""
KNOWN_TOPICS_MAX: Final = 64
KNOWN_TOPIC_BYTES_MAX: Final = 256
"""Each connection keeps its own; a longer topic is checked each time."""

_BYTE: Final = frozenset({0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A})
_TWO_BYTES: Final = frozenset({0x13, 0x21, 0x22, 0x23})
_FOUR_BYTES: Final = frozenset({0x02, 0x11, 0x18, 0x27})
_VARIABLE: Final = frozenset({0x0B})
_STRING: Final = frozenset({0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F})
_BINARY: Final = frozenset({0x09, 0x16})
_STRING_PAIR: Final = frozenset({0x26})
"""Types of the properties by identifier (MQTT 5, table 2-4)."""


class WireFault(Exception):
    """The peer broke the protocol."""

    answer: bytes = b""
    """What a client that is not let in yet is told."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class OldProtocol(WireFault):
    """The peer asked for MQTT 3.1 or 3.1.1."""

    answer = b"\x20\x02\x00\x01"
    """CONNACK "unacceptable protocol version" as MQTT 3.1.1, 3.2.2.3 writes it."""


class PacketReader:
    """The incoming half of one connection."""

    def __init__(self, packet_bytes_max: int) -> None:
        self.packet_bytes_max = packet_bytes_max
        self._rest = bytearray()
        self._wanted = 0
        """How many bytes `_rest` needs before looking at it again is worth while."""
        self.taken = 0
        """Bytes of the packets that the last read returned."""
        self.has_more = False
        """The last read stopped before it had seen all that was here: read on, without new bytes."""
        self._known_topics: set[bytes] = set()

    def read(self, chunk: bytes) -> tuple[list[tuple[int, mqtt5.Packet]], WireFault | None]:
        """Return the whole packets so far, each with the first byte of its header, and the fault that ended them.

        Stops when it has a turn's worth of packets, and behind a CONNECT: what follows that waits for the next call,
        because it may not be believed before the client is known. After a fault the reader is of no more use.
        """
        self.taken, self.has_more = 0, False
        if self._rest:
            self._rest += chunk
            if len(self._rest) < self._wanted:
                return [], None
            chunk = bytes(self._rest)
            self._rest.clear()
        packets: list[tuple[int, mqtt5.Packet]] = []
        view = memoryview(chunk)
        at, size, self._wanted = 0, len(chunk), 0
        try:
            while size - at >= 2:
                first, length = chunk[at], chunk[at + 1]
                body = at + 2
                if length >= 128:
                    if size > body and 0 < (second := chunk[body]) < 128:
                        length += (second - 1) << 7  # two bytes, as nearly every scan has
                        body += 1
                    else:
                        length, body = _remaining_length(chunk, at + 1)
                        if not body:
                            break
                stop = body + length
                if stop - at > self.packet_bytes_max:
                    return packets, WireFault(Reason.PACKET_TOO_LARGE, f"a packet of {stop - at} bytes")
                if stop > size:
                    self._wanted = stop - at
                    break
                if first & 0xF0 == PUBLISH:
                    self._check_publish(chunk, first, body, stop)
                else:
                    check_strings(chunk, first, body, stop)
                packet, used = mqtt5.read(view[at:stop])
                if used != stop - at:
                    return packets, _malformed("bytes left over at the end of a packet")
                if first == CONNECT and size - stop > EARLY_BYTES_MAX:
                    return packets, WireFault(Reason.QUOTA_EXCEEDED, f"{size - stop} bytes before it was let in")
                packets.append((first, packet))
                at = self.taken = stop
                if len(packets) >= TURN_PACKETS or at >= TURN_BYTES or first == CONNECT:
                    self.has_more = at < size
                    break
        except WireFault as fault:
            return packets, fault
        except (ValueError, IndexError) as error:
            # The codec says IndexError for a packet that is whole by its header and too short inside.
            return packets, _malformed(str(error))
        if at < size:
            self._rest += view[at:]
        return packets, None

    def _check_publish(self, data: bytes, first: int, body: int, stop: int) -> None:
        """Check topic and properties of a PUBLISH (MQTT 5, 3.3)."""
        if stop - body < 3:
            raise _malformed("PUBLISH is too short")
        end = body + 2 + (data[body] << 8 | data[body + 1])
        topic = data[body + 2 : end]
        at = end if first & 0x06 == 0 else end + 2
        if at >= stop:
            raise _malformed("PUBLISH is too short")
        if topic not in self._known_topics:
            _check_text(topic)
            if b"+" in topic or b"#" in topic:
                raise WireFault(Reason.TOPIC_NAME_INVALID, "a wildcard in a topic name")
            if len(self._known_topics) < KNOWN_TOPICS_MAX and len(topic) <= KNOWN_TOPIC_BYTES_MAX:
                self._known_topics.add(topic)
        if data[at]:
            _check_properties(data, at, stop)


def _remaining_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable byte integer and where it ends; an end of 0 when bytes are missing (MQTT 5, 1.5.5)."""
    value = shift = 0
    for index in range(at, min(at + 4, len(data))):
        value |= (data[index] & 0x7F) << shift
        if data[index] < 128:
            if index > at and data[index] == 0:
                raise _malformed("a length that is not written as short as it can be")
            return value, index + 1
        shift += 7
    if len(data) - at >= 4:
        raise _malformed("a length of more than four bytes")
    return 0, 0


def _malformed(message: str) -> WireFault:
    return WireFault(Reason.MALFORMED_PACKET, message)


# The strings of a packet. `text` is a string, `bytes` binary data, `properties` a property list; "?" may be absent
# (with everything behind it), "*" repeats to the end of the packet.

_CONTENT: Final[dict[int, tuple[str, ...]]] = {
    0x20: ("skip", "skip", "properties"),  # CONNACK
    0x40: ("skip", "skip", "skip?", "properties?"),  # PUBACK
    0x50: ("skip", "skip", "skip?", "properties?"),  # PUBREC
    0x60: ("skip", "skip", "skip?", "properties?"),  # PUBREL
    0x70: ("skip", "skip", "skip?", "properties?"),  # PUBCOMP
    0x80: ("skip", "skip", "properties", "filter*"),  # SUBSCRIBE
    0x90: ("skip", "skip", "properties"),  # SUBACK
    0xA0: ("skip", "skip", "properties", "text*"),  # UNSUBSCRIBE
    0xB0: ("skip", "skip", "properties"),  # UNSUBACK
    0xC0: (),  # PINGREQ
    0xD0: (),  # PINGRESP
    0xE0: ("skip?", "properties?"),  # DISCONNECT
    0xF0: ("skip?", "properties?"),  # AUTH
}


def check_strings(data: bytes, first: int, body: int, stop: int) -> None:
    """Raise `WireFault` unless every string of the packet `data[body:stop]` (no PUBLISH) is well formed."""
    if first == CONNECT:
        _check_connect(data, body, stop)
        return
    content = _CONTENT.get(first & 0xF0)
    if content is None:
        raise _malformed("a packet type that does not exist")
    at = body
    for part in content:
        kind = part.rstrip("?*")
        if part[-1] == "?" and at >= stop:
            return
        while at < stop or part[-1] != "*":
            at = _skip(kind, data, at, stop)
            if part[-1] != "*":
                break


def _skip(kind: str, data: bytes, at: int, stop: int) -> int:
    """Return where the part that begins at `at` ends, having checked it."""
    if kind == "skip":
        return _within(at + 1, stop)
    if kind == "properties":
        return _check_properties(data, at, stop)
    end = _check_string(data, at, stop)
    return _within(end + 1, stop) if kind == "filter" else end


def _check_connect(data: bytes, body: int, stop: int) -> None:
    """CONNECT (MQTT 5, 3.1): the only packet whose parts depend on flags."""
    at = _check_string(data, body, stop)
    name, level = data[body + 2 : at], data[_within(at, stop - 1)]
    if (name, level) in {(b"MQTT", 4), (b"MQIsdp", 3)}:
        raise OldProtocol(Reason.PROTOCOL_ERROR, f"MQTT 3 (level {level}); this gateway speaks MQTT 5")
    if (name, level) != (b"MQTT", 5):
        raise WireFault(Reason.PROTOCOL_ERROR, "not MQTT 5")
    flags = data[_within(at + 1, stop - 1)]
    at = _check_properties(data, at + 4, stop)
    at = _check_string(data, at, stop)  # client id
    if flags & 0x04:
        at = _check_properties(data, at, stop)
        at = _check_string(data, at, stop)  # will topic
        at = _skip_binary(data, at, stop)
    if flags & 0x80:
        at = _check_string(data, at, stop)  # user name
    if flags & 0x40:
        _skip_binary(data, at, stop)


def _check_properties(data: bytes, at: int, stop: int) -> int:
    """Check a property list and return where it ends (MQTT 5, 2.2.2)."""
    length, at = _remaining_length(data[:stop], _within(at, stop - 1))
    end = _within(at + length, stop)
    if not at:
        raise _malformed("the property length is cut off")
    while at < end:
        identifier = data[at]
        at += 1
        if identifier in _STRING:
            at = _check_string(data, at, end)
        elif identifier in _STRING_PAIR:
            at = _check_string(data, _check_string(data, at, end), end)
        elif identifier in _BINARY:
            at = _skip_binary(data, at, end)
        elif identifier in _FOUR_BYTES:
            at = _within(at + 4, end)
        elif identifier in _TWO_BYTES:
            at = _within(at + 2, end)
        elif identifier in _BYTE:
            at = _within(at + 1, end)
        elif identifier in _VARIABLE:
            _, at = _remaining_length(data[:end], at)
            if not at:
                raise _malformed("a property is cut off")
        else:
            raise _malformed(f"property {identifier:#04x} does not exist")
    return end


def _check_string(data: bytes, at: int, stop: int) -> int:
    end = _skip_binary(data, at, stop)
    _check_text(data[at + 2 : end])
    return end


def _skip_binary(data: bytes, at: int, stop: int) -> int:
    start = _within(at + 2, stop)
    return _within(start + (data[at] << 8 | data[at + 1]), stop)


def _check_text(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _malformed("a string that is not UTF-8") from None
    if b"\0" in text:
        raise _malformed("a string with U+0000")


def _within(at: int, stop: int) -> int:
    if at > stop:
        raise _malformed("a packet that ends too soon")
    return at
