"""One connection to a Modbus device or bus: asks for a block, gets registers, a refusal, or silence.

Theory of operation. pymodbus speaks the protocol; what it leaves open is closed here, through its public hooks:

- Retries are 0 and reconnecting is off: retries multiply the time-out of a dead slave, and reopening is the
  supervisor's business. Its patience counter, shared by all units, is set out of reach.
- Every byte that goes out or comes in passes an `AnswerFilter` (see there): reads only, and no value that is not
  the answer to this very question.
- It lets a request wait for its time-out although the connection is gone; here the wait ends at once.
- Many PLCs close a connection that is idle for a few seconds, small ones after each answer. That is no loss: what was
  closed between two requests is opened again before the next one, and an answer that came before the close counts.
- `asyncio.wait_for` of Python 3.11, which it uses, may swallow a cancellation that arrives together with the
  answer; here it is noticed.
- Its logger writes dumps of frames at ERROR; it is silenced, what matters is said by us.

    Answer          the registers (or bits) of the block
    Refusal         the device answers with an exception code
    Silence         no answer in time, or none that answers the question
    LinkLost        raised: the connection is gone or out of step
"""

from __future__ import annotations

import asyncio
import logging
import termios
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.pdu import ModbusPDU

from drivers.contract import DeviceFault, LinkLost
from drivers.modbus_answer import AnswerFilter, resync_count
from drivers.modbus_map import ADDRESS_MAX, Block, Table
from drivers.modbus_settings import Target

Sleep = Callable[[float], Awaitable[None]]
PATIENCE = 2**31


@dataclass(frozen=True, slots=True)
class Answer:
    """What the block holds: registers, or bits as 0 and 1."""

    registers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device answered with an exception code: MODBUS Application Protocol V1.1b3, 7."""

    code: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to this question."""

    reason: str


class ModbusLink:
    """An open connection. Build with `ModbusLink(...)`, then `await open()`; `close()` is harmless at any time."""

    def __init__(self, target: Target, *, timeout_s: float, sleep: Sleep) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._filter = AnswerFilter(target.framing)
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._wait: asyncio.Timeout | None = None
        self._reads: dict[Table, Callable[..., Awaitable[ModbusPDU]]] = {}
        self._is_lost = False
        self._connection = object()
        """Which one it is: an earlier one may still say that it ended."""
        self._owed: dict[int, tuple[Block, int]] = {}
        self.last_byte: float | None = None
        """When something last arrived, on the loop's clock."""

    async def open(self) -> None:
        """Return when connected; raises LinkLost, or DeviceFault when a port cannot be set up as configured."""
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        made = asyncio.Event()
        connection = self._connection = object()

        def on_connect(is_up: bool) -> None:
            if is_up:
                made.set()
            elif connection is self._connection:
                self._on_loss()

        self._client = self._new_client(on_connect)
        self._client.set_max_no_responses(PATIENCE)
        self._reads = {
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
        }
        where = self._target.describe()
        try:
            is_open = await self._client.connect()
        except (termios.error, ValueError) as error:
            hint = "the adapter does not know this baud rate, parity or number of stop bits"
            raise DeviceFault(f"cannot set up {where}: {error}", hint=hint) from error
        if not is_open:
            raise LinkLost(f"cannot open {where}", hint=self._why_not_open())
        try:
            async with asyncio.timeout(self._timeout_s):
                await made.wait()
        except TimeoutError:
            raise LinkLost(f"cannot open {where}", hint=self._why_not_open()) from None

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()

    @property
    def is_closed(self) -> bool:
        """Whether the other side closed it, or the port is gone."""
        return self._is_lost

    async def reopen(self) -> None:
        """Open a TCP connection again that the other side closed between two requests. Raises LinkLost."""
        if not self.is_closed or self._target.framing != "tcp":
            return
        self._connection = object()
        self.close()
        self._is_lost, self._filter = False, AnswerFilter(self._target.framing)
        try:
            await self.open()
        except LinkLost as error:
            raise LinkLost(f"{self._target.describe()} closed the connection; now: {error}", hint=error.hint) from error

    async def read(self, block: Block) -> Answer | Refusal | Silence:
        """Ask for one block. Raises LinkLost when the connection is gone or can no longer be trusted."""
        if self._target.framing == "rtu" and block.unit_id in self._owed:
            still_silent = await self._resync(block.unit_id)
            if still_silent is not None:
                return still_silent
        outcome = await self._exchange(block)
        if self._target.framing == "rtu" and isinstance(outcome, Silence):
            self._owed[block.unit_id] = (block, 0)
        return outcome

    async def _resync(self, unit_id: int) -> Silence | None:
        """Ask a slave that owes an answer for something whose answer cannot be mistaken for it."""
        owed, attempt = self._owed[unit_id]
        is_bits = owed.table in ("coil", "discrete")
        count = resync_count(owed.count, attempt, is_bits=is_bits)
        address = min(owed.address, ADDRESS_MAX + 1 - count)
        outcome = await self._exchange(Block(unit_id, owed.table, address, count, ()))
        if isinstance(outcome, Silence):
            self._owed[unit_id] = (owed, attempt + 1)
            return outcome
        del self._owed[unit_id]
        return None

    async def _exchange(self, block: Block) -> Answer | Refusal | Silence:
        self._check()
        if self._target.silence_s:
            await self._sleep(self._target.silence_s)
        late = self._filter.late
        response = await self._ask(block)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError
        if response is None or self._filter.out_of_step:
            self._check()
        if response is None:
            return Silence(self._filter.foreign or self._why_silent(late))
        if response.isError():
            return Refusal(response.exception_code)
        if block.table in ("coil", "discrete"):
            return Answer([int(bit) for bit in response.bits[: block.count]])
        return Answer(response.registers)

    async def _ask(self, block: Block) -> ModbusPDU | None:
        """One request, one answer; None when there is none that the filter lets through."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await self._reads[block.table](block.address, count=block.count, device_id=block.unit_id)
        except (TimeoutError, ModbusIOException):
            return None
        except ConnectionException:
            self._is_lost = True
            return None
        finally:
            self._wait = None
            self._filter.forget()

    def _new_client(self, on_connect: Callable[[bool], None]) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        target = self._target
        if target.framing == "tcp":
            return AsyncModbusTcpClient(
                target.host,
                port=target.port,
                timeout=self._timeout_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._on_packet,
                trace_connect=on_connect,
            )
        return AsyncModbusSerialClient(
            target.path,
            baudrate=target.baudrate,
            parity=target.parity,
            stopbits=target.stopbits,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._on_packet,
            trace_connect=on_connect,
        )

    def _on_packet(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            self.last_byte = asyncio.get_running_loop().time()
        passed = self._filter.packet(sending, data)
        if self._filter.out_of_step or self._filter.foreign:
            self._stop_waiting()
        return passed

    def _on_loss(self) -> None:
        self._is_lost = True
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    def _check(self) -> None:
        if self._is_lost:
            raise LinkLost(f"{self._target.describe()} closed the connection")
        if self._filter.out_of_step:
            raise LinkLost(f"{self._target.describe()}: {self._filter.out_of_step}")

    def _why_silent(self, late_before: int) -> str:
        if self._filter.is_partial:
            return f"half an answer within {self._timeout_s:g} s"
        if self._filter.late > late_before:
            return f"no answer within {self._timeout_s:g} s, but a late one to an earlier request: raise timeout_s"
        return f"no answer within {self._timeout_s:g} s"

    def _why_not_open(self) -> str:
        if self._target.framing == "tcp":
            return "is the device switched on, is the address right, does it allow another Modbus client?"
        if not Path(self._target.path).exists():
            return "the port does not exist: is the adapter plugged in? /dev/serial/by-id names do not move"
        return "is the port used by another program, and is this user in the group dialout?"
