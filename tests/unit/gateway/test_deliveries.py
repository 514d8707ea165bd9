"""Every upstream by itself: one that fails in a way nobody foresaw touches neither the others nor a reload."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from outbox_rig import Rig, draft, fail_disk, sqlite_error

from buffer import Outbox
from buffer.entry import Accepted, Outcome
from gateway import deliveries
from gateway.deliveries import RESTART_S, Deliveries
from sync import Batch, HttpEventsSettings, Position, PumpState, Upstream
from sync.pump_state import Alarm

BOUND_S = 60.0
SQLITE_FULL = 13


class Far:
    """An upstream that takes everything, after it failed as often as a test says."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[str] = []
        self.changed = asyncio.Event()
        self.close_error: Exception | None = None
        self.claimed_through = 0

    async def send(self, batch: Batch) -> list[Outcome]:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError("a bug")
        self.taken += batch.ids
        self.changed.set()
        return [Accepted() for _ in batch.ids]

    async def position(self, source: str) -> Position | None:
        del source
        return None

    def refreshed(self) -> bool:
        return False

    async def aclose(self) -> None:
        if self.close_error is not None:
            raise self.close_error

    async def has(self, count: int) -> None:
        async with asyncio.timeout(BOUND_S):
            while len(self.taken) < count:
                self.changed.clear()
                await self.changed.wait()


class Bench:
    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.far: dict[str, Far] = {}
        self.slept: list[float] = []
        self.may_wake = asyncio.Event()
        self.may_wake.set()
        self.deliveries = Deliveries(
            outbox,
            self.open,
            rng=random.Random(1),
            monotonic=asyncio.get_running_loop().time,
            sleep=self.sleep,
        )

    def open(self, settings: HttpEventsSettings) -> Upstream:
        return self.far.setdefault(settings.name, Far())

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds > 1.0:
            await (self.may_wake.wait() if seconds == RESTART_S else asyncio.Event().wait())

    async def apply(self, *names: str) -> None:
        async with asyncio.timeout(BOUND_S):
            await self.deliveries.apply(
                tuple(HttpEventsSettings(name=name, url="http://127.0.0.1:9/", linger_s=0.0) for name in names)
            )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    rig = Rig(tmp_path)
    outbox = await rig.open()
    made = Bench(outbox)
    yield made
    await made.deliveries.stop_all(0.0)
    await outbox.close(5)
    rig.shutdown()


async def test_a_bug_in_one_delivery_is_logged_and_the_delivery_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The terminal state "dead until somebody restarts the service" does not exist."""
    bench.far = {"buggy": Far(failures=2), "well": Far()}
    await bench.apply("buggy", "well")
    await bench.outbox.append([draft(1)])
    await bench.far["well"].has(1)
    await bench.far["buggy"].has(1)
    assert bench.slept.count(RESTART_S) == 2
    said = [record for record in caplog.records if "delivery_failed" in record.getMessage()]
    assert [record.exc_info is not None for record in said] == [True, True]


async def test_a_delivery_that_fails_can_be_taken_out(bench: Bench) -> None:
    """A reload takes out the upstream whose delivery a bug just ended, and whose connection cannot be closed."""
    bench.far = {"buggy": Far(failures=10**6), "well": Far()}
    bench.far["buggy"].close_error = ConnectionResetError("closed by the other side")
    bench.may_wake.clear()
    await bench.apply("buggy", "well")
    await bench.outbox.append([draft(1)])
    await bench.far["well"].has(1)
    await bench.apply("well")
    await bench.outbox.append([draft(2)])
    await bench.far["well"].has(2)


async def test_a_full_disk_does_not_keep_an_upstream_out_nor_end_a_reload(bench: Bench) -> None:
    """An upstream is added while the disk takes nothing: it begins when there is room, with everything retained."""
    await bench.apply("old")
    await bench.outbox.append([draft(1)])
    await bench.far["old"].has(1)
    bench.may_wake.clear()
    disk = fail_disk(bench.outbox)
    disk.fail_on = lambda sql: sqlite_error(SQLITE_FULL, "full") if sql == "COMMIT" else None
    await bench.apply("old", "new")
    assert [settings.name for settings, _ in bench.deliveries.states()] == ["old", "new"]
    assert bench.far["new"].taken == []
    assert bench.deliveries.waiting() == [("new", "the disk is full")]
    disk.fail_on = lambda _: None
    bench.may_wake.set()
    await bench.far["new"].has(1)
    assert bench.deliveries.waiting() == []


async def test_stopping_ends_what_waits_for_room(bench: Bench) -> None:
    bench.may_wake.clear()
    disk = fail_disk(bench.outbox)
    disk.fail_on = lambda sql: sqlite_error(SQLITE_FULL, "full") if sql == "COMMIT" else None
    await bench.apply("new")
    await asyncio.sleep(0)
    async with asyncio.timeout(BOUND_S):
        await bench.deliveries.stop_all(10 * BOUND_S)
    assert bench.deliveries.states() == []
    disk.fail_on = lambda _: None


async def test_upstreams_stay_in_the_order_of_the_file(bench: Bench) -> None:
    """A delivery that was held for a rewind is begun anew, and stays where people look for it."""
    await bench.apply("first", "second", "third")
    await bench.outbox.append([draft(1)])
    await bench.far["first"].has(1)
    async with asyncio.timeout(BOUND_S):
        await bench.deliveries.rewind("first", to=0, actor="op7", reason="restored")
    assert [settings.name for settings, _ in bench.deliveries.states()] == ["first", "second", "third"]


def test_an_alarm_that_tells_the_time_is_logged_once_and_not_at_every_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that ended on a Friday would be a line a minute until Monday."""
    caplog.set_level(logging.INFO)
    delivery = cast("Any", SimpleNamespace(said=None, settings=SimpleNamespace(name="centre")))

    def hear(code: str, message: str) -> None:
        deliveries._log_alarm(delivery, PumpState("centre", alarm=Alarm(code, message)))

    for minute in range(30):
        hear("tls_clock", f"is no longer valid by this computer's clock, which says 2026-11-30 23:{minute:02} UTC")
    hear("tls_clock", "is not yet valid by this computer's clock, which says 1970-01-01 00:01 UTC")
    deliveries._log_alarm(delivery, PumpState("centre"))
    said = [record.getMessage().split()[0] for record in caplog.records]
    assert said == ["upstream_troubled", "upstream_troubled", "upstream_recovered"]
