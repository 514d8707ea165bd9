"""A scanner driver on a bench: raw bytes in and out of a port, and an intake that obeys the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from driver_contract import BOUND_S, Pulse

from drivers import Driver, Reading, StorageUnavailable, Verdict
from simulators.scanner_port import ScannerPort


class ScannerBench:
    """Everything one test needs to talk to a driver as a device would."""

    def __init__(self, port: ScannerPort) -> None:
        self.port = port
        self.pulse = Pulse()
        self.heard = bytearray()
        self.emits: list[list[Reading]] = []
        self.verdict: Callable[[Reading], Verdict | None] = lambda _: Verdict("stored", events=("e",))
        """None: storage is unavailable for the whole emit."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.heard_at_emit: list[bytes] = []
        """What had been heard when each emit began."""
        port.on_bytes = self._hear

    @property
    def readings(self) -> list[Reading]:
        return [reading for readings in self.emits for reading in readings]

    @property
    def codes(self) -> list[str]:
        return [reading.code for reading in self.readings if reading.kind == "scan"]

    def _hear(self, data: bytes) -> None:
        self.heard += data
        self.pulse.set()

    async def emit(self, readings: Sequence[Reading]) -> list[Verdict]:
        self.heard_at_emit.append(bytes(self.heard))
        self.emits.append(list(readings))
        self.pulse.set()
        await self.gate.wait()
        verdicts = [self.verdict(reading) for reading in readings]
        if None in verdicts:
            raise StorageUnavailable("the outbox is full", hint="make room")
        return [verdict for verdict in verdicts if verdict is not None]

    @contextlib.asynccontextmanager
    async def running(self, driver: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Run the driver; the link is up inside the block."""
        assert isinstance(driver, object)
        task = asyncio.ensure_future(_run(driver, self.emit))
        up = asyncio.ensure_future(driver.connected.wait())
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED, timeout=BOUND_S)
        up.cancel()
        await asyncio.wait_for(self.port.connected.wait(), BOUND_S)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=BOUND_S)

    async def until_heard(self, data: bytes) -> None:
        await self.pulse.until(lambda: bytes(self.heard) == data, what=f"heard {data!r}, so far {bytes(self.heard)!r}")

    async def until_codes(self, *codes: str) -> None:
        await self.pulse.until(lambda: self.codes == list(codes), what=f"codes {codes}")

    async def until_emits(self, count: int) -> None:
        await self.pulse.until(lambda: len(self.emits) >= count, what=f"{count} emits")


async def _run(driver: Driver, emit: Callable[[Sequence[Reading]], Any]) -> None:
    await driver.run(emit)
