"""Keeps every driver running: one task a link, no terminal state, one bad device touches no other.

Theory of operation. A driver ends by raising; who is at fault decides what follows. `LinkLost`: open again soon, with
full-jitter back-off, so that thirty devices behind one switch do not come back in one instant. `DeviceFault`: tell a
person and try again slowly. `StorageUnavailable`: the device is well, wait for the disk. Anything else is a bug in the
driver: it is logged whole and treated like a fault, because a gateway that stops reading dock 4 over a bug in dock 3's
driver would have two silent docks.

Beside each link runs a watcher that turns its ups and downs into device events (`health.Availability`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from drivers import DeviceFault, Driver, Emit, Hears, LinkLost, Reading, StorageUnavailable, Verdict
from gateway.health import (
    Announce,
    Availability,
    DeviceChange,
    Hysteresis,
    Latency,
    LinkHealth,
    LinkState,
    Sightings,
)
from gateway.id_order import id_order
from gateway.log import event

log = logging.getLogger(__name__)

STABLE_S = 30.0
"""A run that lasted this long was a success: the next loss starts again with the shortest pause."""
SIGNS = ("connected", "subscribed", "listening")
"""Events by which a driver may say that its link stands; without one it is believed to until it ends."""
STOP_S = 15.0
"""How long one driver may take to end before a reload goes on without it."""
REOPEN_S_MIN = 0.1
ANNOUNCE_RETRY_S = 5.0

Sleep = Callable[[float], Awaitable[None]]
OnTaken = Callable[[Sequence[Reading], Sequence[Verdict] | None], None]
"""Readings and one verdict each; None when they could not be stored, or when that is unknown."""


@dataclass(frozen=True, slots=True)
class Link:
    """One driver to keep running."""

    device: str
    driver: str
    build: Callable[[], Driver]
    """Make the driver anew; touches no device."""
    hysteresis: Hysteresis


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a driver is started again, in seconds."""

    link_base_s: float = 0.25
    link_max_s: float = 3.0
    fault_base_s: float = 5.0
    fault_max_s: float = 300.0
    storage_s: float = 2.0


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a driver ended and what follows."""

    state: LinkState
    error: str
    hint: str | None
    base_s: float
    max_s: float


class Supervisor:
    """Runs drivers until it is told to stop."""

    def __init__(
        self,
        emit: Emit,
        announce: Announce,
        *,
        pauses: Pauses,
        rng: random.Random,
        monotonic: Callable[[], float],
        wall: Callable[[], int],
        sleep: Sleep = asyncio.sleep,
        on_link: Callable[[], None] = lambda: None,
        on_taken: OnTaken = lambda _readings, _verdicts: None,
    ) -> None:
        """`on_link` is called whenever a driver says that its link stands, `on_taken` with what devices were answered;
        neither may raise."""
        self._emit = emit
        self._announce = announce
        self._pauses = pauses
        self._rng = rng
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._on_link = on_link
        self._on_taken = on_taken
        self.sightings = Sightings()
        self.latency = Latency()
        self._keepers: dict[str, _Keeper] = {}

    def start(self, link: Link) -> None:
        """Begin to keep a link; its device need not be there."""
        assert link.device not in self._keepers, f"{link.device} is already kept"
        keeper = _Keeper(link, self)
        self._keepers[link.device] = keeper
        keeper.start()

    async def stop(self, device: str) -> None:
        """Return once the driver of a link has ended; its device is left alone."""
        keeper = self._keepers.pop(device, None)
        if keeper is not None:
            await keeper.stop()

    async def stop_all(self) -> None:
        """Return once every driver has ended."""
        keepers = list(self._keepers.values())
        self._keepers.clear()
        await asyncio.gather(*(keeper.stop() for keeper in keepers))

    async def tried(self, device: str, within_s: float) -> None:
        """Return once a link stands or could not be opened at first, or when that takes longer than `within_s`."""
        keeper = self._keepers.get(device)
        if keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await keeper.tried.wait()

    def health(self) -> list[LinkHealth]:
        """Return what is known of each link, in order of device."""
        for keeper in self._keepers.values():
            keeper.note_bytes()
        return [self._keepers[device].health for device in sorted(self._keepers, key=id_order)]

    def taken(self, readings: Sequence[Reading], verdicts: Sequence[Verdict], began: float) -> None:
        """Note readings that were answered; `began` is when they were handed on (monotonic, seconds)."""
        now = self._monotonic()
        self.latency.observe(now - began)
        self.sightings.note(readings, now)
        self._on_taken(readings, verdicts)

    def not_taken(self, readings: Sequence[Reading]) -> None:
        """Note readings that nobody was answered for: they could not be stored."""
        self._on_taken(readings, None)

    def driver(self, device: str) -> Driver | None:
        """Return the driver that runs for a link now, or None while there is none."""
        keeper = self._keepers.get(device)
        return keeper.driver if keeper else None


class _Keeper:
    """One link: its running driver, its health, and the watcher that reports it."""

    def __init__(self, link: Link, home: Supervisor) -> None:
        self._link = link
        self._home = home
        self._availability = Availability(link.hysteresis)
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self.health = LinkHealth(link.device, link.driver, since_ms=home._wall())
        self.driver: Driver | None = None
        self.tried = asyncio.Event()
        """Set when the link stood, or could not be opened, for the first time."""

    def start(self) -> None:
        name = self._link.device
        self._tasks = [
            asyncio.create_task(self._keep(), name=f"driver {name}"),
            asyncio.create_task(self._watch(), name=f"watch {name}"),
        ]

    async def stop(self) -> None:
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        ended, left = await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # looked at, else the loop complains
        if left:
            log.error("%s", event("driver_not_stopped", device_id=self._link.device, driver=self._link.driver))
        self._enter("stopped")

    async def _keep(self) -> None:
        attempt = 0
        while True:
            began = self._home._monotonic()
            ending = await self._run_once()
            if self._is_stopping:
                return  # it answered its cancellation with an error of its own
            now = self._home._monotonic()
            attempt = 0 if now - began >= STABLE_S else attempt + 1
            pause = self._pause(ending, attempt)
            self._ended(ending, now, pause)
            await self._home._sleep(pause)

    async def _run_once(self) -> _Ending:
        pauses = self._home._pauses
        try:
            self.driver = self._link.build()
            await self._drive(self.driver)
            error = "the driver returned, which it must not"
            return _Ending("faulty", error, "report this", pauses.fault_base_s, pauses.fault_max_s)
        except LinkLost as lost:
            longest_s = 0.0 if lost.reopens_at_once else pauses.link_max_s
            return _Ending("down", str(lost), lost.hint, pauses.link_base_s, longest_s)
        except DeviceFault as fault:
            return _Ending("faulty", str(fault), fault.hint, pauses.fault_base_s, pauses.fault_max_s)
        except StorageUnavailable as unavailable:
            hint = unavailable.hint or "see storage in `dockline status`"
            return _Ending("no-storage", str(unavailable), hint, pauses.storage_s, pauses.storage_s)
        except Exception as bug:  # a bug in one driver must not end the others
            log.exception(event("driver_failed", device_id=self._link.device, driver=self._link.driver))
            error = f"{type(bug).__name__}: {bug}"
            return _Ending("faulty", error, "a fault of the program; the log has it whole", pauses.fault_base_s,
                           pauses.fault_max_s)  # fmt: skip
        finally:
            self.note_bytes()
            self.driver = None

    def note_bytes(self) -> None:
        """Note when the running driver last heard anything; what an earlier run heard stays known."""
        if isinstance(self.driver, Hears) and (heard := self.driver.last_byte()) is not None:
            self.health.last_byte = heard

    async def _drive(self, driver: Driver) -> None:
        """Run the driver, and note when it says that its link stands. Raises what the driver raises."""
        sign = next((getattr(driver, name) for name in SIGNS if hasattr(driver, name)), None)
        if not isinstance(sign, asyncio.Event):
            self._opened(tells=False)
            await driver.run(self._take)
            return
        self._opened(tells=True)
        greeter = asyncio.create_task(self._greet(sign), name=f"greet {self._link.device}")
        try:
            await driver.run(self._take)
        finally:
            greeter.cancel()

    async def _greet(self, sign: asyncio.Event) -> None:
        await sign.wait()
        self._availability.connected(self._home._monotonic())
        self._home._on_link()
        self._well()
        self._moved.set()

    def _well(self) -> None:
        self.tried.set()
        self._enter("up")
        self.health.last_error = self.health.hint = None

    def _take(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        """The driver's `emit`. No coroutine: a task for every scan is not free."""
        now = self._home._monotonic()
        health = self.health
        health.readings += len(readings)
        health.last_reading = now
        if health.state != "up":
            self._well()
            self._moved.set()
        self._availability.heard(now)
        answer: asyncio.Future[list[Verdict]]
        try:
            answer = asyncio.ensure_future(self._home._emit(readings))
        except Exception as bug:  # noqa: BLE001 - the driver hears of it where it waits, as of every other error
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(bug)
        answer.add_done_callback(partial(self._taken, readings, now))
        return answer

    def _taken(self, readings: Sequence[Reading], began: float, answer: asyncio.Future[list[Verdict]]) -> None:
        if answer.cancelled():
            return
        if answer.exception() is None:
            self._home.taken(readings, answer.result(), began)
        else:
            self._home.not_taken(readings)

    def _pause(self, ending: _Ending, attempt: int) -> float:
        """Full jitter: anywhere between nothing and the step, so that many links do not return as one."""
        step = min(ending.max_s, ending.base_s * 2.0 ** min(attempt, 30))
        return max(REOPEN_S_MIN, self._home._rng.uniform(0, step))

    def _opened(self, *, tells: bool) -> None:
        self.health.next_attempt = None
        self._availability.opened(self._home._monotonic(), tells=tells)
        self._moved.set()

    def _ended(self, ending: _Ending, now: float, pause: float) -> None:
        self.tried.set()
        health = self.health
        health.restarts += 1
        health.next_attempt = now + pause
        if (ending.state, ending.error) != (health.state, health.last_error):
            line = event("link_lost" if ending.state == "down" else f"device_{ending.state.replace('-', '_')}",
                         device_id=health.device, reason=ending.error, hint=ending.hint)  # fmt: skip
            log.warning("%s", line)
        health.last_error, health.hint = ending.error, ending.hint
        self._enter(ending.state)
        if ending.state != "no-storage":
            self._availability.failed(now)
        self._moved.set()

    def _enter(self, state: LinkState) -> None:
        if self.health.state != state:
            self.health.state = state
            self.health.since_ms = self._home._wall()

    # -- device events

    async def _watch(self) -> None:
        while True:
            self._moved.clear()
            now = self._home._monotonic()
            if self._availability.is_up(now) and self.health.state in {"opening", "down", "faulty"}:
                self._well()
            state, again = self._availability.settle(now)
            if state is not None and not await self._report(DeviceChange(
                self._link.device, state, self._availability.reported, self.health.last_error
            )):  # fmt: skip
                again = ANNOUNCE_RETRY_S if again is None else min(again, ANNOUNCE_RETRY_S)
            await self._moved_within(again)

    async def _report(self, change: DeviceChange) -> bool:
        """Return True when the change is on disk, or is not news for anybody."""
        try:
            await self._home._announce(change)
        except StorageUnavailable:
            return False
        self._availability.reported = change.state
        log.info("%s", event("device_reported", device_id=change.device, state=change.state, reason=change.reason))
        if change.state in {"up", "silent", "degraded"} and self.health.state in {
            "opening",
            "up",
            "silent",
            "degraded",
        }:
            self._enter(change.state)
        return True

    async def _moved_within(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds if seconds is None else max(seconds, 0.01)):
                await self._moved.wait()
        except TimeoutError:
            return
