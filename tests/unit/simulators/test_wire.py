"""The wire that misbehaves on purpose does what its plan and seed say, and nothing else."""

import asyncio
from random import Random

import pytest

from simulators.wire import CLEAN, PLANS, TcpWire, Wire, WireCut, WirePlan

BOUND_S = 60.0


async def carried(plan: WirePlan, data: list[bytes], seed: int = 1) -> list[bytes]:
    out: list[bytes] = []
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    wire = Wire(plan, Random(seed), sleep=sleep)
    for chunk in data:
        await wire.carry(chunk, out.append)
    return out


async def test_a_clean_wire_carries_everything() -> None:
    assert await carried(CLEAN, [b"one", b"two"]) == [b"one", b"two"]


async def test_byte_by_byte_carries_everything_one_by_one() -> None:
    assert await carried(PLANS["byte-by-byte"], [b"one"]) == [b"o", b"n", b"e"]


async def test_a_delayed_wire_waits_and_keeps_the_order() -> None:
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.sleep(0)

    out: list[bytes] = []
    wire = Wire(WirePlan(delay_s=(0.5, 2.0)), Random(1), sleep=sleep)
    await asyncio.gather(*(wire.carry(bytes([n]), out.append) for n in range(20)))
    assert out == [bytes([n]) for n in range(20)]
    assert all(0.5 <= nap <= 2.0 for nap in naps)
    assert len(set(naps)) > 1


async def test_a_lossy_wire_loses_whole_chunks_and_equal_seeds_lose_the_same() -> None:
    data = [bytes([n]) * 3 for n in range(200)]
    out = await carried(PLANS["lossy"], data)
    assert set(out) < set(data)
    assert 100 < len(out) < 190
    assert out == await carried(PLANS["lossy"], data)
    assert out != await carried(PLANS["lossy"], data, seed=2)


async def test_noise_changes_bytes_and_their_number_not() -> None:
    out = await carried(WirePlan(noise=0.1), [bytes(1000)])
    assert len(out[0]) == 1000
    assert 0 < 1000 - out[0].count(0) < 300


async def test_a_wire_that_is_cut_delivers_what_came_before_and_then_holds() -> None:
    out: list[bytes] = []
    wire = Wire(WirePlan(cut_after_bytes=(5, 5), cuts_max=2), Random(1))
    with pytest.raises(WireCut):
        await wire.carry(b"0123456789", out.append)
    await wire.carry(b"abcde", out.append)
    with pytest.raises(WireCut):
        await wire.carry(b"f", out.append)
    await wire.carry(b"x" * 1000, out.append)
    assert out == [b"01234", b"abcde", b"x" * 1000]
    assert (wire.cuts, wire.bytes_lost) == (2, 6)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(1000):
            writer.write(chunk)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


class Echo:
    """An echo server behind a wire."""

    def __init__(self, plan: WirePlan) -> None:
        self.plan = plan

    async def __aenter__(self) -> TcpWire:
        self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
        name = self.server.sockets[0].getsockname()
        self.wire = TcpWire(self.plan, Random(1), lambda: (name[0], name[1]))
        await self.wire.start()
        return self.wire

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()
        self.server.close()


@pytest.mark.parametrize("plan", ["clean", "byte-by-byte", "delayed"])
async def test_a_tcp_wire_carries_both_ways(plan: str) -> None:
    async with Echo(PLANS[plan]) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(b"there and back")
        assert await asyncio.wait_for(reader.readexactly(14), BOUND_S) == b"there and back"
        writer.close()


async def test_a_tcp_wire_is_cut_and_mended() -> None:
    async with Echo(CLEAN) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(b"x")
        await asyncio.wait_for(reader.readexactly(1), BOUND_S)
        await wire.cut()
        assert await is_broken(reader)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        assert await is_broken(reader)
        writer.close()
        wire.mend()
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(b"y")
        assert await asyncio.wait_for(reader.readexactly(1), BOUND_S) == b"y"
        writer.close()


async def is_broken(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), BOUND_S) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("plan", ["lossy", "cut"])
async def test_a_tcp_wire_that_loses_bytes_breaks_the_connection(plan: str) -> None:
    """TCP has no holes: either the bytes come or the connection ends."""
    async with Echo(PLANS[plan]) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        sent = bytes(range(256)) * 8
        writer.write(sent)
        heard = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(1000), BOUND_S):
                heard += chunk
        except ConnectionError:
            pass
        assert len(heard) < len(sent)
        assert sent.startswith(heard)
        writer.close()
