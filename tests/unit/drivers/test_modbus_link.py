"""One connection, judged against a real server and against a PLC written byte by byte."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers import DeviceFault, LinkLost
from drivers.modbus_answer import crc16
from drivers.modbus_link import Answer, ModbusLink, Refusal, Silence
from drivers.modbus_map import Block
from drivers.modbus_settings import Target
from simulators.plc import Plc
from simulators.plc_signal import Signal
from simulators.scanner_port import PtyPort

A = Block(1, "holding", 0, 2, ())
B = Block(1, "holding", 100, 2, ())
QUICK_S = 0.1

Script = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def link_to(target: Target, timeout_s: float = QUICK_S) -> AsyncIterator[ModbusLink]:
    link = ModbusLink(target, timeout_s=timeout_s, sleep=asyncio.sleep)
    try:
        await link.open()
        yield link
    finally:
        link.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def scripted(answer: Callable[[bytes, asyncio.StreamWriter], None]) -> AsyncIterator[Target]:
    """A Modbus server that answers each request frame as the test says."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = await reader.readexactly(6)
                answer(head + await reader.readexactly(head[5]), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Target("tcp", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def reply(request: bytes, *registers: int, transaction: int | None = None) -> bytes:
    own = int.from_bytes(request[:2], "big") if transaction is None else transaction
    data = struct.pack(f">{len(registers)}H", *registers)
    return struct.pack(">HHHBBB", own, 0, 3 + len(data), request[6], request[7], len(data)) + data


async def test_registers_bits_and_refusals() -> None:
    signals = [
        Signal("a", 0, "uint32", shows=0x10002),
        Signal("d", 3, "bool", table="coil", shows=True),
        Signal("e", 3, "bool", table="discrete", shows=True),
        Signal("i", 9, "uint16", table="input", shows=9),
    ]
    plc = Plc(signals)
    await plc.start_tcp()
    async with link_to(Target("tcp", host="127.0.0.1", port=plc.port), 5) as link:
        assert await link.read(A) == Answer([1, 2])
        assert await link.read(Block(1, "coil", 2, 3, ())) == Answer([0, 1, 0])
        assert await link.read(Block(1, "discrete", 3, 1, ())) == Answer([1])
        assert await link.read(Block(1, "input", 9, 1, ())) == Answer([9])
        assert await link.read(B) == Refusal(2)
    await plc.stop()
    assert set(plc.functions) == {1, 2, 3, 4}


async def test_a_late_answer_is_dropped_and_the_next_question_gets_its_own() -> None:
    """The PLC answers the first request after the second one was sent, with the values of the first."""
    held: list[bytes] = []

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if not held:
            held.append(reply(request, 1, 1))
        else:
            writer.write(held[0] + reply(request, 2, 2))

    async with scripted(answer) as target, link_to(target) as link:
        first = await link.read(A)
        assert isinstance(first, Silence)
        assert await link.read(B) == Answer([2, 2])


async def test_a_device_that_is_always_one_behind_never_gets_a_value_through() -> None:
    """grid-x/modbus#78: late answers shift everything by one, for ever."""
    owed: list[bytes] = []

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if owed:
            writer.write(owed.pop())
        owed.append(reply(request, 1, 1))

    async with scripted(answer) as target, link_to(target) as link:
        outcomes = [await link.read(A) for _ in range(4)]
    assert all(isinstance(outcome, Silence) for outcome in outcomes)
    assert "raise timeout_s" in str(outcomes[-1])


@pytest.mark.parametrize("transaction", [0, 9999])
async def test_an_answer_without_our_transaction_id_is_no_value(transaction: int) -> None:
    """The library takes an id of 0 for any."""

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request, 6, 6, transaction=transaction))

    async with scripted(answer) as target, link_to(target) as link:
        assert isinstance(await link.read(A), Silence)


async def test_an_answer_from_another_unit_ends_the_wait_at_once() -> None:
    """edgex device-modbus-go#636: slave 0 answers for slave 2."""

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request[:6] + b"\0" + request[7:], 6, 6))

    async with scripted(answer) as target, link_to(target, 60) as link:
        outcome = await asyncio.wait_for(link.read(A), 60)
    assert isinstance(outcome, Silence)
    assert "from unit 0" in outcome.reason


async def test_more_or_fewer_registers_than_asked_for_are_no_value() -> None:
    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request, 6, 6, 6))

    async with scripted(answer) as target, link_to(target, 60) as link:
        assert isinstance(await asyncio.wait_for(link.read(A), 60), Silence)


async def test_half_an_answer_costs_the_connection_because_the_other_half_may_come() -> None:
    halves: list[bytes] = []

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        whole = reply(request, 7, 7)
        writer.write(halves.pop() if halves else whole[:6])
        halves.append(whole[6:])

    async with scripted(answer) as target, link_to(target) as link:
        first = await link.read(A)
        assert first == Silence("half an answer within 0.1 s")
        with pytest.raises(LinkLost, match="cut off"):
            await link.read(A)


async def test_a_server_that_speaks_something_else_is_found_out_at_once() -> None:
    def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")

    async with scripted(answer) as target, link_to(target, 60) as link:
        with pytest.raises(LinkLost, match="not a Modbus frame"):
            await asyncio.wait_for(link.read(A), 60)


async def test_a_connection_that_breaks_ends_the_wait_at_once() -> None:
    """The library would wait out its time-out."""

    def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with scripted(answer) as target, link_to(target, 60) as link:
        with pytest.raises(LinkLost, match="closed the connection"):
            await asyncio.wait_for(link.read(A), 60)
        with pytest.raises(LinkLost):
            await link.read(A)


@pytest.mark.parametrize("is_reset", [False, True])
async def test_what_is_closed_between_two_requests_is_opened_again(is_reset: bool) -> None:
    """Most PLCs close what is idle, small ones after each answer: the answer counts, and the next one comes."""

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request, 6, 7))
        writer.close()
        if is_reset:
            asyncio.get_running_loop().call_soon(writer.transport.abort)

    async with scripted(answer) as target, link_to(target, 60) as link:
        for _ in range(5):
            await link.reopen()
            assert await asyncio.wait_for(link.read(A), 60) == Answer([6, 7])
            async with asyncio.timeout(60):
                while not link.is_closed:
                    await asyncio.sleep(0.001)


async def test_what_cannot_be_opened_again_is_lost() -> None:
    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request, 6, 7))
        writer.close()

    async with scripted(answer) as target:
        link = ModbusLink(target, timeout_s=60, sleep=asyncio.sleep)
        await link.open()
        assert await asyncio.wait_for(link.read(A), 60) == Answer([6, 7])
    async with asyncio.timeout(60):
        while not link.is_closed:
            await asyncio.sleep(0.001)
        with pytest.raises(LinkLost, match=r"closed the connection; now: cannot open"):
            await link.reopen()
    link.close()


async def test_many_time_outs_do_not_make_the_library_close_the_connection() -> None:
    """pymodbus counts time-outs of all slaves together; one dead slave must not cost the others their connection."""
    mute = [True] * 8

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if mute:
            mute.pop()
        else:
            writer.write(reply(request, 5, 5))

    async with scripted(answer) as target, link_to(target, 0.02) as link:
        for _ in range(8):
            assert isinstance(await link.read(A), Silence)
        assert await link.read(A) == Answer([5, 5])


async def test_cancelled_in_the_very_moment_of_the_answer_it_ends() -> None:
    """`asyncio.wait_for` of Python 3.11 prefers the result and forgets the cancellation; a reload would hang."""
    task: asyncio.Task[object]

    def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(request, 1, 1))

    async with scripted(answer) as target, link_to(target, 60) as link:
        task = asyncio.ensure_future(link.read(A))
        passed = link._on_packet

        def cancel_then_pass(sending: bool, data: bytes) -> bytes:
            frame = passed(sending, data)
            if frame and not sending:
                asyncio.get_running_loop().call_soon(task.cancel)
            return frame

        link._client.ctx.trace_packet = cancel_then_pass  # type: ignore[union-attr]
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)


async def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(LinkLost, match=f"cannot open 127.0.0.1:{port}") as caught:
        async with link_to(Target("tcp", host="127.0.0.1", port=port), 5):
            pass
    assert caught.value.hint


async def test_a_port_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(LinkLost) as caught:
        async with link_to(Target("rtu", path=str(tmp_path / "gone"), parity="N")):
            pass
    assert "does not exist" in str(caught.value.hint)


async def test_a_port_that_cannot_be_set_so_is_a_fault_not_a_crash(tmp_path: Path) -> None:
    """A pseudo-terminal knows no parity; some adapters do not either, and pyserial lets termios.error through."""
    port = PtyPort(tmp_path / "line")
    await port.plug()
    try:
        with pytest.raises(DeviceFault, match="cannot set up"):
            async with link_to(Target("rtu", path=str(tmp_path / "line"), parity="E")):
                pass
    finally:
        await port.unplug()


# -- serial line


class Slave:
    """A serial slave that does with each request what the test says."""

    def __init__(self, port: PtyPort) -> None:
        self.port = port
        self.requests: list[tuple[int, int, int]] = []
        self.later: list[bytes] = []
        self.hold_next = 0
        port.on_bytes = self._hear

    def _hear(self, data: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", data[:6])
        self.requests.append((unit, address, count))
        body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *([address] * count))
        frame = body + crc16(body)
        if self.hold_next:
            self.hold_next -= 1
            self.later.append(frame)
            return
        while self.later:
            self.port.write(self.later.pop(0))
        self.port.write(frame)


@asynccontextmanager
async def slave_on(tmp_path: Path) -> AsyncIterator[tuple[Slave, Target]]:
    port = PtyPort(tmp_path / "line")
    await port.plug()
    try:
        yield Slave(port), Target("rtu", path=str(tmp_path / "line"), parity="N", baudrate=115200)
    finally:
        await port.unplug()


async def test_a_late_answer_on_a_serial_line_is_never_taken_for_the_next_one(tmp_path: Path) -> None:
    """Two blocks of two registers, one slave, no transaction ids: the answer to A arrives when B was asked."""
    async with slave_on(tmp_path) as (slave, target), link_to(target) as link:
        slave.hold_next = 1
        assert isinstance(await link.read(A), Silence)
        assert await link.read(B) == Answer([100, 100])
        assert await link.read(A) == Answer([0, 0])
        assert [count for _, _, count in slave.requests] == [2, 1, 2, 2]


async def test_a_serial_slave_that_stays_silent_is_asked_again_for_something_that_cannot_be_mistaken(
    tmp_path: Path,
) -> None:
    async with slave_on(tmp_path) as (slave, target), link_to(target, 0.05) as link:
        slave.hold_next = 3
        wide = Block(1, "holding", 0, 5, ())
        for _ in range(3):
            assert isinstance(await link.read(wide), Silence)
        assert await link.read(B) == Answer([100, 100])
        assert [count for _, _, count in slave.requests] == [5, 1, 2, 3, 2]


async def test_a_slave_that_owes_an_answer_does_not_disturb_another(tmp_path: Path) -> None:
    async with slave_on(tmp_path) as (slave, target), link_to(target) as link:
        slave.hold_next = 1
        assert isinstance(await link.read(A), Silence)
        assert await link.read(Block(2, "holding", 7, 2, ())) == Answer([7, 7])


async def test_an_unplugged_adapter_ends_the_run(tmp_path: Path) -> None:
    async with slave_on(tmp_path) as (slave, target), link_to(target, 60) as link:
        slave.hold_next = 99
        reading = asyncio.ensure_future(link.read(A))
        while not slave.requests:
            await asyncio.sleep(0)
        await slave.port.unplug()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(reading, 60)
