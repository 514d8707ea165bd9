"""A scanner that expects no answer: it beeps on its own when it has read, whatever becomes of the scan.

Such a scan cannot be said again; while storage is unavailable it is lost to the gateway. Only its tone says so, when
the profile has one. Prefer "ack-nak" wherever the scanner can do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.scanner_protocols import Answerable
from drivers.scanner_protocols.tones import Tones


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Tones at most."""

    tones: Tones = field(default_factory=Tones)
    expects_answer: bool = False

    def answer(self, outcomes: Sequence[Answerable]) -> bytes:
        """Return one tone a frame."""
        return b"".join(map(self.tones.tone, outcomes))
