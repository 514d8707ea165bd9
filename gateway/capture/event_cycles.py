"""The event cycles of all readers of a site.

Several readers of a station are one logical reader (`Route.logical_reader`), so they share a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from drivers.reading import Reading, Verdict
from gateway.capture.event_cycle import EventCycle, device_seconds
from gateway.capture.outbox_port import OutboxPort
from gateway.capture.site_map import Route, Station
from gateway.capture.station import Session
from gateway.capture.step import Step

_SEPARATOR: Final = "\x1f"
"""Unit separator: it stands in no activity, and a document that holds one is only told apart more often."""


class Repeat(NamedTuple):
    """A tag that was read again."""

    verdict: Verdict
    is_in_flight: bool
    """The event that covers it is not on disk yet."""


class EventCycles:
    """Event cycles by logical reader, each restored from what is committed when it is first needed."""

    def __init__(self, outbox: OutboxPort, *, wall: Callable[[], int], monotonic: Callable[[], float]) -> None:
        """`wall` gives milliseconds since 1970 UTC, `monotonic` seconds."""
        self._outbox = outbox
        self._wall = wall
        self._monotonic = monotonic
        self._cycles: dict[str, EventCycle] = {}

    @property
    def forced_out(self) -> int:
        """Present tags forgotten for want of room."""
        return sum(cycle.forced_out for cycle in self._cycles.values())

    def adopt(self, stations: Mapping[str, Station]) -> None:
        """Work by other settings from now on; what is present stays present."""
        for reader, cycle in self._cycles.items():
            station = stations.get(reader.partition(":")[0])
            if station is not None:
                cycle.spec = station.event_cycle

    def admit(self, route: Route, reading: Reading, meaning: str, step: Step, now: float) -> Repeat | None:
        """Return the verdict of a repeat read; None for the first sight of a tag, which becomes an event."""
        tag = reading.tag
        assert tag is not None, "a tag reading carries its tag"
        cycle = self._cycle(route)
        step.cycles[cycle] = None
        admission = cycle.admits(
            tag.epc,
            meaning,
            now,
            rssi_dbm=tag.rssi_dbm,
            seen_count=tag.seen_count,
            device_s=device_seconds(reading.at),
        )
        if admission.is_first:
            return None
        if admission.event_id is None:
            return Repeat(
                Verdict("repeat_read", reason="the station's event cycle does not count this read yet"), False
            )
        return Repeat(Verdict("repeat_read", (admission.event_id,)), is_in_flight=not admission.is_committed)

    def cover(self, route: Route, reading: Reading, event_id: str) -> None:
        """Note the event that stands for a tag that was admitted."""
        assert reading.tag is not None, "a tag reading carries its tag"
        self._cycle(route).cover(reading.tag.epc, event_id)

    def _cycle(self, route: Route) -> EventCycle:
        reader = route.logical_reader.replace("/", ":")  # "/" ends the reader's name in the keys of state rows
        cycle = self._cycles.get(reader)
        if cycle is None:
            cycle = EventCycle(reader, route.station.event_cycle, goes_on=goes_on)
            cycle.restore(self._outbox.states(cycle.prefix), self._monotonic(), self._wall())
            self._cycles[reader] = cycle
        return cycle


def meaning(reading: Reading, session: Session, activity: str | None) -> str:
    """Return what a tag read means here: the same tag under another document is another event."""
    context = reading.context
    document = (context and context.document) or session.document
    location = (context and context.location) or session.location
    return _SEPARATOR.join((activity or "", document or "", location or ""))


def goes_on(known: str, now: str) -> bool:
    """Return whether a pass goes on: the tag means the same, or less. The document was closed while pallets stood in
    the gate, or the session was forgotten: another event of each would say that they came twice."""
    if known == now:
        return True
    was, is_ = known.split(_SEPARATOR), now.split(_SEPARATOR)
    return (
        was[0] == is_[0]
        and len(was) == len(is_)
        and all(one in ("", before) for before, one in zip(was[1:], is_[1:], strict=False))
    )
