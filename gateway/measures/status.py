"""The measures at one moment, as `dockline status`, the API and the metrics tell them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.id_order import id_order
from gateway.measures.board import Measures
from gateway.measures.chart import GROUP_READINGS
from gateway.measures.durations import Durations
from gateway.measures.suppliers import Suppliers


@dataclass(frozen=True, slots=True)
class StationScans:
    """Events with goods at one station, by the hours of the wall clock."""

    station: str
    last_hour: int
    """In the last whole hour."""
    this_hour: int
    """In the hour that runs."""


@dataclass(frozen=True, slots=True)
class DurationStatus:
    """How long something takes, in seconds."""

    count: int
    mean_s: float | None
    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    """By bucket: up to each bound, and one above the last."""
    sum_s: float


@dataclass(frozen=True, slots=True)
class ReadabilityStatus:
    """How well one device reads."""

    device: str
    readings: int
    unreadable: int
    last_group: int | None
    """Unreadable readings among the last whole group; None before the first."""
    group: int
    """Readings in a group."""
    limit: float
    """Most unreadable readings in a group that chance explains."""
    is_degraded: bool


@dataclass(frozen=True, slots=True)
class SupplierStatus:
    """What went wrong with the documents of one supplier."""

    supplier: str
    documents_closed: int
    opened: dict[str, int]
    """Exceptions, by code."""
    per_document: float | None
    """Exceptions a document that was closed; None before the first."""


@dataclass(frozen=True, slots=True)
class MeasuresStatus:
    """How the work goes."""

    since_ms: int
    """From when it is counted, wall clock; older than the process when counts survived a restart."""
    dock_to_stock: DurationStatus
    waiting_for_stock: int
    """Items received here and not put away yet."""
    pick_cycle: DurationStatus
    scans: tuple[StationScans, ...]
    exceptions_opened: dict[str, int]
    """By code."""
    exceptions_resolved: dict[str, DurationStatus]
    """From raised to resolved, by code."""
    suppliers: tuple[SupplierStatus, ...]
    """Those with the most exceptions first."""
    readability: tuple[ReadabilityStatus, ...]
    """Devices that gave anything unreadable, and degraded ones."""


def measures_status(measures: Measures, now_ms: int) -> MeasuresStatus:
    """Return the measures now."""
    return MeasuresStatus(
        since_ms=measures.since_ms,
        dock_to_stock=_durations(measures.dock_to_stock),
        waiting_for_stock=measures.waiting,
        pick_cycle=_durations(measures.pick_cycle),
        scans=tuple(StationScans(station, *counts) for station, counts in measures.scans(now_ms).items()),
        exceptions_opened=dict(sorted(measures.exceptions.items())),
        exceptions_resolved={code: _durations(one) for code, one in sorted(measures.suppliers.resolution.items())},
        suppliers=_suppliers(measures.suppliers),
        readability=tuple(
            ReadabilityStatus(
                device,
                chart.readings,
                chart.unreadable,
                chart.last_unreadable,
                GROUP_READINGS,
                round(chart.limit * GROUP_READINGS, 1),
                chart.is_degraded,
            )
            for device, chart in sorted(measures.charts.items(), key=lambda known: id_order(known[0]))
            if chart.unreadable or chart.is_degraded
        ),
    )


def _suppliers(suppliers: Suppliers) -> tuple[SupplierStatus, ...]:
    opened: dict[str, dict[str, int]] = {supplier: {} for supplier in suppliers.closed}
    for (code, supplier), count in sorted(suppliers.opened.items()):
        opened.setdefault(supplier, {})[code] = count
    found = []
    for supplier, by_code in opened.items():
        closed, total = suppliers.closed[supplier], sum(by_code.values())
        found.append(SupplierStatus(supplier, closed, by_code, round(total / closed, 3) if closed else None))
    return tuple(sorted(found, key=lambda one: (-sum(one.opened.values()), one.supplier)))


def _durations(durations: Durations) -> DurationStatus:
    return DurationStatus(
        durations.count, durations.mean_s, durations.bounds_s, tuple(durations.counts), round(durations.sum_s, 3)
    )
