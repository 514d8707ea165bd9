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
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

START_S = 1_000.0
CLOCK_RESOLUTION_S = 1e-7
TURN_S_MAX = 24 * 3600.0
CANCELLED_AMONG, CANCELLED_SHARE = 100, 0.5
"""When the base class clears its queue of timers that were cancelled."""
PRUNE_TASKS = 2_000


_new: Any = object.__new__
_copy_context = contextvars.copy_context


class Mortal(Protocol):
    """What the loop and the network ask of a life."""

    is_dead: bool
    tasks: list[asyncio.Task[Any]]


LIFE: contextvars.ContextVar[Mortal | None] = contextvars.ContextVar("life", default=None)
"""The process that the running code belongs to; None is the world outside."""


class NothingLeftToDo(Exception):
    """Everybody waits and no timer is set: a deadlock of the simulated site."""


class Soon(asyncio.Handle):
    """A callback that is due. Filled by `VirtualLoop.call_soon`: a call of its own for each would be felt."""

    __slots__ = ()


class Later(asyncio.TimerHandle):
    """A callback with a time; stands in the queue behind its time, so that comparing two costs no call."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __lt__(self, other: object) -> bool:
        return False  # of equal times; what the queue does then is what it did with handles alone

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop._timer_cancelled_count += 1


class VirtualLoop(asyncio.BaseEventLoop):
    """Use with `run`.

    A voyage is some twenty thousand turns and as many timers, so the turn is written out here: that of the base class,
    in the same order, without a selector, without debug mode, and without a call for each comparison of two timers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = START_S
        self._queue: list[tuple[float, Later]] = []
        self.net: Any = None
        """The `VirtualNet` that answers `create_server` and `create_connection`."""
        self.on_turn: Callable[[], None] | None = None
        """Called before each turn of the loop; a kill "at some await" counts turns."""
        self.set_task_factory(_make_task)
        # Both are asked for with every future: without a frame of Python, and never in debug mode.
        self.get_debug = bool  # type: ignore[method-assign]
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Soon:  # type: ignore[override]
        handle = _new(Soon)
        handle._context = _copy_context() if context is None else context
        handle._loop = self
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Later:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Later:
        handle = _new(Later)
        handle._context = _copy_context() if context is None else context
        handle._loop = self
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        handle._when = when
        handle._scheduled = True
        heappush(self._queue, (when, handle))
        return handle

    def close(self) -> None:
        self._queue.clear()
        super().close()

    def _run_once(self) -> None:
        """Make turns until somebody stops the loop: let time pass if nobody is ready, then call whoever is."""
        queue, ready = self._queue, self._ready
        while True:
            self._drop_cancelled(queue)
            if not ready and not self._stopping:
                if not queue:
                    raise NothingLeftToDo
                wait_s = queue[0][0] - self._now
                if wait_s > 0:
                    self._now += min(wait_s, TURN_S_MAX)
            if self.on_turn is not None:
                self.on_turn()
            end = self._now + CLOCK_RESOLUTION_S
            while queue and queue[0][0] < end:
                handle = heappop(queue)[1]
                handle._scheduled = False
                ready.append(handle)
            for _ in range(len(ready)):
                due = ready.popleft()
                if not due._cancelled:
                    try:
                        due._context.run(due._callback, *due._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self.call_exception_handler({"message": f"Exception in callback {due}", "exception": error})
            if self._stopping:
                return

    def _drop_cancelled(self, queue: list[tuple[float, Later]]) -> None:
        if len(queue) > CANCELLED_AMONG and self._timer_cancelled_count / len(queue) > CANCELLED_SHARE:
            for _, handle in queue:
                handle._scheduled = not handle._cancelled
            queue[:] = [one for one in queue if not one[1]._cancelled]
            heapify(queue)
            self._timer_cancelled_count = 0
            return
        while queue and queue[0][1]._cancelled:
            self._timer_cancelled_count -= 1
            heappop(queue)[1]._scheduled = False

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
