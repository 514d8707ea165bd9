"""A real backlog: gathered without a centre, met by a new process, drained in order.

How long it took is written down and passes or fails nothing; how much memory it needed, and the order, do.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.bench.baseline import raw_rows_per_s
from gateway.bench.rig import Rig, rig
from simulators.centre import Centre

Figure = Callable[[str, int | float | str], None]
MEMORY_MB_MAX = 120
"""Resident, at its highest, from the start over a full outbox to its end."""


async def start_s(bench: Rig) -> float:
    """Start the gateway and have one scan acknowledged; return the seconds from start to acknowledgement."""
    began = time.perf_counter()
    await bench.gateway.start()
    await bench.load(1, devices=1)
    return time.perf_counter() - began


async def gather_and_drain(folder: Path, count: int, figure: Figure) -> None:
    async with rig(folder) as bench:
        empty_s = await start_s(bench)
        gathered = 1
        while gathered < count:
            gathered += (await bench.load(min(count - gathered, 100_000))).acknowledged
        raw = raw_rows_per_s(folder, 50_000, bench.stored_payload())
        await bench.gateway.kill()
        full_s = await start_s(bench)
        figure("events waiting", gathered)
        figure("start to first scan over them / over an empty outbox", full_s / empty_s)
        figure("start to first scan over them, s (on a shared machine)", full_s)
        began = time.perf_counter()
        async with Centre(port=bench.centre_port, fast=True) as centre:
            await centre.holds(gathered + 1)
            seconds = time.perf_counter() - began
            # The gateway's own events (a link is up) have sequences as well.
            assert centre.tally.through >= gathered + 1
            assert (centre.tally.gaps, centre.tally.repeats) == (0, 0)
            assert centre.tally.events == centre.tally.through
            figure("events drained, in order, without gap or repeat", centre.tally.events)
        figure("drained a second / rows a second that this disk takes in plain inserts", gathered / seconds / raw)
        peak = bench.gateway.memory_mb(peak=True)
        figure("resident memory at its highest, MB", round(peak))
        assert peak < MEMORY_MB_MAX
        assert await bench.gateway.stop() == 0


@pytest.mark.fault(23)
async def test_ten_thousand_waiting_events_are_drained_in_order(tmp_path: Path, figure: Figure) -> None:
    await gather_and_drain(tmp_path, 10_000, figure)


@pytest.mark.long
@pytest.mark.fault(23)
async def test_a_million_waiting_events_are_drained_in_order(tmp_path: Path, figure: Figure) -> None:
    await gather_and_drain(tmp_path, 1_000_000, figure)
