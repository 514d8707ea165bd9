"""Replays of one daemon: one at a time an upstream, and none that nobody was told of."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from outbox_rig import Rig, drafts, fail_disk, sqlite_error

from buffer import EntryFilter, Outbox, OutboxFull
from gateway.deliveries import Deliveries
from gateway.replays import ReplayRefused, Replays
from sync import HttpEventsSettings, PumpState, Upstream
from sync.batch import Batch

CENTRE = HttpEventsSettings(name="centre", url="http://127.0.0.1:9")


class DeafUpstream:
    """Never answers."""

    claimed_through = 0

    def __init__(self, asked: asyncio.Event) -> None:
        self._asked = asked

    async def send(self, batch: Batch) -> Sequence[Any]:
        del batch
        self._asked.set()
        return await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        pass


class OneDelivery:
    """A delivery that has nothing to do."""

    def states(self) -> list[tuple[HttpEventsSettings, PumpState]]:
        return [(CENTRE, PumpState("centre"))]


@dataclass
class Bench:
    rig: Rig
    outbox: Outbox
    replays: Replays
    asked: asyncio.Event
    """Set when a replay has sent something."""

    async def order(self) -> str:
        state = await self.replays.order("centre", EntryFilter(), events_per_s=1000.0, actor="op7", reason="lost")
        return state.order.id


def replays_of(outbox: Outbox, asked: asyncio.Event) -> Replays:
    return Replays(
        outbox,
        cast("Deliveries", OneDelivery()),
        lambda _settings: cast("Upstream", DeafUpstream(asked)),
        rng=random.Random(7),
        monotonic=time.monotonic,
        sleep=asyncio.sleep,
    )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    rig = Rig(tmp_path / "state")
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 3))
    await outbox.settle("centre", through=3)
    asked = asyncio.Event()
    made = Bench(rig, outbox, replays_of(outbox, asked), asked)
    yield made
    await made.replays.stop_all()
    await outbox.close(5)
    rig.shutdown()


async def test_of_two_orders_in_one_moment_one_is_refused(bench: Bench) -> None:
    """Two people press the button; two replays would share the rate, and nobody could tell whose answer is whose."""
    told = await asyncio.gather(bench.order(), bench.order(), return_exceptions=True)
    assert [type(one) for one in told] == [str, ReplayRefused]
    assert len(bench.outbox.states("replay/")) == 1


async def test_an_order_that_failed_does_not_begin_at_the_next_start(bench: Bench) -> None:
    """The disk fills up between the order and its audit record: whoever asked was told that nothing was begun."""
    disk = fail_disk(bench.outbox)
    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL) if sql.startswith("INSERT INTO audit") else None
    with pytest.raises(OutboxFull):
        await bench.order()
    disk.fail_on = lambda _sql: None
    later = replays_of(bench.outbox, bench.asked)
    later.resume()
    assert later.states() == []
    assert await bench.order(), "refused because of the one that failed"


async def test_an_order_and_its_end_are_in_the_audit(bench: Bench) -> None:
    id_ = await bench.order()
    await bench.asked.wait()
    assert await bench.replays.cancel(id_, actor="op7", reason="enough")
    told = [(one.action, one.actor, one.upstream) for one in await bench.outbox.audit_list()][-2:]
    assert told == [("replay_ordered", "op7", "centre"), ("replay_cancelled", "op7", "centre")]
    assert bench.outbox.states("replay/") == []
