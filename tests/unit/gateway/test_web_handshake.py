"""TLS of the API: strangers who shake no hands have places and a deadline, and nothing beside."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from upstream_certificates import Authority

from gateway.web.server import ApiServer, listen

BOUND_S = 60.0
PLACES = 3


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the scheme."""
    body = str(scope["scheme"]).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> tuple[Path, Path]:
    return authority.sign("gateway")


@pytest.fixture
async def server(files: tuple[Path, Path]) -> AsyncIterator[ApiServer]:
    made = ApiServer(app, listen("127.0.0.1", 0), connections_max=PLACES, certificate=files[0], key=files[1])
    made.start()
    yield made
    async with asyncio.timeout(BOUND_S):
        await made.stop()


async def connect(
    server: ApiServer, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.address.rpartition(":")
    name = "localhost" if context is not None else None
    async with asyncio.timeout(BOUND_S):
        return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)


async def ask(server: ApiServer, authority: Authority) -> bytes:
    """Return the last line of the answer to a request over TLS."""
    reader, writer = await connect(server, ssl.create_default_context(cafile=authority.certificate))
    async with asyncio.timeout(BOUND_S):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n")[2]


async def is_hung_up_on(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(BOUND_S):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    return True


async def test_what_is_agreed_upon_is_served_as_https(server: ApiServer, authority: Authority) -> None:
    for _ in range(PLACES * 2):
        assert await ask(server, authority) == b"https"


async def test_a_crowd_that_never_shakes_hands_holds_no_more_than_the_places(
    server: ApiServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for whose in ("gateway.web.handshake.HANDSHAKE_S", "asyncio.constants.SSL_HANDSHAKE_TIMEOUT"):
        monkeypatch.setattr(whose, 600.0)  # nobody leaves by a deadline, ours or the loop's
    crowd = [await connect(server) for _ in range(PLACES * 4)]
    assert await ask(server, authority) == b"https"
    for reader, _ in crowd[: -PLACES + 1]:
        assert await is_hung_up_on(reader), "it made room"
    for _, writer in crowd:
        writer.close()


async def test_a_handshake_has_a_deadline(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.handshake.HANDSHAKE_S", 0.05)
    reader, writer = await connect(server)
    assert await is_hung_up_on(reader)
    writer.close()


async def test_who_speaks_no_tls_is_hung_up_on_and_leaves_its_place(server: ApiServer, authority: Authority) -> None:
    for _ in range(PLACES * 2):
        reader, writer = await connect(server)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(BOUND_S):
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in await reader.read()
        writer.close()
    assert await ask(server, authority) == b"https"


async def test_a_stop_waits_for_nobody_who_shakes_hands(files: tuple[Path, Path]) -> None:
    one = ApiServer(app, listen("127.0.0.1", 0), connections_max=PLACES, certificate=files[0], key=files[1])
    one.start()
    reader, writer = await connect(one)
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(BOUND_S):
        while not one.places._open:
            await asyncio.sleep(0)
        await one.stop()
    assert await is_hung_up_on(reader)
    writer.close()
