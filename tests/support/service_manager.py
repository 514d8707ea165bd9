"""systemd's part for one gateway: start, READY=1, the watchdog, and a start again after every end but 64 and 78.

What the unit file promises about this is checked in test_systemd.py; here it is played, so that a test can see the
whole of what follows a fault: the process ends, another comes, and devices go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

GIVES_UP = (64, 78)
"""RestartPreventExitStatus= of the unit."""
LIVES_MAX = 2000
BOUND_S = 120.0
PROGRAM = (sys.executable, "-m", "gateway")


@dataclass(slots=True)
class Life:
    """One process."""

    number: int
    process: asyncio.subprocess.Process
    started_s: float
    is_ready: bool = False
    ready_s: float | None = None
    fed_s: float | None = None
    """Loop time of the last word to the watchdog."""
    ended_s: float | None = None
    is_starved: bool = False
    """The watchdog heard nothing in time and killed it."""
    heard: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode


class ServiceManager:
    """Keeps one gateway running. `async with` it; then `await manager.ready(1)`."""

    def __init__(
        self,
        config: Path,
        folder: Path,
        *,
        program: Sequence[str] = PROGRAM,
        environ: Mapping[str, str] | None = None,
        watchdog_s: float | None = None,
    ) -> None:
        self.config = config
        self.log_file = folder / "gateway.log"
        self.program = tuple(program)
        self.environ = dict(environ or {})
        self.watchdog_s = watchdog_s
        self.prefixes: deque[tuple[str, ...]] = deque()
        """What stands before the command line of the next starts, one each; then nothing does."""
        self.lives: list[Life] = []
        self._folder = folder
        self._socket: socket.socket | None = None
        self._running: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._may_start = asyncio.Event()
        self._may_start.set()
        self._is_over = False

    @property
    def life(self) -> Life:
        """The newest process."""
        return self.lives[-1]

    @property
    def pid(self) -> int:
        """The newest process' id."""
        return self.life.process.pid

    def log(self) -> str:
        """Everything the gateway wrote so far, over all its lives."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    async def ready(self, number: int) -> Life:
        """Return the first life from `number` on that said READY=1; lives are counted from 1."""
        await self.until(lambda: any(life.is_ready for life in self.lives[number - 1 :]), f"life {number} is ready")
        return next(life for life in self.lives[number - 1 :] if life.is_ready)

    async def ended(self, life: Life) -> int:
        """Return its exit code when it has ended; negative for a signal."""
        await self.until(lambda: life.ended_s is not None, f"life {life.number} ends")
        assert life.exit_code is not None
        return life.exit_code

    async def until(self, is_so: object, what: str) -> None:
        """Return when `is_so()` holds; looked at whenever the gateway says or becomes something."""
        assert callable(is_so)
        try:
            async with asyncio.timeout(BOUND_S):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"never: {what}; the gateway wrote:\n{self.log()[-3000:]}") from None

    def hold(self) -> None:
        """Start nothing until `release`, as a person would who mends something."""
        self._may_start.clear()

    def release(self) -> None:
        self._may_start.set()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the newest process; another will come."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, how)

    async def start_anew(self) -> None:
        """`systemctl start` after it gave up; returns when the gateway is ready."""
        assert self._running is not None
        await self._running
        self._running = asyncio.create_task(self._run(), name="service manager")
        await self.ready(len(self.lives) + 1)

    async def stop(self) -> int:
        """`systemctl stop`: return the exit code of the last life."""
        self._is_over = True
        self.release()
        if self.life.ended_s is None:
            with contextlib.suppress(ProcessLookupError):
                self.life.process.terminate()
        assert self._running is not None
        async with asyncio.timeout(BOUND_S):
            await self._running
        assert self.life.exit_code is not None
        return self.life.exit_code

    async def __aenter__(self) -> Self:
        path = self._folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.environ["NOTIFY_SOCKET"] = str(path)
        if self.watchdog_s is not None:
            self.environ["WATCHDOG_USEC"] = str(int(self.watchdog_s * 1_000_000))
        self._running = asyncio.create_task(self._run(), name="service manager")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        assert self._running is not None and self._socket is not None
        self._running.cancel()
        await asyncio.wait({self._running})
        if self.lives and self.life.exit_code is None:
            self.kill()
            await self.life.process.wait()
        self._socket.close()

    async def _run(self) -> None:
        while not self._is_over and len(self.lives) < LIVES_MAX:
            await self._may_start.wait()
            if self._is_over:
                return
            life = await self._start()
            listening = asyncio.create_task(self._listen(life))
            await life.process.wait()
            listening.cancel()
            life.ended_s = asyncio.get_running_loop().time()
            self._changed.set()
            if life.exit_code in GIVES_UP:
                return

    def _forget_last_words(self) -> None:
        """A life that is killed while it says goodbye leaves words behind that its successor has not said."""
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)

    async def _start(self) -> Life:
        self._forget_last_words()
        prefix = self.prefixes.popleft() if self.prefixes else ()
        with self.log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(*prefix, *self.program, "run", "--config", str(self.config)),
                stdout=log,
                stderr=log,
                env=os.environ | self.environ,
            )
        life = Life(len(self.lives) + 1, process, asyncio.get_running_loop().time())
        self.lives.append(life)
        self._changed.set()
        return life

    async def _listen(self, life: Life) -> None:
        """Hear what it says, and kill it when the watchdog is not fed."""
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        while True:
            patience_s = self.watchdog_s if life.is_ready else None
            try:
                async with asyncio.timeout(patience_s):
                    message = (await loop.sock_recv(self._socket, 4096)).decode()
                    while life.is_ready and "WATCHDOG=1" not in message and "STOPPING=1" not in message:
                        life.heard.append(message)
                        message = (await loop.sock_recv(self._socket, 4096)).decode()
            except TimeoutError:
                life.is_starved = True
                life.process.send_signal(signal.SIGABRT)
                return
            life.heard.append(message)
            now = loop.time()
            if "READY=1" in message:
                life.is_ready, life.ready_s = True, now
            life.fed_s = now
            self._changed.set()
            if "STOPPING=1" in message:
                return
