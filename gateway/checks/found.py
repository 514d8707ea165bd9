"""What the checks find about one reading, collected: events, rows, remarks, and how to take it all back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from buffer.entry import Draft
from drivers.reading import Remark
from gateway.capture.captured import Moment
from gateway.capture.checks_port import Change, Judged
from gateway.capture.site_map import Route


class Place(NamedTuple):
    """Where something was found, for the events of the gateway itself."""

    station: str
    device: str
    profile: str | None = None
    read_point: str | None = None
    business_location: str | None = None


def _nothing() -> None:
    """Nothing is left to do."""


class Effect(NamedTuple):
    """A change by what is to be done when it is taken back, and when it is on disk."""

    undo: Callable[[], object] = _nothing
    landed: Callable[[], object] = _nothing


class Found:
    """Filled by the checks of one reading."""

    __slots__ = ("_where", "at", "changes", "drafts", "is_duplicate", "is_tag", "remarks", "state")

    def __init__(self, at: Moment, where: Place | Route) -> None:
        self.at = at
        self._where = where
        self.drafts: list[Draft] = []
        self.state: dict[str, bytes | None] = {}
        self.remarks: list[Remark] = []
        self.is_duplicate = False
        self.is_tag = False
        """What was read is an RFID tag: it is seen again whenever it passes."""
        self.changes: list[Change] = []

    @property
    def place(self) -> Place:
        """Where it was found, for events of the gateway's own; few scans make one."""
        where = self._where
        if isinstance(where, Place):
            return where
        station = where.station
        return Place(station.id, where.device, where.profile, station.read_point, station.business_location)

    def changed(self, undo: Callable[[], object], landed: Callable[[], object] = _nothing) -> None:
        """Note how to take back a change that was just made in memory, and what to do when it is on disk."""
        self.changes.append(Effect(undo, landed))

    def on_disk(self, landed: Callable[[], object]) -> None:
        """Note what to do when the step is on disk."""
        self.changes.append(Effect(landed=landed))

    def judged(self) -> Judged | None:
        """Return all of it; None when there is nothing."""
        if not (self.drafts or self.state or self.remarks):
            return None
        return Judged(
            self.drafts,
            self.state,
            tuple(self.remarks),
            self.is_duplicate and len(self.remarks) == 1,
            self.changes,
        )
