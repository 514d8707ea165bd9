"""The connections that a simulated far end serves at the moment.

Whoever takes connections makes a task of each. A task that is cancelled before its first turn never comes to its
`finally`, so closing the connection cannot be left to what runs in it: the socket would stay open until somebody
collects it, in the middle of another test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_ACCEPTING_TURNS: Final = 4
"""Turns of the loop until a connection that was accepted is known to whoever serves it."""


def stop_listening(server: asyncio.Server) -> None:
    """Accept nothing more; the port is free in the next turn of the loop.

    `Server.close` alone loses, in asyncio 3.11, a connection that was accepted in the same turn: nobody serves it and
    nobody closes it.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    loop.call_soon(server.close)


class Conversations:
    """Tasks, each with the connection that ends with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, talk: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
        """Serve a connection; however that ends, the connection is closed."""
        task = asyncio.get_running_loop().create_task(talk)
        self._tasks.add(task)

        def ended(_task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            writer.transport.abort()

        task.add_done_callback(ended)

    def cancel(self) -> None:
        """Break every one; they end in the next turns of the loop."""
        for task in self._tasks:
            task.cancel()

    async def end(self) -> None:
        """Break every one; return when all have ended and their sockets are closed."""
        self.cancel()
        for _turn in range(_ACCEPTING_TURNS):
            await asyncio.sleep(0)
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the turn that follows
