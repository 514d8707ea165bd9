"""The conversation with one scanner over one link, whatever the link is made of.

    link.read -> Framer -> Reading -> await emit -> the scanner's protocol -> link.write

The answer leaves after `emit` returned, never before. While storage is unavailable or a reading is refused the answer
is negative. A frame that is no scan (noise, a tail, two scans run together) is handed on as `unreadable`, which the
gateway stores as evidence, and answered negatively: the scanner says it again, or its operator hears that it failed.

A scanner that waits for an answer has one scan outstanding: the last it sent. When the disk was slow and the scanner
said its scan again, or gave up and went on to another, the frames that came meanwhile are stored first (a resend is
flagged, never dropped: two deliberate equal scans are two events) and then answered once. A resend may also cross our
ACK on the wire: the same frame within `answer_crossing_s` after an ACK is stored, flagged, and not answered, because
the scanner has moved on and would take a second ACK for its next scan. If it did not hear the first, it asks again.

`may_repeat` is set where the scanner may not have heard us: on the first scan over a link, on the same frame within
`resend_window_s`, and on the same frame after storage was unavailable. A scanner that expects no answer never repeats.

One emit is under way at a time, with everything that has arrived. Behind it stands the link's bounded buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Annotated, Final, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.contract import Emit, LinkLost, StorageUnavailable
from drivers.framing import AIM, ANY, Discard, Framer, Start
from drivers.reading import Reading
from drivers.scanner_protocols import Acknowledge, Answerable, ScannerProtocol
from drivers.scanner_protocols.ack_nak import AckNak
from drivers.scanner_protocols.none import NoAnswer
from drivers.scanner_protocols.tones import Tones
from drivers.serial_link import Link
from drivers.symbology import GROUP_SEPARATOR, Encoding, StandIn, split_symbology

log = logging.getLogger(__name__)

IDLE_GAP_S = 1.0
"""With a terminator, silence only finds what broke off: longer than any stall of a serial or radio link."""
IDLE_GAP_WITHOUT_TERMINATOR_S = 0.1
"""Without one, silence ends every scan and delays its answer: longer than the 16 ms a USB converter holds bytes."""


def _bytes_as_text(text: str) -> str:
    if any(ord(character) > 0xFF for character in text):
        raise ValueError("write bytes as characters up to \\u00ff, for example \\u0006")
    return text


WireText = Annotated[str, AfterValidator(_bytes_as_text)]
"""Bytes on the wire, written as text: one character a byte."""

TURN_PIECES: Final = 128
"""Frames that are handed on at once. A read of one that pours, or is no scanner at all, holds tens of thousands, and
everybody else would wait until all of them were understood."""


class ScannerSettings(BaseModel):
    """How a scanner talks and what it wants to hear. The link's own URL is added by each driver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: WireText = Field(
        "aim",
        min_length=1,
        description='How a scan must begin: "aim" (a symbology identifier), a literal such as "\\u0002", or "any".',
    )
    terminator: WireText = Field("\r", description='How a scan ends; "" when only silence ends it.')
    idle_gap_s: float | None = Field(
        None, gt=0, le=60, description="Silence that ends a scan or gives one up. Default 1.0; 0.1 without terminator."
    )
    frame_bytes_max: int = Field(8192, ge=16, le=1 << 20, description="Longest scan; longer ones are unreadable.")
    acknowledge: Acknowledge = Field("none", description="What the scanner waits for after a scan: none or ack-nak.")
    ack: WireText = Field("\x06", min_length=1, description="What says that a scan is on disk.")
    nak: WireText = Field("\x15", min_length=1, description="What says that it is not.")
    resend_window_s: float = Field(
        10.0, ge=0, description="The same scan within this time may be the scanner saying it again; it is flagged."
    )
    answer_crossing_s: float = Field(
        0.25,
        ge=0,
        description="The same scan this soon after its ack crossed it on the wire; it is not answered again.",
    )
    encoding: Encoding = Field("auto", description='"auto" (UTF-8 if it is, else Latin-1), "utf-8" or "latin-1".')
    group_separator: StandIn = Field(
        GROUP_SEPARATOR, min_length=1, description="What this scanner sends in place of GS (0x1D) in GS1 data."
    )
    answer_stored: WireText = Field("", description="Sent after a scan that counted, after the ack if there is one.")
    answer_exception: WireText = Field("", description="Sent after a scan that was stored, but something is wrong.")
    answer_duplicate: WireText = Field("", description="Sent after a scan that was known already.")
    answer_refused: WireText = Field("", description="Sent after a scan that was not taken or not understood.")

    @model_validator(mode="after")
    def _check_together(self) -> ScannerSettings:
        if self.start == ANY and not self.terminator:
            raise ValueError('start = "any" needs a terminator; without one a stall would make two labels of one')
        if self.acknowledge == "ack-nak" and self.ack == self.nak:
            raise ValueError("ack and nak are the same")
        return self

    @property
    def silence_s(self) -> float:
        """Return the idle gap in force, in seconds."""
        if self.idle_gap_s is not None:
            return self.idle_gap_s
        return IDLE_GAP_S if self.terminator else IDLE_GAP_WITHOUT_TERMINATOR_S

    def framer(self) -> Framer:
        """Return a framer for a new link."""
        start: Start
        if self.start == "aim":
            start = AIM
        elif self.start == "any":
            start = ANY
        else:
            start = self.start.encode("latin-1")
        return Framer(start=start, terminator=self.terminator.encode("latin-1"), frame_bytes_max=self.frame_bytes_max)

    def protocol(self) -> ScannerProtocol:
        """Return how this scanner is answered."""
        tones = Tones(
            stored=self.answer_stored.encode("latin-1"),
            exception=self.answer_exception.encode("latin-1"),
            duplicate=self.answer_duplicate.encode("latin-1"),
            refused=self.answer_refused.encode("latin-1"),
        )
        if self.acknowledge == "ack-nak":
            return AckNak(self.ack.encode("latin-1"), self.nak.encode("latin-1"), tones)
        return NoAnswer(tones)


class ScannerDialogue:
    """One scanner's half of the contract: frames in, readings emitted, answers out. One for every link."""

    def __init__(self, device: str, settings: ScannerSettings, link: Link, emit: Emit) -> None:
        self._device = device
        self._settings = settings
        self._link = link
        self._emit = emit
        self._framer = settings.framer()
        self._protocol = settings.protocol()
        self._is_first = True
        """The scanner may have said this scan on the last link and never heard an answer."""
        self._last_frame = b""
        self._last_frame_at = 0.0
        self._acked_frame: bytes | None = None
        self._acked_at = 0.0
        self._crossed_its_ack = False
        """The last frame was said again before our ACK for it was heard."""
        self._last_frame_in_doubt = False
        """Storage was unavailable for it: it may be on disk or not."""

    async def converse(self) -> NoReturn:
        """Read, emit and answer until the link is lost. Raises LinkLost."""
        try:
            while True:
                outcomes = await self._take(await self._listen())
                if self._protocol.expects_answer:
                    while self._link.has_arrived or self._framer.is_in_frame:
                        outcomes = await self._take(await self._hear_on()) or outcomes
                await self._answer(outcomes)
        except LinkLost:
            # The partial frame is evidence, worth a record but not worth hiding why the run ends.
            with contextlib.suppress(StorageUnavailable):
                await self._emit_pieces(self._framer.close())
            raise

    async def _answer(self, outcomes: list[Answerable]) -> None:
        """Tell the scanner what became of its frames. Returns when the answer has left."""
        answer = self._protocol.answer(outcomes)
        if not answer or self._crossed_its_ack:
            return
        await self._link.write(answer)
        last = outcomes[-1]
        if last is not None and last.is_positive:
            self._acked_frame, self._acked_at = self._last_frame, asyncio.get_running_loop().time()

    async def _listen(self) -> list[bytes | Discard]:
        """Return the next frames and incidents, at least one."""
        while True:
            pieces = await self._hear_on()
            if pieces:
                return pieces

    async def _hear_on(self) -> list[bytes | Discard]:
        """Return what the next bytes, or a silence, completed; maybe nothing."""
        chunk = await self._link.read(self._settings.silence_s if self._framer.wants_silence else None)
        return self._framer.feed(chunk) if chunk else self._framer.idle()

    async def _take(self, pieces: list[bytes | Discard]) -> list[Answerable]:
        """Hand the pieces on; return what to answer to each."""
        try:
            verdicts = await self._emit_pieces(pieces)
        except StorageUnavailable as error:
            self._last_frame_in_doubt = True
            log.warning("scan_not_stored device_id=%s reason=%r hint=%r", self._device, str(error), error.hint or "")
            return [None] * len(pieces)
        return verdicts

    async def _emit_pieces(self, pieces: list[bytes | Discard]) -> list[Answerable]:
        outcomes: list[Answerable] = []
        for first in range(0, len(pieces), TURN_PIECES):
            readings = [self._reading(piece) for piece in pieces[first : first + TURN_PIECES]]
            verdicts = await self._emit(readings)
            outcomes += [
                verdict if reading.kind == "scan" else None for reading, verdict in zip(readings, verdicts, strict=True)
            ]
        return outcomes

    def _reading(self, piece: bytes | Discard) -> Reading:
        if isinstance(piece, Discard):
            return self._unreadable(piece.evidence, f"{piece.reason} ({piece.count} bytes)")
        settings = self._settings
        if self._link.marks_damage and 0 in piece:
            return self._unreadable(piece, "a character was damaged on the line (parity)")
        try:
            data = split_symbology(piece, encoding=settings.encoding, group_separator=settings.group_separator)
        except UnicodeDecodeError:
            return self._unreadable(piece, f"not {settings.encoding}")
        if not data.code:
            return self._unreadable(piece, "a symbology identifier without data")
        return Reading(
            device=self._device,
            kind="scan",
            raw=piece,
            code=data.code,
            symbology=data.symbology,
            may_repeat=self._may_repeat(piece),
        )

    def _unreadable(self, raw: bytes, reason: str) -> Reading:
        """What the line damaged is not what the scanner said: the scan before it, and whether it is one, stand."""
        self._crossed_its_ack = False
        return Reading(device=self._device, kind="unreadable", raw=raw, reason=reason)

    def _may_repeat(self, frame: bytes) -> bool:
        """Say whether this may be the scanner saying again what it said, and remember the frame."""
        now = asyncio.get_running_loop().time()
        within = now - self._last_frame_at <= self._settings.resend_window_s
        again = frame == self._last_frame and (within or self._last_frame_in_doubt)
        since_ack = now - self._acked_at
        self._crossed_its_ack = (
            self._protocol.expects_answer
            and frame == self._acked_frame
            and since_ack < self._settings.answer_crossing_s
        )
        may_repeat = self._protocol.expects_answer and (self._is_first or again)
        self._is_first = False
        self._last_frame, self._last_frame_at, self._last_frame_in_doubt = frame, now, False
        return may_repeat
