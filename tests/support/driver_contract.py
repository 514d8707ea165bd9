"""The driver contract, as a suite that every driver runs against its simulator.

How to plug a driver in
-----------------------
Write `tests/contract/test_<driver>_contract.py` with a rig and one class:

    from driver_contract import DriverContract, Rig

    class MyRig(Rig):
        acknowledges = True            # the device hears an answer (ACK byte, PUBACK, ack message)
        resends = True                 # the device says a thing again until it hears a positive answer
        in_flight_max = 16             # emits the driver may have under way at once

        async def plug(self, wire, seed): ...      # start the simulator behind that kind of wire; it may start cut off
        async def close(self): ...                 # end everything this rig started
        def driver(self): ...                      # a new driver for the same link; called again after every LinkLost
        async def cut(self): ...                   # break the link under the running driver
        async def mend(self): ...                  # make it reachable again; called before every run but the first
        async def say(self, count): ...            # the device says `count` new things, in its own time; return tokens
        def token_of(self, reading): ...           # which of them a reading is; None for unreadable, gap, baseline
        def acknowledged(self): ...                # tokens the *device* heard a positive answer for, in its order

    class TestMyDriver(DriverContract):
        wires = WIRES                              # fewer when a kind of wire means nothing to the protocol
        def rig(self, tmp_path): return MyRig(...)

`say` must not wait for the driver: the suite calls it before, during and without a run. Call `self.pulse.set()` in the
rig whenever the device heard something, so that the suite wakes without polling.

A token is any string that names one thing said (a code, a message id, a register value). `token_of` must return a
*different* string, not None, for a thing the device never said: that is how an invented reading is noticed.

The wires (`simulators.wire.PLANS` has plans of these names for byte streams):
    clean          everything arrives as written
    byte-by-byte   every byte is a read of its own
    delayed        every chunk waits
    lossy          whole chunks vanish, in both directions (for TCP protocols: the connection breaks instead)
    cut            the link breaks in the middle of a message, several times, and comes back
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from drivers import DriverError, LinkLost, Reading, StorageUnavailable, Verdict
from drivers.contract import Driver

WIRES = ("clean", "byte-by-byte", "delayed", "lossy", "cut")

BOUND_S = 60.0
"""Longer than anything here takes on a crowded machine; reached only when the promise is broken."""

QUIET_S = 0.2
"""How long the suite looks for something that must not happen. Too short can only hide a fault, not invent one."""


class Pulse:
    """Wakes whoever waits for a condition that somebody else makes true."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool], *, bound_s: float = BOUND_S, what: str = "") -> None:
        """Return once `condition()` is true; it is looked at after every `set`."""
        try:
            async with asyncio.timeout(bound_s):
                while not condition():
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            raise AssertionError(f"did not happen within {bound_s} s: {what or condition}") from None

    async def never(self, condition: Callable[[], bool], what: str) -> None:
        """Look for a while; fail when the condition becomes true."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                while not condition():
                    self._event.clear()
                    await self._event.wait()
        assert not condition(), what


class Rig:
    """A simulated device, the wire, and drivers for it. See the module docstring."""

    acknowledges = True
    resends = True
    in_flight_max = 1

    def __init__(self) -> None:
        self.pulse = Pulse()

    async def plug(self, wire: str, seed: int) -> None:
        raise AssertionError("a rig says how its device is plugged in")

    async def close(self) -> None:
        raise AssertionError("a rig ends what it started")

    def driver(self) -> Driver:
        raise AssertionError("a rig builds drivers")

    async def cut(self) -> None:
        raise AssertionError("a rig can break its link")

    async def mend(self) -> None:
        raise AssertionError("a rig can mend its link")

    async def say(self, count: int) -> list[str]:
        raise AssertionError("a rig makes its device talk")

    def token_of(self, reading: Reading) -> str | None:
        raise AssertionError("a rig recognises what its device said")

    def acknowledged(self) -> Sequence[str]:
        raise AssertionError("a rig knows what its device heard")


class Intake:
    """What the gateway is to a driver: takes readings, says when they are on disk, and can be made to misbehave."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.mode: Literal["store", "refuse", "unavailable"] = "store"
        self.offered: list[Reading] = []
        self.stored: list[Reading] = []
        self.in_flight = 0
        self.in_flight_peak = 0
        self._open = asyncio.Event()
        self._open.set()

    async def emit(self, readings: Sequence[Reading]) -> list[Verdict]:
        assert readings, "an empty emit is a driver that does not know what it does"
        self.offered += readings
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        self.rig.pulse.set()
        try:
            await self._open.wait()
            if self.mode == "unavailable":
                raise StorageUnavailable("the outbox is full", hint="make room")
            if self.mode == "refuse":
                return [Verdict("refused", reason="device is not configured") for _ in readings]
            self.stored += readings
            return [Verdict("stored", events=(f"event-{len(self.stored)}-{i}",)) for i, _ in enumerate(readings)]
        finally:
            self.in_flight -= 1
            self.rig.pulse.set()

    def hold(self) -> None:
        """From now on emit does not return: the disk is slow."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def tokens(self, readings: Sequence[Reading] | None = None) -> list[str]:
        found = (self.rig.token_of(reading) for reading in (self.stored if readings is None else readings))
        return [token for token in found if token is not None]


@contextlib.asynccontextmanager
async def running(awaitable: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run beside the block; cancel at its end and fail when it ended with an error of its own before."""
    task = asyncio.ensure_future(awaitable)
    try:
        yield task
        if task.done() and not task.cancelled() and task.exception() is not None:
            raise AssertionError(f"ended early: {task.exception()!r}")
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)


async def supervise(rig: Rig, emit: Callable[[Sequence[Reading]], Awaitable[list[Verdict]]]) -> None:
    """Run the driver; when it ends as the contract allows, mend the link and run a new one. As the supervisor does."""
    while True:
        try:
            await rig.driver().run(emit)
        except DriverError:
            await rig.mend()
        else:
            raise AssertionError("run returned; it may only raise")


class DriverContract:
    """Subclass, name it Test..., give it `rig`. Every test here is a numbered point of drivers/contract.py."""

    wires: tuple[str, ...] = WIRES
    seeds: tuple[int, ...] = (1, 2)

    def rig(self, tmp_path: Path) -> Rig:
        raise AssertionError("give the class a rig")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "wire" in metafunc.fixturenames:
            metafunc.parametrize("wire", self.wires)
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", self.seeds)

    @contextlib.asynccontextmanager
    async def plugged(self, tmp_path: Path, wire: str = "clean", seed: int = 1) -> AsyncIterator[tuple[Rig, Intake]]:
        rig = self.rig(tmp_path)
        await rig.plug(wire, seed)
        try:
            yield rig, Intake(rig)
        finally:
            await rig.close()

    async def test_building_a_driver_touches_no_device(self, tmp_path: Path) -> None:
        """Point 1: `dockline check` builds every driver on a desk without a single device."""
        driver = self.rig(tmp_path).driver()
        assert callable(driver.run)

    async def test_a_link_that_cannot_be_opened_is_an_error_for_the_supervisor(self, tmp_path: Path) -> None:
        """Point 2: the device is off when the gateway starts."""
        async with self.plugged(tmp_path) as (rig, intake):
            await rig.cut()
            with pytest.raises(DriverError) as caught:
                await asyncio.wait_for(rig.driver().run(intake.emit), BOUND_S)
            assert str(caught.value)
            assert not intake.offered

    async def test_everything_said_is_stored_in_order_and_nothing_else(
        self, tmp_path: Path, wire: str, seed: int
    ) -> None:
        """Points 3, 6 and 7 on a bad wire: nothing lost, nothing invented, nothing acknowledged that is not stored."""
        async with self.plugged(tmp_path, wire, seed) as (rig, intake):
            heard_before_held: list[str] = []

            async def emit(readings: Sequence[Reading]) -> list[Verdict]:
                heard_before_held.extend(set(rig.acknowledged()) - set(intake.tokens()))
                return await intake.emit(readings)

            async with running(supervise(rig, emit)) as task:
                said = await rig.say(8)
                await rig.pulse.until(
                    lambda: task.done() or (set(said) <= set(intake.tokens()) and self._is_settled(rig, said)),
                    what=f"all of {said} stored and answered",
                )
            stored = intake.tokens()
            assert set(stored) <= set(said), "a reading nobody said was handed on as if it were one"
            assert list(dict.fromkeys(stored)) == said, "order of first arrival"
            assert not heard_before_held, "acknowledged before it was stored"
            assert set(rig.acknowledged()) <= set(stored), "acknowledged and not stored"
            self._check_repeats_can_be_recognised(intake)

    @staticmethod
    def _is_settled(rig: Rig, said: Sequence[str]) -> bool:
        return not (rig.acknowledges and rig.resends) or set(said) <= set(rig.acknowledged())

    @staticmethod
    def _check_repeats_can_be_recognised(intake: Intake) -> None:
        seen: dict[str, Reading] = {}
        for reading in intake.stored:
            token = intake.rig.token_of(reading)
            if token is None:
                continue
            if token in seen:
                numbered = reading.message_id is not None and reading.message_id == seen[token].message_id
                assert numbered or reading.may_repeat, f"a repeat of {token} that nobody can recognise"
            seen.setdefault(token, reading)

    async def test_acknowledged_only_after_emit_returned(self, tmp_path: Path) -> None:
        """Point 3: a slow disk; the device must not hear a good beep before the commit."""
        async with self.plugged(tmp_path) as (rig, intake):
            intake.hold()
            async with running(supervise(rig, intake.emit)):
                said = await rig.say(1)
                await rig.pulse.until(lambda: said[0] in intake.tokens(intake.offered), what="offered")
                await rig.pulse.never(lambda: bool(rig.acknowledged()), "acknowledged while emit had not returned")
                intake.release()
                await rig.pulse.until(lambda: said[0] in intake.tokens(), what="stored")
                if rig.acknowledges:
                    await rig.pulse.until(lambda: said[0] in rig.acknowledged(), what="acknowledged after the commit")

    async def test_no_acknowledgement_while_storage_is_unavailable(self, tmp_path: Path) -> None:
        """Point 4: the disk is full. When there is room again, what the device still holds arrives."""
        async with self.plugged(tmp_path) as (rig, intake):
            intake.mode = "unavailable"
            async with running(supervise(rig, intake.emit)):
                said = await rig.say(1)
                await rig.pulse.until(lambda: said[0] in intake.tokens(intake.offered), what="offered")
                await rig.pulse.never(lambda: bool(rig.acknowledged()), "acknowledged though storage was unavailable")
                intake.mode = "store"
                if rig.resends:
                    await rig.pulse.until(lambda: said[0] in intake.tokens(), what="stored after the outage")

    async def test_a_refused_reading_is_not_acknowledged(self, tmp_path: Path) -> None:
        """The gateway says no: the device must not say yes to its operator."""
        async with self.plugged(tmp_path) as (rig, intake):
            intake.mode = "refuse"
            async with running(supervise(rig, intake.emit)):
                said = await rig.say(1)
                await rig.pulse.until(lambda: said[0] in intake.tokens(intake.offered), what="offered")
                await rig.pulse.never(lambda: bool(rig.acknowledged()), "a refused reading was acknowledged")

    async def test_a_cut_link_ends_the_run_with_link_lost(self, tmp_path: Path) -> None:
        """Point 2: somebody pulls the plug; the supervisor hears of it, run neither returns nor hangs."""
        async with self.plugged(tmp_path) as (rig, intake):
            task = asyncio.ensure_future(rig.driver().run(intake.emit))
            said = await rig.say(1)
            await rig.pulse.until(lambda: task.done() or said[0] in intake.tokens(), what="link is up")
            await rig.cut()
            with pytest.raises(LinkLost):
                await asyncio.wait_for(task, BOUND_S)

    async def test_cancelled_at_any_moment_it_leaves_the_link_free(self, tmp_path: Path) -> None:
        """Point 2: a reload ends the driver in the middle of an emit; the next one can open the same link."""
        async with self.plugged(tmp_path) as (rig, intake):
            intake.hold()
            task = asyncio.ensure_future(rig.driver().run(intake.emit))
            said = await rig.say(2)
            await rig.pulse.until(lambda: task.done() or bool(intake.tokens(intake.offered)), what="an emit under way")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, BOUND_S)
            assert not rig.acknowledged()
            intake.release()
            await rig.mend()
            async with running(supervise(rig, intake.emit)):
                if rig.resends:
                    await rig.pulse.until(lambda: set(said) <= set(intake.tokens()), what="stored by the next driver")
                else:
                    more = await rig.say(1)
                    await rig.pulse.until(lambda: more[0] in intake.tokens(), what="stored by the next driver")

    async def test_emits_under_way_are_bounded(self, tmp_path: Path) -> None:
        """Point 5: the disk stands still and the device does not; the driver keeps no queue of its own."""
        async with self.plugged(tmp_path) as (rig, intake):
            intake.hold()
            async with running(supervise(rig, intake.emit)):
                said = await rig.say(rig.in_flight_max + 10)
                await rig.pulse.until(lambda: bool(intake.offered), what="an emit under way")
                await rig.pulse.never(lambda: intake.in_flight > rig.in_flight_max, "more emits than the window")
                intake.release()
                await rig.pulse.until(lambda: set(said) <= set(intake.tokens()), what="all stored once released")
            assert intake.in_flight_peak <= rig.in_flight_max
