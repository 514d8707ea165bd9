"""A name with several addresses: the one that takes connections and says nothing is not the only one that is asked."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from sync.http_connections import Connections
from sync.http_exchange import Request

NAMES = ("127.0.0.1", "127.0.0.2")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Host:
    """One of the servers of a name."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = 0
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"[]")
                self.asked += 1
                writer.write(self.answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def cluster(monkeypatch: pytest.MonkeyPatch, *hosts: Host) -> Any:
    """Servers at one port of several addresses, all of them called `centre.example`."""
    loop = asyncio.get_running_loop()
    servers = [await asyncio.start_server(hosts[0].serve, NAMES[0], 0)]
    port = servers[0].sockets[0].getsockname()[1]
    servers += [
        await asyncio.start_server(host.serve, name, port) for host, name in zip(hosts[1:], NAMES[1:], strict=False)
    ]

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        assert host == "centre.example"
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, port)) for name in NAMES[: len(hosts)]
        ]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    connections = Connections(connect_timeout_s=30)

    async def ask(patience_s: float = 0.2) -> int:
        async with asyncio.timeout(patience_s):
            request = Request("POST", f"http://centre.example:{port}/", body=b"[]")
            return (await connections.exchange(request)).status

    try:
        yield ask
    finally:
        connections.close()
        for server in servers:
            server.close()
        if left := [task for host in hosts for task in host.serving]:
            await asyncio.wait(left, timeout=60)


async def test_the_second_is_asked_when_the_first_takes_connections_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mute, good = Host(b""), Host(OK)
    async with cluster(monkeypatch, mute, good) as ask:
        with pytest.raises(TimeoutError):
            await ask()
        assert [await ask(60), await ask(60)] == [200, 200]
        assert (mute.asked, good.asked) == (1, 2)


async def test_after_the_last_the_first_has_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Host(b""), Host(b"")
    async with cluster(monkeypatch, first, second) as ask:
        for _ in range(4):
            with pytest.raises(TimeoutError):
                await ask()
        assert (first.asked, second.asked) == (2, 2)
        first.answer = OK
        assert await ask(60) == 200


async def test_one_that_answers_slowly_once_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had served on this connection: it is busy, and not another machine's fault."""
    busy, other = Host(OK), Host(OK)
    async with cluster(monkeypatch, busy, other) as ask:
        assert await ask(60) == 200
        busy.answer = b""
        with pytest.raises(TimeoutError):
            await ask()
        busy.answer = OK
        assert await ask(60) == 200
        assert (busy.asked, other.asked) == (3, 0)


async def test_a_name_with_one_address_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Host(b"")
    async with cluster(monkeypatch, only) as ask:
        with pytest.raises(TimeoutError):
            await ask()
        only.answer = OK
        assert await ask(60) == 200
