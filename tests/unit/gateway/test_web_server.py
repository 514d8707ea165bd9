"""The HTTP server: bounded connections, a deadline for a request's head, and signals left alone."""

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from upstream_certificates import Authority

from gateway.web import server as module
from gateway.web.server import ApiServer, BoundedProtocol, listen

BOUND_S = 60.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Opener = Callable[[int], ApiServer]


gate: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
async def _a_gate() -> None:
    """An event belongs to the loop of the test that waits for it."""
    gate["/slow"] = asyncio.Event()


LARGE = b"x" * 16 * 1024 * 1024


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(LARGE))]})
        await send({"type": "http.response.body", "body": LARGE})
        return
    if scope["path"] == "/slow":
        await gate["/slow"].wait()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def opened() -> AsyncIterator[Opener]:
    servers: list[ApiServer] = []

    def open_one(connections_max: int) -> ApiServer:
        made = ApiServer(app, listen("127.0.0.1", 0), connections_max=connections_max, certificate=None, key=None)
        made.start()
        servers.append(made)
        return made

    yield open_one
    for one in servers:
        await one.stop()


Connector = Callable[[ApiServer], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
async def connect(opened: Opener) -> AsyncIterator[Connector]:
    """Connections that are gone before their server is."""
    made: list[asyncio.StreamWriter] = []

    async def connect_one(server: ApiServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = server.address.rpartition(":")
        async with asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection(host, int(port))
        made.append(writer)
        return reader, writer

    yield connect_one
    for writer in made:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The first line of an answer; empty when the server hung up."""
    async with asyncio.timeout(BOUND_S):
        try:
            return await reader.readline()
        except ConnectionResetError:
            return b""


async def test_a_request_is_answered(opened: Opener, connect: Connector) -> None:
    reader, writer = await connect(opened(5))
    writer.write(REQUEST)
    assert b"204" in await answer(reader)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["silent", "half a head"])
async def test_who_does_not_send_a_whole_head_in_time_is_hung_up_on(
    said: bytes, opened: Opener, connect: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_HEAD_S", 0.05)
    reader, writer = await connect(opened(5))
    writer.write(said)
    assert await answer(reader) == b""


async def test_at_the_limit_the_longest_silent_one_makes_room(opened: Opener, connect: Connector) -> None:
    server = opened(3)
    crowd = [await connect(server) for _ in range(3)]
    reader, writer = await connect(server)
    writer.write(REQUEST)
    assert b"204" in await answer(reader)
    assert await answer(crowd[0][0]) == b""
    assert server.places.refused == 1
    crowd[2][1].write(REQUEST)
    assert b"204" in await answer(crowd[2][0])


async def test_when_all_places_are_busy_a_new_one_is_refused_and_the_old_are_served(
    opened: Opener, connect: Connector
) -> None:
    server = opened(2)
    busy = [await connect(server) for _ in range(2)]
    for _, writer in busy:
        writer.write(REQUEST.replace(b"GET /", b"GET /slow"))
    async with asyncio.timeout(BOUND_S):
        while server.places._owing:
            await asyncio.sleep(0)
    reader, _ = await connect(server)
    assert await answer(reader) == b""
    gate["/slow"].set()
    for old_reader, _ in busy:
        assert b"204" in await answer(old_reader)


async def test_who_had_an_answer_and_stays_makes_room_too(opened: Opener, connect: Connector) -> None:
    server = opened(2)
    idle = [await connect(server) for _ in range(2)]
    for reader, writer in idle:
        writer.write(REQUEST)
        assert b"204" in await answer(reader)
    reader, writer = await connect(server)
    writer.write(REQUEST)
    assert b"204" in await answer(reader)
    assert idle


async def test_who_asks_again_on_its_connection_is_not_the_one_that_makes_room(
    opened: Opener, connect: Connector
) -> None:
    """A handheld keeps its connection; its second scan is on its way to disk when a newcomer needs a place."""
    server = opened(2)
    busy, idle = await connect(server), await connect(server)
    for reader, writer in (busy, idle):
        writer.write(REQUEST)
        assert b"204" in await answer(reader)
        assert await answer(reader) == b"\r\n"
    busy[1].write(REQUEST.replace(b"GET /", b"GET /slow"))
    async with asyncio.timeout(BOUND_S):
        while len(server.places._owing) > 1:
            await asyncio.sleep(0)
    reader, writer = await connect(server)
    writer.write(REQUEST)
    assert b"204" in await answer(reader)
    assert await answer(idle[0]) == b"", "the one that asks nothing made room"
    gate["/slow"].set()
    assert b"204" in await answer(busy[0])


async def test_half_a_head_after_a_whole_request_has_a_deadline_too(
    opened: Opener, connect: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await connect(opened(5))
    writer.write(REQUEST)
    assert b"204" in await answer(reader)
    assert await answer(reader) == b"\r\n"
    monkeypatch.setattr(module, "REQUEST_HEAD_S", 0.05)
    writer.write(b"GET / HTTP/1.1\r\nHost: loc")
    assert await answer(reader) == b""


async def test_a_request_that_waits_behind_another_is_under_way_after_it(opened: Opener, connect: Connector) -> None:
    server = opened(1)
    reader, writer = await connect(server)
    writer.write(REQUEST + REQUEST.replace(b"GET /", b"GET /slow"))
    assert b"204" in await answer(reader)
    newcomer, _ = await connect(server)
    assert await answer(newcomer) == b"", "no room: the only place is busy"
    gate["/slow"].set()
    assert await answer(reader) == b"\r\n"
    assert b"204" in await answer(reader)


async def test_what_is_no_http_is_answered_and_told_under_a_name_with_its_sender(
    opened: Opener, connect: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn's own line had neither: nobody could count it, limit it or find who it was."""
    reader, writer = await connect(opened(5))
    writer.write(b"\x16\x03\x01 a greeting in TLS\r\n\r\n")
    async with asyncio.timeout(BOUND_S):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    ours = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert ours == ["request_unreadable client=127.0.0.1"]


async def test_the_server_leaves_signals_to_the_daemon(opened: Opener, connect: Connector) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    reader, writer = await connect(opened(5))
    writer.write(REQUEST)
    await answer(reader)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged(
    opened: Opener, connect: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handheld that keeps its connection waited 40 ms longer for each answer than one that made a new one."""
    options = []

    def seen(self: BoundedProtocol, transport: asyncio.Transport) -> None:
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)  # type: ignore[arg-type]

    made = BoundedProtocol.connection_made
    monkeypatch.setattr(BoundedProtocol, "connection_made", seen)
    reader, writer = await connect(opened(5))
    writer.write(REQUEST)
    await answer(reader)
    assert options
    assert all(options)


async def test_a_crowd_at_the_door_is_let_in_a_few_a_turn(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of strangers a second cost each scan the time in which all that waited were accepted."""
    made = 0

    def seen(self: BoundedProtocol, transport: asyncio.Transport) -> None:
        nonlocal made
        made += 1
        connection_made(self, transport)  # type: ignore[arg-type]

    connection_made = BoundedProtocol.connection_made
    monkeypatch.setattr(BoundedProtocol, "connection_made", seen)
    server = opened(200)
    async with asyncio.timeout(BOUND_S):
        while not server._server.started:
            await asyncio.sleep(0)
        host, _, port = server.address.rpartition(":")
        crowd = [socket.create_connection((host, int(port))) for _ in range(100)]
        most = before = 0
        while made < len(crowd):
            await asyncio.sleep(0)
            most, before = max(most, made - before), made
    assert most <= module.ACCEPTED_MAX
    for one in crowd:
        one.close()


async def test_answers_that_nobody_takes_do_not_fill_the_memory(opened: Opener, connect: Connector) -> None:
    """Two hundred readers who asked for large answers and read none took more than the service may have."""
    server = opened(10)
    made = [await connect(server) for _ in range(6)]
    for reader, writer in made:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REQUEST.replace(b"/", b"/large", 1))
    async with asyncio.timeout(BOUND_S):
        while server.places.refused < 4:
            await asyncio.sleep(0.01)
    assert sum(one.untaken for one in server.places._open) <= module.UNTAKEN_BYTES_MAX
    reader, writer = await connect(server)
    writer.write(REQUEST)
    assert (await answer(reader)).startswith(b"HTTP/1.1 204")


async def test_a_large_answer_that_is_taken_comes_whole(opened: Opener, connect: Connector) -> None:
    reader, writer = await connect(opened(5))
    writer.write(REQUEST.replace(b"/", b"/large", 1))
    async with asyncio.timeout(BOUND_S):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(LARGE)) == LARGE


async def test_a_server_that_never_started_lets_its_port_go() -> None:
    listener = listen("127.0.0.1", 0)
    server = ApiServer(app, listener, connections_max=5, certificate=None, key=None)
    await server.stop()
    assert listener.fileno() == -1


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        module.server_tls(tmp_path / "no.pem", tmp_path / "no.key")


async def subject_shown(server: ApiServer, authority: Authority) -> str:
    """Return the common name of the certificate a new connection is shown."""
    host, _, port = server.address.rpartition(":")
    context = ssl.create_default_context(cafile=authority.certificate)
    async with asyncio.timeout(BOUND_S):
        _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    return str(dict(pair for part in subject for pair in part)["commonName"])


async def test_a_renewed_certificate_is_shown_without_a_restart_and_half_a_one_changes_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    old, new = authority.sign("old"), authority.sign("new")
    certificate, key = tmp_path / "gateway.pem", tmp_path / "gateway.key"

    def put(files: tuple[Path, Path]) -> None:
        for source, target in zip(files, (certificate, key), strict=True):
            shutil.copy(source, target)

    put(old)
    server = ApiServer(app, listen("127.0.0.1", 0), connections_max=9, certificate=certificate, key=key)
    server.start()
    try:
        assert await subject_shown(server, authority) == "old"
        shutil.copy(new[0], certificate)
        with pytest.raises(ssl.SSLError):
            server.renew()
        server.renew()  # complained of once
        assert await subject_shown(server, authority) == "old"
        put(new)
        assert server.renew()
        assert not server.renew(), "nothing has changed"
        key.chmod(0o640)
        assert server.renew(), "given to whom it was not readable before"
        assert await subject_shown(server, authority) == "new"
        key.unlink()
        with pytest.raises(OSError):
            server.renew()
        assert await subject_shown(server, authority) == "new"
    finally:
        await server.stop()
