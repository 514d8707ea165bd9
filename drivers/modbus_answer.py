"""Is this the answer to what was asked? Bytes against bytes, before the library makes a value of them.

Theory of operation. Modbus has one request under way on a link, and the answer repeats little of the question. A
device that is slower than the time-out answers the request before this one, and a value delivered for the wrong
question is worse than none. The library drops TCP frames with a foreign transaction id, but takes an id of 0 for
any, and compares neither function code nor length; on a serial line there is no id at all.

So an `AnswerFilter` stands in the library's packet hook. It remembers what was sent last and lets exactly one
frame through: this transaction id, this unit, this function code, this number of bytes; or the exception answer of
the same. Everything else is dropped and noted. What it notes decides what follows:

    waiting         nothing yet, or an answer that has begun and not ended
    late            a whole answer to an earlier request: dropped, the link stays in step
    out_of_step     the stream is no longer cut where frames begin: only a new connection helps
    foreign         our transaction was answered by another unit or with another function: no value

On a serial line a late answer can be told from the awaited one only by its length. `resync_count` gives a number of
registers for a request whose answer cannot be mistaken for the late one; after that answer (slaves answer in order)
the line is in step again.

It is also the last place where a request can be stopped: nothing but the four functions that read goes out.

Frame layouts: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.3.
"""

from __future__ import annotations

import struct
from typing import Literal

READ_FUNCTIONS = frozenset({1, 2, 3, 4})
"""Read coils, read discrete inputs, read holding registers, read input registers. No other code may go out."""

MBAP_BYTES = 7
"""Transaction id, protocol id, length, unit id."""
LENGTH_MAX = 254
"""Unit id and a PDU of at most 253 bytes."""


class WriteAttempted(RuntimeError):
    """Something tried to send a Modbus request that is not a read. A defect of this program, never sent."""


class AnswerFilter:
    """Stands between one link and the library. `packet` is its `trace_packet` hook."""

    def __init__(self, framing: Literal["tcp", "rtu"]) -> None:
        self._framing = framing
        self._expected: bytes | None = None
        self._refusal = b""
        self._byte_count = 0
        self._transaction = b""
        self._dropped = 0
        self._late = 0
        self.is_partial = False
        """An answer has begun and not ended."""
        self.out_of_step: str | None = None
        """Why the stream can no longer be trusted."""
        self.foreign: str | None = None
        """How the answer to this request differs from what was asked."""

    @property
    def late(self) -> int:
        """Whole answers to earlier requests that were dropped since this link was opened."""
        return self._late + self._dropped

    def packet(self, sending: bool, data: bytes) -> bytes:
        """The library's hook: what it may send, what it may see."""
        if sending:
            self._ask(data)
            return data
        return self._answer_tcp(data) if self._framing == "tcp" else self._answer_rtu(data)

    def forget(self) -> None:
        """Nobody waits any more: whatever comes now is late."""
        self._expected = None

    def _ask(self, request: bytes) -> None:
        head = request[: MBAP_BYTES + 1] if self._framing == "tcp" else request[:2]
        function = head[-1]
        if function not in READ_FUNCTIONS:
            raise WriteAttempted(f"function code {function} is not a read")
        body = request[len(head) :]
        (count,) = struct.unpack_from(">H", body, 2)
        self._byte_count = (count + 7) // 8 if function in (1, 2) else count * 2
        unit_and = head[-2:-1]
        self._expected = unit_and + bytes((function, self._byte_count))
        self._refusal = unit_and + bytes((function | 0x80,))
        self._transaction = request[:2]
        self._late, self._dropped = self.late, 0
        self.foreign = None
        if self._framing == "tcp" and self.is_partial:
            # The library forgets the first half of that answer when it sends; the second half would be taken for a
            # frame of its own.
            self.out_of_step = "an answer was cut off in the middle"
        self.is_partial = False

    def _answer_tcp(self, buffer: bytes) -> bytes:
        """`buffer` is everything that came since the request was sent."""
        offset = 0
        self._dropped, self.is_partial = 0, False
        while offset < len(buffer):
            rest = buffer[offset:]
            size = self._size_tcp(rest)
            if size is None or self.out_of_step:
                break
            frame = rest[:size]
            if self._expected is not None and frame[:2] == self._transaction:
                return self._checked_tcp(frame)
            offset += size
            self._dropped += 1
        return b""

    def _size_tcp(self, rest: bytes) -> int | None:
        """Bytes in the frame that begins here, when all of them are there."""
        if len(rest) >= 6:
            protocol, length = struct.unpack_from(">HH", rest, 2)
            if protocol != 0 or not 3 <= length <= LENGTH_MAX:
                self.out_of_step = self.out_of_step or "what arrives is not a Modbus frame"
                return None
            if len(rest) >= 6 + length:
                return 6 + int(length)
        self.is_partial = True
        return None

    def _checked_tcp(self, frame: bytes) -> bytes:
        body = frame[6:]
        is_value = body[:3] == self._expected and len(body) == 3 + self._byte_count
        is_refusal = body[:2] == self._refusal and len(body) == 3
        if is_value or is_refusal:
            return frame
        self.foreign = f"answer from unit {body[0]} with function {body[1]}, which is not what was asked"
        return b""

    def _answer_rtu(self, buffer: bytes) -> bytes:
        """The awaited frame wherever it begins in the buffer: noise and late answers may stand before it."""
        self.is_partial = bool(buffer)
        if self._expected is None:
            return b""
        for offset in range(len(buffer)):
            rest = buffer[offset:]
            size = 5 if rest[:2] == self._refusal else 5 + self._byte_count if rest[:3] == self._expected else 0
            if size and len(rest) >= size and crc16(rest[: size - 2]) == rest[size - 2 : size]:
                self._dropped, self.is_partial = int(offset > 0), False
                return rest[:size]
        return b""


def crc16(data: bytes) -> bytes:
    """The check of a serial frame as it travels, low byte first: MODBUS over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


CRC_TABLE = tuple(_crc_of_byte(byte) for byte in range(256))


RESYNC_COUNTS = 8
"""After so many unanswered attempts the first may be taken for the ninth: it would be minutes late by then."""


def resync_count(asked: int, attempt: int, *, is_bits: bool) -> int:
    """How many registers (or bits) to ask for so that the answer differs in length from the one that is owed.

    Fewer than `asked` where that is possible: those are registers that are read anyway.
    """
    step = 8 if is_bits else 1
    owed = (asked + step - 1) // step
    smaller = list(range(1, owed))[:RESYNC_COUNTS]
    candidates = smaller or list(range(owed + 1, owed + 1 + RESYNC_COUNTS))
    return candidates[attempt % len(candidates)] * step
