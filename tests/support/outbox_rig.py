"""An outbox to test: clocks that stand still, threads or none, ways to damage the file and to fail the disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from buffer import Draft, Limits, Outbox, OutboxError, Redelivery, StateRow
from buffer.writer import Writer

SOURCE = "//dc07/dock-pc-1"
MIB = 1024 * 1024
SMALL = Limits(disk_reserve_bytes=0)
"""Defaults, but happy on any disk."""


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Rig:
    """One folder, its clocks, its threads."""

    def __init__(self, folder: Path, *, inline: bool = False) -> None:
        self.folder = folder
        self.wall_ms = 1_790_000_000_000
        self.monotonic_s = 1000.0
        self.fatal: list[OutboxError] = []
        self.epochs = 0
        self.executor: Executor = InlineExecutor() if inline else ThreadPoolExecutor(1, "outbox-writer")
        self.reader: Executor = InlineExecutor() if inline else ThreadPoolExecutor(2, "outbox-reader")

    async def open(self, *, source: str = SOURCE, limits: Limits = SMALL) -> Outbox:
        return await Outbox.open(
            self.folder,
            source=source,
            limits=limits,
            executor=self.executor,
            reader=self.reader,
            wall=lambda: self.wall_ms,
            monotonic=lambda: self.monotonic_s,
            new_epoch=self.new_epoch,
            on_fatal=self.fatal.append,
        )

    def new_epoch(self) -> str:
        self.epochs += 1
        return f"e{self.epochs}"

    def advance(self, *, hours: float = 0, seconds: float = 0) -> None:
        """Move monotonic and wall time on."""
        self.monotonic_s += hours * 3600 + seconds
        self.wall_ms += int((hours * 3600 + seconds) * 1000)

    def tamper(self, *statements: str) -> None:
        """Change the file behind the outbox's back."""
        connection = sqlite3.connect(self.folder / "outbox.db", isolation_level=None, timeout=5)
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()

    def zero_page(self, number: int) -> None:
        """Lose a page on the disk: it reads back as zeros."""
        descriptor = os.open(self.folder / "outbox.db", os.O_RDWR)
        os.pwrite(descriptor, bytes(4096), (number - 1) * 4096)
        os.close(descriptor)

    def query(self, sql: str) -> list[Any]:
        """Ask the file, past the outbox."""
        connection = sqlite3.connect(f"file:{self.folder / 'outbox.db'}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def shutdown(self) -> None:
        self.executor.shutdown(wait=True)
        self.reader.shutdown(wait=True)


def draft(number: int, *, payload: bytes | None = None, **columns: Any) -> Draft:
    """Return the draft of scan `number`."""
    values: dict[str, Any] = {
        "id": f"01890000-0000-7000-8000-{number:012d}",
        "type": "dockline.receipt.v1",
        "station": "dock-3",
        "device": "dock-3-scanner",
        "captured_at": 1_790_000_000_000 + number,
        "payload": b'{"specversion":"1.0","n":%d}' % number if payload is None else payload,
    }
    return Draft(**{**values, **columns})


def drafts(first: int, count: int, *, size: int | None = None) -> list[Draft]:
    payload = None if size is None else b"x" * size
    return [draft(number, payload=payload) for number in range(first, first + count)]


def redelivery(number: int, device: str = "hh-7") -> Redelivery:
    return Redelivery(device, f"{device}-{number:06d}", b"f%d" % number, b"v%d" % number)


def state(**rows: bytes | None) -> list[StateRow]:
    return [StateRow(key, value) for key, value in rows.items()]


def writer_of(outbox: Outbox) -> Writer:
    """Return the writer inside an outbox, to fail its disk."""
    return outbox._opened.writer


class FailingConnection:
    """A connection whose statements fail when a test says so."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self.statements: list[str] = []
        self.fail_on: Callable[[str], sqlite3.Error | None] = lambda _sql: None

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._check(sql)
        return self._real.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        self._check(sql)
        return self._real.executemany(sql, parameters)

    def _check(self, sql: str) -> None:
        self.statements.append(sql)
        error = self.fail_on(sql)
        if error is not None:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def fail_disk(outbox: Outbox) -> FailingConnection:
    """Put a failing connection under the writer and return it."""
    writer = writer_of(outbox)
    failing = FailingConnection(writer.connection)
    writer.connection = failing  # type: ignore[assignment]
    return failing


def sqlite_error(code: int, text: str = "disk I/O error") -> sqlite3.OperationalError:
    """Return the error SQLite raises with this code."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = text
    return error


async def pages_left(outbox: Outbox, pages: int | None) -> None:
    """Let the file grow by so many pages only: then SQLITE_FULL, as on a full disk. None lifts it."""

    def limit(writer: Writer) -> None:
        (count,) = writer.connection.execute("PRAGMA page_count").fetchone()
        target = 1_073_741_823 if pages is None else count + pages
        writer.connection.execute(f"PRAGMA max_page_count = {target}").fetchone()

    await outbox._group.submit(limit, writes=False)
