"""ACK/NAK: after a scan the scanner holds it, suspended, until it hears one byte.

ACK (0x06) lets it beep and go on. NAK (0x15) makes it send the scan again. Hearing neither within its own time it sends
again, or gives up with an error beep (Honeywell after 2 s by default, Zebra after two resends, Opticon after 1 s; see
the product's profile).

There are no message numbers. The scanner has one scan outstanding, always the last it sent, and takes whatever it hears
for an answer to that. Hence exactly one answer, for the last frame, after everything that came is on disk: a second ACK
would be taken for the next scan, which nobody has stored yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.scanner_protocols import Answerable
from drivers.scanner_protocols.tones import Tones


@dataclass(frozen=True, slots=True)
class AckNak:
    """One byte (or what the profile says) for yes and one for no, then a tone."""

    ack: bytes = b"\x06"
    nak: bytes = b"\x15"
    tones: Tones = field(default_factory=Tones)
    expects_answer: bool = True

    def answer(self, outcomes: Sequence[Answerable]) -> bytes:
        """Return the answer to the last frame."""
        last = outcomes[-1]
        held = last is not None and last.is_positive
        return (self.ack if held else self.nak) + self.tones.tone(last)
