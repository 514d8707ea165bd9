"""How a scanner is answered. A protocol turns verdicts into bytes; it opens nothing and waits for nothing.

    none      the scanner expects no answer; tones are sent when it understands any
    ack-nak   the scanner holds the scan until one byte says yes or no

A protocol with framing or replies of its own (packets with checksums, host-composed beep sequences) is one more module
here with the same two members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from drivers.reading import Verdict

Acknowledge = Literal["none", "ack-nak"]

Answerable = Verdict | None
"""What became of one frame; None for a frame that is no scan or is not on disk: never a positive answer."""


class ScannerProtocol(Protocol):
    """What one family of scanners wants to hear."""

    @property
    def expects_answer(self) -> bool:
        """True when the scanner waits, and says a scan again until it hears an answer it likes."""

    def answer(self, outcomes: Sequence[Answerable]) -> bytes:
        """Return the bytes to send for the frames since the last answer, oldest first; nothing to stay silent."""
