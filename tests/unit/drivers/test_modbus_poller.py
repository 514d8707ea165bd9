"""The poller against a real Modbus server: nothing lost, nothing invented, nobody waits for a dead slave."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from modbus_disk import Disk

from drivers import DeviceFault, LinkLost, StorageUnavailable, Verdict
from drivers.modbus_counter import STANDS_S
from drivers.modbus_poller import ModbusPoller, ModbusPollerSettings
from drivers.moment import Moment
from drivers.registry import load_driver
from simulators.plc import Plc
from simulators.plc_signal import Signal

GOOD = {"name": "good", "address": 0, "type": "uint32", "means": "count"}
WORDS = {"name": "words", "address": 10, "type": "uint32", "means": "count"}
SCRAP = {"name": "scrap", "address": 2, "type": "uint16", "means": "count"}
DOOR = {"name": "door", "address": 5, "type": "bool", "table": "coil"}
TEMPERATURE = {
    "name": "temperature",
    "address": 20,
    "type": "float32",
    "table": "input",
    "unit": "CEL",
    "deadband": 0.5,
}


class Site:
    """A PLC, a disk, and drivers between them. Whatever a test does, only reads may have reached the PLC."""

    def __init__(self) -> None:
        self.good = Signal("good", 0, "uint32")
        self.scrap = Signal("scrap", 2, "uint16")
        self.door = Signal("door", 5, "bool", table="coil")
        self.temperature = Signal("temperature", 20, "float32", table="input", shows=21.3)
        self.other = Signal("other", 0, "uint16", unit_id=2)
        self.high = Signal("high", 10, "uint16")
        self.low = Signal("low", 11, "uint16")
        self.plc = Plc([self.good, self.scrap, self.door, self.temperature, self.other, self.high, self.low])
        self.disk = Disk()
        self.wall_ms = 1_800_000_000_000
        self.boot, self.elapsed_s, self.is_vouched = "1", 0.0, True

    def poller(self, *points: dict[str, Any], **more: Any) -> ModbusPoller:
        injected = {key: more.pop(key) for key in ("sleep", "monotonic", "elapsed", "emit_grace_s") if key in more}
        url = f"modbus-tcp://127.0.0.1:{self.plc.port}?unit=1"
        options = {"url": url, "poll_interval_s": 0.01, "timeout_s": 5.0, "points": list(points), **more}
        settings = ModbusPollerSettings.model_validate(options)
        injected.setdefault("monotonic", time.monotonic)
        return ModbusPoller("press-plc", settings, recall=self.disk.recall, moment=self.moment, **injected)

    def moment(self) -> Moment:
        return Moment(self.boot, self.elapsed_s, self.wall_ms, self.is_vouched)

    @contextlib.asynccontextmanager
    async def polling(self, *points: dict[str, Any], **more: Any) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.ensure_future(self.poller(*points, **more).run(self.disk.emit))
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, LinkLost, DeviceFault):
                await task

    async def polled(self, rounds: int = 3) -> None:
        """Return when so many more requests came in."""
        came = asyncio.Event()
        left = rounds

        def count(_: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                came.set()

        self.plc.on_request = count
        await asyncio.wait_for(came.wait(), 60)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    one = Site()
    await one.plc.start_tcp()
    yield one
    await one.plc.stop()
    assert set(one.plc.functions) <= {1, 2, 3, 4}


async def test_parts_are_counted_and_states_reported(site: Site) -> None:
    async with site.polling(GOOD, SCRAP, DOOR, TEMPERATURE):
        await site.disk.until(lambda: len(site.disk.stored) == 4, "first values")
        site.good.count(5)
        site.scrap.count(1)
        site.door.toggle()
        site.temperature.set(22.0)
        await site.disk.until(lambda: len(site.disk.stored) >= 8, "changes")
    assert sorted(site.disk.kinds()) == ["baseline"] * 2 + ["condition"] * 4 + ["count"] * 2
    assert (site.disk.parts("good"), site.disk.parts("scrap")) == (5, 1)
    assert site.disk.values("door") == ["false", "true"]
    assert site.disk.values("temperature") == ["21.3", "22"]


async def test_points_side_by_side_cost_one_request_a_round(site: Site) -> None:
    """Joining registers is worth a factor of twenty on a slow bus."""
    async with site.polling(GOOD, SCRAP):
        await site.polled(5)
    assert {(r.function, r.address, r.count) for r in site.plc.requests} == {(3, 0, 3)}


async def test_what_came_before_the_first_look_is_not_counted(site: Site) -> None:
    site.good.count(1000)
    async with site.polling(GOOD):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.good.count(3)
        await site.disk.until(lambda: site.disk.parts("good") > 0)
    assert site.disk.parts("good") == 3


async def test_parts_made_while_the_gateway_was_off_are_counted_when_it_is_back(site: Site) -> None:
    async with site.polling(GOOD):
        await site.disk.until(lambda: bool(site.disk.stored))
    site.good.count(7)
    async with site.polling(GOOD):
        await site.disk.until(lambda: site.disk.parts("good") == 7)
        await site.polled()
    assert site.disk.kinds() == ["baseline", "count"]


async def test_a_disk_that_was_full_loses_no_part(site: Site) -> None:
    async with site.polling(GOOD):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.disk.mood = "unavailable"
        tries = site.disk.tries
        site.good.count(4)
        await site.disk.until(lambda: site.disk.tries > tries + 2)
        site.good.count(2)
        site.disk.mood = "store"
        await site.disk.until(lambda: site.disk.parts("good") == 6)
        await site.polled()
    assert site.disk.parts("good") == 6


async def test_a_commit_whose_answer_was_lost_is_not_counted_twice(site: Site) -> None:
    """The event is on disk and the driver was told it is not: what it counts next begins from what is on disk."""
    async with site.polling(GOOD):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.disk.mood = "stored-but-unknown"
        site.good.count(4)
        await site.disk.until(lambda: site.disk.parts("good") == 4)
        site.disk.mood = "store"
        site.good.count(2)
        await site.disk.until(lambda: site.disk.parts("good") == 6)
        await site.polled()
    assert site.disk.parts("good") == 6


@pytest.mark.parametrize("seed", range(6))
async def test_parts_come_out_exactly_whatever_fails_and_restarts(site: Site, seed: int) -> None:
    """Parts at any time, a disk that fails or answers wrongly, drivers cancelled anywhere, a link that breaks."""
    rng = Random(seed)
    site.disk = Disk(rng)
    async with site.polling(GOOD, SCRAP):
        await site.disk.until(lambda: len(site.disk.stored) == 2)
    made = {"good": 0, "scrap": 0}
    site.disk.mood = "random"
    for _ in range(12):
        async with site.polling(GOOD, SCRAP) as task:
            for _ in range(rng.randrange(4)):
                for signal in (site.good, site.scrap):
                    parts = rng.randrange(50)
                    signal.count(parts)
                    made[signal.name] += parts
                await asyncio.sleep(rng.uniform(0, 0.02))
            if rng.random() < 0.3:
                await site.polled(3)
                site.plc.break_connections()
                with pytest.raises(LinkLost):
                    await asyncio.wait_for(task, 60)
    site.disk.mood = "store"
    async with site.polling(GOOD, SCRAP):
        await site.polled(6)
    assert {name: site.disk.parts(name) for name in made} == made


async def test_cancelled_during_a_commit_it_waits_for_the_outcome(site: Site) -> None:
    """A reload in the middle of a commit: the next driver would read the old row and count the same parts again."""
    async with site.polling(GOOD):
        await site.disk.until(lambda: bool(site.disk.stored))
    site.good.count(3)
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(readings: Any) -> list[Verdict]:
        asked.set()
        await go.wait()
        return await site.disk.emit(readings)

    task = asyncio.ensure_future(site.poller(GOOD).run(slow))
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with site.polling(GOOD):
        await site.polled()
    assert site.disk.parts("good") == 3


async def test_cancelled_during_a_commit_that_never_ends_it_does_not_wait_for_ever(site: Site) -> None:
    asked = asyncio.Event()

    async def stuck(_: Any) -> list[Verdict]:
        asked.set()
        await asyncio.Event().wait()
        return []

    task = asyncio.ensure_future(site.poller(GOOD, emit_grace_s=0.05).run(stuck))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)


async def test_a_reset_is_reported_and_claims_no_part(site: Site) -> None:
    async with site.polling(SCRAP):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.scrap.count(5000)
        await site.disk.until(lambda: site.disk.parts("scrap") == 5000)
        site.scrap.reset()
        await site.disk.until(lambda: "counter_reset" in site.disk.kinds())
        site.scrap.count(2)
        await site.disk.until(lambda: site.disk.parts("scrap") == 5002)
    assert site.disk.kinds() == ["baseline", "count", "counter_reset", "count"]


@pytest.mark.parametrize("first", ["low", "high"])
async def test_a_carry_that_the_plc_writes_over_many_polls_is_no_reset_and_no_part_too_many(
    site: Site, first: str
) -> None:
    """The two words are registers of their own, written far further apart than `poll_interval_s`."""
    site.low.set(0xFFFF)
    words = [(site.low, 2), (site.high, 1)]
    async with site.polling(WORDS):
        await site.disk.until(lambda: bool(site.disk.stored))
        for word, value in words if first == "low" else words[::-1]:
            word.set(value)
            await site.polled(20)
        await site.disk.until(lambda: site.disk.parts("words") > 0)
        await site.polled()
    assert site.disk.kinds() == ["baseline", "count"]
    assert site.disk.parts("words") == 3


async def test_a_reset_of_two_words_is_told_once_it_has_stood_and_parts_since_are_counted(site: Site) -> None:
    skew_s = 0.0
    site.good.set(0x15000)
    async with site.polling(GOOD, monotonic=lambda: time.monotonic() + skew_s):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.good.reset()
        await site.polled()
        site.good.count(2)
        await site.polled()
        assert site.disk.kinds() == ["baseline"]
        skew_s = STANDS_S
        await site.disk.until(lambda: site.disk.parts("good") == 2)
    assert site.disk.kinds() == ["baseline", "counter_reset", "count"]


async def test_a_rollover_loses_no_part(site: Site) -> None:
    site.scrap.set(65530)
    async with site.polling(SCRAP):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.scrap.count(10)
        await site.disk.until(lambda: site.disk.parts("scrap") == 10)


async def test_a_refused_reading_is_a_fault_a_person_hears_of(site: Site) -> None:
    site.disk.mood = "refuse"
    with pytest.raises(DeviceFault) as caught:
        await asyncio.wait_for(site.poller(GOOD).run(site.disk.emit), 60)
    assert caught.value.hint == "not configured"


# -- the device refuses


async def test_a_wrong_address_names_the_point_and_the_rest_was_still_read(site: Site) -> None:
    wrong = {"name": "typo", "address": 40, "type": "uint16", "means": "count"}
    poller = site.poller(GOOD, wrong)
    task = asyncio.ensure_future(poller.run(site.disk.emit))
    await site.disk.until(lambda: bool(site.disk.stored))
    await site.polled(2)
    (complaint,) = poller.complaints()
    assert "illegal data address" in complaint and "of point typo" in complaint
    assert "holding address 40" in complaint
    task.cancel()
    await asyncio.wait({task})


async def test_a_plc_that_refuses_all_it_is_asked_is_a_fault(site: Site) -> None:
    wrong = {"name": "typo", "address": 40, "type": "uint16", "means": "count"}
    worse = {"name": "typo2", "address": 50, "type": "uint16"}
    with pytest.raises(DeviceFault, match=r"illegal data address.*typo"):
        await asyncio.wait_for(site.poller(wrong, worse).run(site.disk.emit), 60)
    assert "count" not in site.disk.kinds()


async def test_the_wrong_point_is_found_among_those_that_were_joined(site: Site) -> None:
    wrong = {"name": "typo", "address": 3, "type": "uint16"}
    poller = site.poller(GOOD, SCRAP, wrong)
    task = asyncio.ensure_future(poller.run(site.disk.emit))
    await site.disk.until(lambda: len(site.disk.stored) == 2)
    (complaint,) = poller.complaints()
    assert "typo (unit 1, holding 3 to 3)" in complaint
    task.cancel()
    await asyncio.wait({task})


async def test_registers_between_points_that_do_not_exist_cost_nothing_but_a_second_try(site: Site) -> None:
    """join_gap_max touched registers the device does not have: each point is asked for by itself from then on."""
    await site.plc.stop()
    site.plc = Plc([site.good, Signal("far", 8, "uint16", shows=8)])
    await site.plc.start_tcp()
    far = {"name": "far", "address": 8, "type": "uint16"}
    async with site.polling(GOOD, far, join_gap_max=10):
        await site.disk.until(lambda: len(site.disk.stored) >= 2)
        site.good.count(1)
        await site.disk.until(lambda: site.disk.parts("good") == 1)
    assert site.disk.values("far") == ["8"]


async def test_a_busy_device_is_a_gap_and_not_a_value(site: Site) -> None:
    async with site.polling(GOOD) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        site.plc.faults.exceptions[1] = 6
        site.good.count(3)
        await site.polled(5)
        assert site.disk.kinds() == ["baseline"]
        assert not task.done()
        site.plc.faults.exceptions.clear()
        await site.disk.until(lambda: site.disk.parts("good") == 3)
    assert site.disk.kinds() == ["baseline", "count", "gap"]
    assert "device busy" in site.disk.gaps()[0]


async def test_a_sensor_without_a_number_is_a_gap_and_not_a_value(site: Site) -> None:
    async with site.polling(TEMPERATURE):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.temperature.set(float("nan"))
        await site.polled()
        site.temperature.set(30.0)
        await site.disk.until(lambda: site.disk.values("temperature") == ["21.3", "30"])
        await site.disk.until(lambda: bool(site.disk.gaps()))
    assert "temperature shows no number" in site.disk.gaps()[0]


# -- the device is silent


async def test_a_missed_answer_is_one_gap_and_the_parts_are_not_lost(site: Site) -> None:
    async with site.polling(GOOD, timeout_s=0.5):
        await site.disk.until(lambda: bool(site.disk.stored))
        site.plc.faults.drop_next = 2
        site.good.count(3)
        await site.disk.until(lambda: bool(site.disk.gaps()))
        await site.polled(5)
    assert site.disk.parts("good") == 3
    assert len(site.disk.gaps()) == 1
    assert "no answer within 0.5 s; 2 polls missed" in site.disk.gaps()[0]


async def test_a_device_that_stays_silent_ends_the_run_so_that_the_link_is_opened_anew(site: Site) -> None:
    async with site.polling(GOOD, timeout_s=0.03) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        site.plc.faults.silent_units.add(1)
        with pytest.raises(LinkLost, match="no answer from unit 1"):
            await asyncio.wait_for(task, 60)
    assert len(site.disk.gaps()) == 1


async def test_a_lost_link_is_one_gap_over_all_attempts_to_come_back(site: Site) -> None:
    """The switch is rebooted: recorded when it begins, and with its duration when it ends; not once an attempt."""
    clock = [1000.0]
    port = site.plc.port
    async with site.polling(GOOD, monotonic=lambda: clock[0]) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        await site.plc.stop()
        with pytest.raises(LinkLost, match="closed the connection"):
            await asyncio.wait_for(task, 60)
    assert "so far" in site.disk.gaps()[0]
    await site.plc.start_tcp(port=port)
    site.plc.faults.exceptions[1] = 4
    for _ in range(2):
        async with site.polling(GOOD, monotonic=lambda: clock[0]):
            await site.polled(2)
    site.plc.faults.exceptions.clear()
    clock[0], site.wall_ms, site.boot = 20.0, site.wall_ms + 90_000, "2"
    async with site.polling(GOOD, monotonic=lambda: clock[0]):
        await site.disk.until(lambda: len(site.disk.gaps()) > 1)
        await site.polled(3)
    assert len(site.disk.gaps()) == 2
    assert "missed within 90.0 s" in site.disk.gaps()[1]


OTHER = {"name": "other", "address": 0, "type": "uint16", "means": "count", "unit_id": 2}


async def test_a_dead_slave_does_not_stop_the_bus(site: Site) -> None:
    """home-assistant#72495: one slave is switched off and everything on the line goes unavailable."""
    site.plc.faults.silent_units.add(2)
    async with site.polling(OTHER, GOOD, timeout_s=0.05) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        site.good.count(3)
        await site.disk.until(lambda: site.disk.parts("good") == 3)
        await site.polled(30)
        assert not task.done()
    to_dead = sum(r.unit_id == 2 for r in site.plc.requests)
    assert 2 <= to_dead <= 6
    assert len(site.plc.requests) > 5 * to_dead


async def test_a_slave_that_is_switched_on_again_is_heard_and_its_parts_are_counted(site: Site) -> None:
    async with site.polling(OTHER, GOOD, timeout_s=0.02):
        await site.disk.until(lambda: len(site.disk.stored) == 2)
        site.plc.faults.silent_units.add(2)
        site.other.count(9)
        await site.polled(10)
        site.plc.faults.silent_units.clear()
        await site.disk.until(lambda: site.disk.parts("other") == 9)
    assert all("unit 2" in gap for gap in site.disk.gaps())


async def test_a_slave_that_refuses_an_address_does_not_stop_the_bus(site: Site) -> None:
    wrong = {"name": "typo", "address": 40, "type": "uint16", "unit_id": 2}
    async with site.polling(wrong, GOOD) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        site.good.count(2)
        await site.disk.until(lambda: site.disk.parts("good") == 2)
        await site.polled(10)
        assert not task.done()
    assert sum(r.unit_id == 2 for r in site.plc.requests) == 1


async def test_when_nobody_is_left_a_refusal_is_what_a_person_hears(site: Site) -> None:
    site.plc.faults.silent_units.add(1)
    wrong = {"name": "typo", "address": 40, "type": "uint16", "unit_id": 2}
    with pytest.raises(DeviceFault, match="typo"):
        await asyncio.wait_for(site.poller(wrong, GOOD, timeout_s=0.03).run(site.disk.emit), 60)


async def test_a_bus_gateway_that_says_nobody_is_home_counts_as_silence(site: Site) -> None:
    site.plc.faults.exceptions[1] = 11
    with pytest.raises(LinkLost):
        await asyncio.wait_for(site.poller(GOOD).run(site.disk.emit), 60)


# -- time, settings, probe


async def test_rounds_begin_at_equal_distances_whatever_they_cost(site: Site) -> None:
    """Each round costs 30 ms of a virtual clock: with a poll interval of 100 ms the driver sleeps 70."""
    now, slept = [0.0], []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)
        now[0] += delay_s
        if len(slept) == 20:
            raise asyncio.CancelledError

    def monotonic() -> float:
        return now[0]

    site.plc.on_request = lambda _: now.__setitem__(0, now[0] + (0.25 if len(slept) == 10 else 0.03))
    with pytest.raises(asyncio.CancelledError):
        poller = site.poller(GOOD, poll_interval_s=0.1, sleep=sleep, monotonic=monotonic)
        await asyncio.wait_for(poller.run(site.disk.emit), 60)
    assert slept[:10] == pytest.approx([0.07] * 10)
    assert slept[10:] == pytest.approx([0.0] + [0.07] * 9), "what was missed is not made up for in a burst"


async def test_a_night_in_which_nobody_asked_is_a_gap_and_the_parts_are_counted(site: Site) -> None:
    """The computer slept, or the process was stopped: the PLC answered whenever it was asked, values are missing."""
    slept_s, night_s = [0.0], 8 * 3600.0
    rounds = 0

    async def sleep(delay_s: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            slept_s[0] += night_s
            site.good.count(7)
        await asyncio.sleep(delay_s)

    def elapsed() -> float:
        return time.monotonic() + slept_s[0]

    async with site.polling(GOOD, sleep=sleep, elapsed=elapsed):
        await site.disk.until(lambda: bool(site.disk.gaps()) and site.disk.parts("good") == 7)
    assert len(site.disk.gaps()) == 1
    assert "the gateway asked nothing" in site.disk.gaps()[0]
    assert "missed within 288" in site.disk.gaps()[0]


async def test_an_unchanged_state_is_said_again_after_its_silence(site: Site) -> None:
    async with site.polling({**DOOR, "silence_max_s": 0.03}):
        await site.disk.until(lambda: len(site.disk.values("door")) == 3)
    assert set(site.disk.values("door")) == {"false"}


async def test_a_point_that_was_moved_begins_anew(site: Site) -> None:
    site.scrap.set(500)
    async with site.polling(SCRAP):
        await site.disk.until(lambda: bool(site.disk.stored))
    site.good.set(70000)
    async with site.polling({**SCRAP, "address": 0, "type": "uint32"}):
        await site.polled()
    assert site.disk.kinds() == ["baseline", "baseline"]


async def test_a_probe_says_what_every_point_shows_and_emits_nothing(site: Site) -> None:
    site.good.set(70000)
    site.scrap.set(12)
    scrap = {**SCRAP, "scale": "0.5", "unit": "KGM"}
    assert await site.poller(GOOD, scrap, DOOR, TEMPERATURE, OTHER).probe() == (
        "unit 1 answers: door false, good 70000, scrap 6 KGM, temperature 21.3 CEL; unit 2 answers: other 0"
    )
    for wrong in (3, 40):
        with pytest.raises(DeviceFault, match="typo"):
            await site.poller(GOOD, SCRAP, {"name": "typo", "address": wrong, "type": "uint16"}).probe()
    site.plc.faults.silent_units.add(2)
    with pytest.raises(LinkLost, match="unit 2"):
        await site.poller(GOOD, OTHER, timeout_s=0.03).probe()
    assert not site.disk.stored


async def test_storage_that_cannot_be_read_at_the_start_ends_the_run(site: Site) -> None:
    def unreadable(_: str) -> bytes | None:
        raise StorageUnavailable("not open yet")

    settings = site.poller(GOOD)._settings
    poller = ModbusPoller("p", settings, recall=unreadable, monotonic=time.monotonic, moment=site.moment)
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(poller.run(site.disk.emit), 60)
    assert not site.disk.stored


def test_the_registry_knows_it() -> None:
    kind = load_driver("modbus-poller")
    assert kind.settings_model is ModbusPollerSettings
    assert kind.factory is ModbusPoller


@pytest.mark.fault(41)
@pytest.mark.parametrize("fault", ["silent", "busy"])
async def test_one_slave_of_two_that_brings_nothing_is_complained_of_while_it_lasts(site: Site, fault: str) -> None:
    """The link is up and the other slave is well; without a complaint nobody would look."""
    other = {"name": "other", "address": 0, "type": "uint16", "unit_id": 2}
    poller = site.poller(GOOD, other, timeout_s=0.1)
    task = asyncio.ensure_future(poller.run(site.disk.emit))
    await site.polled(4)
    assert poller.complaints() == []
    if fault == "silent":
        site.plc.faults.silent_units = {2}
    else:
        site.plc.faults.exceptions = {2: 6}
    async with asyncio.timeout(60):
        while not poller.complaints():
            await site.polled(1)
    (complaint,) = poller.complaints()
    assert complaint.startswith("unit 2: ")
    assert ("busy" in complaint) == (fault == "busy")
    site.plc.faults.silent_units, site.plc.faults.exceptions = set(), {}
    async with asyncio.timeout(60):
        while poller.complaints():
            await site.polled(1)
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("unit_id", [1, 2])
async def test_a_point_that_is_refused_leaves_the_others_of_its_plc_alone(site: Site, unit_id: int) -> None:
    """One register is gone after a change in the PLC: the door beside it is not looked at once a minute for that."""
    wrong = {"name": "typo", "address": 40, "type": "uint16", "unit_id": unit_id}
    other = {"name": "other", "address": 0, "type": "uint16", "means": "count", "unit_id": 2}
    points = (wrong, GOOD, other) if unit_id == 2 else (wrong, GOOD)
    name, signal = ("other", site.other) if unit_id == 2 else ("good", site.good)
    poller = site.poller(*points)
    task = asyncio.ensure_future(poller.run(site.disk.emit))
    await site.disk.until(lambda: bool(site.disk.stored))
    for made in range(1, 6):
        signal.count(1)
        await site.disk.until(lambda made=made: site.disk.parts(name) == made)
    await site.polled(10)
    (complaint,) = poller.complaints()
    assert "typo" in complaint and "check address and table" in complaint
    assert sum(request.address == 40 for request in site.plc.requests) == 1
    task.cancel()
    await asyncio.wait({task})


async def test_a_point_that_is_refused_is_asked_for_again_once_a_minute(site: Site) -> None:
    """Somebody puts it into the PLC and nobody tells the gateway."""
    clock = [1000.0]
    wrong = {"name": "typo", "address": 40, "type": "uint16"}

    def asked() -> int:
        return sum(request.address == 40 for request in site.plc.requests)

    async with site.polling(wrong, GOOD, monotonic=lambda: clock[0]) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        await site.polled(5)
        assert asked() == 1
        clock[0] += 61
        await site.polled(5)
        assert asked() == 2
        assert not task.done()


async def test_a_wrong_address_does_not_hide_that_the_plc_fell_silent(site: Site) -> None:
    """It stands for months and its gap is open all the time; the two hours without any value are a gap of their own."""
    clock = [1000.0]
    wrong = {"name": "typo", "address": 40, "type": "uint16", "unit_id": 2}
    other = {"name": "other", "address": 0, "type": "uint16", "means": "count", "unit_id": 2}
    poller = site.poller(wrong, other, GOOD, timeout_s=0.05, monotonic=lambda: clock[0])
    task = asyncio.ensure_future(poller.run(site.disk.emit))
    await site.disk.until(lambda: site.disk.parts("other") == 0 and bool(site.disk.stored))
    await site.polled(4)
    clock[0] += 11
    await site.disk.until(lambda: len(site.disk.gaps()) == 1)
    assert "check address and table" in site.disk.gaps()[0]
    assert "missing for 11.0 s so far" in site.disk.gaps()[0]

    site.plc.faults.silent_units = {2}
    async with asyncio.timeout(60):
        while "no answer" not in poller.complaints()[0]:
            clock[0] += 0.5
            await site.polled(1)
    clock[0] += 7200
    await site.disk.until(lambda: len(site.disk.gaps()) == 2)
    assert "no answer" in site.disk.gaps()[1]
    site.plc.faults.silent_units = set()
    clock[0] += 61
    site.other.count(3)
    await site.disk.until(lambda: site.disk.parts("other") == 3 and len(site.disk.gaps()) == 3)
    assert "no answer" in site.disk.gaps()[2] and "missed within 72" in site.disk.gaps()[2]
    await site.polled(10)
    assert len(site.disk.gaps()) == 3, "and the wrong address goes on in its own"
    (complaint,) = poller.complaints()
    assert "check address and table" in complaint
    task.cancel()
    await asyncio.wait({task})


async def test_a_point_that_came_into_the_plc_ends_its_gap_over_a_restart(site: Site) -> None:
    clock = [1000.0]
    wrong = {"name": "late", "address": 40, "type": "uint16"}
    async with site.polling(wrong, GOOD, monotonic=lambda: clock[0]):
        await site.polled(4)
        clock[0] += 11
        await site.disk.until(lambda: len(site.disk.gaps()) == 1)
    site.wall_ms, site.boot = site.wall_ms + 100_000, "2"
    late = {**wrong, "address": 0, "name": "late"}
    async with site.polling(late, GOOD, monotonic=lambda: clock[0]):
        await site.disk.until(lambda: len(site.disk.gaps()) == 2)
    assert "missed within 111.0 s" in site.disk.gaps()[1]


async def test_a_server_that_closes_after_each_answer_is_polled_like_any_other(site: Site) -> None:
    """And one that closes what is idle, as most PLCs do: no loss of a link, no gap."""
    site.plc.faults.hang_up = True
    async with site.polling(GOOD, poll_interval_s=0.05) as task:
        await site.disk.until(lambda: bool(site.disk.stored))
        for made in range(1, 6):
            site.good.count(1)
            await site.disk.until(lambda made=made: site.disk.parts("good") == made)
        assert not task.done()
    assert site.disk.gaps() == []
