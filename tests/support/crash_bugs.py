"""The gateway with one bug planted that only a power cut shows, to prove that the judge of power cuts can see.

python crash_bugs.py BUG run --config FILE
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from planted_gateway import acknowledge_first

sys.path.insert(0, str(Path(__file__).parents[2]))

import buffer
from buffer import Outbox, connection, opening, retention, salvage, writer
from buffer.entry import Accepted
from sync.pump import Pump
from sync.replay import Replay


def no_flush_of_a_commit() -> None:
    """synchronous = NORMAL: commits are flushed when the log is, now and then."""
    really = connection.configure_writer

    def configure(one: sqlite3.Connection) -> None:
        really(one)
        one.execute("PRAGMA synchronous = NORMAL")

    connection.configure_writer = configure


def answers_in_another_commit() -> None:
    """The events are stored, and a little later the answers that explain them."""
    really = Outbox.append

    def append(
        self: Outbox, drafts: Sequence[Any], *, state: Sequence[Any] = (), redeliveries: Sequence[Any] = (), **rest: Any
    ) -> asyncio.Future[None]:
        done = really(self, drafts, state=state, **rest)
        if redeliveries:
            done.add_done_callback(lambda _: really(self, (), redeliveries=redeliveries))
        return done

    Outbox.append = append  # type: ignore[method-assign,assignment]


def settle_first() -> None:
    """The cursor moves when a batch is sent, not when it is answered."""
    really = Pump._attempt

    async def attempt(self: Pump, batch: Any) -> Any:
        await self._outbox.settle(self._name, through=batch.last)
        return await really(self, batch)

    Pump._attempt = attempt  # type: ignore[method-assign]


def replay_counts_first() -> None:
    """A replay notes what it sends as taken before it sends it."""
    really = Replay._send

    async def attempt(self: Replay, entries: Sequence[Any]) -> Any:
        before = self.state
        await self._keep(entries, [Accepted()] * len(entries))
        self.state = before
        return await really(self, entries)

    Replay._send = attempt  # type: ignore[method-assign]


def no_flush_of_a_checkpoint() -> None:
    """The log is written over before what it held is safe in the file."""
    writer.CHECKPOINT_BYTES = 300_000
    really = writer.Writer.checkpoint

    def checkpoint(self: writer.Writer, mode: str) -> None:
        self.connection.execute("PRAGMA synchronous = OFF")
        really(self, mode)
        self.connection.execute("PRAGMA synchronous = FULL")

    writer.Writer.checkpoint = checkpoint  # type: ignore[method-assign]


def no_flush_of_names() -> None:
    """The folder is not flushed while a salvage moves its files."""
    really = salvage._sync
    salvage._sync = lambda path: None if path.is_dir() else really(path)


def no_flush_of_the_salvaged_file() -> None:
    """The new file gets its name before its content is safe."""
    really = salvage._sync
    salvage._sync = lambda path: really(path) if path.is_dir() else None


def no_flush_of_a_backup() -> None:
    """A backup gets its name before its content is safe."""
    really, really_open = buffer.snapshot.__globals__["sync_file"], buffer.snapshot.__globals__["open_reader"]

    def open_reader(path: Path) -> sqlite3.Connection:
        one: sqlite3.Connection = really_open(path)
        one.execute("PRAGMA synchronous = OFF")
        return one

    for name in ("buffer.backup", "buffer.snapshot"):
        vars(sys.modules[name]).update(
            sync_file=lambda path: really(path) if path.is_dir() else None, open_reader=open_reader
        )


def restore_over_the_outbox() -> None:
    """The backup is written where the outbox is, without a name of its own first."""

    def over(folder: Path, copy: Path, **_: Any) -> buffer.Restored:
        head = buffer.present(folder)
        assert head is not None
        (folder / "outbox.db").write_bytes(copy.read_bytes())
        return buffer.Restored(head.head, "")

    buffer.restore = over


def migrate_in_pieces() -> None:
    """Every statement of a migration is a transaction of its own."""
    really = opening.migrate

    class Pieces:
        def __init__(self, one: sqlite3.Connection) -> None:
            self._one = one

        def executescript(self, script: str) -> None:
            self._one.executescript(script.replace("BEGIN IMMEDIATE;", "").replace("COMMIT;", ""))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._one, name)

    opening.migrate = lambda one: really(Pieces(one))  # type: ignore[assignment,arg-type]


def erase_what_is_owed() -> None:
    """Retention does not ask whether the centre has it."""
    retention.settled_through = lambda *_, **__: 2**60  # type: ignore[assignment]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__.replace("_", "-"): bug
    for bug in (
        no_flush_of_a_commit,
        acknowledge_first,
        answers_in_another_commit,
        settle_first,
        replay_counts_first,
        no_flush_of_a_checkpoint,
        no_flush_of_names,
        no_flush_of_the_salvaged_file,
        migrate_in_pieces,
        no_flush_of_a_backup,
        restore_over_the_outbox,
        erase_what_is_owed,
    )
}


if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    from gateway.__main__ import main

    main()
