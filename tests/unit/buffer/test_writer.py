"""One group, one transaction."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from outbox_rig import MIB, Rig, draft, drafts, fail_disk, redelivery, sqlite_error, state, writer_of

from buffer import DraftRefused, Limits, OutboxFull
from buffer.errors import QuarantineRefused
from buffer.writer import Writer


async def test_a_group_is_one_transaction_with_few_statements_a_table(rig: Rig) -> None:
    """Per-event statements would cost more than everything else together."""
    outbox = await rig.open()
    disk = fail_disk(outbox)
    lists = [
        outbox.append(drafts(first, 50), redeliveries=[redelivery(first)], state=state(k=b"%d" % first))
        for first in range(1, 501, 50)
    ]
    await asyncio.gather(*lists)
    changing = [sql.split("\n")[0].strip() for sql in disk.statements if not sql.startswith(("SELECT", "PRAGMA"))]
    assert [sql.split(" (")[0].split(" SET")[0] for sql in changing] == [
        "BEGIN IMMEDIATE",
        *["INSERT INTO entry"] * 8,  # 500 rows: 256, three times 64, three times 16, 4
        *["INSERT OR REPLACE INTO redelivery"] * 4,
        "INSERT OR REPLACE INTO state",
        "DELETE FROM state WHERE key = ?",
        "INSERT OR REPLACE INTO age_mark VALUES",
        "UPDATE ledger",
        "COMMIT",
    ]
    await outbox.close(5)


async def test_a_job_that_refuses_undoes_itself_only(rig: Rig) -> None:
    """Half of an operator's list is done when the second half turns out to be impossible."""
    outbox = await rig.open()

    def half(writer: Writer) -> None:
        writer.record("half_done", actor="op")
        raise QuarantineRefused

    append = outbox.append([draft(1)])
    refused = outbox._group.submit(half)
    done = outbox.record("all_done", actor="op")
    await done
    await append
    with pytest.raises(QuarantineRefused):
        await refused
    assert [one.action for one in await outbox.audit_list()] == ["epoch_opened", "all_done"]
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_the_head_is_what_it_was_after_a_failed_commit(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append(drafts(1, 3))
    before = writer_of(outbox).ledger
    with pytest.raises(DraftRefused):
        await outbox.append([draft(4), draft(5, captured_at=2**80)])
    after = writer_of(outbox).ledger
    assert (after.head_seq, after.head_chain) == (before.head_seq, before.head_chain)
    await outbox.close(5)


async def test_the_log_is_copied_into_the_file_when_it_has_grown(rig: Rig) -> None:
    """Days off-line under load: the write-ahead log stays small."""
    outbox = await rig.open()
    for first in range(1, 40_001, 2000):
        await outbox.append(drafts(first, 2000, size=1000))
    assert (rig.folder / "outbox.db-wal").stat().st_size < 20 * 1024 * 1024
    assert (rig.folder / "outbox.db").stat().st_size > 20 * 1024 * 1024
    await outbox.close(5)


async def test_when_room_is_short_every_commit_looks_at_it(rig: Rig) -> None:
    """A burst of a tenth of a second must not run past the mark."""
    outbox = await rig.open(limits=Limits(bytes_max=8 * MIB, disk_reserve_bytes=0))
    used = [outbox.stats().bytes_used]
    for number in range(1, 4):
        await outbox.append(drafts(number * 100, 20, size=20_000))
        used.append(outbox.stats().bytes_used)
    assert used == sorted(set(used)), "the clock stood still"
    await outbox.close(5)


async def test_what_a_failed_commit_would_have_told_is_told_by_the_next(rig: Rig) -> None:
    """The audit says when an upstream began to be passed over; a full disk must not lose that."""
    outbox = await rig.open()
    disk = fail_disk(outbox)

    def skip(writer: Writer) -> None:
        writer._audit_skips(frozenset({"opt"}))

    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL) if sql == "COMMIT" else None
    with pytest.raises(OutboxFull):
        await outbox._write(skip)
    disk.fail_on = lambda _sql: None
    await outbox._write(skip)
    await outbox._write(skip)
    assert [one.upstream for one in await outbox.audit_list() if one.action == "entries_skipped"] == ["opt"]
    await outbox.close(5)
