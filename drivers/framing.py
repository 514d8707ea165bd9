"""Bytes in, frames out: where one scan ends and the next begins. No sockets, no clock.

Theory of operation
-------------------
A byte stream has no messages. Three things find them again: how a frame *starts*, how it *ends*, and *silence*.

A frame is handed on only when its first byte is known to be its first. A link may open in the middle of a label, a
stall may cut one in two; the tail of a label is a valid-looking shorter label, and acknowledging it loses the scan and
invents another. So every frame must begin at a *boundary* (after a terminator, or after a silence) with its start:

    start = "aim"     a symbology identifier, "]cm" (ISO/IEC 15424). Recommended: a tail does not look like it.
    start = literal   bytes such as STX. A control character cannot be part of a label, so it also ends what came before
                      it without a terminator; a printable literal counts only at a boundary.
    start = ANY       anything may be a first byte. Then only the past can tell: what arrives within the idle gap after
                      opening, and what follows a frame that broke off, is suspect up to the next terminator. A scan
                      made in that moment is discarded (visibly), and a tail that arrives after a silence right after
                      opening cannot be told from a scan. That is the limit of "any".

A frame ends with its terminator. Without one it ends with silence; then a stall in mid-label cuts the label, which is
why `terminator` should be set wherever the device can send one. With a terminator, silence in a frame means that the
terminator is lost: the bytes are discarded, so that two halves never become one label.

Nothing is dropped silently. What is not a frame comes out as one `Discard` an incident: how many bytes, the first of
them as evidence, and why. The first bad piece after good ones is reported at its own end, at once, because a device may
be waiting for a NAK. Further bad pieces without a good frame or a silence between them are one incident (noise at a
wrong baud rate contains a carriage return every 256 bytes or so; a record for each would fill the disk), reported when
it ends or reaches `INCIDENT_BYTES_MAX`.

Memory is bounded by `frame_bytes_max`, whatever arrives.

    at boundary --start seen--> in frame --terminator--> frame handed on, at boundary
        |                          | too long, broke off, run together
        '--anything else------> skipping --terminator or silence--> at boundary
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

ANY: Literal["any"] = "any"
AIM: Literal["aim"] = "aim"
Start = Literal["any", "aim"] | bytes

EVIDENCE_BYTES_MAX = 256
"""Enough to see what it was (a wrong baud rate, another device, a label without identifier)."""

INCIDENT_BYTES_MAX = 1 << 20
"""Endless noise is reported once a mebibyte: at 115200 baud, every minute and a half."""

_AIM_IDENTIFIER = re.compile(rb"\][A-Za-z][0-9A-Za-z]")
_AIM_BEGUN = re.compile(rb"\](?:[A-Za-z])?\Z")
_FILL = b"\r\n"
"""Between frames: what a device sends after its terminator when it ends lines in the other fashion."""


@dataclass(frozen=True, slots=True)
class Discard:
    """One incident: bytes that are no frame."""

    reason: str
    """Why, in words for a person."""
    count: int
    """How many bytes."""
    evidence: bytes
    """The first of them, at most EVIDENCE_BYTES_MAX."""


class _State(Enum):
    BOUNDARY = "the next byte is the first of a frame"
    FRAME = "in a frame whose start was seen"
    SKIP = "discarding up to the next boundary"


NO_START = "the start of the frame was not seen"
TOO_LONG = "longer than frame_bytes_max"
BROKE_OFF = "broke off without its terminator"
RUN_TOGETHER = "a second start inside the frame: two scans ran together"
LINK_ENDED = "the link ended in the middle of a frame"


class Framer:
    """Cuts the byte stream of one link into frames. Make a new one for every link."""

    def __init__(self, *, start: Start = AIM, terminator: bytes = b"\r", frame_bytes_max: int = 8192) -> None:
        if start == b"":
            raise ValueError('a start marker is not empty; say start = "any"')
        if start == ANY and not terminator:
            raise ValueError('start = "any" needs a terminator: a stall would make two labels of one')
        if frame_bytes_max < 4:
            raise ValueError("frame_bytes_max is at least 4: an identifier and a character")
        self._start = start
        self._terminator = terminator
        self._frame_bytes_max = frame_bytes_max
        self._held = bytearray()
        """Not yet cut: the frame under way, or the few bytes that may be half a marker."""
        self._searched = 0
        """Bytes of `_held` that are known to hold no terminator."""
        self._state = _State.BOUNDARY
        self._silence_ends_skip = True
        self._skip_reason = NO_START
        self._skipped = 0
        self._evidence = bytearray()
        self._incident_reported = False
        """A Discard went out and neither a frame nor a silence has come since."""
        self.bytes_discarded = 0
        """Bytes that became no frame since this framer was made."""
        if start == ANY:
            self._state = _State.SKIP

    @property
    def wants_silence(self) -> bool:
        """True when `idle` would change something: a frame is open, or an incident is not over."""
        if self._state is _State.FRAME or self._held or self._skipped or self._incident_reported:
            return True
        return self._state is _State.SKIP and self._silence_ends_skip

    @property
    def is_in_frame(self) -> bool:
        """True when a frame has begun and not ended."""
        return self._state is _State.FRAME or (self._state is _State.BOUNDARY and bool(self._held))

    def feed(self, chunk: bytes) -> list[bytes | Discard]:
        """Return what `chunk` completed: frames without their terminator and literal start, and incidents."""
        self._held += chunk
        out: list[bytes | Discard] = []
        while self._held and self._step(out):
            pass
        return out

    def idle(self) -> list[bytes | Discard]:
        """The line was silent for the idle gap. Return what that ends."""
        out: list[bytes | Discard] = []
        if self._state is _State.FRAME:
            if self._terminator:
                self._skip(BROKE_OFF)
                self._discard(len(self._held))
                self._end_piece(out)
                if self._start == ANY:
                    # Its other half may still come, and would look like a frame.
                    self._skip(BROKE_OFF, silence_ends=False)
            else:
                self._take_frame(len(self._held), out)
        elif self._state is _State.BOUNDARY and self._held:
            self._skip(NO_START)
        if self._state is _State.SKIP:
            self._discard(len(self._held))
            if self._silence_ends_skip:
                self._end_piece(out)
        self._report_rest(out)
        self._incident_reported = False
        return out

    def close(self) -> list[bytes | Discard]:
        """The link ended. Return the frame that broke off with it, as an incident."""
        out: list[bytes | Discard] = []
        if self._held:
            self._skip(LINK_ENDED if self._state is not _State.SKIP else self._skip_reason)
            self._discard(len(self._held))
        self._report_rest(out)
        return out

    def _step(self, out: list[bytes | Discard]) -> bool:
        """Do one thing with what is held; return False when more bytes are needed."""
        if self._state is _State.BOUNDARY:
            return self._step_at_boundary()
        if self._state is _State.FRAME:
            return self._step_in_frame(out)
        return self._step_skipping(out)

    def _step_at_boundary(self) -> bool:
        if not (isinstance(self._start, bytes) and self._start[0] in _FILL):
            fill = len(self._held) - len(self._held.lstrip(_FILL))
            del self._held[:fill]
        if not self._held:
            return False
        self._searched = 0
        if isinstance(self._start, bytes):
            seen = self._held.startswith(self._start)
            may_come = self._start.startswith(self._held)
            if seen:
                del self._held[: len(self._start)]
        else:
            seen = self._start == ANY or _AIM_IDENTIFIER.match(self._held) is not None
            may_come = _AIM_BEGUN.match(self._held) is not None
        if seen:
            self._state = _State.FRAME
        elif may_come:
            return False
        else:
            self._skip(NO_START)
        return True

    def _step_in_frame(self, out: list[bytes | Discard]) -> bool:
        end = self._find_terminator()
        again = self._find_start()
        length = len(self._held) - max(len(self._terminator) - 1, 0) if end < 0 else end
        if again >= 0 and (end < 0 or again < end):
            self._skip(RUN_TOGETHER if again <= self._frame_bytes_max else TOO_LONG)
            self._discard(again)
            self._end_piece(out)
        elif length > self._frame_bytes_max:
            self._skip(TOO_LONG, silence_ends=self._start != ANY)
        elif end < 0:
            return False
        else:
            self._take_frame(end, out)
        return True

    def _take_frame(self, end: int, out: list[bytes | Discard]) -> None:
        """A frame of `end` bytes is complete."""
        frame = bytes(self._held[:end])
        if self._start == AIM and _AIM_IDENTIFIER.search(frame, 1):
            self._skip(RUN_TOGETHER)
            self._discard(end + len(self._terminator))
            self._end_piece(out)
            return
        del self._held[: end + len(self._terminator)]
        self._state = _State.BOUNDARY
        self._searched = 0
        if frame:
            self._report_rest(out)
            self._incident_reported = False
            out.append(frame)

    def _step_skipping(self, out: list[bytes | Discard]) -> bool:
        end = self._find_terminator()
        again = self._find_start()
        if again >= 0 and (end < 0 or again < end):
            self._discard(again)
            self._end_piece(out)
            return True
        if end >= 0:
            self._discard(end + len(self._terminator))
            self._end_piece(out)
            return True
        self._discard(len(self._held) - self._half_marker_length())
        if self._skipped >= INCIDENT_BYTES_MAX:
            self._report_rest(out)
        return False

    def _find_terminator(self) -> int:
        """Return where the terminator is in what is held, or -1. Looks at every byte once."""
        if not self._terminator:
            return -1
        found = self._held.find(self._terminator, self._searched)
        self._searched = max(0, len(self._held) - len(self._terminator) + 1) if found < 0 else found
        return found

    def _find_start(self) -> int:
        """Return where a start is that ends whatever came before it, or -1."""
        marker = self._unmistakable_start()
        return self._held.find(marker) if marker else -1

    def _unmistakable_start(self) -> bytes:
        """Return the literal start when it is one that no label contains (a control character), else nothing."""
        return self._start if isinstance(self._start, bytes) and self._start[0] < 0x20 else b""

    def _half_marker_length(self) -> int:
        """Bytes at the end of what is held that may be the first half of a terminator or of an unmistakable start."""
        longest = 0
        for marker in (self._terminator, self._unmistakable_start()):
            for length in range(1, len(marker)):
                if self._held.endswith(marker[:length]):
                    longest = max(longest, length)
        return longest

    def _skip(self, reason: str, *, silence_ends: bool = True) -> None:
        self._state = _State.SKIP
        if not self._skipped:
            self._skip_reason = reason
        self._silence_ends_skip = silence_ends

    def _discard(self, count: int) -> None:
        """Drop the first `count` held bytes, keeping the first of the incident as evidence."""
        room = EVIDENCE_BYTES_MAX - len(self._evidence)
        self._evidence += self._held[: min(count, max(room, 0))]
        del self._held[:count]
        self._searched = 0
        self._skipped += count
        self.bytes_discarded += count

    def _end_piece(self, out: list[bytes | Discard]) -> None:
        """A bad piece ended. Report it at once when it is the first of its incident."""
        self._state = _State.BOUNDARY
        if not self._incident_reported or self._skipped >= INCIDENT_BYTES_MAX:
            self._report_rest(out)

    def _report_rest(self, out: list[bytes | Discard]) -> None:
        if not self._skipped:
            return
        out.append(Discard(self._skip_reason, self._skipped, bytes(self._evidence)))
        self._skipped = 0
        self._evidence.clear()
        self._incident_reported = True
