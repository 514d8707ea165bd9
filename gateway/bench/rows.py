"""The measurements, one function for rows that share a rig. The numbers name rows for `dockline bench --row`.

Every ratio divides by something measured seconds before on the same disk with the same neighbours, so that it holds
when the machine is slow today. Processor time is divided by what the bare gateway (`gateway.bench.bare_gateway`) takes.
When the floors were set, that was 18.5 us an event at full speed and 975 us at a steady 1,000/s, and the gateway was to
stay within 35 us at full speed (130 us with GS1 labels, nine in ten never seen before), and within 12 % and 40 % of a
core at a steady 200/s and 1,000/s.

Rows that would need several minutes take smaller amounts with `quick`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.bench.baseline import fdatasync_p50_ms, raw_rows_per_s
from gateway.bench.checks import checks
from gateway.bench.latency import latency
from gateway.bench.pages import pages
from gateway.bench.rig import BARE, Load, Rig, rig
from simulators.load import LoadPlan, body

FULL_SPEED_MAX = 1.9
GS1_MAX = 7.0
STEADY_MAX = {200: 0.62, 1000: 0.41}
"""Processor time an event, in that of the bare gateway."""

WARMING = 1_000
SCAN = body(LoadPlan(), "hh-001", 1)
"""What a handheld says: about 200 bytes. The event it becomes has about 700, and that is what raw inserts write."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    rounds: int = 5
    events: int = 40_000
    backlog: int = 100_000
    pending: int = 1_000_000
    steady_s: float = 20.0


QUICK = Size(rounds=1, events=10_000, backlog=20_000, pending=20_000, steady_s=3.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    number: str
    what: str
    value: float
    unit: str
    floor: float
    is_upper: bool = False
    """The floor is a ceiling: less is better."""
    detail: str = ""

    @property
    def holds(self) -> bool:
        """True when the value is at or better than its floor."""
        return self.value <= self.floor if self.is_upper else self.value >= self.floor


Say = Callable[[str], None]


async def end_to_end(folder: Path, size: Size, say: Say) -> AsyncIterator[Row]:
    """Rows 1 and 2: MQTT in, durable, acknowledged by the centre; against plain inserts, in turn."""
    ratios, costs, least, speeds, raws = [], [], [], [], []
    gs1_speeds, gs1_ratios, gs1_costs = [], [], []
    async with rig(folder) as bench, rig(folder, BARE) as bare:
        await warm(bench)
        await warm(bare)
        for number in range(size.rounds):
            say(f"end to end, round {number + 1} of {size.rounds}")
            raw = raw_rows_per_s(folder, size.events, bench.stored_payload())
            speed, cost = await full_speed(bench, size.events)
            least.append((await full_speed(bare, size.events))[1])
            speeds.append(speed)
            raws.append(raw)
            ratios.append(speed / raw)
            costs.append(cost)
            speed, cost = await full_speed(bench, size.events, "gs1")
            gs1_speeds.append(speed)
            gs1_ratios.append(speed / raw)
            gs1_costs.append(cost)
    lean = statistics.median(speeds) / raw_rows_per_s(folder, size.events, SCAN)
    detail = (
        f"{statistics.median(speeds):,.0f}/s against {statistics.median(raws):,.0f} rows/s"
        f" (against rows of {len(SCAN)} bytes: {lean:.2f} x)"
    )
    yield Row("1", "scan over MQTT to acknowledged at the centre ÷ raw inserts", statistics.median(ratios), "x", 0.15,
              detail=detail)  # fmt: skip
    per_event, yardstick = statistics.median(costs), statistics.median(least)
    yield Row("1", "processor time an event ÷ the bare gateway's", per_event / yardstick, "x", FULL_SPEED_MAX,
              is_upper=True, detail=f"{per_event:.0f} us against {yardstick:.0f} us")  # fmt: skip
    per_event = statistics.median(gs1_costs)
    yield Row("2", "the same with GS1 labels, nine in ten new ÷ raw inserts", statistics.median(gs1_ratios), "x", 0.05,
              detail=f"{statistics.median(gs1_speeds):,.0f}/s")  # fmt: skip
    yield Row("2", "processor time an event with GS1 labels ÷ the bare gateway's", per_event / yardstick, "x", GS1_MAX,
              is_upper=True, detail=f"{per_event:.0f} us against {yardstick:.0f} us")  # fmt: skip


async def warm(bench: Rig) -> None:
    """Start everything and have some scans delivered: the first ones load code."""
    await bench.start_centre()
    await bench.gateway.start()
    await bench.load(WARMING)
    bench.total = WARMING
    await bench.delivered(bench.total)


async def full_speed(bench: Rig, events: int, labels: Literal["own", "gs1"] = "own") -> tuple[float, float]:
    """Return events a second from publishing to acknowledged at the centre, and processor microseconds an event."""
    cpu = bench.gateway.cpu_s()
    heard = await bench.load(events, labels=labels)
    bench.total += events
    await bench.delivered(bench.total)
    seconds = time.perf_counter() - heard.started_at
    return events / seconds, (bench.gateway.cpu_s() - cpu) / events * 1e6


async def steady(folder: Path, size: Size, say: Say) -> AsyncIterator[Row]:
    """Rows 4 and 5: a steady trickle with default settings; processor share, and the wait for the acknowledgement."""
    async with rig(folder) as bench, rig(folder, BARE) as bare:
        await warm(bench)
        await warm(bare)
        say(f"the bare gateway at a steady 1000 scans a second for {size.steady_s:.0f} s")
        least, _ = await trickle(bare, 1000, size.steady_s)
        for rate, ceiling in STEADY_MAX.items():
            say(f"steady {rate} scans a second for {size.steady_s:.0f} s")
            flush = fdatasync_p50_ms(folder)
            cost, result = await trickle(bench, rate, size.steady_s)
            detail = f"{cost:.0f} us against {least:.0f} us: {cost * rate / 1e4:.0f} % of a core"
            yield Row("4", f"processor time an event at a steady {rate}/s ÷ the bare gateway's at 1000/s", cost / least,
                      "x", ceiling, is_upper=True, detail=detail)  # fmt: skip
        detail = f"p99 {result.ack_p99_ms:.1f} ms, p50 {result.ack_p50_ms:.1f} ms, flush {flush:.2f} ms"
        yield Row("5", "p99 scan to durable acknowledgement at 1,000/s ÷ one flush", result.ack_p99_ms / flush, "x", 40,
                  is_upper=True, detail=detail)  # fmt: skip


async def trickle(bench: Rig, rate: int, seconds: float) -> tuple[float, Load]:
    """Return processor microseconds an event at a steady rate, and what the devices heard."""
    events = int(rate * seconds)
    cpu = bench.gateway.cpu_s()
    result = await bench.load(events, rate=rate)
    return (bench.gateway.cpu_s() - cpu) / events * 1e6, result


async def drain(folder: Path, size: Size, say: Say) -> AsyncIterator[Row]:
    """Rows 8 and 10: a backlog gathered without the centre, then drained; memory all along."""
    ratios, speeds, peaks = [], [], []
    idle = 0.0
    for number in range(max(size.rounds // 2, 1)):
        say(f"backlog of {size.backlog:,}, round {number + 1}")
        async with rig(folder) as bench:
            await bench.gateway.start()
            idle = bench.gateway.memory_mb()
            await bench.load(size.backlog)
            raw = raw_rows_per_s(folder, size.backlog, bench.stored_payload())
            await bench.start_centre()
            before = await bench.delivered(1)
            started = time.perf_counter()
            await bench.delivered(size.backlog)
            speeds.append((size.backlog - before) / (time.perf_counter() - started))
            ratios.append(speeds[-1] / raw)
            peaks.append(bench.gateway.memory_mb(peak=True))
    yield Row("8", f"drain of {size.backlog:,} events ÷ raw inserts", statistics.median(ratios), "x", 0.25,
              detail=f"{statistics.median(speeds):,.0f}/s")  # fmt: skip
    yield Row("10", "resident memory, idle", idle, "MB", 80, is_upper=True)
    yield Row("10", f"resident memory, peak over a burst and drain of {size.backlog:,}", max(peaks), "MB", 120,
              is_upper=True)  # fmt: skip


async def start(folder: Path, size: Size, say: Say) -> AsyncIterator[Row]:
    """Rows 10 and 12: memory with a large backlog, and the time from start to the first scan accepted."""
    async with rig(folder) as bench:
        empty = [await first_scan_s(bench) for _ in range(size.rounds)]
        yield Row("12", "start to first scan accepted, empty", statistics.median(empty), "s", 1.5, is_upper=True)
        say(f"gathering {size.pending:,} pending events")
        await bench.gateway.start()
        await bench.load(size.pending)
        await bench.gateway.stop()
        say(f"starting over {size.pending:,} pending events")
        full = [await first_scan_s(bench) for _ in range(size.rounds)]
        yield Row("12", f"start to first scan accepted, {size.pending:,} pending", statistics.median(full), "s", 2,
                  is_upper=True)  # fmt: skip
        await bench.gateway.start()
        await bench.start_centre()
        await bench.delivered(size.pending)
        yield Row("10", f"resident memory, peak over the drain of {size.pending:,}",
                  bench.gateway.memory_mb(peak=True), "MB", 120, is_upper=True)  # fmt: skip


async def first_scan_s(bench: Rig) -> float:
    """Start the gateway, have one scan acknowledged, stop it; return the seconds from start to acknowledgement."""
    started = time.perf_counter()
    await bench.gateway.start()
    accepting = time.perf_counter()
    result = await bench.load(1, devices=1)
    await bench.gateway.stop()
    return accepting - started + result.ack_p50_ms / 1000


ROWS = (
    (("1", "2"), end_to_end),
    (("4", "5"), steady),
    (("6",), latency),
    (("8", "10"), drain),
    (("10", "12"), start),
    (("13",), checks),
    (("14",), pages),
)
