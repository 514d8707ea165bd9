"""The outbox, opened by a command because no daemon runs: the same lock, the same care, the same audit."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.cli.errors import EXIT_DISK, EXIT_NOT_ALLOWED, Failure

if TYPE_CHECKING:
    from buffer import Outbox

T = TypeVar("T")
CLOSE_S = 10.0
EXIT_IN_USE = 73


def with_outbox(config: Path, do: Callable[[Outbox], Awaitable[T]]) -> T:
    """Open the outbox of a configuration, do something with it and close it; returns when that is on disk.

    Raises Failure, also when a daemon has it open after all.
    """
    return asyncio.run(_with_outbox(config, do))


def actor() -> str:
    """Return who acts, for the audit."""
    return f"cli:{getpass.getuser()}"


async def _with_outbox(config: Path, do: Callable[[Outbox], Awaitable[T]]) -> T:
    from buffer import Outbox, OutboxError
    from buffer.errors import OutboxLocked
    from gateway.cli.problems import load_or_fail
    from gateway.cli.run import real_world
    from gateway.wiring import new_epoch, storage_limits

    settings = load_or_fail(config, must_run=False)
    folder, world = settings.storage.path, real_world()
    if not (folder / "outbox.db").exists():
        raise Failure(f"There is no outbox in {folder}.", hint="is [storage] path right? has the daemon run?")
    try:
        outbox = await Outbox.open(
            folder,
            source=f"//{settings.site.id}/{settings.site.gateway}",
            limits=storage_limits(settings),
            executor=world.writer,
            reader=world.reader,
            wall=world.wall,
            monotonic=world.monotonic,
            new_epoch=lambda: new_epoch(world),
            on_fatal=lambda _: None,
        )
    except OutboxLocked as error:
        hint = "a daemon has it open and does not answer; see its log"
        raise Failure(str(error), hint=hint, code=EXIT_IN_USE) from None
    except OutboxError as error:
        raise Failure(str(error), hint=error.hint, code=EXIT_DISK) from None
    except PermissionError as error:
        raise Failure(f"{folder}: {error.strerror}", hint="try sudo", code=EXIT_NOT_ALLOWED) from None
    try:
        return await do(outbox)
    except OutboxError as error:
        raise Failure(str(error), hint=error.hint) from None
    finally:
        await outbox.close(CLOSE_S)
