"""`dockline run`: the daemon in the foreground, as systemd starts it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.cli.problems import load_or_fail
from gateway.early_reload import EARLY_RELOAD

if TYPE_CHECKING:
    from gateway.checks.pull import Get
    from gateway.log import LogWriter
    from gateway.settings import Settings
    from gateway.settings.checks import ExpectationsSettings
    from gateway.status import AlarmStatus
    from gateway.wiring import World
    from sync import Upstream, UpstreamSettings

PULL_S_MAX = 3600.0
"""For one answer with expected documents, as long as it keeps coming: 64 MB over 150 kbit/s."""


def run(*, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the gateway until SIGTERM or SIGINT. SIGHUP applies a changed configuration.

    Exit codes: 0 stopped, 71 no memory, 73 outbox in use or not to be created, 74 input/output error, 78 configuration.
    """
    import asyncio
    import faulthandler

    from gateway.clock import monotonic_s
    from gateway.daemon import EXIT_IO
    from gateway.log import start_log
    from gateway.names import NameLoop

    EARLY_RELOAD.listen()
    settings = load_or_fail(config, must_run=True)
    os.umask(0o077)
    faulthandler.enable()
    _tune_interpreter()
    log = start_log(
        sys.stderr,
        level=settings.log.level,
        shape=settings.log.format,
        per_minute_max=settings.log.events_per_minute_max,
        environ=os.environ,
        monotonic=monotonic_s,
    )
    try:
        with asyncio.Runner(loop_factory=NameLoop) as runner:
            code = runner.run(_live(settings, config, log))
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes too late changes no exit code
        log.close()
    if code == EXIT_IO or log.is_stuck:
        # A thread may hang in a write to a dying disk or a dead journal: waiting for it would keep systemd from
        # starting us again.
        os._exit(code)
    raise typer.Exit(code)


def _tune_interpreter() -> None:
    """Set what suits two busy threads and many short-lived values.

    The writer thread asks for the interpreter lock a few times a commit; the default of 5 ms would make each of them a
    pause as long as the commit.
    """
    from gateway.rings import expect_few_rings

    sys.setswitchinterval(0.001)
    expect_few_rings()


async def _live(settings: Settings, config: Path, log: LogWriter) -> int:
    import asyncio

    from gateway.clock import monotonic_s
    from gateway.daemon import EXIT_STARVED, Daemon
    from gateway.notify import Notifier
    from gateway.rings import RingWatch
    from gateway.settings import load_settings
    from gateway.shortages import Shortages

    def starve() -> None:
        # Not in order, which takes memory as well: what was answered is on disk.
        log.close()
        os._exit(EXIT_STARVED)

    shortages = Shortages(monotonic_s, lambda: log.dropped, on_starved=starve)
    asyncio.get_running_loop().set_exception_handler(shortages.on_loop_error)

    def load() -> Settings:
        return load_settings(config, must_run=True)

    world = real_world(shortages.alarms)
    daemon = Daemon(
        settings,
        world,
        load=load,
        open_upstream=upstream_opener(world, settings.storage.path),
        open_get=getter_opener(),
        notifier=Notifier(os.environ, pid=os.getpid()),
    )
    EARLY_RELOAD.pass_on(daemon.request_reload)
    RingWatch(asyncio.get_running_loop()).begin()
    code = await daemon.run()
    if daemon.is_stuck:
        # What does not end by itself would be waited for as long as systemd lets us. The outbox is closed.
        log.close()
        os._exit(code)
    return code


def real_world(troubles: Callable[[], list[AlarmStatus]] = list) -> World:
    """Return the clocks, the chance and the threads of this computer; `troubles` are those of this process."""
    from concurrent.futures import ThreadPoolExecutor
    from random import SystemRandom

    from buffer.lock import boot_id
    from gateway.clock import boottime_s, is_synchronised, monotonic_s, wall_ms
    from gateway.wiring import World

    return World(
        wall=wall_ms,
        monotonic=monotonic_s,
        rng=SystemRandom(),
        writer=ThreadPoolExecutor(1, "outbox-writer"),
        reader=ThreadPoolExecutor(2, "outbox-reader"),
        is_synchronised=is_synchronised,
        machine=_machine_id(),
        troubles=troubles,
        boottime=boottime_s,
        boot=boot_id(),
    )


def upstream_opener(world: World, storage: Path) -> Callable[[UpstreamSettings], Upstream]:
    """Return what makes an upstream of its settings; it connects to nothing yet."""
    from gateway.credentials import credentials_folder
    from sync import EpcisCaptureSettings

    folder = credentials_folder(os.environ)

    def open_upstream(settings: UpstreamSettings) -> Upstream:
        if isinstance(settings, EpcisCaptureSettings):
            from gateway.wiring import epcis_capture

            return epcis_capture(settings, world, storage, credentials=folder)
        from sync.http_events import HttpEvents

        return HttpEvents(settings, wall=world.wall, credentials=folder)

    return open_upstream


def getter_opener() -> Callable[[ExpectationsSettings], Get]:
    """Return what makes the asker of expected documents of its settings; it connects to nothing yet."""
    from functools import partial

    from gateway.clock import wall_ms
    from gateway.credentials import credentials_folder

    folder = credentials_folder(os.environ)

    def open_get(settings: ExpectationsSettings) -> Get:
        from sync import HttpEventsSettings
        from sync.http_events import HttpEvents

        assert settings.url is not None, "without an address nobody asks"
        asked = HttpEventsSettings(
            name="expectations",
            url=settings.url,
            token_file=settings.token_file,
            token_credential=settings.token_credential,
            ca_file=settings.ca_file,
            timeout_s=settings.timeout_s,
        )
        get = HttpEvents(asked, wall=wall_ms, credentials=folder).get
        return partial(get, bytes_max=settings.bytes_max, whole_s=PULL_S_MAX)

    return open_get


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
