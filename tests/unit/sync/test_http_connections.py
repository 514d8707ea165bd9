"""Connections to a web server that behaves well, oddly and badly: an answer, or a reason why there is none."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sync import http_connections
from sync.http_connections import Connections
from sync.http_exchange import BrokenConnection, NoConnection, NotHttp, Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A web server that does what a test says, connection by connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.connections = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._gone = asyncio.Condition()
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await self.left()

    async def hang_up(self) -> None:
        """End every connection."""
        for writer in self._open.values():
            writer.transport.abort()

    def url(self, path: str = "/v1/events") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def left(self) -> None:
        """Return when every client has closed its connection."""
        async with asyncio.timeout(60), self._gone:
            await self._gone.wait_for(lambda: not self._open)

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Read one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        length = [line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length")]
        self.bodies.append(await reader.readexactly(int(length[0])) if length else b"")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._behaviour(reader, writer)
            await reader.read(-1)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        del self._open[task]
        async with self._gone:
            self._gone.notify_all()


def saying(*answers: bytes, then_closes: bool = False) -> Behaviour:
    """To the first request the first answer, to the second the second; the last one for ever."""

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(100):
            await SERVER[0].take(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            if then_closes:
                await writer.drain()
                writer.close()
                return

    return behaviour


SERVER: list[Server] = []


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[tuple[Server, Connections]]:
    async with Server(behaviour) as server:
        SERVER[:] = [server]
        connections = Connections(idle_max=2, connect_timeout_s=30)
        try:
            yield server, connections
        finally:
            connections.close()


def asked(server: Server, method: str = "POST", body: bytes = b"[]", **more: object) -> Request:
    return Request(method, server.url(), {"Accept": "application/json"}, body, **more)  # type: ignore[arg-type]


async def test_one_connection_serves_request_after_request() -> None:
    async with serving(saying(OK)) as (server, connections):
        for number in range(5):
            answer = await connections.exchange(asked(server, body=b"[%d]" % number))
            assert (answer.status, answer.body) == (200, b"ok")
        assert server.connections == 1
        assert server.bodies == [b"[%d]" % number for number in range(5)]


async def test_an_answer_says_that_it_came_before_the_request_was_through() -> None:
    """A server that answers by the head alone: what it was still to be sent it cannot have taken."""

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(OK)

    async with serving(hasty) as (server, connections):
        answer = await connections.exchange(asked(server, body=b"x" * 32_000_000))
        assert (answer.status, answer.came_early) == (200, True)
        await server.hang_up()
    async with serving(saying(OK)) as (server, connections):
        for size in (2, 100_000, 32_000_000):
            answer = await connections.exchange(asked(server, body=b"x" * size))
            assert (answer.status, answer.came_early) == (200, False)


async def test_whoever_waits_hears_of_every_piece_of_an_answer() -> None:
    heard = asyncio.Event()

    async def piece_by_piece(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SERVER[0].take(reader)
        for piece in (OK[:20], OK[20:-1], OK[-1:]):
            heard.clear()
            writer.write(piece)
            async with asyncio.timeout(60):
                await heard.wait()
        await SERVER[0].take(reader)
        writer.write(OK)

    async with serving(piece_by_piece) as (server, connections):
        assert (await connections.exchange(asked(server, on_bytes=heard.set))).body == b"ok"
        heard.clear()
        await connections.exchange(asked(server))
        assert not heard.is_set(), "of the next answer somebody else is told"


async def test_a_request_says_where_it_goes_and_how_long_it_is() -> None:
    async with serving(saying(OK)) as (server, connections):
        await connections.exchange(Request("POST", server.url("/a b/ü?x=1&y=%2F"), {"X-One": "1"}, b"body"))
        await connections.exchange(Request("GET", f"http://localhost:{server.port}"))
        await connections.exchange(Request("POST", server.url()))
        first, second, third = (head.split("\r\n") for head in server.heads)
        assert first[0] == "POST /a%20b/%C3%BC?x=1&y=%2F HTTP/1.1"
        assert first[1:4] == [f"Host: 127.0.0.1:{server.port}", "X-One: 1", "Content-Length: 4"]
        assert second[0] == "GET / HTTP/1.1"
        assert second[1] == f"Host: localhost:{server.port}"
        assert "Content-Length: 0" in third


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"a"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["chunks", "hints", "continue", "nothing"],
)
async def test_however_an_answer_is_cut_it_is_whole_and_the_connection_goes_on(said: bytes, body: bytes) -> None:
    async with serving(saying(said)) as (server, connections):
        for _ in range(2):
            assert (await connections.exchange(asked(server))).body == body
        assert server.connections == 1


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"],
)
async def test_an_answer_may_end_with_the_connection(said: bytes) -> None:
    async with serving(saying(said, then_closes=True)) as (server, connections):
        for _ in range(2):
            assert (await connections.exchange(asked(server))).body == b"until the end"
        assert server.connections == 2


async def test_headers_are_told_in_lower_case_and_repeated_ones_joined() -> None:
    said = b"HTTP/1.1 200 OK\r\nRetry-After: 3\r\nVary: a\r\nVARY: b\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(said)) as (server, connections):
        headers = (await connections.exchange(asked(server))).headers
        assert headers["retry-after"] == "3"
        assert headers["vary"] == "a, b"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", BrokenConnection),
        (b"HTTP/1.1 200 OK\r\nContent-Len", BrokenConnection),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", BrokenConnection),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", BrokenConnection),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NotHttp),
        (b"\x15\x03\x03\x00\x02\x02\x16", NotHttp),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", NotHttp),
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk", "ssh", "tls", "endless head", "two lengths"],
)
async def test_half_an_answer_or_none_is_a_broken_connection(said: bytes, kind: type[BrokenConnection]) -> None:
    async with serving(saying(said, then_closes=True)) as (server, connections):
        with pytest.raises(BrokenConnection) as caught:
            await connections.exchange(asked(server))
        assert type(caught.value) is kind
        await server.left()


async def test_a_server_that_hung_up_meanwhile_is_connected_to_anew() -> None:
    """It ended an idle connection, as all do; a request on that would be lost, and be trouble where there is none."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SERVER[0].take(reader)
        writer.write(OK)
        await writer.drain()
        writer.transport.abort()

    async with serving(once) as (server, connections):
        for _ in range(20):
            assert (await connections.exchange(asked(server))).status == 200
        assert server.connections == 20


@pytest.mark.parametrize(
    ("status", "is_left"),
    [*((one, True) for one in (302, 401, 404, 421, 500, 503, 511)), *((one, False) for one in (400, 413, 422, 429))],
)
async def test_who_does_not_serve_us_is_left_and_who_refuses_what_was_sent_is_not(status: int, is_left: bool) -> None:
    """A server out of service keeps its connection open and says 503; the name leads to its successor by now. But who
    looks for one bad event in a batch is refused a dozen times in a row."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await SERVER[0].take(reader)
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status)

    async with serving(refuse) as (server, connections):
        for _ in range(3):
            assert (await connections.exchange(asked(server))).status == status
        assert server.connections == (3 if is_left else 1)


async def test_a_request_that_crosses_the_end_of_an_idle_connection_is_made_on_a_new_one() -> None:
    """A proxy ends what was quiet for a few seconds just as the next event leaves: no trouble, and no alarm."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SERVER[0].take(reader)
        writer.write(OK)
        await SERVER[0].take(reader)
        writer.transport.abort()

    async with serving(once) as (server, connections):
        for number in range(3):
            assert (await connections.exchange(asked(server, body=b"[%d]" % number))).status == 200
        assert server.connections == 3
        assert server.bodies == [b"[0]", b"[1]", b"[1]", b"[2]", b"[2]"]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["not a word", "half an answer"])
async def test_there_is_no_second_attempt_when_the_server_had_begun_or_the_connection_was_new(said: bytes) -> None:
    async with serving(saying(*([OK] if said else []), said, then_closes=not said)) as (server, connections):
        if said:
            await connections.exchange(asked(server))
        hung_up = asyncio.ensure_future(connections.exchange(asked(server)))
        async with asyncio.timeout(60):
            while len(server.bodies) < 1 + bool(said):
                await asyncio.sleep(0)
        await server.hang_up()
        with pytest.raises(BrokenConnection):
            await hung_up
        assert (server.connections, len(server.bodies)) == (1, 1 + bool(said))


async def test_a_silent_connection_takes_the_idle_ones_beside_it_along() -> None:
    """The route changed and all four are dead: they are not waited for one after the other."""
    both_here, is_dead = asyncio.Barrier(2), False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = SERVER[0].connections
        while True:
            await SERVER[0].take(reader)
            if number <= 2 and not is_dead:
                await both_here.wait()
            if number > 2 or not is_dead:
                writer.write(OK)

    async with serving(serve) as (server, connections):
        await asyncio.gather(*(connections.exchange(asked(server)) for _ in range(2)))
        is_dead = True
        waiting = asyncio.ensure_future(connections.exchange(asked(server)))
        async with asyncio.timeout(60):
            while len(server.bodies) < 3:
                await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(60):
            assert (await connections.exchange(asked(server))).status == 200
        assert server.connections == 3


async def test_what_a_server_says_unasked_ends_the_connection() -> None:
    """An answer to nobody must not become the answer to the next request."""
    async with serving(saying(OK + OK, OK)) as (server, connections):
        assert (await connections.exchange(asked(server))).status == 200
        assert (await connections.exchange(asked(server))).status == 200
        assert server.connections == 2


async def test_an_answer_that_came_before_the_question_is_not_taken_for_one() -> None:
    stale = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"
    hurry = asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SERVER[0].take(reader)
        writer.write(OK)
        await hurry.wait()
        writer.write(stale if SERVER[0].connections == 1 else OK)

    async with serving(twice) as (server, connections):
        await connections.exchange(asked(server))
        hurry.set()
        await server.left()
        assert (await connections.exchange(asked(server))).body == b"ok"
        assert server.connections == 2


async def test_a_refusal_of_a_body_that_is_still_on_its_way_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(refuse) as (server, connections):
        answer = await connections.exchange(asked(server, body=b"x" * 30_000_000))
        assert answer.status == 413
        await server.left()


async def test_a_large_answer_is_cut_where_it_was_said_and_the_connection_ends() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000
    async with serving(saying(said)) as (server, connections):
        answer = await connections.exchange(asked(server, answer_bytes_max=1_000))
        assert answer.is_cut
        assert len(answer.body) == 1_001
        await server.left()


async def test_who_gives_up_waiting_leaves_no_connection_behind() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SERVER[0].take(reader)

    async with serving(silent) as (server, connections):
        waiting = asyncio.ensure_future(connections.exchange(asked(server)))
        async with asyncio.timeout(60):
            while not server.heads:
                await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.left()


async def test_several_at_once_have_a_connection_each_and_as_many_stay_as_may() -> None:
    all_here = asyncio.Barrier(4)

    async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            await SERVER[0].take(reader)
            if len(SERVER[0].heads) <= 4:
                await all_here.wait()
            writer.write(OK)

    async with serving(together) as (server, connections):
        answers = await asyncio.gather(*(connections.exchange(asked(server)) for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        await connections.exchange(asked(server))
        await connections.exchange(asked(server))
        assert server.connections == 4


async def test_a_connection_that_was_idle_for_long_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as (server, connections):
        for expected in (1, 1, 2):
            await connections.exchange(asked(server))
            assert server.connections == expected
            if expected == 1 and len(server.heads) == 2:
                monkeypatch.setattr(http_connections, "KEEPALIVE_S", -1.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://nowhere.invalid/",
        "http://" + "a" * 70 + ".example/",
        "http:///nowhere",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/\ud800",
        "http://127.0.0.1/?\ud800",
    ],
)
async def test_who_cannot_be_reached_is_no_connection(url: str) -> None:
    with pytest.raises(NoConnection):
        await Connections(connect_timeout_s=60).exchange(Request("GET", url))


async def test_a_server_without_tls_is_no_connection_for_https() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with serving(plain) as (server, _):
        with pytest.raises(NoConnection) as caught:
            await Connections(connect_timeout_s=60).exchange(Request("GET", server.url().replace("http:", "https:")))
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_a_handshake_nobody_answers_ends_in_time() -> None:
    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with serving(mute) as (server, _):
        with pytest.raises(NoConnection):
            await Connections(connect_timeout_s=0.2).exchange(Request("GET", server.url().replace("http:", "https:")))
        await server.left()
