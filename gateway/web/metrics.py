"""The numbers for Prometheus, made from one status at the moment they are asked for.

Nothing is labelled by a code, an EPC, an order, an operator or a handheld: what comes from outside would make as many
series as there are labels in the warehouse. Links and upstreams are named by the configuration, and few.
docs/metrics.md describes every name; a test compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.checks.summary import AGE_BOUNDS_S
from gateway.health import LATENCY_BOUNDS_S, Latency
from gateway.status import Status
from gateway.web.measure_metrics import measure_metrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BOOK_TERMS = ("accepted", "delivered", "pending", "quarantined", "discarded", "skipped", "lost")


def exposition(status: Status, latency: Latency) -> bytes:
    """Return the body of `/metrics`."""
    registry = CollectorRegistry()
    registry.register(_Once(status, latency))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, status: Status, latency: Latency) -> None:
        self._status = status
        self._latency = latency

    def collect(self) -> Iterator[Metric]:
        yield from self._gateway()
        yield from self._storage()
        yield from self._intake()
        yield from self._upstreams()
        yield from self._links()
        yield from self._checks()
        yield from measure_metrics(self._status.measures)

    def _gateway(self) -> Iterator[Metric]:
        status = self._status
        info = GaugeMetricFamily("dockline_info", "Always 1; says which program runs.", labels=["version"])
        info.add_metric([status.version], 1)
        yield info
        yield _gauge("dockline_ready", "1 while scans are taken.", status.ready)
        yield _gauge("dockline_uptime_seconds", "Since the start of the process.", status.uptime_s)
        synchronised = status.clock == "synchronised"
        yield _gauge("dockline_clock_synchronised", "1 while the time service vouches for the clock.", synchronised)
        alarms = GaugeMetricFamily("dockline_alarms", "Troubles that last, as listed by the status.", labels=["code"])
        for code, count in sorted(Counter(alarm.code for alarm in status.alarms).items()):
            alarms.add_metric([code], count)
        yield alarms
        yield _gauge("dockline_knocking_devices", "Devices that spoke and are not configured.", len(status.knocking))

    def _storage(self) -> Iterator[Metric]:
        storage = self._status.storage
        yield _gauge("dockline_outbox_entries", "Events in the outbox, delivered ones included.", storage.entries)
        yield _gauge("dockline_outbox_head_sequence", "Sequence of the newest event.", storage.head_seq)
        yield _gauge("dockline_outbox_bytes", "Bytes in use by the outbox.", storage.bytes_used)
        yield _gauge("dockline_outbox_bytes_max", "Bytes the outbox may use.", storage.bytes_max)
        yield _gauge("dockline_disk_free_bytes", "Free bytes on its disk.", storage.disk_free)
        yield _gauge("dockline_disk_reserve_bytes", "Free bytes below which scans are refused.", storage.reserve_bytes)
        yield _gauge("dockline_outbox_full", "1 while scans are refused for want of room.", bool(storage.full_reason))
        hours = storage.autonomy_hours
        if hours is not None:
            yield _gauge("dockline_autonomy_seconds", "Time of room left if nothing more is delivered.", hours * 3600)
        yield _counter("dockline_failed_commits", "Commits that failed.", storage.failed_commits)

    def _intake(self) -> Iterator[Metric]:
        counts = self._status.intake
        yield _counter("dockline_events_accepted", "Events committed since the start.", counts.accepted)
        yield _counter("dockline_messages_redelivered", "Numbered messages known already.", counts.redelivered)
        yield _counter(
            "dockline_possible_redeliveries", "Events flagged: the device may repeat.", counts.possible_redeliveries
        )
        yield _counter("dockline_repeat_reads", "Tag reads covered by an event.", counts.repeat_reads)
        yield _counter(
            "dockline_events_unrecognised", "Events of what was not understood.", sum(counts.unrecognised.values())
        )
        refused = CounterMetricFamily("dockline_readings_refused", "Readings that were not taken.", labels=["reason"])
        for reason in ("unknown_device", "device_disabled", "storage"):
            refused.add_metric([reason], counts.refused.get(reason, 0))
        yield refused
        taken = HistogramMetricFamily("dockline_take_seconds", "From hand-on of readings to their commit.")
        total, buckets = 0, []
        for bound, count in zip((*map(str, LATENCY_BOUNDS_S), "+Inf"), self._latency.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        taken.add_metric([], buckets, self._latency.sum_s)
        yield taken

    def _upstreams(self) -> Iterator[Metric]:
        books = GaugeMetricFamily(
            "dockline_upstream_events", "Where the events of an upstream are.", labels=["upstream", "fate"]
        )
        imbalance = GaugeMetricFamily(
            "dockline_upstream_imbalance", "Always 0, or something is lost.", labels=["upstream"]
        )
        healthy = GaugeMetricFamily(
            "dockline_upstream_healthy", "1 while the upstream takes events.", labels=["upstream"]
        )
        failures = GaugeMetricFamily(
            "dockline_upstream_failures", "Failures since the last answer.", labels=["upstream"]
        )
        requests = CounterMetricFamily(
            "dockline_upstream_requests", "Batches sent since the start.", labels=["upstream"]
        )
        lag = GaugeMetricFamily(
            "dockline_upstream_lag_seconds", "Age of the oldest event it has not taken.", labels=["upstream"]
        )
        for upstream in self._status.upstreams:
            if upstream.lag_s is not None:
                lag.add_metric([upstream.name], upstream.lag_s)
            for term in BOOK_TERMS:
                books.add_metric([upstream.name, term], getattr(upstream, term))
            imbalance.add_metric([upstream.name], upstream.imbalance)
            healthy.add_metric([upstream.name], upstream.health in {"idle", "delivering"})
            failures.add_metric([upstream.name], upstream.failures)
            requests.add_metric([upstream.name], upstream.requests)
        yield from (books, imbalance, healthy, lag, failures, requests)

    def _links(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("dockline_link_up", "1 while the link stands.", labels=["link", "driver"])
        restarts = CounterMetricFamily("dockline_link_restarts", "Times the driver ended.", labels=["link", "driver"])
        readings = CounterMetricFamily("dockline_link_readings", "Readings it brought.", labels=["link", "driver"])
        age = GaugeMetricFamily(
            "dockline_link_reading_age_seconds", "Since its last reading.", labels=["link", "driver"]
        )
        for link in self._status.links:
            labels = [link.device, link.driver]
            up.add_metric(labels, link.state in {"up", "silent"})
            restarts.add_metric(labels, link.restarts)
            readings.add_metric(labels, link.readings)
            if link.last_reading_age_s is not None:
                age.add_metric(labels, link.last_reading_age_s)
        yield from (up, restarts, readings, age)
        messages = CounterMetricFamily(
            "dockline_shared_link_messages", "What shared links count.", labels=["link", "what"]
        )
        for name, counters in self._status.shared_links.items():
            for what, value in counters.items():
                messages.add_metric([name, what], value)
        yield messages

    def _checks(self) -> Iterator[Metric]:
        checks = self._status.checks
        open_ones = GaugeMetricFamily("dockline_exceptions_open", "Exceptions not resolved.", labels=["code"])
        overdue = GaugeMetricFamily("dockline_exceptions_overdue", "Of these, overdue.", labels=["code"])
        oldest = GaugeMetricFamily(
            "dockline_exception_oldest_age_seconds", "Operating time since the oldest was raised.", labels=["code"]
        )
        for one in checks.exceptions:
            open_ones.add_metric([one.code], one.open)
            overdue.add_metric([one.code], one.overdue)
            oldest.add_metric([one.code], one.oldest_age_s)
        yield from (open_ones, overdue, oldest)
        ages = GaugeMetricFamily("dockline_exceptions_by_age", "Exceptions not resolved.", labels=["code", "age"])
        names = [*(f"{bound // 3600}h" for bound in AGE_BOUNDS_S), "more"]
        for one in checks.exceptions:
            for age, count in zip(names, one.ages, strict=True):
                ages.add_metric([one.code, age], count)
        labels = ["code", "supplier"]
        theirs = GaugeMetricFamily("dockline_supplier_exceptions_open", "Exceptions not resolved.", labels=labels)
        late = GaugeMetricFamily("dockline_supplier_exceptions_overdue", "Of these, overdue.", labels=labels)
        since = GaugeMetricFamily(
            "dockline_supplier_exception_oldest_age_seconds", "Operating time since the oldest.", labels=labels
        )
        for each in checks.suppliers:
            theirs.add_metric([each.code, each.supplier], each.open)
            late.add_metric([each.code, each.supplier], each.overdue)
            since.add_metric([each.code, each.supplier], each.oldest_age_s)
        yield from (ages, theirs, late, since)
        yield _gauge("dockline_expectations_pull_failures", "Since the last good pull.", checks.pull_failures)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))
