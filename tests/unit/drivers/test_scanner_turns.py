"""A scanner that pours, or is none at all: what it brings is handed on a little at a time, and all of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from drivers import LinkLost, Reading, Verdict
from drivers.scanner_dialogue import TURN_PIECES, ScannerDialogue, ScannerSettings

FRAMES = 1000


class Pouring:
    """A link on which everything arrives at once, and then it is gone."""

    marks_damage = False
    has_arrived = False

    def __init__(self) -> None:
        self._said = b"".join(b"]C1%04d\r" % number for number in range(FRAMES))

    async def read(self, silence_s: float | None = None) -> bytes:
        said, self._said = self._said, b""
        if not said:
            raise LinkLost("gone")
        return said


async def test_a_read_of_very_many_frames_leaves_turns_to_others() -> None:
    """One hostile address on the network of the scanners kept every handheld waiting for as long as it poured."""
    lists: list[list[Reading]] = []

    async def emit(readings: Sequence[Reading]) -> list[Verdict]:
        lists.append(list(readings))
        return [Verdict("stored")] * len(readings)

    link: Any = Pouring()
    with pytest.raises(LinkLost):
        await ScannerDialogue("s1", ScannerSettings(), link, emit).converse()
    assert [reading.code for one in lists for reading in one] == [f"{number:04d}" for number in range(FRAMES)]
    assert max(map(len, lists)) <= TURN_PIECES
