"""Names are looked up beside everything else."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.names import NameLoop

BOUND_S = 60.0
ROOT = Path(__file__).parents[3]


class DeadNameServer:
    """Answers nobody until told to; counts who asks."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers = threading.Event()
        self.error: Exception | None = None

    def getaddrinfo(self, *asked: Any) -> list[Any]:
        self.asked.append(asked[0])
        self.answers.wait(BOUND_S)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", asked[1]))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadNameServer]:
    dead = DeadNameServer()
    monkeypatch.setattr("gateway.names.socket.getaddrinfo", dead.getaddrinfo)
    yield dead
    dead.answers.set()


def run(course: Any) -> None:
    with asyncio.Runner(loop_factory=NameLoop) as runner:
        runner.run(asyncio.wait_for(course, BOUND_S))


async def asked(server: DeadNameServer, count: int) -> None:
    while len(server.asked) < count:
        await asyncio.sleep(0)


def test_names_that_hang_leave_the_threads_to_others(server: DeadNameServer) -> None:
    """Forty upstreams behind a dead name server; a serial port is opened and a password verified all the same."""

    async def course() -> None:
        loop = asyncio.get_running_loop()
        hanging = [asyncio.ensure_future(loop.getaddrinfo(f"c{number}.example", 443)) for number in range(40)]
        try:
            await asked(server, 40)
            assert await loop.run_in_executor(None, lambda: "opened") == "opened"
        finally:
            server.answers.set()
        found = await asyncio.gather(*hanging)
        assert found[7][0][4] == ("192.0.2.7", 443)

    run(course())


def test_who_asks_for_the_same_name_shares_one_look_up(server: DeadNameServer) -> None:
    """A request gives up after seconds, the system after half a minute: threads must not pile up behind one name."""

    async def course() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(5):
            waiting = asyncio.ensure_future(loop.getaddrinfo("wms.example", 443))
            await asked(server, 1)
            waiting.cancel()
            await asyncio.wait([waiting])
        last = asyncio.ensure_future(loop.getaddrinfo("wms.example", 443))
        await asyncio.sleep(0)
        server.answers.set()
        assert (await last)[0][4] == ("192.0.2.7", 443)
        assert server.asked == ["wms.example"]
        await loop.getaddrinfo("wms.example", 443)
        assert len(server.asked) == 2, "an old answer is not kept"

    run(course())


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_exist_is_an_error_each_time(server: DeadNameServer, error: Exception) -> None:
    server.error = error
    server.answers.set()

    async def course() -> None:
        for _ in range(2):
            with pytest.raises(type(error)):
                await asyncio.get_running_loop().getaddrinfo("nowhere.example", 443)

    run(course())


def test_a_look_up_that_gets_no_thread_is_an_error_and_the_next_one_a_new_attempt(
    server: DeadNameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a limit of threads (TasksMax=) everybody would join a look-up that never ends."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def course() -> None:
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as scarce:
            scarce.setattr(threading.Thread, "start", refuse)
            for _ in range(2):
                with pytest.raises(OSError, match="thread"):
                    await loop.getaddrinfo("wms.example", 443)
        server.answers.set()
        assert (await loop.getaddrinfo("wms.example", 443))[0][4] == ("192.0.2.7", 443)

    run(course())


def test_nobody_waits_for_a_name_at_the_end() -> None:
    """`systemctl stop` while the name server is dead: the process ends."""
    program = """
import asyncio, socket, threading
from gateway.names import NameLoop
begun = threading.Event()
def hang(*_):
    begun.set()
    threading.Event().wait()
socket.getaddrinfo = hang
async def course():
    asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo("wms.example", 443))
    while not begun.is_set():
        await asyncio.sleep(0)
with asyncio.Runner(loop_factory=NameLoop) as runner:
    runner.run(course())
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=True
    )
    assert done.stdout == "ended\n"
    assert done.stderr == ""
