"""The Modbus poller under the driver contract, over TCP and over a serial line, on every kind of wire."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random

from driver_contract import DriverContract, Intake, Rig, running, supervise

from drivers import Emit, Reading, Verdict
from drivers.modbus_poller import ModbusPoller, ModbusPollerSettings
from drivers.moment import Moment
from simulators.plc import Plc
from simulators.plc_signal import Signal
from simulators.scanner_port import PtyPort
from simulators.wire import PLANS, TcpWire, Wire, WireCut

LAMPS = 64
SECOND_UNIT = 2


class Remembering:
    """A driver whose emit also keeps the rows, as the gateway's state does: with the event or not at all."""

    def __init__(self, driver: ModbusPoller, rows: dict[str, bytes]) -> None:
        self._driver = driver
        self._rows = rows

    async def run(self, emit: Emit) -> None:
        async def remember(readings: Sequence[Reading]) -> list[Verdict]:
            verdicts = await emit(readings)
            for reading, verdict in zip(readings, verdicts, strict=True):
                if verdict.is_positive and reading.state_key is not None and reading.state is not None:
                    self._rows[reading.state_key] = reading.state
            return verdicts

        await self._driver.run(remember)


class PlcRig(Rig):
    """A PLC with lamps that go on and stay on: each is said once. It keeps showing what was not stored."""

    acknowledges = False
    resends = True
    in_flight_max = 1
    timeout_s = 0.15

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, bytes] = {}
        self.lamps = [Signal(f"lamp-{i:02}", i, "bool", table="coil") for i in range(LAMPS)]
        self.parts = Signal("parts", 0, "uint32")
        self.scrap = Signal("scrap", 7, "uint16", unit_id=SECOND_UNIT, shows=65500)
        self.plc = Plc([*self.lamps, self.parts, self.scrap])
        self._lit = 0

    @property
    def url(self) -> str:
        raise AssertionError("a rig knows its url")

    def driver(self) -> Remembering:
        points = [
            *({"name": lamp.name, "address": lamp.address, "type": "bool", "table": "coil", "edges": "rising"}
              for lamp in self.lamps),
            {"name": "parts", "address": 0, "type": "uint32", "means": "count"},
            {"name": "scrap", "address": 7, "type": "uint16", "means": "count", "unit_id": SECOND_UNIT},
        ]  # fmt: skip
        settings = ModbusPollerSettings.model_validate(
            {"url": self.url, "poll_interval_s": 0.01, "timeout_s": self.timeout_s, "points": points}
        )
        poller = ModbusPoller(
            "press-plc",
            settings,
            recall=self.rows.get,
            monotonic=time.monotonic,
            moment=lambda: Moment("", 0.0, time.time_ns() // 1_000_000, is_vouched=True),
            emit_grace_s=0.05,
        )
        return Remembering(poller, self.rows)

    async def say(self, count: int) -> list[str]:
        lit = self.lamps[self._lit : self._lit + count]
        self._lit += count
        for lamp in lit:
            lamp.set(True)
        return [lamp.name for lamp in lit]

    def token_of(self, reading: Reading) -> str | None:
        if reading.kind in ("baseline", "gap") or reading.measurement is None:
            return None
        if reading.kind == "condition" and reading.measurement.value == "false":
            return None
        return reading.measurement.name

    def acknowledged(self) -> Sequence[str]:
        return ()


class TcpRig(PlcRig):
    """Over a network that breaks."""

    _wire: TcpWire | None = None

    @property
    def url(self) -> str:
        return f"modbus-tcp://127.0.0.1:{self._wire.port if self._wire else 502}?unit=1"

    async def plug(self, wire: str, seed: int) -> None:
        await self.plc.start_tcp()
        self._wire = TcpWire(PLANS[wire], Random(seed), lambda: ("127.0.0.1", self.plc.port))
        await self._wire.start()

    async def close(self) -> None:
        assert self._wire is not None
        await self._wire.close()
        await self.plc.stop()
        assert set(self.plc.functions) <= {1, 2, 3, 4}

    async def cut(self) -> None:
        assert self._wire is not None
        await self._wire.cut()

    async def mend(self) -> None:
        assert self._wire is not None
        self._wire.mend()


class WiredPort:
    """The PLC's end of a serial line; what it says and hears goes over wires that fail."""

    def __init__(self, pty: PtyPort, wires: tuple[Wire, Wire]) -> None:
        self.on_bytes: Callable[[bytes], None] = lambda _: None
        self._pty = pty
        self._to_plc, self._to_master = wires
        self._tasks: set[asyncio.Task[None]] = set()
        pty.on_bytes = lambda data: self._carry(self._to_plc, data, self.on_bytes)

    def write(self, data: bytes) -> None:
        self._carry(self._to_master, data, self._pty.write)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _carry(self, wire: Wire, data: bytes, out: Callable[[bytes], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._carried(wire, data, out))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carried(self, wire: Wire, data: bytes, out: Callable[[bytes], None]) -> None:
        try:
            await wire.carry(data, out)
        except WireCut:
            await self._pty.unplug()


class RtuRig(PlcRig):
    """Over a serial line with two slaves on it."""

    timeout_s = 0.08

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._pty = PtyPort(folder / "rs485")
        self._path = folder / "rs485"
        self._port: WiredPort | None = None

    @property
    def url(self) -> str:
        return f"modbus-rtu://{self._path}?unit=1&parity=N&baudrate=115200"

    async def plug(self, wire: str, seed: int) -> None:
        rng = Random(seed)
        self._port = WiredPort(self._pty, (Wire(PLANS[wire], rng), Wire(PLANS[wire], rng)))
        await self._pty.plug()
        self.plc.start_rtu(self._port)

    async def close(self) -> None:
        assert self._port is not None
        await self._port.close()
        await self._pty.unplug()
        await self.plc.stop()
        assert set(self.plc.functions) <= {1, 2, 3, 4}

    async def cut(self) -> None:
        await self._pty.unplug()

    async def mend(self) -> None:
        if not self._pty.is_plugged:
            await self._pty.plug()


class CountingContract(DriverContract):
    """What the contract cannot know: parts."""

    async def test_parts_come_out_exactly(self, tmp_path: Path, wire: str, seed: int) -> None:
        """Counters move all the time, one of them over its end, while answers are lost, halved and cut off."""
        async with self.plugged(tmp_path, wire, seed) as (rig, intake), self._counted(rig, intake) as counted:
            assert isinstance(rig, PlcRig)
            await rig.pulse.until(lambda: {"modbus/press-plc/parts", "modbus/press-plc/scrap"} <= set(rig.rows))
            rng = Random(seed)
            for _ in range(20):
                rig.parts.count(rng.randrange(4))
                rig.scrap.count(rng.randrange(4))
                tries = len(intake.offered)
                with contextlib.suppress(AssertionError):
                    await rig.pulse.until(lambda tries=tries: len(intake.offered) > tries, bound_s=0.05)
            await rig.pulse.until(
                lambda: counted() == (rig.parts.total, rig.scrap.total),
                what=f"{counted()} to become {(rig.parts.total, rig.scrap.total)}",
            )
            assert "counter_reset" not in {reading.kind for reading in intake.stored}

    @contextlib.asynccontextmanager
    async def _counted(self, rig: Rig, intake: Intake) -> AsyncIterator[Callable[[], tuple[int, int]]]:
        def counted() -> tuple[int, int]:
            found = [r.measurement for r in intake.stored if r.kind == "count" and r.measurement is not None]
            parts = sum(int(m.value) for m in found if m.name == "parts")
            assert parts <= rig.parts.total, "parts were invented"  # type: ignore[attr-defined]
            return parts, sum(int(m.value) for m in found if m.name == "scrap")

        async with running(supervise(rig, intake.emit)):
            yield counted


class TestModbusTcp(CountingContract):
    def rig(self, tmp_path: Path) -> Rig:
        return TcpRig()


class TestModbusRtu(CountingContract):
    def rig(self, tmp_path: Path) -> Rig:
        return RtuRig(tmp_path)
