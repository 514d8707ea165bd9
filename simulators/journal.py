"""What a simulated device remembers: one JSON object a line, written as it happens.

The gateway never writes here, so a checker that reads it cannot be talked out of anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TextIO


class Journal:
    """An append-only file of what a device did and heard; in memory as well, for tests and displays."""

    def __init__(self, device: str, path: Path | None = None, *, on_line: Callable[[], None] | None = None) -> None:
        self._device = device
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path is not None else None
        self._on_line = on_line
        self.lines: list[dict[str, object]] = []

    def record(self, what: str, **fields: object) -> None:
        """Note that `what` happened. Returns when the line is out of this process."""
        line: dict[str, object] = {"n": len(self.lines) + 1, "device": self._device, "what": what, **fields}
        self.lines.append(line)
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        if self._on_line is not None:
            self._on_line()

    def said(self, what: str) -> list[str]:
        """Return the codes of the lines that say `what`, in order."""
        return [str(line["code"]) for line in self.lines if line["what"] == what]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
