"""The promises of the outbox, seen from outside."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from outbox_rig import SOURCE, Rig, draft, drafts, redelivery, state

from buffer import Limits, OutboxClosed, OutboxFull, OutboxLocked, StateRow, UpstreamUnknown


async def test_append_resolves_when_the_entries_are_on_disk(any_rig: Rig) -> None:
    """A technician opens the file with another program right after the beep: the scan is there."""
    outbox = await any_rig.open()
    await outbox.append(drafts(1, 3))
    assert any_rig.query("SELECT seq, id FROM entry") == [(n, draft(n).id) for n in (1, 2, 3)]
    await outbox.close(5)


async def test_order_of_calls_is_the_order_of_seq(any_rig: Rig) -> None:
    """Forty devices emit at once: numbers have no gap and follow the calls."""
    outbox = await any_rig.open()
    await asyncio.gather(*[outbox.append(drafts(1 + 10 * call, 10)) for call in range(40)])
    await outbox.close(5)
    assert any_rig.query("SELECT seq, id FROM entry ORDER BY seq") == [(n, draft(n).id) for n in range(1, 401)]


async def test_appends_that_are_ready_together_share_one_flush(rig: Rig) -> None:
    """A hundred scans in one turn of the loop cost one commit, not a hundred."""
    outbox = await rig.open()
    commits = 0

    def count() -> None:
        nonlocal commits
        commits += 1

    original = outbox._group._on_commit
    outbox._group._on_commit = lambda sealed: (count(), original(sealed))[1]  # type: ignore[func-returns-value]
    await asyncio.gather(*[outbox.append([draft(n)]) for n in range(100)])
    assert commits == 1
    await outbox.close(5)


async def test_everything_that_explains_an_event_commits_with_it(any_rig: Rig) -> None:
    """Power fails after the scan: its session and the answer to its number are there too."""
    outbox = await any_rig.open()
    await outbox.append([draft(1)], state=state(session=b"PL-1001"), redeliveries=[redelivery(1)])
    assert outbox.states() == [StateRow("session", b"PL-1001")]
    assert outbox.redeliveries([("hh-7", "hh-7-000001"), ("hh-7", "hh-7-000002")]) == {
        ("hh-7", "hh-7-000001"): redelivery(1)
    }
    await outbox.close(5)


async def test_context_alone_is_a_commit(any_rig: Rig) -> None:
    """A scan that only sets the document has its row on disk before the beep, and makes no entry."""
    outbox = await any_rig.open()
    await outbox.append([], state=state(session=b"PL-1001"))
    assert outbox.states("session") == [StateRow("session", b"PL-1001")]
    assert outbox.stats().head_seq == 0
    await outbox.close(5)


async def test_state_rows_are_replaced_deleted_and_found_by_prefix(any_rig: Rig) -> None:
    outbox = await any_rig.open()
    rows = [StateRow("a/1", b"1"), StateRow("a/2", b"2"), StateRow("a%/1", b"%"), StateRow("b", b"3")]
    await outbox.append([], state=rows)
    both = [
        outbox.append([], state=[StateRow("a/1", None), StateRow("b", b"4")]),
        outbox.append([], state=state(b=b"5")),
    ]
    await asyncio.gather(*both)
    assert outbox.states("a/") == [StateRow("a/2", b"2")]
    assert outbox.states("a%") == [StateRow("a%/1", b"%")]
    assert outbox.states() == [StateRow("a%/1", b"%"), StateRow("a/2", b"2"), StateRow("b", b"5")]
    await outbox.close(5)


async def test_what_was_stored_is_handed_on_byte_by_byte(any_rig: Rig) -> None:
    outbox = await any_rig.open()
    await outbox.register("centre", required=True, start="now")
    payload = bytes(range(256)) * 20
    await outbox.append([draft(1, payload=payload, station="")])
    (entry,) = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert (entry.seq, entry.payload, entry.station, entry.gap_reason) == (1, payload, "", None)
    await outbox.close(5)


async def test_reopening_goes_on_with_the_next_number(any_rig: Rig) -> None:
    """The daemon restarts: same source, next seq, same cursor, same state."""
    outbox = await any_rig.open()
    source = outbox.source
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 5), state=state(k=b"v"), redeliveries=[redelivery(1)])
    await outbox.settle("centre", through=2)
    await outbox.close(5)
    outbox = await any_rig.open()
    assert outbox.source == source == f"{SOURCE}/e1"
    await outbox.append([draft(6)])
    assert [entry.seq for entry in await outbox.head("centre", after=2, count_max=10, bytes_max=10**6)] == [3, 4, 5, 6]
    assert outbox.states() == [StateRow("k", b"v")]
    assert outbox.redeliveries([("hh-7", "hh-7-000001")])
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_second_daemon_is_refused_with_the_pid_of_the_first(rig: Rig) -> None:
    outbox = await rig.open()
    with pytest.raises(OutboxLocked) as caught:
        await rig.open()
    assert caught.value.pid is not None
    assert caught.value.hint
    await outbox.append([draft(1)])
    await outbox.close(5)
    await (await rig.open()).close(5)


async def test_appended_wakes_when_the_entry_is_committed(any_rig: Rig) -> None:
    """The pump sleeps without polling and wakes for the scan, not for the next one."""
    outbox = await any_rig.open()
    waiting = asyncio.ensure_future(outbox.appended(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.append([draft(1)])
    await asyncio.wait_for(waiting, 60)
    await asyncio.wait_for(outbox.appended(0), 60)
    later = asyncio.ensure_future(outbox.appended(1))
    await outbox.append([], state=state(k=b"v"))
    assert not later.done()
    await outbox.close(5)
    with pytest.raises(asyncio.CancelledError):
        await later


async def test_whoever_stops_waiting_is_forgotten(any_rig: Rig) -> None:
    """A quiet week-end: pumps and tails ask again every half minute, and no scan comes to clear what they left."""
    outbox = await any_rig.open()
    for _ in range(50):
        waiting = asyncio.ensure_future(outbox.appended(0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert outbox._newest._waiters == []
    await outbox.close(5)


async def test_a_note_is_written_when_scans_are_refused(any_rig: Rig) -> None:
    """A full outbox empties by delivery, so what a delivery has to remember must find its place."""
    outbox = await any_rig.open(limits=Limits(bytes_max=1, disk_reserve_bytes=0))
    with pytest.raises(OutboxFull):
        await outbox.append([], state=state(note=b"1"))
    await outbox.note(StateRow("note", b"2"))
    assert outbox.states("note") == [StateRow("note", b"2")]
    await outbox.note(StateRow("note", None))
    assert outbox.states("note") == []
    await outbox.close(5)


async def test_closing_commits_what_is_queued_and_refuses_more(any_rig: Rig) -> None:
    """SIGTERM with scans in flight: they are on disk when the process ends."""
    outbox = await any_rig.open()
    last = outbox.append(drafts(1, 100))
    await outbox.close(5)
    assert last.done() and last.exception() is None
    assert any_rig.query("SELECT count(*) FROM entry") == [(100,)]
    with pytest.raises(OutboxClosed):
        outbox.append([draft(101)])
    with pytest.raises(OutboxClosed):
        await outbox.settle("centre", through=1)
    await outbox.close(5)


async def test_a_caller_that_gives_up_takes_nobody_with_it(rig: Rig) -> None:
    """A device disconnects in mid-commit: its entries stay, its neighbours hear the truth."""
    outbox = await rig.open()
    first, second = outbox.append([draft(1)]), outbox.append([draft(2)])
    first.cancel()
    await second
    assert rig.query("SELECT count(*) FROM entry") == [(2,)]
    await outbox.close(5)


async def test_an_upstream_that_is_not_registered_is_named(any_rig: Rig) -> None:
    """A job that fails for its own reason fails alone, even in the commit of others."""
    outbox = await any_rig.open()
    append = outbox.append([draft(1)])
    with pytest.raises(UpstreamUnknown, match="nowhere"):
        await outbox.settle("nowhere", through=1)
    await append
    with pytest.raises(UpstreamUnknown, match="nowhere"):
        await outbox.census("nowhere")
    await outbox.close(5)


async def test_alive_answers_without_a_commit(rig: Rig) -> None:
    """An idle gateway at night is alive, and asking does not wear out its flash."""
    outbox = await rig.open()
    changes = rig.query("PRAGMA data_version"), (rig.folder / "outbox.db-wal").stat().st_size
    await asyncio.wait_for(outbox.alive(), 60)
    assert changes == (rig.query("PRAGMA data_version"), (rig.folder / "outbox.db-wal").stat().st_size)
    await outbox.close(5)


async def test_redeliveries_are_forgotten_after_their_window(any_rig: Rig) -> None:
    """On the operating clock: a wall clock that jumps by a year forgets nothing."""
    hour_ms = 3_600_000
    outbox = await any_rig.open(limits=Limits(disk_reserve_bytes=0, redelivery_window_ms=2 * hour_ms))
    await outbox.append([draft(1)], redeliveries=[redelivery(1)])
    any_rig.wall_ms += 365 * 24 * hour_ms
    assert outbox.redeliveries([("hh-7", "hh-7-000001")])
    any_rig.advance(hours=2.1)
    assert outbox.redeliveries([("hh-7", "hh-7-000001")]) == {}
    for number in range(2, 40):
        await outbox.append([draft(number)], redeliveries=[redelivery(number)])
    assert any_rig.query("SELECT count(*) FROM redelivery") == [(38,)]
    await outbox.close(5)


async def test_entries_can_be_listed_by_everything_a_technician_knows(any_rig: Rig) -> None:
    from buffer import EntryFilter

    outbox = await any_rig.open()
    await outbox.append(
        [
            draft(1, device="a", station="s1", type="t1", captured_at=100),
            draft(2, device="b", station="s1", type="t2", captured_at=200),
            draft(3, device="a", station="s2", type="t2", captured_at=300),
        ]
    )

    async def seqs(**wanted: object) -> list[int]:
        return [entry.seq for entry in await outbox.entries(EntryFilter(**wanted))]  # type: ignore[arg-type]

    assert await seqs() == [3, 2, 1]
    assert await seqs(newest_first=False) == [1, 2, 3]
    assert await seqs(device="a") == [3, 1]
    assert await seqs(station="s1") == [2, 1]
    assert await seqs(type="t2", device="a") == [3]
    assert await seqs(seq_from=2) == [3, 2]
    assert await seqs(seq_to=2) == [2, 1]
    assert await seqs(captured_from=200, captured_before=300) == [2]
    assert await seqs(limit=1) == [3]
    assert (await outbox.entry(2)) == (await outbox.entry(draft(2).id))
    assert await outbox.entry("no such id") is None
    await outbox.close(5)


async def test_the_source_of_an_old_epoch_stays_with_its_sequences(any_rig: Rig) -> None:
    """A cloned disk: the centre knows more than we sent. A new epoch begins at once, linked to the old head."""
    outbox = await any_rig.open()
    await outbox.append(drafts(1, 3))
    head = await outbox.head_of_chain()
    assert await outbox.begin_epoch("the centre knows sequence 900") == outbox.source == f"{SOURCE}/e2"
    await outbox.append([draft(4)])
    assert [outbox.source_of(seq) for seq in (3, 4)] == [f"{SOURCE}/e1", f"{SOURCE}/e2"]
    epochs = outbox._opened.reader.epochs()
    assert (epochs[1].first_seq, epochs[1].linked_chain.hex()) == (4, head.chain_hex)
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)
    outbox = await any_rig.open()
    assert outbox.source == f"{SOURCE}/e2"
    await outbox.close(5)


async def test_another_name_for_the_gateway_begins_an_epoch(any_rig: Rig) -> None:
    await (await any_rig.open()).close(5)
    outbox = await any_rig.open(source="//dc07/dock-pc-2")
    assert outbox.source == "//dc07/dock-pc-2/e2"
    assert [one.detail for one in await outbox.audit_list()] == ["created", "renamed"]
    await outbox.close(5)


async def test_the_database_promises_durability(rig: Rig) -> None:
    """What the writing connection says about itself when asked."""
    outbox = await rig.open()
    connection: sqlite3.Connection = outbox._opened.writer.connection
    answers = {
        pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        for pragma in (
            "journal_mode",
            "synchronous",
            "foreign_keys",
            "trusted_schema",
            "mmap_size",
            "wal_autocheckpoint",
        )
    }
    assert answers == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "mmap_size": 0,
        "wal_autocheckpoint": 0,
    }
    assert (rig.folder / "outbox.db").stat().st_mode & 0o777 == 0o600
    assert rig.folder.stat().st_mode & 0o777 == 0o700
    await outbox.close(5)
