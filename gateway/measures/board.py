"""The measures of one gateway: what is counted of each committed event, and what it comes to.

Fed with the drafts of every commit, by the columns alone where they suffice, since this stands on the way of a scan: a
look into the payload costs as much as everything else, so only receipts and putaways are looked into, and only for the
text of their item.

    dock to stock     from the receipt of an item to its putaway: the same item text, the oldest receipt first. Items
                      that are never put away, or not through this gateway, leave after `STOCK_MAX_MS`.
    pick cycle        from one pick of a device to its next; a pause of more than `PAUSE_MS` is none.
    scans an hour     events with goods by station, in the last whole and in this hour of the wall clock
    unreadable        readings of a device that could not be understood, with a control limit (`chart`)
    exceptions        opened, by code and by supplier, and how long they took (`suppliers`)
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from buffer.entry import Draft
from gateway.id_order import id_order
from gateway.measures.chart import ControlChart
from gateway.measures.durations import Durations
from gateway.measures.suppliers import Suppliers

HOUR_MS: Final = 3_600_000
STOCK_MAX_MS: Final = 7 * 24 * HOUR_MS
OPEN_MAX: Final = 2_000
"""Kinds of items received and not put away that are kept in mind; beyond it that leaves which came longest ago."""
WAITING_MAX: Final = 10_000
"""Items of all these kinds: of a kind that is received all year and never put away here, the newest."""
PAUSE_MS: Final = 10 * 60_000
DEVICES_MAX: Final = 1_000
"""Devices with a chart: handhelds are named by a pattern, and nobody shall fill the memory with names. Beyond it the
one that was silent for longest leaves: charts outlive restarts, and in some years a site has had many handhelds."""
DOCK_TO_STOCK_BOUNDS_S: Final = (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0)
PICK_CYCLE_BOUNDS_S: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)

_GOODS: Final = frozenset(
    f"dockline.{name}.v1"
    for name in ("receipt", "putaway", "pick", "count", "shipment", "return", "transfer", "observation")
)
_TIMED: Final = frozenset({"dockline.receipt.v1", "dockline.putaway.v1", "dockline.pick.v1"})
_PICK: Final = "dockline.pick.v1"
_UNREADABLE: Final = "dockline.unrecognised.v1"
_FINDINGS: Final = frozenset({"dockline.exception.v1", "dockline.tally.v1"})
_GROUP: Final = attrgetter("type", "station", "device")
_ITEM: Final = b'"item":{'


class Measures:
    """Counts, until asked."""

    def __init__(self, since_ms: int) -> None:
        """`since_ms` is the wall clock: from when it counts, unless `load` finds older counts."""
        self.since_ms = since_ms
        self.dock_to_stock = Durations(DOCK_TO_STOCK_BOUNDS_S)
        self.pick_cycle = Durations(PICK_CYCLE_BOUNDS_S)
        self.exceptions: Counter[str] = Counter()
        self.suppliers = Suppliers()
        self.charts: dict[str, ControlChart] = {}
        self.changed: deque[str] = deque(maxlen=DEVICES_MAX)
        """Devices whose verdict changed and was not told yet."""
        self.waiting = 0
        """Items received and not put away, as far as they are kept in mind."""
        self._open: OrderedDict[bytes, list[int]] = OrderedDict()
        """When each was received, by kind; the kind that was received last is last."""
        self._last_pick: dict[str, int] = {}
        self._hours: dict[str, tuple[int, int, int]] = {}
        """Hour, scans in it, scans in the hour before; by station."""

    def accept(self, drafts: Sequence[Draft]) -> None:
        """Count the events of one commit: a busy commit holds many of few devices, so they are counted together."""
        if not drafts:
            return
        # A lone scan is the most common commit of all, and a Counter costs as much as the rest of it.
        groups = {_GROUP(drafts[0]): 1} if len(drafts) == 1 else Counter(map(_GROUP, drafts))
        hour = drafts[-1].captured_at // HOUR_MS
        is_looked_into = False
        for (kind, station, device), count in groups.items():
            if kind in _GOODS:
                self._scanned(station, hour, count)
                self._read(device, readable=count)
                is_looked_into |= kind in _TIMED
            elif kind == _UNREADABLE:
                self._read(device, unreadable=count)
            else:
                is_looked_into |= kind in _FINDINGS
        if is_looked_into:
            if len(groups) == 1 and drafts[0].type == _PICK and drafts[0].captured_at == drafts[-1].captured_at:
                self._picked(drafts[0])
                self.pick_cycle.add(0.0, len(drafts) - 1)  # what a handheld had saved up, all of one moment
            else:
                self._look_into(drafts)

    def scans(self, now_ms: int) -> dict[str, tuple[int, int]]:
        """Return by station the scans of the last whole hour and of this one."""
        hour = now_ms // HOUR_MS
        told = {}
        for station, (counted, this, before) in sorted(self._hours.items(), key=lambda known: id_order(known[0])):
            age = hour - counted
            told[station] = (before, this) if age in (0, -1) else (this, 0) if age == 1 else (0, 0)
        return told

    def opened(self) -> int:
        """Return how many exceptions were opened."""
        return self.exceptions.total()

    def dump(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON can hold it."""
        return {
            "since_ms": self.since_ms,
            "dock_to_stock": self.dock_to_stock.dump(),
            "pick_cycle": self.pick_cycle.dump(),
            "exceptions": dict(self.exceptions),
            "suppliers": self.suppliers.dump(),
            "charts": {device: chart.dump() for device, chart in self.charts.items()},
            "open": {key.decode("utf-8", "replace"): times for key, times in self._open.items()},
            "hours": {station: list(one) for station, one in self._hours.items()},
        }

    def load(self, kept: dict[str, Any]) -> None:
        """Go on from what was dumped. Raises KeyError, ValueError, TypeError when it cannot be understood."""
        charts = {str(device): ControlChart.load(chart) for device, chart in kept["charts"].items()}
        opened = OrderedDict(
            (key.encode(), [int(one) for one in times]) for key, times in kept["open"].items() if times
        )
        hours = {station: (int(one[0]), int(one[1]), int(one[2])) for station, one in kept["hours"].items()}
        self.dock_to_stock.load(kept["dock_to_stock"])
        self.pick_cycle.load(kept["pick_cycle"])
        self.exceptions = Counter({str(code): int(count) for code, count in kept["exceptions"].items()})
        self.charts, self._open, self._hours = charts, opened, hours
        self.waiting = sum(map(len, opened.values()))
        self._let_go(0)
        if "suppliers" in kept:  # not counted by an older version
            self.suppliers.load(kept["suppliers"])
        self.since_ms = int(kept["since_ms"])

    def _look_into(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            match draft.type:
                case "dockline.pick.v1":
                    self._picked(draft)
                case "dockline.receipt.v1":
                    self._received(draft)
                case "dockline.putaway.v1":
                    self._stored(draft)
                case "dockline.tally.v1":
                    self.suppliers.closed_one(draft.payload)
                case "dockline.exception.v1" if _begins(draft):
                    code = _member(draft.payload, b'"code":"')
                    self.exceptions[code] += 1
                    self.suppliers.opened_one(code, draft.payload)
                case "dockline.exception.v1" if b'"state":"resolved"' in draft.payload:
                    self.suppliers.resolved_one(_member(draft.payload, b'"code":"'), draft)

    def _scanned(self, station: str, hour: int, count: int) -> None:
        counted, this, before = self._hours.get(station, (hour, 0, 0))
        if hour > counted or hour < counted - 1:
            # Far back: the clock had been wrong, and by the hour it left nobody would ever see another one.
            self._hours[station] = (hour, count, this if hour == counted + 1 else 0)
        else:
            # A clock that was set back a little counts for the hour it left.
            self._hours[station] = (counted, this + count, before)

    def _read(self, device: str, *, readable: int = 0, unreadable: int = 0) -> None:
        chart = self.charts.pop(device, None) or ControlChart()
        self.charts[device] = chart  # the one that was heard last is last
        if len(self.charts) > DEVICES_MAX:
            del self.charts[next(iter(self.charts))]
        changed = chart.add_readable(readable)
        for _ in range(unreadable):
            changed |= chart.add(is_unreadable=True)
        if changed:
            self.changed.append(device)

    def _picked(self, draft: Draft) -> None:
        last = self._last_pick.pop(draft.device, None)
        if last is not None and 0 <= draft.captured_at - last <= PAUSE_MS:
            self.pick_cycle.add((draft.captured_at - last) / 1000)
        self._last_pick[draft.device] = draft.captured_at
        if len(self._last_pick) > DEVICES_MAX:
            del self._last_pick[next(iter(self._last_pick))]

    def _received(self, draft: Draft) -> None:
        key = _item(draft.payload)
        if key is None:
            return
        self._open.setdefault(key, []).append(draft.captured_at)
        self._open.move_to_end(key)
        self.waiting += 1
        self._let_go(draft.captured_at - STOCK_MAX_MS)

    def _let_go(self, before_ms: int) -> None:
        """Forget kinds that were last received before that, and what is too many."""
        while self._open:
            times = next(iter(self._open.values()))
            if len(self._open) > OPEN_MAX or times[-1] < before_ms:
                leave = len(times)
            elif self.waiting > WAITING_MAX:
                leave = min(len(times), self.waiting - WAITING_MAX)
            else:
                return
            del times[:leave]
            self.waiting -= leave
            if not times:
                self._open.popitem(last=False)

    def _stored(self, draft: Draft) -> None:
        key = _item(draft.payload)
        times = self._open.get(key) if key is not None else None
        if key is None or not times:
            return
        took_ms = draft.captured_at - times.pop(0)
        self.waiting -= 1
        if not times:
            del self._open[key]
        if 0 <= took_ms <= STOCK_MAX_MS:
            self.dock_to_stock.add(took_ms / 1000)


def _item(payload: bytes) -> bytes | None:
    """Return the text of the item, which is flat and written by us: the same label gives the same text."""
    begin = payload.find(_ITEM)
    end = payload.find(b"}", begin)
    return payload[begin + len(_ITEM) : end] if 0 <= begin < end else None


def _begins(draft: Draft) -> bool:
    """An exception has the id of the event that opened it; later events may say "open", with other figures."""
    return b'"state":"open"' in draft.payload and b'"exception":"%s"' % draft.id.encode() in draft.payload


def _member(payload: bytes, name: bytes) -> str:
    begin = payload.find(name)
    end = payload.find(b'"', begin + len(name))
    return payload[begin + len(name) : end].decode("ascii", "replace") if 0 <= begin < end else "unknown"
