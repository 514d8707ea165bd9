"""The world of one voyage: its clocks, its chance, its disk, and the lives of the gateway in it.

A *life* is the real `gateway.daemon.Daemon` with everything it builds, over a virtual network and an executor that runs
its work in the loop. A kill is what SIGKILL is: from one moment on nothing the process does has any effect. The files
stay as they are, which is what the kernel would keep: they are put aside in the very moment of the kill, and the next
life opens that image. (What a *power cut* may leave is another tool's business.)
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from outbox_rig import FailingConnection, sqlite_error
from voyage_loop import LIFE, VirtualLoop
from voyage_net import VirtualNet

from buffer.opening import Opened
from gateway.daemon import Daemon
from gateway.notify import Notifier
from gateway.settings import Settings
from gateway.wiring import World

BASE_MS = 1_795_248_000_000
"""2026-11-21: where the wall clock of every voyage begins."""
PAGES_UNLIMITED = 1_073_741_823

DATABASE = ("outbox.db", "outbox.db-wal")


class Trace:
    """Everything that happened, as a hash; and as lines, when somebody wants to read them."""

    def __init__(self, *, keep: bool) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None
        self.count = 0

    def note(self, at: float, *what: object) -> None:
        line = f"{at:.6f} {' '.join(map(str, what))}"
        self._hash.update(line.encode() + b"\n")
        self.count += 1
        if self.lines is not None:
            self.lines.append(line)

    def hex(self) -> str:
        return self._hash.hexdigest()


class Life:
    """One process of the gateway."""

    def __init__(self, number: int, voyage: VoyageWorld) -> None:
        self.number = number
        self.voyage = voyage
        self.is_dead = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.opened: Opened | None = None
        self.daemon: Daemon | None = None
        self.exit_code: int | None = None
        self.task: asyncio.Task[None] | None = None
        self.boot_s = voyage.boot_s

    def start(self) -> None:
        context = contextvars.copy_context()
        context.run(LIFE.set, self)
        self.task = self.voyage.loop.create_task(self._run(), context=context, name=f"life {self.number}")

    async def _run(self) -> None:
        voyage = self.voyage
        rng = Random(f"{voyage.seed} life {self.number}")
        disk = VirtualDisk(self)
        world = World(
            wall=voyage.wall,
            monotonic=lambda: voyage.loop._now - self.boot_s,
            rng=rng,
            writer=disk,
            reader=VirtualDisk(self, is_reader=True),
            is_synchronised=lambda: voyage.is_synchronised,
            machine="voyage",
        )
        self.daemon = Daemon(
            voyage.settings(),
            world,
            load=voyage.load,
            open_upstream=lambda settings: voyage.open_upstream(settings, self),
            notifier=Notifier({}, pid=1),
            serve_api=False,
            handle_signals=False,
        )
        self.exit_code = await self.daemon.run()
        if not self.is_dead:
            voyage.ended(self)


class VirtualDisk(Executor):
    """Runs the outbox's work in the loop, as late as the disk of this voyage is slow; never for the dead."""

    def __init__(self, life: Life, *, is_reader: bool = False) -> None:
        self._life = life
        self._is_reader = is_reader

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self._life.is_dead:
            return future
        voyage = self._life.voyage
        low, high = voyage.disk_latency_s
        if self._is_reader or high <= 0:
            self._run(future, fn, args, kwargs)
        else:
            voyage.loop.call_later(voyage.disk_rng.uniform(low, high), self._run, future, fn, args, kwargs)
        return future

    def _run(self, future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
        life = self._life
        if life.is_dead:
            return
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
            return
        if isinstance(result, Opened):
            life.opened = result
            life.voyage.limit_pages(life)
        if not self._is_reader:
            life.voyage.moment("committed", life)
        if not life.is_dead:
            future.set_result(result)


class VoyageWorld:
    """Everything outside the gateway that is not a device or the centre."""

    def __init__(
        self, seed: int, loop: VirtualLoop, folder: Path, settings: Settings, *, keep_trace: bool = False
    ) -> None:
        self.seed = seed
        self.loop = loop
        self.folder = folder
        self.trace = Trace(keep=keep_trace)
        self.net = VirtualNet(loop, self.rng("net"))
        self.disk_rng = self.rng("disk")
        self.disk_latency_s = (0.0, 0.0)
        self.wall_offset_ms = 0
        self.is_synchronised = True
        self.boot_s = loop.time() - 50.0
        self.life: Life | None = None
        self.lives = 0
        self.kills = 0
        self.exits: list[int | None] = []
        self.graves: list[Life] = []
        self.pages_left: int | None = None
        """The disk takes so many more pages and then no more; None: as many as it likes."""
        self.open_upstream: Callable[[Any, Life], Any]
        self.load: Callable[[], Settings] = self.settings
        self.is_refusing = False
        """The disk takes no commit at all: there is not even room for the log."""
        self.is_closing = False
        self._settings = settings
        self._restart_rng = self.rng("restart")
        self._armed: tuple[str, int] | None = None

    def rng(self, name: str) -> Random:
        """A stream of chance of its own: one part drawing more often changes nothing for another."""
        return Random(f"{self.seed} {name}")

    def wall(self) -> int:
        return BASE_MS + self.wall_offset_ms + int((self.loop.time() - 1_000.0) * 1000)

    def settings(self) -> Settings:
        storage = self._settings.storage.model_copy(update={"path": self.folder / "state"})
        return replace(self._settings, storage=storage)

    def note(self, *what: object) -> None:
        self.trace.note(self.loop.time(), *what)

    # -- life and death

    def start_life(self) -> None:
        self.lives += 1
        self.note("life", self.lives)
        self.life = Life(self.lives, self)
        self.life.start()

    def arm_kill(self, moment: str, count: int) -> None:
        """Kill at the `count`th of these moments from now on: "turn", "committed", "applied", "answered"."""
        self._armed = (moment, count)
        self.loop.on_turn = self._turn if moment == "turn" else None

    def _turn(self) -> None:
        if self.life is not None:
            self.moment("turn", self.life)

    def moment(self, name: str, life: Life) -> None:
        """Something happened at which a kill may strike."""
        if self._armed is None or self._armed[0] != name or life.is_dead or life is not self.life:
            return
        left = self._armed[1] - 1
        self._armed = (name, left)
        if left <= 0:
            self._armed = None
            self.kill(name)

    def kill(self, why: str, then: Callable[[Path], None] | None = None) -> None:
        """SIGKILL now; restart a little later. `then` is done to the state folder in between."""
        life = self.life
        if life is None or life.is_dead:
            return
        self.note("kill", why)
        self.kills += 1
        self._put_aside(life, holds_lock=True)
        if then is not None:
            then(self.folder / "state")
        self._restart()

    def take_image(self) -> None:
        """Keep a copy of the disk as it is now, as somebody who clones it does."""
        image = self.folder / "image"
        shutil.rmtree(image, ignore_errors=True)
        image.mkdir()
        copy_files(self.folder / "state", image)

    def ended(self, life: Life) -> None:
        """The process ended by itself."""
        self.exits.append(life.exit_code)
        self.note("exit", life.exit_code)
        if not self.is_closing:
            self._put_aside(life, holds_lock=False)
            self._restart()

    def _put_aside(self, life: Life, *, holds_lock: bool) -> None:
        life.is_dead = True
        self.life = None
        self.graves.append(life)
        self.net.kill(life)
        _freeze(self.folder, life.opened, holds_lock=holds_lock)
        for task in life.tasks:
            if not task.done():
                task.cancel()

    def _restart(self) -> None:
        rng = self._restart_rng
        if rng.random() < 0.3:
            self.boot_s = self.loop.time() + 0.01  # the whole machine went down: its monotonic clock begins anew
        self.loop.call_later(rng.choice((0.05, 0.3, 2.0, 6.0)) * rng.uniform(0.5, 1.5), self.start_life)

    # -- the disk

    def fill_disk(self, pages_left: int | None) -> None:
        """The file may grow by so many pages; None: the disk has room again."""
        self.pages_left = pages_left
        if self.life is not None:
            self.limit_pages(self.life)

    def refuse_commits(self, is_refusing: bool) -> None:
        """Have the disk refuse every commit, or take them again."""
        self.is_refusing = is_refusing
        if self.life is not None:
            self.limit_pages(self.life)

    def limit_pages(self, life: Life) -> None:
        """Put what is wrong with the disk under the outbox of a life."""
        if life.opened is None or life.is_dead:
            return
        connection = life.opened.writer.connection
        if self.is_refusing and not isinstance(connection, FailingConnection):
            failing = FailingConnection(connection)
            failing.fail_on = self._refusal
            life.opened.writer.connection = failing  # type: ignore[assignment]
        elif not self.is_refusing and isinstance(connection, FailingConnection):
            life.opened.writer.connection = connection._real
        execute = life.opened.writer.connection.execute
        if self.pages_left is None:
            execute(f"PRAGMA max_page_count = {PAGES_UNLIMITED}").fetchone()
        else:
            (count,) = execute("PRAGMA page_count").fetchone()
            execute(f"PRAGMA max_page_count = {count + self.pages_left}").fetchone()

    def _refusal(self, statement: str) -> sqlite3.Error | None:
        if self.is_refusing and statement.startswith("COMMIT"):
            return sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
        return None


def copy_files(source: Path, target: Path) -> None:
    """Copy the outbox of a folder as the kernel has it, over what is there."""
    for name in DATABASE:
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _freeze(folder: Path, opened: Opened | None, *, holds_lock: bool) -> None:
    """Keep the files as they are now, and let the dead process's handles go without touching them."""
    state, dead = folder / "state", folder / "dead"
    if not state.exists():
        return
    state.rename(dead)
    state.mkdir(mode=0o700)
    copy_files(dead, state)
    if opened is not None:
        for connection in (opened.quick, opened.reader._connection, opened.writer.connection):
            try:
                connection.close()
            except sqlite3.Error:
                continue
        if holds_lock:
            opened.lock.release()
    shutil.rmtree(dead)
