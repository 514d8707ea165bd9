"""An event loop whose time is a number.

Nothing waits: when no callback is ready, the clock jumps to the next timer. There is one thread, no file descriptor is
watched, and what would cross a socket goes through a `VirtualNet`. Timers with equal times run in the order in which
they were set, so that a run is decided by its seed alone.

A *life* is one process of the gateway. Tasks inherit the context variable `LIFE` from whoever made them, so that a kill
finds every task of the process it kills and none of the world around it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

START_S = 1_000.0
PRUNE_TASKS = 2_000


class Mortal(Protocol):
    """What the loop and the network ask of a life."""

    is_dead: bool
    tasks: list[asyncio.Task[Any]]


LIFE: contextvars.ContextVar[Mortal | None] = contextvars.ContextVar("life", default=None)
"""The process that the running code belongs to; None is the world outside."""


class NothingLeftToDo(Exception):
    """Everybody waits and no timer is set: a deadlock of the simulated site."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Use with `run`."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START_S
        self._selector = self
        self._clock_resolution = 1e-7
        self.net: Any = None
        """The `VirtualNet` that answers `create_server` and `create_connection`."""
        self.on_turn: Callable[[], None] | None = None
        """Called before each turn of the loop; a kill "at some await" counts turns."""
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Be the selector of the base class: instead of waiting, let the time pass."""
        if timeout is None:
            raise NothingLeftToDo
        if timeout > 0:
            self._now += timeout
        if self.on_turn is not None:
            self.on_turn()
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.net.listen(protocol_factory, port)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self.net.connect(protocol_factory, port)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **more)
    context = more.get("context")
    life = LIFE.get() if context is None else context.get(LIFE)
    if life is not None:
        if len(life.tasks) > PRUNE_TASKS:
            life.tasks[:] = [one for one in life.tasks if not one.done()]
        life.tasks.append(task)
    return task


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in a virtual loop of its own and bury what is left of it."""
    loop = VirtualLoop()
    loop.set_exception_handler(_complain)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        _bury(loop)
        loop.close()


def _bury(loop: VirtualLoop) -> None:
    """Cancel what still waits; give it some turns to let go."""
    for _ in range(5):
        left = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=lambda task: task.get_name())
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(_turns(loop))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]


async def _turns(loop: VirtualLoop) -> None:
    await asyncio.sleep(3.0)


complaints: list[str] = []
"""What asyncio's exception handler was told, of tasks that are not dead: the judge of a voyage reads it."""


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    complaints.append(f"{context.get('message')}: {context.get('exception')!r}")
