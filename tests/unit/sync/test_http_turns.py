"""An answer in very many pieces: scans have their turn in between, and no server goes on for ever."""

import asyncio

import pytest

from sync.http_address import read_address
from sync.http_connections import Connections, _Connection
from sync.http_exchange import BrokenConnection, NotHttp, Request

PIECES = 5000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MANY_CHUNKS = CHUNKED + b"1\r\n \r\n" * PIECES + b"0\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Turns(asyncio.Protocol):
    """A server that says everything at once and counts the turns of the loop until it is left."""

    def __init__(self, said: bytes, *, closes: bool) -> None:
        self._said = said
        self._closes = closes
        self.gone = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(self._said)
        if self._closes:
            self._transport.close()


async def ask(said: bytes, *, closes: bool = False) -> tuple[int, bytes, int]:
    """Return status, body, and how often the loop turned meanwhile."""
    loop = asyncio.get_running_loop()
    talker = Turns(said, closes=closes)
    server = await loop.create_server(lambda: talker, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    connections = Connections(connect_timeout_s=30)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = loop.create_task(count())
    try:
        answer = await connections.exchange(Request("POST", url, body=b"[]"))
        return answer.status, answer.body, turns
    finally:
        counting.cancel()
        connections.close()
        server.close()
        async with asyncio.timeout(60):
            await talker.gone


@pytest.mark.parametrize("closes", [False, True])
async def test_an_answer_in_chunks_of_one_byte_leaves_turns_to_others(closes: bool) -> None:
    status, body, turns = await ask(MANY_CHUNKS, closes=closes)
    assert (status, body) == (200, b" " * PIECES)
    assert turns > PIECES // 100


async def test_a_few_interim_answers_are_passed_over() -> None:
    assert (await ask(INTERIM * 90 + OK))[:2] == (200, b"ok")


async def test_interim_answers_without_end_are_no_answer() -> None:
    with pytest.raises(NotHttp):
        await ask(INTERIM * 1000 + OK)


class Wire(asyncio.Transport):
    """A socket that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 1

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_came_before_the_end_is_read_although_the_socket_is_gone(is_whole: bool) -> None:
    """TLS may tell of the end while the answer still waits for its turns."""
    connection = _Connection()
    connection.connection_made(Wire())
    request = Request("POST", "http://127.0.0.1/", body=b"[]")
    asking = asyncio.ensure_future(connection.exchange(request, read_address(request.url)))
    await asyncio.sleep(0)
    connection.data_received(MANY_CHUNKS if is_whole else MANY_CHUNKS[:-5])
    connection.connection_lost(None)
    if is_whole:
        assert (await asking).body == b" " * PIECES
    else:
        with pytest.raises(BrokenConnection):
            await asking
