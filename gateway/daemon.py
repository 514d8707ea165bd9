"""The daemon: constructs everything, starts it in order, keeps it well, and ends it in reverse.

Theory of operation. Start: outbox (its lock first), intake, pumps, drivers, API, and then `READY=1`; nothing of it
waits for a network. Stop, on SIGTERM or SIGINT, within `limits.stop_deadline_s`: drivers and API take nothing more,
finish the commits they wait for and answer their devices; pumps settle the request under way; the outbox closes last.
SIGHUP applies a changed file, device by device; the outbox is not touched, and a file that cannot be used changes
nothing.

The vital sign is that the event loop turns and the outbox's writer answers a no-op. It feeds systemd's watchdog; an
idle, full or off-line gateway gives it too. When it is unknown what a commit stored, nothing is acknowledged any more
and the process ends with 74: systemd starts it again, and what is on disk is then the truth.

Exit codes (sysexits.h): 0 stopped, 64 wrong command line, 71 no memory, 73 the outbox is in use or cannot be created,
74 input/output error, 78 wrong configuration.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from buffer import Outbox
from buffer.errors import OutboxError, OutboxFull, OutboxLocked, SchemaNewer
from drivers import StorageUnavailable
from gateway.andon_service import AndonService
from gateway.capture.clock_quality import ClockMonitor
from gateway.capture.intake import Intake
from gateway.capture.knocking import KnockingRegister
from gateway.checks_service import ChecksService, OpenGet
from gateway.deliveries import Deliveries, OpenUpstream
from gateway.events.cloudevents import EventIds
from gateway.front_door import FrontDoor
from gateway.health import DeviceChange
from gateway.log import event, set_level
from gateway.long_start import opened
from gateway.measures_service import MeasuresService
from gateway.notify import Notifier
from gateway.replays import Replays
from gateway.settings import Problem, Settings, SettingsError
from gateway.supervisor import Pauses, Supervisor
from gateway.wiring import (
    LISTENER,
    Readers,
    Wanted,
    World,
    deferred,
    links,
    new_epoch,
    refuse_what_is_fixed,
    site_map,
    storage_limits,
)

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_STARVED = 71
EXIT_CANNOT_CREATE = 73
EXIT_IO = 74
EXIT_CONFIG = 78

LISTEN_WAIT_S = 5.0
"""How long the start waits for the built-in listener to open its door; a busy port is no reason not to start."""
VITAL_S = 2.0
"""How often the vital sign is looked for; a removed outbox file is noticed within this."""
LOOK_S = 24 * 3600.0
"""How often the whole structure of the outbox is looked at."""
FATAL_S = 2.0
"""How long drivers may take to let go when a commit is unknown: nobody is answered any more."""


class Daemon:
    """One gateway."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        *,
        load: Callable[[], Settings],
        open_upstream: OpenUpstream,
        open_get: OpenGet | None = None,
        notifier: Notifier,
        serve_api: bool = True,
        handle_signals: bool = True,
    ) -> None:
        """Touch nothing yet. `load` reads the configuration again, for a reload; raises SettingsError. Without
        `open_get` no expected documents are fetched."""
        self.settings = self.started_with = settings
        self.world = world
        self._load = load
        self._open_upstream = open_upstream
        self._open_get = open_get
        self._notifier = notifier
        self._serve_api = serve_api
        self._handle_signals = handle_signals
        self._wake = asyncio.Event()
        self._stop_wanted = self._reload_wanted = False
        self._fatal: OutboxError | None = None
        self._kept: dict[str, Wanted] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.refused_reload: Problem | None = None
        """The first problem of a file that was refused, until one is accepted."""
        self.started_ms = world.wall()
        self.started = world.monotonic()
        self.readers = Readers(settings)
        self.andon = AndonService(world)
        self.clock_quality = ClockMonitor(world.is_synchronised, world.monotonic)
        self.is_open = False
        """True between the end of the start and the beginning of the stop."""
        self.is_stuck = False
        """True when something did not end when it had to: the process has to be ended without it."""
        self.outbox: Outbox
        self.checks: ChecksService
        self.intake: Intake
        self.supervisor: Supervisor
        self.deliveries: Deliveries
        self.replays: Replays
        self.front_door: FrontDoor | None = None

    # -- life

    async def run(self) -> int:
        """Run until told to stop; return the exit code."""
        code = await self._open_outbox()
        if code != EXIT_OK:
            return code
        try:
            await self._start()
            self._tell_ready()
            await self._live()
        except OutboxError as error:
            self._on_fatal(error)
        return await self._shut_down()

    def request_stop(self) -> None:
        """Have `run` end in order."""
        self._stop_wanted = True
        self._wake.set()

    def request_reload(self) -> None:
        """Have the configuration read again."""
        self._reload_wanted = True
        self._wake.set()

    async def _open_outbox(self) -> int:
        world, settings = self.world, self.settings
        folder = settings.storage.path
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            opening = Outbox.open(
                folder,
                source=f"//{settings.site.id}/{settings.site.gateway}",
                limits=storage_limits(settings),
                executor=world.writer,
                reader=world.reader,
                wall=world.wall,
                monotonic=world.monotonic,
                new_epoch=lambda: new_epoch(world),
                on_fatal=self._on_fatal,
            )
            self.outbox = await opened(opening, self._notifier, world.monotonic)
        except OutboxError as error:
            log.error("%s", event("outbox_refused", path=folder, reason=error, hint=error.hint))
            return EXIT_CANNOT_CREATE if isinstance(error, OutboxLocked | SchemaNewer) else EXIT_IO
        except OSError as error:
            hint = "does the folder belong to the user of the service?"
            log.error("%s", event("outbox_refused", path=folder, reason=error.strerror or error, hint=hint))
            return EXIT_CANNOT_CREATE
        return EXIT_OK

    async def _start(self) -> None:
        world, settings = self.world, self.settings
        ids = EventIds(world.wall, world.rng)
        self.measures = MeasuresService(world, self.outbox)
        self.checks = ChecksService(
            settings, world, self.outbox, ids=ids, clock_quality=self.clock_quality, open_get=self._open_get
        )
        self.intake = Intake(
            site_map(settings),
            self.outbox,
            wall=world.wall,
            monotonic=world.elapsed,
            ids=ids,
            clock_quality=self.clock_quality,
            knocking=KnockingRegister(settings.limits.knocking_max),
            checks=self.checks.checker,
            on_commit=self.measures.measures.accept,
        )
        self.deliveries = Deliveries(
            self.outbox, self._open_upstream, rng=world.rng, monotonic=world.monotonic, sleep=world.sleep
        )
        self.supervisor = Supervisor(
            self.intake.submit,
            self._announce,
            pauses=Pauses(link_max_s=settings.limits.reopen_s_max, fault_max_s=settings.limits.fault_retry_s_max),
            rng=world.rng,
            monotonic=world.monotonic,
            wall=world.wall,
            sleep=world.sleep,
            on_link=self._link_stands,
            on_taken=self.andon.board.note,
        )
        await self.deliveries.apply(settings.upstreams)
        self.replays = Replays(
            self.outbox,
            self.deliveries,
            self._open_upstream,
            rng=world.rng,
            monotonic=world.monotonic,
            sleep=world.sleep,
        )
        self.replays.resume()
        await self.checks.start(self.intake, self.deliveries)
        self.measures.start(self.intake)
        self.andon.start(self)
        await self._apply_links(settings)
        if self._serve_api:
            self.front_door = FrontDoor(self)
            self.front_door.open()
        if self._handle_signals:
            self._take_signals()
        # "Ready" is a promise to whoever starts a handheld next: the door is open, or it is known why it is not.
        await self.supervisor.tried(LISTENER, LISTEN_WAIT_S)
        self._tasks.append(asyncio.create_task(self._watch_vitals(), name="vitals"))
        self._tasks.append(asyncio.create_task(self._look_through(), name="looking through the outbox"))
        self.is_open = True

    async def _live(self) -> None:
        while self._fatal is None and not self._stop_wanted:
            await self._wake.wait()
            self._wake.clear()
            if self._reload_wanted and self._fatal is None and not self._stop_wanted:
                self._reload_wanted = False
                await self._reload()

    async def _shut_down(self) -> int:
        self.is_open = False
        self._notifier.stopping()
        log.info("%s", event("daemon_stopping", reason=self._fatal or "asked to"))
        began, deadline_s = self.world.monotonic(), self.settings.limits.stop_deadline_s

        def left() -> float:
            return max(0.5, deadline_s - (self.world.monotonic() - began))

        code = EXIT_OK if self._fatal is None else EXIT_IO
        # Waited for and not cancelled: a driver that swallows its cancellation would hold up whoever awaits it.
        taking = asyncio.create_task(self._stop_taking(), name="stop taking")
        await asyncio.wait([taking], timeout=left() if self._fatal is None else FATAL_S)
        if not taking.done():
            self.is_stuck = True
            log.error("%s", event("stop_overrun", part="drivers", hint="unanswered devices send again"))
        if hasattr(self, "checks"):
            self.checks.stop()
        await self.andon.stop()
        if hasattr(self, "measures"):
            await self.measures.stop()
        if hasattr(self, "replays"):
            await self.replays.stop_all()
        if hasattr(self, "deliveries"):
            await self.deliveries.stop_all(left() / 2 if self._fatal is None else 0.0)
        for task in self._tasks:
            task.cancel()
        try:
            await self.outbox.close(left())
        except (OutboxError, TimeoutError) as error:
            log.error("%s", event("outbox_not_closed", reason=error or "too slow", hint="the next start recovers it"))
            code = EXIT_IO
        log.info("%s", event("daemon_stopped", exit_code=code))
        return code

    async def _stop_taking(self) -> None:
        """Return when every driver and request has had its answer."""
        parts = [self.supervisor.stop_all()] if hasattr(self, "supervisor") else []
        if self.front_door is not None:
            parts.append(self.front_door.close())
        for outcome in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("%s", event("stop_failed", reason=repr(outcome)))

    # -- vital signs

    def _on_fatal(self, error: OutboxError) -> None:
        """It is unknown what is on disk: acknowledge nothing more, end, be started again."""
        if self._fatal is None:
            log.critical("%s", event("commit_unknown", reason=error, hint=error.hint))
            self._fatal = error
        self._wake.set()

    async def _watch_vitals(self) -> None:
        watchdog_s = self._notifier.watchdog_interval_s
        period_s = VITAL_S if watchdog_s is None else min(VITAL_S, watchdog_s)
        while True:
            try:
                await self.outbox.alive()
            except OutboxFull:
                pass  # the writer answers, it only has no room: a full gateway is alive
            except OutboxError as error:
                self._on_fatal(error)
                return
            self._notifier.watchdog()
            if self.front_door is not None:
                self.front_door.open()
            await self.world.sleep(period_s)

    async def _look_through(self) -> None:
        """Look for damage that a start has no time to find, once a day; the outbox says so itself when it finds any."""
        while True:
            try:
                await self.outbox.look_through()
            except OutboxError as error:
                log.warning("%s", event("outbox_not_looked_through", reason=error, hint=error.hint))
            await self.world.sleep(LOOK_S)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.request_stop)
        loop.add_signal_handler(signal.SIGINT, self.request_stop)
        loop.add_signal_handler(signal.SIGHUP, self.request_reload)

    def _tell_ready(self) -> None:
        settings, site = self.settings, self.settings.site
        text = f"{site.id}/{site.gateway}: {len(self._kept)} links, {len(settings.upstreams)} upstreams"
        log.info("%s", event("daemon_ready", source=self.outbox.source, links=len(self._kept), config=settings.file))
        for notice in settings.notices:
            log.warning("%s", event("configuration_noticed", notice=notice))
        self._notifier.ready(text)

    async def _announce(self, change: DeviceChange) -> None:
        """Return when the change is on disk as an event. Raises StorageUnavailable."""
        if not self.is_open:
            raise StorageUnavailable("the gateway is not open")
        await self.intake.device_event(change.device, change.state, change.reason)

    def _link_stands(self) -> None:
        if self.front_door is not None:
            self.front_door.write_addresses()

    # -- the configuration, applied

    def recall(self, key: str) -> bytes | None:
        """Return the committed value of a state row; a driver asks when it opens its link.

        Raises StorageUnavailable while a newer value is on its way to disk: its predecessor may have been stopped in
        the middle of a commit, and who begins from the value before that counts the same parts again.
        """
        if self.intake.is_writing(key):
            raise StorageUnavailable("the last value of this device is still being written", hint="the disk is slow")
        try:
            return next((row.value for row in self.outbox.states(key) if row.key == key), None)
        except OutboxError as error:
            raise StorageUnavailable(str(error), hint=error.hint) from error

    async def _apply_links(self, settings: Settings) -> None:
        """Return when exactly the wanted drivers run; those whose settings are unchanged are not touched."""
        wanted = {link.device: link for link in links(settings, self.world, self.recall, self.readers)}
        for device, kept in list(self._kept.items()):
            if wanted.get(device) != kept:
                del self._kept[device]
                await self.supervisor.stop(device)
                log.info("%s", event("link_stopped", device_id=device, driver=kept.driver))
        for device, link in wanted.items():
            if device not in self._kept:
                self._kept[device] = link
                self.supervisor.start(link.link)
                log.info("%s", event("link_started", device_id=device, driver=link.driver))

    async def _reload(self) -> None:
        self._notifier.reloading(self.world.monotonic())
        try:
            settings = self._load()
            refuse_what_is_fixed(self.settings, settings)
        except SettingsError as error:
            self.refused_reload = error.problems[0]
            for problem in error.problems:
                log.error("%s", event("configuration_refused", problem=problem))
            self._notifier.ready(f"configuration refused, the old one stays: {error.problems[0]}")
            return
        await self._apply(settings)
        self.refused_reload = None
        self._tell_ready()

    async def _apply(self, settings: Settings) -> None:
        old, self.settings = self.settings, settings
        self.readers = self.readers.following(settings)
        self.intake.adopt(site_map(settings))
        await self.checks.apply(settings)
        await self._apply_links(settings)
        await self.deliveries.apply(settings.upstreams)
        self.deliveries.nudge()
        set_level(settings.log.level)
        if self.front_door is not None and settings.api != old.api:
            await self.front_door.reopen()
        for key in deferred(self.started_with, settings):
            log.warning("%s", event("setting_deferred", key=key, hint="takes effect at the next start"))
        log.info("%s", event("configuration_applied", config=settings.file))
