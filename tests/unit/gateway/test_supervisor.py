"""One bad device touches no other, and none is ever given up."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from drivers import DeviceFault, Emit, LinkLost, Reading, StorageUnavailable, Verdict
from gateway.health import DeviceChange, Hysteresis
from gateway.supervisor import REOPEN_S_MIN, Link, Pauses, Supervisor

SCAN = Reading("dock-3", "scan", b"x", code="x")
BOUND_S = 60.0


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Script:
    """A driver that does one scripted thing a run, then holds its link for ever."""

    def __init__(self, *acts: Callable[[Emit], Awaitable[None]]) -> None:
        self._acts = list(acts)
        self.runs = 0
        self.holds = asyncio.Event()
        self.connected = asyncio.Event()
        self.ended = False

    async def run(self, emit: Emit) -> None:
        self.runs += 1
        self.connected.clear()
        if self._acts:
            await self._acts.pop(0)(emit)
            return
        self.connected.set()
        self.holds.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


def fail(error: Exception) -> Callable[[Emit], Awaitable[None]]:
    async def act(emit: Emit) -> None:
        raise error

    return act


async def scan_once(emit: Emit) -> None:
    await emit([SCAN])
    raise LinkLost("unplugged", hint="plug it in")


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.changes: list[DeviceChange] = []
        self.taken: list[Reading] = []
        self.storage_fails = 0
        self.changed = asyncio.Event()
        self.supervisor = Supervisor(
            self._take,
            self._announce,
            pauses=Pauses(),
            rng=random.Random(1),
            monotonic=lambda: self.clock.now,
            wall=lambda: int(self.clock.now * 1000),
            sleep=self.clock.sleep,
        )

    async def _take(self, readings: Sequence[Reading]) -> list[Verdict]:
        self.taken += readings
        return [Verdict("stored") for _ in readings]

    async def _announce(self, change: DeviceChange) -> None:
        if self.storage_fails:
            self.storage_fails -= 1
            raise StorageUnavailable("full")
        self.changes.append(change)
        self.changed.set()

    def start(self, driver: Script, device: str = "dock-3", hysteresis: Hysteresis | None = None) -> None:
        self.supervisor.start(Link(device, "script", lambda: driver, hysteresis or Hysteresis(0.0, 0.0)))

    async def until_changed(self) -> DeviceChange:
        async with asyncio.timeout(BOUND_S):
            await self.changed.wait()
        self.changed.clear()
        return self.changes[-1]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.supervisor.stop_all()


class Grumbler(Script):
    """Says that its link was lost when it is told to end."""

    async def run(self, emit: Emit) -> None:
        try:
            await super().run(emit)
        except asyncio.CancelledError:
            raise LinkLost("closed under my feet") from None


async def test_a_driver_that_ends_with_an_error_when_told_to_stop_is_not_begun_again(bench: Bench) -> None:
    """Else a reload or a stop would wait for ever for a driver that runs happily."""
    driver = Grumbler()
    bench.start(driver)
    await held(driver)
    async with asyncio.timeout(BOUND_S):
        await bench.supervisor.stop("dock-3")
    assert driver.runs == 1


async def test_a_driver_that_will_not_end_does_not_hold_a_reload_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.supervisor.STOP_S", 0.01)
    release = asyncio.Event()
    began = asyncio.Event()

    async def stubborn(emit: Emit) -> None:
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    bench.start(Script(stubborn))
    await began.wait()
    async with asyncio.timeout(BOUND_S):
        await bench.supervisor.stop("dock-3")
    assert "driver_not_stopped" in caplog.text
    release.set()


async def held(*drivers: Script) -> None:
    async with asyncio.timeout(BOUND_S):
        for driver in drivers:
            await driver.holds.wait()


@pytest.mark.parametrize(
    "error",
    [
        LinkLost("unplugged"),
        DeviceFault("answers wrongly"),
        StorageUnavailable("full"),
        ZeroDivisionError("a bug"),
        ExceptionGroup("two bugs", [ValueError("x")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_ends_a_driver_it_is_started_again(bench: Bench, error: Exception) -> None:
    driver = Script(*(fail(error) for _ in range(20)))
    bench.start(driver)
    await held(driver)
    assert driver.runs == 21
    assert bench.supervisor.health()[0].restarts == 20


async def test_a_driver_that_returns_is_started_again(bench: Bench) -> None:
    async def leave(emit: Emit) -> None:
        return

    driver = Script(leave)
    bench.start(driver)
    await held(driver)
    assert driver.runs == 2


async def test_one_bad_driver_touches_no_other(bench: Bench) -> None:
    """A bug in dock 3's driver, for ever; dock 4 scans on."""
    bad, good = Script(*(fail(RuntimeError("bug")) for _ in range(500))), Script(scan_once)
    bench.start(bad, "dock-3")
    bench.start(good, "dock-4")
    await held(good)
    assert bench.taken == [SCAN]
    states = {health.device: health for health in bench.supervisor.health()}
    assert states["dock-4"].state == "up"
    assert "bug" in str(states["dock-3"].last_error)


async def test_pauses_grow_to_their_cap_and_are_drawn_not_fixed(bench: Bench) -> None:
    driver = Script(*(fail(LinkLost("gone")) for _ in range(200)))
    bench.start(driver)
    await held(driver)
    slept = bench.clock.slept
    assert all(REOPEN_S_MIN <= seconds <= 3.0 for seconds in slept)
    assert max(slept[:2]) <= 1.0
    assert max(slept[10:]) > 2.0
    assert len({round(seconds, 6) for seconds in slept[10:]}) > 100


async def test_who_only_listens_listens_again_at_once(bench: Bench) -> None:
    """A scanner that connects for each scan comes again in a second, and must not be refused then."""
    driver = Script(*(fail(LinkLost("gone", reopens_at_once=True)) for _ in range(50)))
    bench.start(driver)
    await held(driver)
    assert set(bench.clock.slept) == {REOPEN_S_MIN}


async def test_a_device_that_needs_a_person_is_asked_more_seldom(bench: Bench) -> None:
    driver = Script(*(fail(DeviceFault("refused", hint="enter the right unit id")) for _ in range(50)))
    bench.start(driver)
    await held(driver)
    assert max(bench.clock.slept) > 100
    assert max(bench.clock.slept) <= 300


async def test_a_long_good_run_is_forgiven(bench: Bench) -> None:
    async def hold_then_lose(emit: Emit) -> None:
        bench.clock.now += 3600
        raise LinkLost("unplugged")

    class Longest(random.Random):
        """Draws the longest pause there is."""

        def uniform(self, a: float, b: float) -> float:
            return b

    bench.supervisor._rng = Longest()
    driver = Script(*(fail(LinkLost("gone")) for _ in range(20)), hold_then_lose)
    bench.start(driver)
    await held(driver)
    assert bench.clock.slept[-2:] == [3.0, 0.25]


async def test_health_says_what_is_wrong_and_what_to_do(bench: Bench) -> None:
    stuck = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await stuck.wait()

    bench.supervisor._sleep = sleep
    driver = Script(fail(LinkLost("/dev/ttyUSB0 is not there", hint="plug it in")))
    bench.start(driver)
    change = await bench.until_changed()
    (health,) = bench.supervisor.health()
    assert (health.state, health.last_error, health.hint) == ("down", "/dev/ttyUSB0 is not there", "plug it in")
    assert health.next_attempt is not None
    assert (change.state, change.reason) == ("down", "/dev/ttyUSB0 is not there")
    stuck.set()
    await held(driver)
    assert (await bench.until_changed()).state == "up"
    (health,) = bench.supervisor.health()
    assert (health.state, health.last_error) == ("up", None)


async def test_a_change_that_cannot_be_stored_is_told_later(bench: Bench) -> None:
    """The disk is full when the scanner comes up: the event follows when there is room."""
    from gateway import supervisor as module

    bench.storage_fails = 2
    module_wait, module.ANNOUNCE_RETRY_S = module.ANNOUNCE_RETRY_S, 0.01
    try:
        driver = Script()
        bench.start(driver)
        assert (await bench.until_changed()).state == "up"
    finally:
        module.ANNOUNCE_RETRY_S = module_wait


async def test_storage_trouble_is_not_held_against_the_device(bench: Bench) -> None:
    driver = Script(scan_once, *(fail(StorageUnavailable("full")) for _ in range(10)))
    bench.start(driver, hysteresis=Hysteresis(60.0, 0.0))
    await held(driver)
    assert {change.state for change in bench.changes} <= {"up"}


async def test_stopping_one_link_leaves_the_others(bench: Bench) -> None:
    first, second = Script(), Script()
    bench.start(first, "dock-3")
    bench.start(second, "dock-4")
    await held(first, second)
    await bench.supervisor.stop("dock-3")
    assert first.ended and not second.ended
    assert [health.device for health in bench.supervisor.health()] == ["dock-4"]
    assert bench.supervisor.driver("dock-4") is second
    assert bench.supervisor.driver("dock-3") is None


async def test_what_is_taken_is_counted_by_device(bench: Bench) -> None:
    driver = Script(scan_once)
    bench.start(driver)
    await held(driver)
    (health,) = bench.supervisor.health()
    assert health.readings == 1
    sighting = bench.supervisor.sightings.of("dock-3")
    assert sighting is not None and not sighting.is_numbered
    assert sum(bench.supervisor.latency.counts) == 1


async def test_a_device_that_stays_away_is_logged_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A scanner that is switched off for a week-end is tried a hundred thousand times."""
    driver = Script(*[fail(LinkLost("is not there", hint="plug it in")) for _ in range(20)], scan_once)
    bench.start(driver)
    await held(driver)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("link_lost")]
    assert ["unplugged" in line for line in said] == [False, True]
