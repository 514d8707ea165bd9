"""Row 6: from publishing a scan to its event at the centre, at a quiet site's pace.

The gateway waits twice on the way, for company at the listener and for the next request to the centre, because both
save work; this row is what keeps those waits honest. Devices and centre run in one process, hence by one clock.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.bench.rig import Rig, rig
from simulators.centre import Centre, Policy
from simulators.centre_script import Script
from simulators.load import LoadDevice, LoadPlan, connected, pace

if TYPE_CHECKING:
    from gateway.bench.rows import Row, Size

RATE = 50
"""Scans a second over all devices."""
CEILING_MS = 100.0
WARMING = 50


async def latency(folder: Path, size: Size, say: Callable[[str], None]) -> AsyncIterator[Row]:
    """Row 6: the slowest of a hundred scans, from publishing to the centre, at 50 a second."""
    from gateway.bench.rows import Row

    say(f"from publishing to the centre at {RATE} scans a second for {size.steady_s:.0f} s")
    async with rig(folder) as bench, Centre(Policy(), Script(), port=bench.centre_port) as centre:
        await bench.gateway.start()
        waits = sorted(await waits_ms(bench, centre, WARMING + int(RATE * size.steady_s)))
    p99 = waits[int(len(waits) * 0.99) - 1]
    yield Row("6", f"p99 publish to the centre at {RATE}/s", p99, "ms", CEILING_MS, is_upper=True,
              detail=f"p50 {statistics.median(waits):.1f} ms, slowest {waits[-1]:.1f} ms")  # fmt: skip


async def waits_ms(bench: Rig, centre: Centre, count: int) -> list[float]:
    """Publish `count` scans, one after another on a fixed beat; return how long each was on its way, but the first."""
    plan = LoadPlan(port=bench.port, count=count, rate=RATE)
    devices = await connected(plan, lambda: None)
    published: dict[str, float] = {}

    def note(device: LoadDevice) -> None:
        published[f"{plan.prefix}-{device.name}-{device.sent:06d}"] = time.monotonic()

    await pace(plan, devices, note)
    await centre.until(lambda held: len(held.ledger.by_id) >= count and len(_arrivals(held)) == count)
    for device in devices:
        if device.transport is not None:
            device.transport.close()
    arrived = _arrivals(centre)
    return [(arrived[message_id] - at) * 1000 for message_id, at in list(published.items())[WARMING:]]


def _arrivals(centre: Centre) -> dict[str, float]:
    """Return when each message came first."""
    arrived: dict[str, float] = {}
    for attempt in centre.attempts:
        for event in json.loads(attempt.body):
            if message_id := event["data"].get("device", {}).get("message_id"):
                arrived.setdefault(message_id, attempt.at)
    return arrived
