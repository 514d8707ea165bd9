"""A new epoch in the middle of the work: no scan between two sources, no stop, whatever the disk does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import suppress

import pytest
from outbox_rig import SOURCE, Rig, draft, drafts, fail_disk, sqlite_error

from buffer import Outbox, OutboxFull, OutboxReader
from buffer.ledger import begin_run
from buffer.migrate import migrate


def scan(outbox: Outbox, number: int) -> asyncio.Future[None]:
    """Append an event that names the source of this moment, as intake does."""
    payload = json.dumps({"specversion": "1.0", "source": outbox.source, "n": number}).encode()
    return outbox.append([draft(number, payload=payload)])


async def told_and_given(outbox: Outbox) -> list[tuple[str, str]]:
    """Return, for each event, the source it names and the source under which its sequence was given."""
    entries = await outbox.head("centre", after=0, count_max=1000, bytes_max=10**7)
    return [(json.loads(entry.payload)["source"], outbox.source_of(entry.seq)) for entry in entries]


async def test_every_event_names_the_source_under_which_its_sequence_was_given(any_rig: Rig) -> None:
    """Scans come in while the epoch changes: those queued before belong to the old one, those behind to the new one."""
    outbox = await any_rig.open()
    await outbox.register("centre", required=True, start="now")
    futures = [scan(outbox, number) for number in range(1, 21)]
    epoch = asyncio.ensure_future(outbox.begin_epoch("cloned"))
    await asyncio.sleep(0)
    futures += [scan(outbox, number) for number in range(21, 41)]
    await asyncio.gather(epoch, *futures)
    pairs = await told_and_given(outbox)
    assert len(pairs) == 40
    assert [told for told, given in pairs if told != given] == []
    assert {told for told, _ in pairs} == {f"{SOURCE}/e1", f"{SOURCE}/e2"}
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_new_epoch_is_audited_and_an_alarm_until_somebody_knows(any_rig: Rig) -> None:
    outbox = await any_rig.open()
    await outbox.append([draft(1)])
    await outbox.begin_epoch("upstream centre has events up to 900")
    (incident,) = await outbox.incidents(unacknowledged_only=True)
    assert (incident.kind, incident.told.reason) == ("epoch_changed", "upstream centre has events up to 900")
    assert [one.action for one in await outbox.audit_list()][-2:] == ["epoch_opened", "epoch_changed"]
    await outbox.acknowledge(incident.number, actor="op", note="the disk was restored")
    assert await outbox.incidents(unacknowledged_only=True) == []
    await outbox.close(5)


@pytest.mark.parametrize("refusals", [1, 2, 3, 5])
async def test_an_epoch_that_the_disk_refuses_begins_with_the_next_commit(any_rig: Rig, refusals: int) -> None:
    """The disk is full in the very moment. Scans of the new source must not get in before the new source does."""
    outbox = await any_rig.open()
    await outbox.register("centre", required=True, start="now")
    await scan(outbox, 1)
    disk, left = fail_disk(outbox), refusals

    def refuse(sql: str) -> sqlite3.Error | None:
        nonlocal left
        if sql == "COMMIT" and left:
            left -= 1
            return sqlite_error(sqlite3.SQLITE_FULL, "full")
        return None

    disk.fail_on = refuse
    futures: list[asyncio.Future[None]] = [scan(outbox, 2)]
    epochs = [asyncio.ensure_future(outbox.begin_epoch("one"))]
    await asyncio.sleep(0)
    futures.append(scan(outbox, 3))
    epochs.append(asyncio.ensure_future(outbox.begin_epoch("two")))
    await asyncio.sleep(0)
    for number in range(4, 40):
        any_rig.advance(seconds=2)
        with suppress(OutboxFull):
            futures.append(scan(outbox, number))
        with suppress(OutboxFull):
            await outbox.alive()  # the writer has its turn
        await asyncio.gather(*futures, *epochs, return_exceptions=True)
    stored = [one for one in futures if one.exception() is None]
    pairs = await told_and_given(outbox)
    assert len(pairs) == len(stored) + 1
    assert len(stored) > 10
    assert [pair for pair in pairs if pair[0] != pair[1]] == []
    assert pairs[-1][0] == outbox.source == f"{SOURCE}/e3"
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_the_head_names_the_epoch_of_its_sequence(any_rig: Rig) -> None:
    """A head that a centre keeps right after the change must prove, and not be taken for a forgery."""
    outbox = await any_rig.open()
    await outbox.append(drafts(1, 3))
    await outbox.begin_epoch("cloned")
    head = await outbox.head_of_chain()
    assert head.source == f"{SOURCE}/e1"
    await outbox.append([draft(4)])
    later = await outbox.head_of_chain()
    assert later.source == f"{SOURCE}/e2"
    await outbox.close(5)
    reader = OutboxReader.open(any_rig.folder)
    assert reader.verify(None, [head, later]).problems == ()
    assert reader.head_of_chain() == later
    reader.close()


async def test_the_epoch_of_now_is_found_by_the_next_start(any_rig: Rig) -> None:
    outbox = await any_rig.open()
    await outbox.append(drafts(1, 3))
    await outbox.begin_epoch("cloned")
    await outbox.close(5)
    outbox = await any_rig.open()
    assert outbox.source == f"{SOURCE}/e2"
    await outbox.close(5)


def test_an_epoch_that_a_restore_wants_is_told_too() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    begin_run(connection, source="s", new_epoch=lambda: "e1", at=0, wal_was_lost=False)
    connection.execute("UPDATE ledger SET epoch_wanted = 'restored from a backup'")
    begin_run(connection, source="s", new_epoch=lambda: "e2", at=0, wal_was_lost=False)
    assert connection.execute("SELECT action FROM audit JOIN incident ON audit_number = number").fetchall() == [
        ("epoch_changed",)
    ]
