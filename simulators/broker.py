"""A site broker: a real mosquitto on a free loopback port, which can be killed without warning and started again.

async with Broker(folder, "allow_anonymous true") as broker:
    ... clients connect to broker.port ...
    await broker.kill()      # SIGKILL: its persistence is what it last saved
    await broker.start()     # the same port, the same folder
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_S: Final = 60.0
OPEN_TO_ALL: Final = "allow_anonymous true\npersistence false\n"


class BrokerMissing(Exception):
    """mosquitto is not installed."""


class BrokerFailed(Exception):
    """mosquitto did not start; the message is what it said."""


class Broker:
    """One mosquitto process and its folder."""

    def __init__(self, folder: Path, config: str = OPEN_TO_ALL) -> None:
        """`config`: lines of mosquitto.conf without `user` and `listener`."""
        self.folder = folder
        self.config = config
        self._process: asyncio.subprocess.Process | None = None
        # Bound and never listening: keeps the port ours over restarts, while mosquitto (SO_REUSEADDR) may listen on it.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port: int = self._reservation.getsockname()[1]

    @property
    def log(self) -> str:
        """What mosquitto said so far."""
        file = self.folder / "mosquitto.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    async def start(self) -> None:
        """Return once it accepts connections. Raises BrokerMissing or BrokerFailed."""
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise BrokerMissing("mosquitto is not installed (Debian package: mosquitto)")
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "mosquitto.conf"
        # As root mosquitto would become another user, who may not read a folder of tests.
        file.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{self.config}\n", "utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, "-v", "-c", str(file), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(START_S):
                await self._accepting(self._process)
        except TimeoutError:
            await self.kill()
            raise BrokerFailed(f"mosquitto does not accept connections:\n{self.log}") from None

    async def _accepting(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise BrokerFailed(f"mosquitto ended with {process.returncode}:\n{self.log}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM: it saves its persistence and says good-bye to nobody."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            await process.wait()

    async def close(self) -> None:
        """Stop it for good and give the port back."""
        await self.kill()
        self._reservation.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
