"""What a scanner is told to sound: byte strings of its own, by what became of the scan.

The same beep for "saved" and "wrong" is what makes operators walk away from a problem.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.scanner_protocols import Answerable


@dataclass(frozen=True, slots=True)
class Tones:
    """Empty bytes: nothing is sent for that outcome."""

    stored: bytes = b""
    exception: bytes = b""
    duplicate: bytes = b""
    refused: bytes = b""

    def tone(self, outcome: Answerable) -> bytes:
        """Return what the scanner should sound for one frame."""
        if outcome is None or outcome.result == "refused":
            return self.refused
        if outcome.result == "stored_with_exception":
            return self.exception
        if outcome.result in ("duplicate", "repeat_read"):
            return self.duplicate
        return self.stored
