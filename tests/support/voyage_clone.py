"""A disk that is put back to an image of a while ago, and when that needs a new source.

The gateway that the image knows nothing of went on: it made events behind the image's newest and delivered them. Then
the sequences that the image gives out next are taken, and only a new source can say so. But it may as well have begun
a new source right behind the image, after a salvage or because somebody wanted one. What the image gives out next was
then never given out under its source, nobody can mistake it for anything, and a new source would be an alarm about
nothing. So the judge asks for one exactly when the centre had, of the image's source, what the image does not have.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voyage_world import DATABASE, copy_files

from buffer.ledger import SALVAGED_PREFIX
from buffer.reader import OutboxReader
from simulators.centre_ledger import CentreLedger

if TYPE_CHECKING:
    from voyage import Logbook

_MAGIC = b"SQLite format 3\0"
_SEQUENCE = re.compile(r"^sequence (\d+) of| at (\d+)$|^\S+ (\d+) after ")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What an image was when it was put back."""

    events: int
    """How many events the centre had taken."""
    source: str
    """Of the image's newest epoch; empty when the image is of a damaged outbox, whose salvage begins a new one."""
    newest: int
    """Newest sequence in the image."""
    taken: int
    """The highest sequence of that source that the centre had."""
    epochs: int
    """How many the image knows."""

    @property
    def needs_new_source(self) -> bool:
        """Whether sequences that it gives out next are taken. A salvage begins a new source before it gives out any."""
        return self.taken > self.newest


def look_at(image: Path, ledger: CentreLedger) -> PutBack:
    """Return what putting back this image means to a centre with this ledger."""
    look = image.with_name("look")
    look.mkdir()
    copy_files(image, look)
    try:
        # The log may hold another first page, so that SQLite sees nothing of this; a start does.
        if (look / DATABASE[0]).read_bytes()[: len(_MAGIC)] != _MAGIC:
            return PutBack(len(ledger.events), "", 0, 0, 0)
        reader = OutboxReader.open(look)
        try:
            epochs, newest = reader.epochs(), reader.head_of_chain().seq
        finally:
            reader.close()
    finally:
        shutil.rmtree(look)
    source = epochs[-1].source
    taken = ledger.sources[source].highest if source in ledger.sources else 0
    return PutBack(len(ledger.events), source, newest, taken, len(epochs))


def is_image(folder: Path) -> bool:
    """Whether there is one to put back."""
    path = folder / DATABASE[0]
    return path.exists() and path.stat().st_size > 0


def judge_sources_begun(logbook: Logbook) -> list[str]:
    """A new source begins after a disk was put back when one is needed; otherwise no centre is taken to be ahead."""
    put_back = logbook.voyage.put_back
    if put_back is None:
        if any("disk" in fault.name for fault in logbook.faults):
            return []  # one that took no note of what was shown: `buffer/exposure.py` says what that costs
        return [
            f"the centre was not ahead: {one.reason}" for one in logbook.epochs if one.reason.startswith("upstream ")
        ]
    if not put_back.source:
        is_salvaged = logbook.epochs[-1].reason.startswith(SALVAGED_PREFIX)
        return [] if is_salvaged else [f"the disk was put back damaged, and a salvage began no new epoch: {put_back}"]
    begun = len(logbook.epochs) - put_back.epochs
    if put_back.needs_new_source and not begun:
        return [f"the disk was put back, and no new epoch began: {put_back}"]
    if begun > put_back.needs_new_source:
        return [f"the disk was put back, and {begun} new epochs began: {put_back}"]
    return []


def is_of_a_clone(case: str, logbook: Logbook) -> bool:
    """Whether a case is about sequences that a disk which was put back gave out before it could know."""
    put_back = logbook.voyage.put_back
    if put_back is None or not put_back.needs_new_source or put_back.source not in case:
        return False
    found = _SEQUENCE.search(case)
    return found is not None and int(next(filter(None, found.groups()))) > put_back.newest
