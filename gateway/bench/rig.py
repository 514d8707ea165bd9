"""The bench: a real gateway, a counting centre and a load generator, each a process of its own.

All three share the machine's cores, as they would share a warehouse PC with something else; the processor time is
read from the gateway's process alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.cli.child import GatewayProcess, free_port

DRAIN_TIMEOUT_S = 600.0
GATEWAY = (sys.executable, "-m", "gateway")
BARE = (sys.executable, "-m", "gateway.bench.bare_gateway")
"""The yardstick."""

CONFIG = """\
[site]
id = "bench"
gateway = "bench-pc"

[storage]
path = "{folder}"
reserve_bytes = 0
bytes_max = 8589934592

[log]
level = "warning"

[[upstream]]
name = "centre"
kind = "http-events"
url = "http://127.0.0.1:{centre_port}/v1/events"
backoff_max_s = 0.5

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"

[mqtt.listener]
bind = "127.0.0.1:{port}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:0"
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator heard; see simulators/load.py."""

    acknowledged: int
    refused: int
    seconds: float
    started_at: float
    ack_p50_ms: float
    ack_p99_ms: float
    generator_cpu_s: float


@dataclass(slots=True)
class Rig:
    """One gateway with its centre, in one folder."""

    folder: Path
    program: tuple[str, ...]
    port: int = field(default_factory=free_port)
    centre_port: int = field(default_factory=free_port)
    gateway: GatewayProcess = field(init=False)
    total: int = 0
    """Scans that were published, where the measurement counts them."""
    _centre: asyncio.subprocess.Process | None = field(default=None, init=False)
    _runs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        config = self.folder / "gateway.toml"
        config.write_text(CONFIG.format(folder=self.folder / "state", port=self.port, centre_port=self.centre_port))
        self.gateway = GatewayProcess(config, self.folder / "gateway.log", self.program)

    async def start_centre(self) -> None:
        """Return when the counting centre listens. It counts what comes and names it all as accepted."""
        self._centre = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulators.centre_main", "--fast", "--port", str(self.centre_port)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._centre.stdout is not None
        await self._centre.stdout.readline()

    async def stop_centre(self) -> None:
        """End the centre; what it counted is forgotten."""
        if self._centre is not None and self._centre.returncode is None:
            self._centre.terminate()
            await self._centre.wait()
        self._centre = None

    async def load(
        self, count: int, *, rate: float | None = None, devices: int = 40, labels: Literal["own", "gs1"] = "own"
    ) -> Load:
        """Publish `count` scans, labels and ids never used before, and return when all are acknowledged."""
        self._runs += 1
        arguments = {"port": self.port, "site": "bench", "count": count, "devices": devices, "prefix": f"r{self._runs}",
                     "labels": labels}  # fmt: skip
        if rate is not None:
            arguments["rate"] = rate
        command = [sys.executable, "-m", "simulators.load"]
        for name, value in arguments.items():
            command += [f"--{name}", str(value)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        result = Load(**json.loads(out))
        if result.acknowledged != count:
            raise RuntimeError(f"{count - result.acknowledged} of {count} scans were not acknowledged")
        return result

    async def delivered(self, count: int) -> int:
        """Return, when the centre has `count` events, how many it has."""
        return await asyncio.to_thread(self._wait_for, count)

    def _wait_for(self, count: int) -> int:
        url = f"http://127.0.0.1:{self.centre_port}/v1/position?wait_for={count}"
        with urllib.request.urlopen(url, timeout=DRAIN_TIMEOUT_S) as answer:
            through: int = json.load(answer)["accepted_through"]
            return through

    def stored_payload(self) -> bytes:
        """Return an event as the outbox holds it."""
        outbox = self.folder / "state" / "outbox.db"
        with contextlib.closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT payload FROM entry WHERE type != 'dockline.device.v1' LIMIT 1").fetchone()
        payload: bytes = row[0]
        return payload

    async def close(self) -> None:
        """End both processes."""
        if self.gateway.process is not None and self.gateway.process.returncode is None:
            await self.gateway.stop()
        await self.stop_centre()


@contextlib.asynccontextmanager
async def rig(folder: Path, program: tuple[str, ...] = GATEWAY) -> AsyncIterator[Rig]:
    """Lend a rig around `program` in a fresh folder below `folder`; both processes are gone afterwards."""
    number = len(list(folder.iterdir()))
    home = folder / f"run-{number}"
    home.mkdir()
    built = Rig(home, program)
    try:
        yield built
    finally:
        await built.close()
