"""A PLC that counts, toggles, rolls over, is reset, and misbehaves on request; and writes down what it really did.

Theory of operation. The PLC is a real Modbus server (pymodbus), over TCP or a serial line, with as many slaves on
it as signals name. Its memory is the signals' own; a request finds what they show at that moment. Addresses no
signal occupies are answered with exception code 2, as a real one does.

Faults act on the bytes of an answer on their way out (`PlcFaults`), or on the request itself (exception codes), so
that what a master sees is what a bad line, a slow gateway or a wrong map would show it.

The journal has one JSON object a line: what each signal did, in order, with the total it has really counted. A
checker that knows only the journal and what the gateway delivered can say whether parts were lost or invented.
`first_read` is the value at which counting from outside can begin: nobody can know of parts made before it.
"""

from __future__ import annotations

import asyncio
import collections
import json
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.plc_signal import Signal, Table

TABLE_OF_FUNCTION: dict[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
TABLES: tuple[Table, ...] = ("coil", "discrete", "holding", "input")
REQUESTS_KEPT = 10_000
UNUSED_ADDRESS = 65_520
"""Where a table without signals has its one register, because the library wants one."""


@dataclass
class PlcFaults:
    """What goes wrong with answers from now on. Plain attributes; set them at any time."""

    drop_next: int = 0
    """So many answers are never sent."""
    silent_units: set[int] = field(default_factory=set)
    """Slaves that are switched off."""
    delay_s: float = 0.0
    """Every answer leaves so much later."""
    half_next: int = 0
    """So many answers stop in the middle."""
    wrong_unit_next: int = 0
    """So many answers claim to come from the next slave."""
    wrong_transaction_next: int = 0
    """So many answers carry the transaction id 0 (TCP)."""
    exceptions: dict[int, int] = field(default_factory=dict)
    """Exception code that a slave answers to everything."""

    def distort(self, answer: bytes, unit_at: int) -> bytes | None:
        """What really leaves; None for nothing. `unit_at` is the place of the unit id in the frame."""
        if answer[unit_at] in self.silent_units or self._spend("drop_next"):
            return None
        if self._spend("half_next"):
            return answer[: len(answer) // 2]
        if self._spend("wrong_unit_next"):
            answer = answer[:unit_at] + bytes(((answer[unit_at] + 1) % 256,)) + answer[unit_at + 1 :]
        if self._spend("wrong_transaction_next"):
            answer = b"\0\0" + answer[2:]
        return answer

    def _spend(self, name: str) -> bool:
        left = getattr(self, name)
        if left:
            setattr(self, name, left - 1)
        return bool(left)


@dataclass(frozen=True, slots=True)
class Request:
    """What a master asked for."""

    unit_id: int
    function: int
    address: int
    count: int


class Plc:
    """One PLC, or several slaves on one line. Add signals, then `start_tcp` or `start_rtu`."""

    def __init__(
        self,
        signals: list[Signal],
        *,
        monotonic: Callable[[], float],
        journal: Path | None = None,
        units: tuple[int, ...] = (),
    ) -> None:
        self.faults = PlcFaults()
        self.functions: collections.Counter[int] = collections.Counter()
        """How often each function code was asked for, writes included."""
        self.requests: collections.deque[Request] = collections.deque(maxlen=REQUESTS_KEPT)
        self.on_request: Callable[[Request], None] = lambda _: None
        """Called for every request, before it is answered."""
        self._signals = signals
        self._units = sorted({signal.unit_id for signal in signals} | set(units))
        self._monotonic = monotonic
        self._journal_path = journal
        self._journal: IO[str] | None = None
        self._unread = {signal.name for signal in signals}
        self._server: ModbusTcpServer | ModbusSerialServer | None = None
        for signal in signals:
            signal.tell = self._write

    @property
    def port(self) -> int:
        """The TCP port in use."""
        server = cast(Any, self._server)
        return int(server.transport.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Masters connected now."""
        return len(self._server.active_connections) if self._server else 0

    async def start_tcp(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Return when masters can connect."""
        await self._start(_TcpServer(self, self._devices(), address=(host, port)))

    async def start_rtu(self, path: str, *, baudrate: int = 19200, parity: str = "E") -> None:
        """Return when the slaves listen on a serial port."""
        await self._start(
            _RtuServer(self, self._devices(), framer=FramerType.RTU, port=path, baudrate=baudrate, parity=parity)
        )

    async def _start(self, server: ModbusTcpServer | ModbusSerialServer) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        if self._journal_path is not None and self._journal is None:
            self._journal = self._journal_path.open("a", encoding="utf-8")
        self._server = server
        await server.serve_forever(background=True)
        for signal in self._signals:
            self._write(signal, "started")

    async def stop(self) -> None:
        """Switch off: connections break, memory stays."""
        if self._server is not None:
            await cast(Any, self._server).shutdown()
            self._server = None
            await asyncio.sleep(0)

    def break_connections(self) -> None:
        """Every master loses its connection; new ones are welcome."""
        if self._server is not None:
            for connection in list(self._server.active_connections.values()):
                if connection.transport is not None:
                    cast(asyncio.Transport, connection.transport).abort()

    def close_journal(self) -> None:
        """Write no more."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def answer(self, unit_id: int, function: int, address: int, count: int) -> ExcCodes | None:
        """Note a request; say with which exception code it is answered, if any."""
        self.functions[function] += 1
        request = Request(unit_id, function, address, count)
        self.requests.append(request)
        self.on_request(request)
        code = self.faults.exceptions.get(unit_id)
        return None if code is None else ExcCodes(code)

    def image(self, unit_id: int, function: int, start: int, registers: list[int]) -> None:
        """Put what the signals show now into the registers that are about to be read."""
        table = TABLE_OF_FUNCTION[function]
        for signal in self._signals:
            if signal.unit_id == unit_id and signal.table == table:
                signal.put(start, registers)
                if signal.name in self._unread:
                    self._unread.discard(signal.name)
                    self._write(signal, "first_read")

    def _write(self, signal: Signal, what: str, **more: int) -> None:
        if self._journal is None:
            return
        line = {"at_s": round(self._monotonic(), 6), "unit_id": signal.unit_id, "signal": signal.name, "what": what,
                "shows": signal.shows, "total": signal.total, **more}  # fmt: skip
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()

    def _devices(self) -> list[SimDevice]:
        return [self._device(unit_id) for unit_id in self._units]

    def _device(self, unit_id: int) -> SimDevice:
        async def act(
            function: int, start: int, address: int, count: int, registers: list[int], _values: Any
        ) -> ExcCodes | None:
            code = await self.answer(unit_id, function, address, count)
            if code is None and function in TABLE_OF_FUNCTION:
                self.image(unit_id, function, start, registers)
            return code

        blocks = {table: self._memory(unit_id, table) for table in TABLES}
        return SimDevice(unit_id, (blocks["coil"], blocks["discrete"], blocks["holding"], blocks["input"]), action=act)

    def _memory(self, unit_id: int, table: Table) -> list[SimData]:
        used = {
            address
            for signal in self._signals
            if signal.unit_id == unit_id and signal.table == table
            for address in range(signal.address, signal.address + signal.size)
        }
        if table in ("coil", "discrete"):
            first = min(used) // 16 * 16 if used else UNUSED_ADDRESS
            last = max(used) // 16 * 16 + 16 if used else UNUSED_ADDRESS + 16
            return [SimData(first, values=[False] * (last - first), datatype=DataType.BITS)]
        return [SimData(address, values=0, datatype=DataType.REGISTERS) for address in sorted(used)] or [
            SimData(UNUSED_ADDRESS, values=0, datatype=DataType.REGISTERS)
        ]


class _Handler(ServerRequestHandler):
    """One connection; its answers pass the faults."""

    def __init__(self, owner: Any, plc: Plc, unit_at: int) -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]
        self._plc = plc
        self._unit_at = unit_at

    def send(self, data: bytes, addr: Any = None) -> None:
        """Send an answer, or what the faults leave of it."""
        answer = self._plc.faults.distort(data, self._unit_at)
        if answer is None:
            return
        if self._plc.faults.delay_s:
            self.loop.call_later(self._plc.faults.delay_s, self._send_late, answer)
        else:
            super().send(answer, addr)

    def _send_late(self, answer: bytes) -> None:
        """As `send` of the library, without forgetting the request that is arriving meanwhile."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).write(answer)


class _TcpServer(ModbusTcpServer):
    def __init__(self, plc: Plc, context: list[SimDevice], **options: Any) -> None:
        super().__init__(context, **options)
        self._plc = plc

    def callback_new_connection(self) -> ServerRequestHandler:
        return _Handler(self, self._plc, unit_at=6)


class _RtuServer(ModbusSerialServer):
    def __init__(self, plc: Plc, context: list[SimDevice], **options: Any) -> None:
        super().__init__(context, **options)
        self._plc = plc

    def callback_new_connection(self) -> ServerRequestHandler:
        return _Handler(self, self._plc, unit_at=0)


async def work(
    counter: Signal,
    *,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]],
    interval_s: float,
    reset_chance: float = 0.0,
    parts_max: int = 1,
) -> None:
    """A machine at work: parts come out at about this pace, now and then somebody presses reset. Never returns."""
    while True:
        await sleep(rng.uniform(0.5, 1.5) * interval_s)
        if rng.random() < reset_chance:
            counter.reset()
        else:
            counter.count(rng.randint(1, parts_max))
