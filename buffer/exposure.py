"""How much of the journal anybody outside can have: what a centre may claim without surprising us.

Theory of operation. A disk that was put back to an image gives out, once more, sequences that a centre has with other
events. The only one who can tell is the centre, by naming a sequence that this disk cannot have shown it. What was made
is no measure of that: a gateway that scans before it is connected soon has made as much as the centre names. What was
*shown* is: the journal as it was found at the open, since an earlier run may have sent all of it, and from then on what
was read for a delivery. A run that ends without having shown anything leaves the next one no wiser unless it says so;
so while nobody can be asked, the bound is kept as a state row, and it is gone from disk before anything is shown.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress

from buffer.annex import AnnexDesk
from buffer.entry import Entry, StateRow
from buffer.errors import OutboxFull

EXPOSED_KEY = "outbox/exposed"
"""State row: nothing behind this sequence was shown to anybody. Not there while that may be untrue."""


class Exposure:
    """The newest sequence that anybody outside can have."""

    def __init__(self, newest: int) -> None:
        self.through = newest
        self.is_recalled = False
        self.is_kept = False
        """The row is on disk, or on its way there."""
        self.has_moved = False
        """This run has shown something that it did not find."""

    def recall(self, kept: bytes | None) -> None:
        """Take over what an earlier run kept; nonsense and a bound beyond the journal count for nothing."""
        self.is_recalled, self.is_kept = True, kept is not None
        if kept is not None and kept.isdigit():
            self.through = min(self.through, int(kept))


class ExposureDesk(AnnexDesk):
    """What an open outbox knows of what was shown; `Outbox` is one."""

    _exposure: Exposure

    @property
    @abstractmethod
    def newest(self) -> int:
        """The newest seq on disk."""

    @property
    def exposed(self) -> int:
        """The newest sequence that anybody outside can have. Raises OutboxError."""
        return self._recalled().through

    async def keep_exposed(self) -> None:
        """Let the next run know the bound too, since nobody could be asked.

        Nothing is written again and again for one upstream that is away while another takes everything. A full disk is
        no error: the next run then takes all of the journal for shown.
        """
        exposure = self._recalled()
        if exposure.is_kept or (exposure.has_moved and exposure.through >= self.newest):
            return
        exposure.is_kept = True
        try:
            await self.put_states([StateRow(EXPOSED_KEY, str(exposure.through).encode())])
        except OutboxFull:
            exposure.is_kept = False

    async def _expose(self, entries: list[Entry]) -> list[Entry]:
        """Return entries that a delivery is to have, once no bound that they pass is on disk.

        A full disk does not hold up what drains it. After a kill the next run may then believe the centre to be ahead,
        which costs a new epoch and no event.
        """
        exposure = self._recalled()
        if entries and entries[-1].seq > exposure.through:
            exposure.through, exposure.has_moved = entries[-1].seq, True
            if exposure.is_kept:
                exposure.is_kept = False
                with suppress(OutboxFull):
                    await self.put_states([StateRow(EXPOSED_KEY, None)])
        return entries

    def _recalled(self) -> Exposure:
        if not self._exposure.is_recalled:
            self._exposure.recall(self.state(EXPOSED_KEY))
        return self._exposure
