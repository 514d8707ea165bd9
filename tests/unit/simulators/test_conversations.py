"""What a simulated far end takes it also closes, however early it is broken off."""

import asyncio
import contextlib

from simulators.conversations import Conversations

BOUND_S = 60.0


class Pair:
    """Both ends of one connection on loopback, the taken one as a simulated far end holds it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer


async def taken() -> tuple[Pair, asyncio.StreamReader, asyncio.StreamWriter]:
    arrived: asyncio.Future[Pair] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *ends: arrived.set_result(Pair(*ends)), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    pair = await arrived
    server.close()
    return pair, reader, writer


async def test_a_connection_that_is_broken_before_its_first_turn_is_closed() -> None:
    """A driver connects in the moment in which its scanner is switched off."""
    pair, reader, writer = await taken()
    began = False

    async def talk() -> None:
        nonlocal began
        began = True
        await pair.reader.read()

    conversations = Conversations()
    conversations.begin(talk(), pair.writer)
    await conversations.end()
    assert not began
    assert pair.writer.transport.get_extra_info("socket").fileno() == -1
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_ends_with_its_talk() -> None:
    pair, reader, writer = await taken()

    async def talk() -> None:
        pair.writer.write(b"bye")
        await pair.writer.drain()

    conversations = Conversations()
    conversations.begin(talk(), pair.writer)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(BOUND_S):
            assert await reader.read() in (b"bye", b"")
    await conversations.end()
    assert pair.writer.transport.is_closing()
    writer.close()
