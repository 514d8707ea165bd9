"""How a command that works for a while is ended from outside: Ctrl-C, SIGTERM, a terminal that is closed.

    run_until_stopped      run a coroutine; whichever of the three comes, it is cancelled and may clear away

The demo and the bench have a gateway as a child, and simulated scanners have names in a folder. A signal that ends the
process at once leaves both behind: a gateway that nobody knows of goes on taking scans.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` and return what it returns.

    Raises KeyboardInterrupt when it was stopped, by whichever signal: `work` was cancelled and has ended. A second
    signal does not wait for it. What the caller's shell ignores (`nohup`) stays ignored.
    """
    stopped = False

    async def watch() -> T:
        nonlocal stopped
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            nonlocal stopped
            if stopped:
                raise KeyboardInterrupt
            stopped = True
            # What libraries complain of while everything is cancelled is no news.
            loop.set_exception_handler(lambda *_: None)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop)
        return await work

    try:
        return asyncio.run(watch())
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise
