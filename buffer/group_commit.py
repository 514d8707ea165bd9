"""Many callers, one flush.

Appends and jobs queue in the order of the calls. The writer thread takes everything that queued during its last commit,
commits it, and reports to the event loop once (`call_soon_threadsafe`), where all futures of the commit are resolved
together. A lone list is committed at once; lists that follow each other closely share a commit, because waking the
writer costs more than writing and every flush wears the disk. The shortest time between the starts of two small commits
is `commit_linger_s`; a list that has found company waits a fifth of it, and a crowd does not wait at all. A job may say
how long it can wait for company: a settle that rides with the next scan needs no flush of its own.

When a commit fails, the writer stops until the event loop has heard of it. There, in one step, everything queued behind
it fails too and `failures` grows: whoever built its drafts on state of the failed commit must reload before the next
append, and can tell by comparing that number. A full disk then goes on; an unknown commit ends the outbox for good:
after a failed flush the kernel may have dropped the pages, so a second flush that succeeds would be a lie.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any

from buffer.digest import EntryRow
from buffer.entry import Draft, Redelivery, StateRow
from buffer.errors import CommitUnknown, DraftRefused, OutboxError, OutboxFull
from buffer.limits import ENTRY_OVERHEAD_BYTES, Limits
from buffer.writer import Append, Item, Job, OnKnown, Outcome, Writer

LINGER_ENTRIES_MAX = 64
"""With this many entries waiting a commit is worth its flush: nothing lingers."""

COMPANY_ENTRIES = 2
"""With this many entries waiting a flush is shared, and may begin after `COMPANY_SHARE` of the linger. At two hundred
scans a second this saves every second flush; at a thousand, where company comes soon anyway, the short wait counts."""

COMPANY_SHARE = 0.2


class GroupCommit:
    """The queue in front of the writer thread. Its methods belong to the event loop."""

    def __init__(
        self,
        writer: Writer,
        executor: Executor,
        *,
        limits: Limits,
        on_commit: Callable[[Sequence[EntryRow]], None],
        on_refused: Callable[[OutboxFull], None],
        on_fatal: Callable[[OutboxError], None],
    ) -> None:
        """`executor` has one thread (or runs inline, in a simulation)."""
        self._writer = writer
        self._executor = executor
        self._limits = limits
        self._on_commit = on_commit
        self._on_refused = on_refused
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._queue: list[Item] = []
        self._writing: Sequence[Item] = []
        self._queued_entries = 0
        self._queued_bytes = 0
        self._busy = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_at = 0.0
        self._last_start = -1.0
        self._has_written = False
        self.fatal: OutboxError | None = None
        self.failures = 0
        """How many commits failed; grows before the futures of the failed commit are resolved."""

    def append(
        self,
        drafts: Sequence[Draft],
        state: Sequence[StateRow],
        redeliveries: Sequence[Redelivery],
        on_known: OnKnown | None = None,
    ) -> asyncio.Future[None]:
        """Queue a list; the future resolves after its commit. Raises OutboxFull when too much is queued.

        `on_known` is called when the future is resolved, not a turn of the loop later; it must not raise.
        """
        self.require_known()
        entries = len(drafts)
        size = sum([len(draft.payload) for draft in drafts]) + entries * ENTRY_OVERHEAD_BYTES
        if self._queue and (
            self._queued_entries + entries > self._limits.queue_entries_max
            or self._queued_bytes + size > self._limits.queue_bytes_max
        ):
            raise OutboxFull("the disk is too slow: too much waits to be written", hint="check the disk")
        future: asyncio.Future[None] = self._loop.create_future()
        self._put(Append(drafts, state, redeliveries, future, size, on_known), entries, size)
        return future

    def submit(
        self, run: Callable[[Writer], Any], *, writes: bool = True, patience_s: float = 0.0
    ) -> asyncio.Future[Any]:
        """Queue a job behind everything queued so far; the future has its result after its commit.

        `patience_s` is how long it may wait for an append to share a commit with.
        """
        self.require_known()
        future: asyncio.Future[Any] = self._loop.create_future()
        # Whoever waited may have been cancelled; the loop would then log the refusal of a full disk as a fault of ours.
        future.add_done_callback(_look)
        self._put(Job(run, future, writes), 0, 0, patience_s)
        return future

    def require_known(self) -> None:
        """Return while it is known what is on disk; raises CommitUnknown ever after it was not."""
        if self.fatal is not None:
            raise _copy(self.fatal)

    @property
    def queued_bytes(self) -> int:
        """About how many bytes wait to be written."""
        return self._queued_bytes

    async def drained(self) -> None:
        """Return when everything queued so far is settled. Raises CommitUnknown."""
        await self.submit(Writer.check, writes=False)

    def _put(self, item: Item, entries: int, size: int, patience_s: float = 0.0) -> None:
        with self._lock:
            self._queue.append(item)
            self._queued_entries += entries
            self._queued_bytes += size
            is_busy = self._busy
        if not is_busy:
            self._kick_within(patience_s)

    def _kick_within(self, patience_s: float) -> None:
        """Have the writer started after the linger, or after `patience_s` when that is longer."""
        now = self._loop.time()
        wait_s = max(self._last_start + self._linger_s() - now, patience_s)
        if self._queued_entries >= LINGER_ENTRIES_MAX:
            wait_s = 0.0
        if self._timer is not None:
            if self._timer_at <= now + wait_s:
                return
            self._timer.cancel()
        self._timer_at = now + max(wait_s, 0.0)
        if wait_s > 0:
            self._timer = self._loop.call_later(wait_s, self._kick)
        else:
            self._timer = self._loop.call_soon(self._kick)

    def _linger_s(self) -> float:
        """How long after the last commit began the next one may begin, by how much waits."""
        share = COMPANY_SHARE if self._queued_entries >= COMPANY_ENTRIES else 1.0
        return self._limits.commit_linger_s * share

    def _kick(self) -> None:
        self._timer = None
        with self._lock:
            if self._busy or not self._queue:
                return
            self._busy = True
        self._last_start = self._loop.time()
        self._start(self._write)

    def _start(self, work: Callable[[], None]) -> None:
        self._executor.submit(work).add_done_callback(self._ended)

    def _ended(self, work: Future[None]) -> None:
        """A writer that stopped for a reason nobody foresaw must not leave callers waiting. Any thread."""
        error = None if work.cancelled() else work.exception()
        if error is not None:
            unknown = CommitUnknown(f"the writer stopped: {error!r}")
            unknown.__cause__ = error
            self._loop.call_soon_threadsafe(self._failed, self._writing, unknown)

    def _write(self) -> None:
        """Commit what is queued, and group after group while many wait. The writer thread."""
        while items := self._take():
            self._writing = items
            try:
                outcomes = self._writer.commit(items)
            except OutboxError as error:
                self._loop.call_soon_threadsafe(self._failed, items, error)
                return
            self._writing = []
            self._has_written = True
            self._loop.call_soon_threadsafe(self._settled, outcomes, self._writer.sealed)
            try:
                self._writer.checkpoint_if_due()
            except OutboxError as error:
                self._loop.call_soon_threadsafe(self._failed, [], error)
                return

    def _take(self) -> list[Item]:
        with self._lock:
            queue = self._queue
            if not queue:
                self._busy = self._has_written = False
                return []
            if self._has_written and self._queued_entries < LINGER_ENTRIES_MAX and self._limits.commit_linger_s > 0:
                # A few stragglers: the event loop starts the next commit when it is due.
                self._busy = self._has_written = False
                self._loop.call_soon_threadsafe(self._kick_within, 0.0)
                return []
            if self._queued_entries <= self._limits.commit_entries_max:
                self._queue = []
                self._queued_entries = self._queued_bytes = 0
                return queue
            count = entries = 0
            for item in queue:
                if isinstance(item, Append):
                    if count and entries + len(item.drafts) > self._limits.commit_entries_max:
                        break
                    entries += len(item.drafts)
                    self._queued_bytes -= item.size_bytes
                count += 1
            self._queued_entries -= entries
            self._queue = queue[count:]
            return queue[:count]

    def _settled(self, outcomes: Sequence[Outcome], sealed: Sequence[EntryRow]) -> None:
        """Resolve every future of a commit, after telling which entries it brought. The event loop."""
        self._on_commit(sealed)
        for item, result, error in outcomes:
            if isinstance(item, Append) and item.on_known is not None:
                item.on_known(None)
            if item.future.done():
                continue
            if error is None:
                item.future.set_result(result)
            else:
                item.future.set_exception(error)

    def _failed(self, items: Sequence[Item], error: OutboxError) -> None:
        """Fail the commit and everything queued behind it. The event loop; the writer waits for this."""
        is_fatal = not isinstance(error, OutboxFull | DraftRefused)
        if is_fatal:
            self.fatal = error if isinstance(error, CommitUnknown) else CommitUnknown(str(error), hint=error.hint)
        with self._lock:
            behind, self._queue = self._queue, []
            self._queued_entries = self._queued_bytes = 0
        everything = [*items, *behind]
        # A settle is no promise to a device, and it is how a full outbox empties: it gets a commit of its own.
        jobs = [] if is_fatal else [item for item in everything if isinstance(item, Job)]
        self.failures += 1
        for item in everything:
            if isinstance(item, Job) and not is_fatal:
                continue
            if not item.future.done():
                item.future.set_exception(_copy(self.fatal or error))
            if isinstance(item, Append) and item.on_known is not None:
                _look(item.future)  # who is told needs no future, and the loop would miss somebody who looks at it
                item.on_known(_copy(self.fatal or error))
        if isinstance(error, OutboxFull):
            self._on_refused(error)
        if is_fatal:
            self._on_fatal(error)
            return
        self._start(partial(self._write_jobs, jobs))

    def _write_jobs(self, jobs: Sequence[Job]) -> None:
        """Commit what the failed commit had beside its appends, then go on. The writer thread."""
        # What the log holds can often be moved into the file, which leaves the log's space for the settles.
        with suppress(OutboxFull):
            self._writer.checkpoint("PASSIVE")
        # Those that only look come last, as they were queued to see the others done; a full disk does not concern them.
        for part in ([job for job in jobs if job.writes], [job for job in jobs if not job.writes]):
            if part and not self._write_part(part):
                return
        self._write()

    def _write_part(self, jobs: Sequence[Job]) -> bool:
        """Commit jobs by themselves; returns False when nothing may be written any more. The writer thread."""
        self._writing = jobs
        try:
            outcomes = self._commit_part(jobs)
        except (OutboxFull, DraftRefused) as error:
            self._loop.call_soon_threadsafe(self._settled, [(job, None, _copy(error)) for job in jobs], [])
        except OutboxError as error:
            self._loop.call_soon_threadsafe(self._failed, jobs, error)
            return False
        else:
            self._loop.call_soon_threadsafe(self._settled, outcomes, self._writer.sealed)
        return True

    def _commit_part(self, jobs: Sequence[Job]) -> list[Outcome]:
        writer = self._writer
        try:
            return writer.commit(jobs)
        except OutboxFull:
            if writer.spare.release():
                with suppress(OutboxFull):
                    return writer.commit(jobs)  # in the room that was set aside for this
        # Erasing what has left takes many times the room of a position that moves, and can wait; the position cannot.
        return writer.commit(jobs, keeps_house=False)


def _look(future: asyncio.Future[Any]) -> None:
    """Take note of an outcome, so that it counts as seen."""
    if not future.cancelled():
        future.exception()


def _copy(error: OutboxError) -> OutboxError:
    """Return an equal error: one raised by many tasks would collect all their tracebacks."""
    copy = type(error)(str(error), hint=error.hint)
    copy.__cause__ = error.__cause__
    return copy
