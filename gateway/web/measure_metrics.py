"""The measures of the work as metrics. Labels are configured names and codes of ours, never what was scanned."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.measures.status import DurationStatus, MeasuresStatus


def measure_metrics(measures: MeasuresStatus) -> Iterator[Metric]:
    """Yield them. Handhelds are named by a pattern, so only devices out of control are counted, not named."""
    yield _histogram("dockline_dock_to_stock_seconds", "From receipt to putaway of an item.", measures.dock_to_stock)
    yield _histogram("dockline_pick_cycle_seconds", "From one pick of a device to its next.", measures.pick_cycle)
    waiting = GaugeMetricFamily("dockline_waiting_for_stock", "Items received here and not put away yet.")
    waiting.add_metric([], measures.waiting_for_stock)
    yield waiting
    scans = GaugeMetricFamily("dockline_scans_last_hour", "Scans in the last whole hour.", labels=["station"])
    for one in measures.scans:
        scans.add_metric([one.station], one.last_hour)
    yield scans
    opened = CounterMetricFamily("dockline_exceptions_opened", "Exceptions opened.", labels=["code"])
    for code, count in measures.exceptions_opened.items():
        opened.add_metric([code], count)
    yield opened
    yield from _supplier_metrics(measures)
    degraded = GaugeMetricFamily("dockline_devices_unreadable", "Devices above their control limit.")
    degraded.add_metric([], sum(one.is_degraded for one in measures.readability))
    yield degraded
    since = GaugeMetricFamily("dockline_measures_since_timestamp_seconds", "From when these are counted.")
    since.add_metric([], measures.since_ms / 1000)
    yield since


def _supplier_metrics(measures: MeasuresStatus) -> Iterator[Metric]:
    """Suppliers are as many as documents name; the measures keep a hundred apart."""
    opened = CounterMetricFamily(
        "dockline_supplier_exceptions_opened", "Exceptions opened.", labels=["code", "supplier"]
    )
    closed = CounterMetricFamily("dockline_supplier_documents_closed", "Documents closed.", labels=["supplier"])
    for one in measures.suppliers:
        closed.add_metric([one.supplier], one.documents_closed)
        for code, count in one.opened.items():
            opened.add_metric([code, one.supplier], count)
    yield from (opened, closed)
    resolved = HistogramMetricFamily(
        "dockline_exception_resolution_seconds", "From raised to resolved, by the wall clock.", labels=["code"]
    )
    for code, told in measures.exceptions_resolved.items():
        resolved.add_metric([code], *_buckets(told))
    yield resolved


def _histogram(name: str, text: str, told: DurationStatus) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], *_buckets(told))
    return family


def _buckets(told: DurationStatus) -> tuple[list[tuple[str, float]], float]:
    total, buckets = 0, []
    for bound, count in zip((*map(str, told.bounds_s), "+Inf"), told.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets, told.sum_s
