"""A PLC that counts, toggles, rolls over, is reset, and misbehaves on request; and writes down what it really did.

Theory of operation. The PLC is a real Modbus server (pymodbus), over TCP or a serial line, with as many slaves on
it as signals name. Its memory is the signals' own; a request finds what they show at that moment. Addresses no
signal occupies are answered with exception code 2, as a real one does.

Faults act on the bytes of an answer on their way out (`PlcFaults`), or on the request itself (exception codes), so
that what a master sees is what a bad line, a slow gateway or a wrong map would show it.

The journal notes what each signal did, in order, with the total it has really counted. A checker that knows only
the journal and what the gateway delivered can say whether parts were lost or invented.
`first_read` is the earliest value at which counting from outside can begin: nobody knows of parts made before it. Nor
of parts made before an answer came in time, and the PLC cannot know which one did; so whoever has to judge every part
lets the machine stand until its counter is known to be watched (`Site.press`).
"""

from __future__ import annotations

import asyncio
import collections
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.journal import Journal
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
    hang_up: bool = False
    """The connection is closed after every answer (TCP)."""
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


class SerialPort(Protocol):
    """The PLC's end of a serial line; `scanner_port.PtyPort` is one."""

    on_bytes: Callable[[bytes], None]

    def write(self, data: bytes) -> None:
        """Send to the master."""


class Plc:
    """One PLC, or several slaves on one line: a slave for every unit id of its signals, and for those in `units`."""

    def __init__(
        self,
        signals: Sequence[Signal],
        *,
        journal: Journal | None = None,
        units: Sequence[int] = (),
    ) -> None:
        self.faults = PlcFaults()
        self.functions: collections.Counter[int] = collections.Counter()
        """How often each function code was asked for, writes included."""
        self.requests: collections.deque[Request] = collections.deque(maxlen=REQUESTS_KEPT)
        self.on_request: Callable[[Request], None] = lambda _: None
        """Called for every request, before it is answered."""
        self.journal = journal or Journal("plc")
        self._signals = list(signals)
        self._units = sorted({signal.unit_id for signal in signals} | set(units))
        self._unread = {signal.name for signal in signals}
        self._server: ModbusTcpServer | ModbusSerialServer | None = None
        for signal in signals:
            signal.tell = self._note

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
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        try:
            await self._start(_TcpServer(self, self._devices(), address=(host, port)))
        except RuntimeError as error:
            # pymodbus keeps the reason to itself.
            raise OSError(f"the port cannot be opened: is {host}:{port} in use, or a port below 1024?") from error

    def start_rtu(self, port: SerialPort) -> None:
        """Listen on a serial line from now on."""
        server = _RtuServer(self, self._devices(), framer=FramerType.RTU)
        self._server = server
        handler = server.handle_new_connection()
        handler.connection_made(_LineTransport(port))
        port.on_bytes = handler.data_received
        self._started()

    async def _start(self, server: ModbusTcpServer) -> None:
        self._server = server
        await server.serve_forever(background=True)
        self._started()

    def _started(self) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        for signal in self._signals:
            self._note(signal, "started")

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

    def asked(self, pdu: ModbusPDU) -> None:
        """Note a request of any kind, whether it will be answered or not."""
        request = Request(pdu.dev_id, pdu.function_code, pdu.address, pdu.count)
        self.functions[request.function] += 1
        self.requests.append(request)
        self.on_request(request)

    def image(self, unit_id: int, function: int, start: int, registers: list[int]) -> None:
        """Put what the signals show now into the registers that are about to be read."""
        table = TABLE_OF_FUNCTION[function]
        for signal in self._signals:
            if signal.unit_id == unit_id and signal.table == table:
                signal.put(start, registers)
                if signal.name in self._unread:
                    self._unread.discard(signal.name)
                    self._note(signal, "first_read")

    def _note(self, signal: Signal, what: str, **more: int) -> None:
        self.journal.record(
            what, unit_id=signal.unit_id, signal=signal.name, shows=signal.shows, total=signal.total, **more
        )

    def _devices(self) -> list[SimDevice]:
        return [self._device(unit_id) for unit_id in self._units]

    def _device(self, unit_id: int) -> SimDevice:
        async def act(
            function: int, start: int, _address: int, _count: int, registers: list[int], _values: Any
        ) -> ExcCodes | None:
            code = self.faults.exceptions.get(unit_id)
            if code is None and function in TABLE_OF_FUNCTION:
                self.image(unit_id, function, start, registers)
            return None if code is None else ExcCodes(code)

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
        super().__init__(owner, None, self._note, None)  # type: ignore[no-untyped-call]
        self._plc = plc
        self._unit_at = unit_at

    def _note(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self._plc.asked(pdu)
        return pdu

    def send(self, data: bytes, addr: Any = None) -> None:
        """Send an answer, or what the faults leave of it."""
        answer = self._plc.faults.distort(data, self._unit_at)
        if answer is None:
            return
        if self._plc.faults.delay_s:
            self.loop.call_later(self._plc.faults.delay_s, self._send_late, answer)
        else:
            super().send(answer, addr)
        if self._plc.faults.hang_up and self.transport is not None:
            cast(asyncio.Transport, self.transport).close()

    def _send_late(self, answer: bytes) -> None:
        """As `send` of the library, without forgetting the request that is arriving meanwhile."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).write(answer)


class _LineTransport(asyncio.Transport):
    """Makes a serial port look like what the library writes to."""

    def __init__(self, port: SerialPort) -> None:
        super().__init__()
        self._port = port

    def write(self, data: Any) -> None:
        self._port.write(bytes(data))

    def close(self) -> None:
        self._port.on_bytes = lambda _: None

    def abort(self) -> None:
        self.close()


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
