"""The simulated PLC is a real Modbus server, judged by a client that is not ours."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from simulators.journal import Journal
from simulators.plc import Plc, Request, work
from simulators.plc_signal import Signal
from simulators.scanner_port import PtyPort


@asynccontextmanager
async def client_of(plc: Plc, timeout_s: float = 0.1) -> AsyncIterator[AsyncModbusTcpClient]:
    await plc.start_tcp()
    client = AsyncModbusTcpClient("127.0.0.1", port=plc.port, timeout=timeout_s, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()
        await plc.stop()


async def test_every_table_shows_its_signals() -> None:
    signals = [
        Signal("a", 3, "uint16", shows=7),
        Signal("b", 4, "uint32", shows=0x10002),
        Signal("c", 0, "int16", table="input", shows=-1),
        Signal("d", 17, "bool", table="coil", shows=True),
        Signal("e", 2, "bool", table="discrete", shows=True),
    ]
    async with client_of(Plc(signals)) as client:
        assert (await client.read_holding_registers(3, count=3)).registers == [7, 1, 2]
        assert (await client.read_input_registers(0)).registers == [0xFFFF]
        assert (await client.read_coils(16, count=2)).bits[:2] == [False, True]
        assert (await client.read_discrete_inputs(2)).bits[0] is True


async def test_what_happens_shows_at_the_next_read() -> None:
    parts = Signal("parts", 0, "uint16")
    async with client_of(Plc([parts])) as client:
        parts.count(3)
        assert (await client.read_holding_registers(0)).registers == [3]
        parts.reset()
        assert (await client.read_holding_registers(0)).registers == [0]


async def test_an_address_without_a_signal_is_refused() -> None:
    async with client_of(Plc([Signal("a", 0, "uint16"), Signal("b", 2, "uint16")])) as client:
        assert (await client.read_holding_registers(0, count=3)).exception_code == 2
        assert (await client.read_holding_registers(9)).exception_code == 2


async def test_slaves_are_told_apart() -> None:
    signals = [Signal("a", 0, "uint16", unit_id=1, shows=1), Signal("b", 0, "uint16", unit_id=2, shows=2)]
    async with client_of(Plc(signals)) as client:
        assert (await client.read_holding_registers(0, device_id=2)).registers == [2]


async def test_faults_do_what_they_say() -> None:
    plc = Plc([Signal("a", 0, "uint16", shows=9)])
    async with client_of(plc) as client:
        plc.faults.drop_next = 1
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0)
        assert (await client.read_holding_registers(0)).registers == [9]
        plc.faults.wrong_unit_next = 1
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0)
        plc.faults.half_next = 1
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0)
        plc.faults.exceptions[1] = 6
        assert (await client.read_holding_registers(0)).exception_code == 6
        plc.faults.exceptions.clear()
        plc.faults.silent_units.add(1)
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0)


async def test_a_late_answer_is_really_sent() -> None:
    plc = Plc([Signal("a", 0, "uint16", shows=9)])
    async with client_of(plc):
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.port)
        plc.faults.delay_s = 0.05
        writer.write(bytes.fromhex("0007 0000 0006 01 03 0000 0001"))
        answer = await asyncio.wait_for(reader.readexactly(11), 60)
        writer.close()
        await writer.wait_closed()
    assert answer == bytes.fromhex("0007 0000 0005 01 03 02 0009")


async def test_every_function_code_is_noted_even_one_that_writes() -> None:
    """The promise that the gateway never writes is judged by this list: it must not have a blind spot."""
    plc = Plc([Signal("a", 0, "uint16")])
    async with client_of(plc) as client:
        await client.read_holding_registers(0)
        await client.read_holding_registers(4000)
        await client.write_register(0, 5)
        await client.write_coil(70, True)
        await client.mask_write_register(address=0)
    assert plc.functions == {3: 2, 6: 1, 5: 1, 22: 1}
    assert plc.requests[0] == Request(1, 3, 0, 1)


async def test_the_journal_says_what_was_really_counted(tmp_path: Path) -> None:
    parts = Signal("parts", 0, "uint16", shows=65535)
    journal = Journal("press", tmp_path / "press.ndjson")
    async with client_of(Plc([parts], journal=journal)) as client:
        parts.count(1)
        await client.read_holding_registers(0)
        await client.read_holding_registers(0)
        parts.count(2)
        parts.reset()
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "press.ndjson").read_text().splitlines()]
    assert [(line["what"], line["shows"], line["total"]) for line in lines] == [
        ("started", 65535, 0),
        ("counted", 0, 1),
        ("first_read", 0, 1),
        ("counted", 2, 3),
        ("reset", 0, 3),
    ]


async def test_switched_off_and_on_again_it_remembers() -> None:
    parts = Signal("parts", 0, "uint16", shows=5)
    plc = Plc([parts])
    async with client_of(plc):
        pass
    async with client_of(plc) as client:
        assert (await client.read_holding_registers(0)).registers == [5]


async def test_slaves_on_a_serial_line(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "line")
    await port.plug()
    plc = Plc([Signal("a", 0, "uint32", shows=70000), Signal("b", 0, "uint16", unit_id=2, shows=2)])
    plc.start_rtu(port)
    client = AsyncModbusSerialClient(str(tmp_path / "line"), timeout=1, retries=0, reconnect_delay=0)
    try:
        assert await client.connect()
        assert (await client.read_holding_registers(0, count=2)).registers == [1, 70000 - 65536]
        assert (await client.read_holding_registers(0, device_id=2)).registers == [2]
    finally:
        client.close()
        await port.unplug()
        await plc.stop()


async def test_a_machine_at_work_counts_and_is_reset_from_a_seed() -> None:
    class Enough(Exception):
        pass

    async def totals(seed: int) -> tuple[int, float, list[str]]:
        pauses: list[float] = []

        async def sleep(delay_s: float) -> None:
            pauses.append(delay_s)
            if len(pauses) > 200:
                raise Enough

        parts = Signal("parts", 0, "uint32")
        plc = Plc([parts])
        with pytest.raises(Enough):
            await work(parts, rng=random.Random(seed), sleep=sleep, interval_s=1.0, reset_chance=0.1, parts_max=3)
        return parts.total, parts.shows, [str(line["what"]) for line in plc.journal.lines]

    first = await totals(7)
    assert first == await totals(7) != await totals(8)
    assert {"counted", "reset"} == set(first[2])
