"""The outbox: what was emitted survives.

One SQLite file holds the entries, what explains them, how far each upstream is, and what people did. `append` is the
promise: when its future resolves the entries are on disk, numbered without gaps, linked into the chain. Everything that
writes goes through one queue to one thread (`group_commit`, `writer`); whatever reads uses read-only connections.

The event loop owns this object. Some lookups are synchronous because they stand between two scans of one device
(`redeliveries`, `states`, `annex`); they use a read-only connection of their own and see committed rows only.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self, TypeVar

from buffer import delivery, inspection, memory, quarantine
from buffer.answers import Answers
from buffer.connection import DATABASE_NAME, fault_of
from buffer.digest import EntryRow
from buffer.entry import Draft, Entry, Redelivery, StateRow
from buffer.epochs import EpochDesk
from buffer.errors import CommitUnknown, OutboxClosed, OutboxDamaged, OutboxError, OutboxFull
from buffer.exposure import Exposure
from buffer.forecast import Forecast
from buffer.group_commit import GroupCommit
from buffer.ledger import ChainHead
from buffer.limits import Limits
from buffer.newest import Newest
from buffer.opening import Opened, abandon_files, close_files, open_files
from buffer.reader import OutboxReader
from buffer.stats import OutboxStats, take_stats
from buffer.tail import Tail
from buffer.verify import Verification
from buffer.writer import OnKnown, Writer

P = ParamSpec("P")
T = TypeVar("T")

ROOM_ASK_S = 0.5
"""How often, at most, refused appends make the writer look for room."""

ROOM_CHUNKS = 8
"""Chunks of delivered entries removed by one look for room; between two looks settles get their turn."""


class Outbox(EpochDesk):
    """An open outbox."""

    def __init__(
        self,
        opened: Opened,
        *,
        limits: Limits,
        executor: Executor,
        reader: Executor,
        monotonic: Callable[[], float],
        new_epoch: Callable[[], str],
        on_fatal: Callable[[OutboxError], None],
    ) -> None:
        """Use `Outbox.open`."""
        self.source = opened.epochs[-1].source
        """CloudEvents source of everything captured now; the epoch is its last segment. `begin_epoch` changes it."""
        self._new_epoch = new_epoch
        self._opened = opened
        self._limits = limits
        self._executor = executor
        self._reader_executor = reader
        self._monotonic = monotonic
        self._room = opened.room
        self._closed = False
        self._newest = Newest(*opened.writer.committed_head)
        self._exposure = Exposure(self._newest.seq)
        self._answers = Answers(opened.quick)
        self._tail = Tail(limits.tail_bytes_max, partial(quarantine.held_through, opened.quick))
        self._forecast = Forecast(opened.marks)
        self._forecast.observe(opened.clock.now_ms(), self._newest.seq)
        self._room_asked_s: float | None = None
        self._on_fatal = on_fatal
        self._is_fatal = False
        self._group = GroupCommit(
            opened.writer,
            executor,
            limits=limits,
            on_commit=self._committed,
            on_refused=self._refused,
            on_fatal=self._fatal,
        )

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        source: str,
        limits: Limits,
        executor: Executor,
        reader: Executor,
        wall: Callable[[], int],
        monotonic: Callable[[], float],
        new_epoch: Callable[[], str],
        on_fatal: Callable[[OutboxError], None],
    ) -> Self:
        """Open or create the outbox of a folder and return when a commit in it is durable.

        `source` is `//<site>/<gateway>`; the epoch is added. `executor` has one thread and writes, `reader` reads.
        `wall` gives milliseconds since 1970 UTC, `monotonic` seconds. `on_fatal` is called once, in the event loop,
        when it is unknown what a commit stored, or when damage was met: acknowledge nothing and exit. A damaged outbox
        is salvaged here; `incidents` then tells of it.

        Raises OutboxLocked, SchemaNewer, NotDurable, OutboxDamaged, OutboxFull (no room to open), CommitUnknown.
        """
        work = partial(
            open_files, folder, source=source, limits=limits, wall=wall, monotonic=monotonic, new_epoch=new_epoch
        )
        opened = await asyncio.get_running_loop().run_in_executor(executor, work)
        return cls(
            opened,
            limits=limits,
            executor=executor,
            reader=reader,
            monotonic=monotonic,
            new_epoch=new_epoch,
            on_fatal=on_fatal,
        )

    async def close(self, deadline_s: float) -> None:
        """Take no more, commit what is queued, and end in order; returns when everything is let go.

        Raises TimeoutError when the queue could not be committed in time, OutboxError when the end failed. The next
        open then finds what a crash would have left.
        """
        if self._closed:
            return
        self._closed = True
        self._newest.let_go()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline_s):
                await self._group.drained()  # on TimeoutError the lock stays: the writer thread may still be writing
        except CommitUnknown:
            pass  # whoever waited for it has been told
        end = close_files if self._group.fatal is None else abandon_files
        await loop.run_in_executor(self._executor, end, self._opened)

    # -- intake

    @property
    def failed_commits(self) -> int:
        """How many commits failed. It grows before the futures of the failed commit are resolved.

        Whoever keeps uncommitted effects in memory reloads them (`states`) when it sees this number change, before it
        builds the next append: everything queued in between has failed as well.
        """
        return self._group.failures

    @property
    def full_reason(self) -> str | None:
        """Why appends are refused now; None while they are not."""
        return self._room.full_reason

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        state: Sequence[StateRow] = (),
        redeliveries: Sequence[Redelivery] = (),
        on_known: OnKnown | None = None,
    ) -> asyncio.Future[None]:
        """Queue entries and the rows that explain them; the future resolves when they are on disk, all or none.

        The order of calls is the order of seq. The future raises OutboxFull or DraftRefused (nothing of it was stored),
        CommitUnknown (it is unknown). Raises OutboxFull at once at the reserve mark. Cancelling the future undoes
        nothing. Without drafts it is a commit of context only. `on_known` is called, in the order of the calls, at the
        moment the future is resolved (done callbacks run a turn of the loop later); it must not raise.
        """
        if self._closed:
            raise OutboxClosed
        if self._room.full_reason is not None:
            self._ask_for_room()
            raise OutboxFull(self._room.full_reason, hint="restore the upstream, or free space on the disk")
        try:
            self._answers.queued(redeliveries)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        future = self._group.append(drafts, state, redeliveries, on_known)
        if self._room.bytes_left() < self._group.queued_bytes:
            self._room.full_reason = "what is queued already fills the outbox"
            self._ask_for_room()
        return future

    def redeliveries(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Redelivery]:
        """Return the answers that (device, message id) pairs were given within the window, in committed rows only.

        An answer whose row was damaged comes as `is_damaged`; that it was forgotten is on its way to the incidents.
        """
        self._group.require_known()  # an old answer is an acknowledgement too, and the file it is in may be gone
        after_ms = self._opened.clock.now_ms() - self._limits.redelivery_window_ms
        try:
            known = self._answers.recall(keys, after_ms)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        if damaged := [key for key, answer in known.items() if answer.is_damaged]:
            self._forget((), damaged)
        return known

    # -- delivery

    async def register(self, upstream: str, *, required: bool, start: Literal["now", "retained"]) -> None:
        """Give an upstream a position: after the newest entry, or before the oldest one kept. A known one keeps its."""
        await self._write(delivery.register, upstream, required=required, retained=start == "retained")

    async def cursor(self, upstream: str) -> int:
        """Return the seq up to which an upstream is settled. Raises UpstreamUnknown."""
        return await self._read(self._opened.reader.cursor, upstream)

    async def head(self, upstream: str, *, after: int, count_max: int, bytes_max: int) -> list[Entry]:
        """Return entries with seq above `after`, in order and checked against their digests; at least one if any is.

        What cannot be delivered as itself comes as a gap entry (`gap_reason`; `gap_first` when it is a run). A row
        found damaged is in quarantine when this returns.
        """
        entries = self._kept(upstream, after=after, count_max=count_max, bytes_max=bytes_max)
        if entries:
            return await self._expose(entries)
        read = await self._read(
            self._opened.reader.head, upstream, after=after, count_max=count_max, bytes_max=bytes_max
        )
        if read.newly_damaged:
            await self._write(quarantine.admit_damaged, upstream, read.newly_damaged)
        return await self._expose(read.entries)

    async def settle(
        self,
        upstream: str,
        *,
        through: int,
        rejected: Sequence[tuple[int, str]] = (),
        untold: Sequence[int] = (),
        owner: str = "",
        patience_s: float = 0.0,
    ) -> None:
        """Move the cursor to `through` and put `rejected` (seq, reason) in quarantine, in one transaction.

        The gap records of `untold` were refused. `patience_s`: how long this may wait for a commit made anyway; a late
        cursor loses nothing. Raises UpstreamUnknown, ValueError for a position behind the cursor or past the head.
        """
        work = partial(
            delivery.settle, upstream=upstream, through=through, rejected=rejected, untold=untold, owner=owner
        )
        await self._submit(work, patience_s=patience_s, quarantines=bool(rejected))

    @property
    def newest(self) -> int:
        """The newest seq on disk."""
        return self._newest.seq

    async def appended(self, after: int) -> None:
        """Return when an entry with a seq above `after` is committed. Cancelled when the outbox closes."""
        if self._closed and self._newest.seq <= after:
            raise OutboxClosed
        await self._newest.beyond(after)

    async def note(self, row: StateRow) -> None:
        """Keep a row of a delivery; returns when it is on disk. Not refused at the mark: delivering makes room."""
        await self._submit(lambda writer: writer.put_state([row]))

    async def look_through(self) -> None:
        """Look at the whole structure of the file, which a start has no time for; damage is fatal (`on_fatal`)."""
        path = self._opened.folder / DATABASE_NAME
        problem = await self._read(inspection.look_through, path, lambda: self._closed)
        if problem is not None:
            self._fatal(OutboxDamaged(problem, hint="the next start salvages the outbox"))

    async def head_of_chain(self) -> ChainHead:
        """Return the newest link of the journal that is on disk."""
        if self._closed:
            raise OutboxClosed
        newest = self._newest
        return ChainHead(self.source_of(newest.seq), newest.seq, newest.chain.hex())

    async def verify(self) -> Verification:
        """Prove the whole journal, on a connection of its own: minutes on a large outbox."""
        return await self._read(self._verify)

    async def alive(self) -> None:
        """Return when the writer thread has answered and the files are still there. Needs no commit and no network."""
        await self._group.submit(Writer.check, writes=False)

    def stats(self) -> OutboxStats:
        """Return how full the outbox is."""
        try:
            return take_stats(
                self._opened.quick,
                limits=self._limits,
                room=self._room,
                forecast=self._forecast,
                operating_ms=self._opened.clock.now_ms(),
                failed_commits=self._group.failures,
            )
        except sqlite3.Error as error:
            raise self._fault(error) from error

    # -- within

    def _verify(self) -> Verification:
        with closing(OutboxReader.open(self._opened.folder)) as reader:
            return reader.verify()

    async def _write(self, run: Callable[..., T], *arguments: Any, **options: Any) -> T:
        return await self._submit(lambda writer: run(writer, *arguments, **options))

    async def _submit(self, run: Callable[[Writer], T], *, patience_s: float = 0.0, quarantines: bool = True) -> T:
        """`quarantines`: it may change what is in quarantine, so no upstream is read from memory meanwhile."""
        if self._closed:
            raise OutboxClosed
        future: asyncio.Future[T] = self._group.submit(run, patience_s=patience_s)
        if quarantines:
            self._tail.write_began(future)
        # Shielded: whoever stops waiting for a settle must not be able to stop the settle.
        return await asyncio.shield(future)

    def _kept(self, upstream: str, *, after: int, count_max: int, bytes_max: int) -> list[Entry]:
        """Return what is next for an upstream from memory; empty when the file has to be asked."""
        # A full outbox leaves out what an optional upstream does not have, which only the file tells.
        if self._closed or self._is_fatal or self._room.level == "full":
            return []
        try:
            return self._tail.behind(upstream, after, count_max=count_max, bytes_max=bytes_max)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    async def _read(self, run: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        if self._closed:
            raise OutboxClosed
        work = partial(run, *arguments, **options)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader_executor, work)
        except OutboxDamaged as error:
            self._fatal(error)
            raise

    def _fatal(self, error: OutboxError) -> None:
        """The outbox cannot go on. Damage is noted first, so that the next start salvages without looking for it."""
        if self._is_fatal:
            return
        self._is_fatal = True
        if isinstance(error, OutboxDamaged):
            with suppress(OutboxError):
                inspection.leave_wish(self._opened.folder, str(error))
        self._on_fatal(error)

    def _require_open(self) -> None:
        if self._closed:
            raise OutboxClosed
        self._group.require_known()

    def _forget(self, states: Sequence[str], answers: Sequence[tuple[str, str]]) -> None:
        if self._group.fatal is None and not self._closed:
            self._group.submit(partial(memory.forget, states=states, answers=answers))

    def _fault(self, error: sqlite3.Error) -> OutboxError:
        """Return what an error of a lookup means; damage ends the run."""
        fault = fault_of(error)
        if isinstance(fault, OutboxDamaged):
            self._fatal(fault)
        return fault

    def _committed(self, sealed: Sequence[EntryRow]) -> None:
        """A commit with these entries is on disk. The event loop, before its futures are resolved."""
        if sealed:
            self._tail.extend(sealed)
            self._newest.move(sealed[-1][0], sealed[-1][-1])
        self._forecast.observe(self._opened.clock.now_ms(), self._newest.seq)

    def _refused(self, error: OutboxFull) -> None:
        """The disk refused a commit."""
        self._room.refused(str(error))

    def _ask_for_room(self) -> None:
        """Have the writer measure again and make room, now and then while appends are refused."""
        now_s = self._monotonic()
        if self._room_asked_s is not None and now_s - self._room_asked_s < ROOM_ASK_S:
            return
        self._room_asked_s = now_s
        self._make_room()

    def _make_room(self) -> None:
        if self._closed or self._group.fatal is not None:
            return
        self._group.submit(lambda writer: writer.purge_chunks(ROOM_CHUNKS)).add_done_callback(self._made_room)

    def _made_room(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is None and done.result() and self._room.full_reason is not None:
            self._make_room()
