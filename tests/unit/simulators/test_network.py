"""A network that breaks on request, and only then."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulators.network import Network

BOUND_S = 60.0


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A far end that says everything back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(4096):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(BOUND_S):
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def line(seed: int = 0) -> AsyncIterator[Network]:
    async with echo() as port, Network("127.0.0.1", port, seed=seed) as network:
        yield network


async def say(network: Network, what: bytes) -> bytes:
    """Say something, close our side, return what comes back before the line ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    heard = b""
    try:
        writer.write(what)
        with contextlib.suppress(OSError):
            writer.write_eof()
            while chunk := await reader.read(4096):
                heard += chunk
        return heard
    finally:
        writer.transport.abort()


async def test_on_a_clear_day_bytes_pass_unchanged() -> None:
    async with line() as network:
        assert await say(network, bytes(range(256)) * 1000) == bytes(range(256)) * 1000
        assert network.connections == 1


async def test_cut_breaks_what_is_open_and_refuses_what_is_new_until_mended() -> None:
    async with line() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        port = network.port
        network.cut()
        assert network.is_cut
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.transport.abort()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await network.mend()
        assert network.port == port
        assert await say(network, b"again") == b"again"


async def test_drop_breaks_once() -> None:
    async with line() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"x")
        await reader.readexactly(1)
        network.drop()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.transport.abort()
        assert await say(network, b"again") == b"again"


async def test_a_black_hole_takes_and_gives_nothing_back_until_mended() -> None:
    async with line() as network:
        network.black_hole()
        asking = asyncio.ensure_future(say(network, b"hello"))
        while network.connections == 0:
            await asyncio.sleep(0)
        assert not asking.done()
        await network.mend()
        assert await asking == b"hello"


@pytest.mark.parametrize("limit", [0, 1, 1000])
async def test_a_request_is_cut_after_so_many_bytes(limit: int) -> None:
    arrived = bytearray()
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(4096):
                arrived.extend(chunk)
        writer.close()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, asyncio.timeout(BOUND_S), Network(*server.sockets[0].getsockname()[:2]) as network:
        network.blow(cut_after_request=limit)
        await say(network, b"x" * 5000)
        await ended.wait()
        assert bytes(arrived) == b"x" * len(arrived)
        assert len(arrived) <= limit


async def test_an_answer_is_cut_or_lost() -> None:
    async with line() as network:
        network.blow(cut_after_answer=10)
        assert len(await say(network, b"x" * 5000)) <= 10
        network.clear_up()
        network.blow(loses_answers=True)
        assert await say(network, b"x" * 5000) == b""
        network.clear_up()
        assert await say(network, b"fine") == b"fine"


async def test_bytes_can_come_one_by_one_and_late() -> None:
    async with line() as network:
        network.blow(chunk_bytes=1, delay_s=0.0001, jitter_s=0.0001)
        assert await say(network, b"slowly") == b"slowly"


async def test_a_flipped_bit_is_one_bit() -> None:
    async with line(seed=4) as network:
        network.blow(flip_probability=1.0)
        heard = await say(network, b"\x00" * 64)
        assert len(heard) == 64
        assert 1 <= sum(byte.bit_count() for byte in heard) <= 4


async def test_chance_cuts_some_connections_and_equal_seeds_cut_the_same() -> None:
    async def fates(seed: int) -> list[bool]:
        async with line(seed) as network:
            network.blow(cut_probability=0.3)
            return [await say(network, b"x") == b"x" for _ in range(20)]

    first = await fates(1)
    assert True in first
    assert False in first
    assert await fates(1) == first


async def test_a_far_end_that_is_gone_breaks_the_connection() -> None:
    async with Network("127.0.0.1", 1) as network, asyncio.timeout(BOUND_S):
        assert await say(network, b"anybody?") == b""
