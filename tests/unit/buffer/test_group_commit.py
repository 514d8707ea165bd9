"""What happens when a commit fails."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace

import pytest
from outbox_rig import Rig, draft, drafts, fail_disk, pages_left, redelivery, sqlite_error, state, writer_of

from buffer import CommitUnknown, Draft, DraftRefused, Limits, Outbox, OutboxFull
from buffer.group_commit import COMPANY_SHARE, LINGER_ENTRIES_MAX


async def opened(rig: Rig, **limits: float) -> Outbox:
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=0, **limits))  # type: ignore[arg-type]
    await outbox.register("centre", required=True, start="now")
    return outbox


async def results(*futures: asyncio.Future[None]) -> list[type[BaseException] | None]:
    found = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 60)
    return [None if result is None else type(result) for result in found]


async def test_everything_queued_behind_a_failed_commit_fails_too(any_rig: Rig) -> None:
    """The session of the second scan was built on the first, which is not on disk: neither may be acknowledged."""
    outbox = await opened(any_rig, commit_entries_max=1)
    disk = fail_disk(outbox)
    failed_once = iter([sqlite_error(sqlite3.SQLITE_FULL)])
    disk.fail_on = lambda sql: next(failed_once, None) if sql == "COMMIT" else None
    futures = [outbox.append([draft(number)], state=state(n=b"%d" % number)) for number in range(1, 6)]
    assert await results(*futures) == [OutboxFull] * 5
    assert any_rig.query("SELECT count(*) FROM entry") == [(0,)]
    assert outbox.states() == []
    await outbox.close(5)


async def test_the_failure_is_countable_before_anyone_hears_of_it(any_rig: Rig) -> None:
    """Whoever builds the next append in the same turn of the loop sees the number first, and reloads its state."""
    outbox = await opened(any_rig)
    disk = fail_disk(outbox)
    failed_once = iter([sqlite_error(sqlite3.SQLITE_FULL)])
    disk.fail_on = lambda sql: next(failed_once, None) if sql == "COMMIT" else None
    seen: list[int] = []
    future = outbox.append([draft(1)])
    future.add_done_callback(lambda _: seen.append(outbox.failed_commits))
    assert await results(future) == [OutboxFull]
    assert seen == [1] == [outbox.failed_commits]
    await outbox.close(5)


async def test_an_io_error_ends_the_outbox(any_rig: Rig) -> None:
    """fdatasync says EIO once: nothing is acknowledged any more, nothing is flushed again, the daemon is told once."""
    outbox = await opened(any_rig, commit_entries_max=1)
    await outbox.append([draft(1)])
    disk = fail_disk(outbox)
    failed_once = iter([sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)])
    disk.fail_on = lambda sql: next(failed_once, None) if sql == "COMMIT" else None
    futures = [outbox.append([draft(number)]) for number in range(2, 5)]
    settle = asyncio.ensure_future(outbox.settle("centre", through=1))
    assert await results(*futures) == [CommitUnknown] * 3
    with pytest.raises(CommitUnknown):
        await settle
    assert disk.statements.count("COMMIT") == 1
    assert len(any_rig.fatal) == 1
    for again in (lambda: outbox.append([draft(9)]), lambda: outbox._group.submit(lambda _: None)):
        with pytest.raises(CommitUnknown):
            again()
    with pytest.raises(CommitUnknown):
        await outbox.alive()
    await outbox.close(5)
    assert not any("wal_checkpoint" in sql for sql in disk.statements)


async def test_after_an_unknown_commit_no_old_answer_is_given_again(any_rig: Rig) -> None:
    """A device says an old message again while the process is ending: it must not be acknowledged either. The file
    may be gone, and then the answer that is remembered is about an event that is gone with it."""
    outbox = await opened(any_rig)
    await outbox.append([draft(1)], redeliveries=[redelivery(1)])
    assert outbox.redeliveries([("hh-7", "hh-7-000001")])
    (any_rig.folder / "outbox.db").rename(any_rig.folder / "elsewhere.db")
    with pytest.raises(CommitUnknown):
        await outbox.alive()
    with pytest.raises(CommitUnknown):
        outbox.redeliveries([("hh-7", "hh-7-000001")])
    await outbox.close(5)


async def test_an_io_error_of_a_checkpoint_ends_the_outbox(any_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's automatic checkpoint would have swallowed it."""
    outbox = await opened(any_rig)
    disk = fail_disk(outbox)
    broken = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
    # Only once an entry was written: the writer may still be looking back at the commit of the registration.
    is_due = lambda: any(sql.startswith("INSERT INTO entry") for sql in disk.statements)  # noqa: E731
    disk.fail_on = lambda sql: broken if "wal_checkpoint" in sql and is_due() else None
    monkeypatch.setattr("buffer.writer.CHECKPOINT_BYTES", 0)
    await outbox.append([draft(1)])
    with pytest.raises(CommitUnknown):
        await outbox.append([draft(2)])
    assert len(any_rig.fatal) == 1
    await outbox.close(5)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY])
async def test_a_refusing_disk_refuses_and_recovers_by_itself(any_rig: Rig, code: int) -> None:
    """Disk full, remounted read-only, a database tool left open: no acknowledgement; an hour later it goes on."""
    outbox = await opened(any_rig)
    disk = fail_disk(outbox)
    disk.fail_on = lambda sql: sqlite_error(code) if sql.startswith("INSERT INTO entry") else None
    assert await results(outbox.append([draft(1)])) == [OutboxFull]
    assert any_rig.fatal == []
    with pytest.raises(OutboxFull):
        outbox.append([draft(2)])
    assert outbox.full_reason is not None
    disk.fail_on = lambda _sql: None
    any_rig.advance(seconds=2)
    with pytest.raises(OutboxFull):
        outbox.append([draft(2)])  # this one makes the writer look
    await outbox.alive()
    assert outbox.full_reason is None
    await outbox.append([draft(2)])
    assert any_rig.query("SELECT seq, id FROM entry") == [(1, draft(2).id)]
    await outbox.close(5)


async def test_a_full_disk_still_settles(any_rig: Rig) -> None:
    """The settle shared the commit of the scan that did not fit: the scan is refused, the settle holds."""
    outbox = await opened(any_rig)
    await outbox.append(drafts(1, 5))
    await pages_left(outbox, 0)
    refused = outbox.append(drafts(6, 100, size=1000))
    await outbox.settle("centre", through=3)
    assert await results(refused) == [OutboxFull]
    assert await outbox.cursor("centre") == 3
    await pages_left(outbox, None)
    await outbox.close(5)


@pytest.mark.parametrize(
    "bad",
    [
        draft(1, id="\udc80"),
        draft(1, captured_at=2**80),
        draft(1, payload="text"),
        draft(1, station=None),
        draft(1, device=b"bytes"),
    ],
)
async def test_a_draft_that_cannot_be_stored_is_refused_and_the_next_one_is_not(any_rig: Rig, bad: Draft) -> None:
    """A bug upstream of us makes something that no column takes: refused with a reason, and nothing is torn."""
    outbox = await opened(any_rig)
    with pytest.raises(DraftRefused):
        await outbox.append([draft(1), bad], redeliveries=[redelivery(1)])
    assert outbox.failed_commits == 1
    await outbox.append([draft(2)])
    assert any_rig.query("SELECT seq, id FROM entry") == [(1, draft(2).id)]
    assert outbox.redeliveries([("hh-7", "hh-7-000001")]) == {}
    assert (await outbox.verify()).problems == ()
    assert any_rig.fatal == []
    await outbox.close(5)


async def test_a_writer_that_dies_of_a_bug_leaves_nobody_waiting(any_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody foresaw in the writer thread: the callers hear that it is unknown, the daemon exits."""
    outbox = await opened(any_rig)

    def explode(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(writer_of(outbox), "_keep_house", explode)
    with pytest.raises(CommitUnknown):
        await asyncio.wait_for(outbox.append([draft(1)]), 60)
    assert len(any_rig.fatal) == 1
    await outbox.close(5)


@pytest.mark.parametrize("name", ["outbox.db", "outbox.db-wal", "outbox.lock"])
@pytest.mark.parametrize("replace", [False, True])
async def test_a_file_that_is_removed_or_replaced_is_noticed(any_rig: Rig, name: str, replace: bool) -> None:
    """Somebody cleans up /var/lib: SQLite would go on writing into a file without a name."""
    outbox = await opened(any_rig)
    await outbox.append([draft(1)])
    path = any_rig.folder / name
    if replace:
        content = path.read_bytes()
        path.rename(path.with_suffix(".old"))
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(CommitUnknown, match="removed or replaced"):
        await outbox.append([draft(2)])
    assert len(any_rig.fatal) == 1
    await outbox.close(5)


async def test_a_removed_file_is_noticed_without_a_scan(any_rig: Rig) -> None:
    """At night nothing is scanned: the watchdog's question finds out."""
    outbox = await opened(any_rig)
    (any_rig.folder / "outbox.db").unlink()
    with pytest.raises(CommitUnknown, match="removed or replaced"):
        await outbox.alive()
    assert len(any_rig.fatal) == 1
    await outbox.close(5)


async def test_large_groups_are_split_and_small_lists_never_are(rig: Rig) -> None:
    """An array from a device commits whole; a burst does not make one endless commit."""
    outbox = await opened(rig, commit_entries_max=10)
    sizes: list[int] = []
    writer = writer_of(outbox)
    commit = writer.commit

    def spy(items: list[object]) -> object:
        before = writer.committed_seq
        result = commit(items)  # type: ignore[arg-type]
        sizes.append(writer.committed_seq - before)
        return result

    def hold(_: object) -> None:
        entered.set()
        gate.wait(60)

    writer.commit = spy  # type: ignore[method-assign, assignment]
    entered, gate = threading.Event(), threading.Event()
    held = outbox._group.submit(hold, writes=False)
    assert await asyncio.to_thread(entered.wait, 60)
    waiting = [outbox.append(drafts(first, count)) for first, count in ((1, 4), (5, 4), (9, 4), (13, 25))]
    gate.set()
    await asyncio.gather(held, *waiting)
    assert sizes == [0, 8, 4, 25]
    await outbox.close(5)


@pytest.mark.parametrize(("limit", "size"), [({"queue_entries_max": 20}, 10), ({"queue_bytes_max": 20_000}, 9_000)])
async def test_the_queue_has_an_end(any_rig: Rig, limit: dict[str, int], size: int) -> None:
    """A disk that flushes for five seconds: what does not fit in the queue is refused, memory stays."""
    outbox = await opened(any_rig, **limit)
    batch = drafts(1, 10) if "queue_entries_max" in limit else drafts(1, 1, size=size)
    first, second = outbox.append(batch), outbox.append(batch)
    with pytest.raises(OutboxFull, match="too slow"):
        outbox.append(batch)
    assert await results(first, second) == [None, None]
    assert await results(outbox.append(batch)) == [None]
    await outbox.close(5)


async def test_a_linger_gathers_company(rig: Rig) -> None:
    """Scans of several turns of the loop share a flush when the site asked for it."""
    outbox = await opened(rig, commit_linger_s=0.05)
    before = writer_of(outbox).committed_seq
    first = outbox.append([draft(1)])
    for _ in range(5):
        await asyncio.sleep(0)
    second = outbox.append([draft(2)])
    await first
    assert second.done() and writer_of(outbox).committed_seq == before + 2
    await outbox.close(5)


async def test_a_close_that_cannot_drain_keeps_the_lock(rig: Rig) -> None:
    """The disk hangs at shutdown: the caller hears it in time, and no second daemon may write meanwhile."""
    outbox = await opened(rig)
    gate = threading.Event()
    blocked = outbox._group.submit(lambda _: gate.wait(60), writes=False)
    with pytest.raises(TimeoutError):
        await outbox.close(0.01)
    from buffer import OutboxLocked
    from buffer.lock import FolderLock

    with pytest.raises(OutboxLocked):
        FolderLock(rig.folder)
    gate.set()
    await blocked
    rig.executor.submit(writer_of(outbox).connection.close).result(10)


async def test_a_lone_list_is_not_kept_waiting(rig: Rig) -> None:
    """A scan after a quiet spell is answered at once, however long closely following scans may wait."""
    outbox = await opened(rig, commit_linger_s=120.0)
    outbox._group._last_start -= 3600
    async with asyncio.timeout(60):
        await outbox.append([draft(1)])
    outbox._group._limits = replace(outbox._group._limits, commit_linger_s=0.0)
    await outbox.close(60)


async def test_many_waiting_lists_do_not_linger(rig: Rig) -> None:
    """A burst is limited by the disk, not by a timer."""
    outbox = await opened(rig, commit_linger_s=120.0)
    outbox._group._last_start -= 3600
    await outbox.append([draft(1)])
    rig.executor.submit(int).result(60)  # the writer has looked behind its commit and stands still
    waiting = [outbox.append([draft(number)]) for number in range(2, 2 + LINGER_ENTRIES_MAX)]
    assert outbox._group._timer_at <= asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
    outbox._group._limits = replace(outbox._group._limits, commit_linger_s=0.0)
    await outbox.close(60)


async def test_company_shortens_the_wait(rig: Rig) -> None:
    """At a thousand scans a second the wait must stay in proportion to the flush; a lone straggler has time."""
    outbox = await opened(rig, commit_linger_s=120.0)
    group = outbox._group
    group._last_start -= 3600
    await outbox.append([draft(1)])
    rig.executor.submit(int).result(60)  # the writer has looked behind its commit and stands still
    began = group._last_start
    waiting = [outbox.append([draft(2)])]
    assert group._timer_at == pytest.approx(began + 120)
    waiting.append(outbox.append([draft(3)]))
    assert group._timer_at == pytest.approx(began + 120 * COMPANY_SHARE)
    group._limits = replace(group._limits, commit_linger_s=0.0)
    waiting.append(outbox.append([draft(4)]))
    await asyncio.gather(*waiting)
    await outbox.close(60)


async def test_who_appended_is_told_in_order_and_before_any_future_is_looked_at(any_rig: Rig) -> None:
    outbox = await opened(any_rig)
    told: list[tuple[int, object]] = []
    futures = [
        outbox.append([draft(number)], on_known=lambda error, number=number: told.append((number, error)))
        for number in range(1, 6)
    ]
    futures[2].cancel()
    await asyncio.wait(futures)
    assert told == [(number, None) for number in range(1, 6)], "also who stopped waiting: the commit happened"
    await outbox.close(5)


async def test_who_appended_is_told_of_a_failure_with_everything_behind_it(rig: Rig) -> None:
    outbox = await opened(rig)
    told: list[str] = []
    await pages_left(outbox, 0)
    futures = [
        outbox.append(drafts(number, 1, size=50_000), on_known=lambda error: told.append(type(error).__name__))
        for number in range(1, 4)
    ]
    await results(*futures)
    assert told == ["OutboxFull"] * 3
    await outbox.close(5)


async def test_a_patient_settle_rides_with_the_next_scan(rig: Rig) -> None:
    """Forty requests a second must not cost forty flushes of their own."""
    outbox = await opened(rig)
    await outbox.append([draft(1)])
    disk = fail_disk(outbox)
    settle = asyncio.ensure_future(outbox.settle("centre", through=1, patience_s=3600.0))
    await asyncio.sleep(0)
    await outbox.append([draft(2)])
    await settle
    assert disk.statements.count("COMMIT") == 1
    assert await outbox.cursor("centre") == 1
    await outbox.close(5)


async def test_a_patient_settle_does_not_wait_for_ever(rig: Rig) -> None:
    outbox = await opened(rig)
    await outbox.append([draft(1)])
    async with asyncio.timeout(60):
        await outbox.settle("centre", through=1, patience_s=0.01)
    await outbox.close(5)
