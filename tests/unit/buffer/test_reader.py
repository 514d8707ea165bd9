"""Reading without a daemon, and beside one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from outbox_rig import Rig, draft, drafts, sqlite_error

from buffer import EntryFilter, OutboxDamaged, OutboxError, OutboxMissing, OutboxReader
from buffer.connection import open_reader


async def test_no_outbox_is_said_so_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(OutboxMissing) as caught:
        OutboxReader.open(tmp_path)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


async def test_everything_can_be_read_when_no_daemon_runs(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 5))
    await outbox.settle("centre", through=3, rejected=[(2, "no")], owner="quality")
    await outbox.close(5)
    reader = OutboxReader.open(rig.folder)
    assert reader.ledger().head_seq == reader.head_of_chain().seq == 5
    assert [epoch.reason for epoch in reader.epochs()] == ["created"]
    assert [(one.upstream, one.seq) for one in reader.upstreams()] == [("centre", 3)]
    assert reader.cursor("centre") == 3
    assert [entry.seq for entry in reader.entries(EntryFilter(limit=2))] == [5, 4]
    assert [one.seq for one in reader.quarantine_list()] == [2]
    case = reader.quarantine_show("centre", 2)
    assert case is not None and case.quarantined.owner == "quality"
    assert reader.retries("centre", 10) == []
    assert [one.number for one in reader.audit_list(after=1)] == [2, 3]
    assert reader.census("centre").imbalance == 0
    reader.close()
    # Reading is not writing: the next start finds an orderly end.
    outbox = await rig.open()
    assert len(outbox._opened.epochs) == 1
    await outbox.close(5)


async def test_the_entry_that_fills_the_answer_is_its_last(rig: Rig) -> None:
    """A thousand unreadable bodies of 64 kilobytes are not all read for who asks for a thousand events."""
    outbox = await rig.open()
    await outbox.append([draft(number, payload=b"x" * 1000) for number in range(1, 6)])
    for bytes_max, seqs in ((1, [5]), (1000, [5]), (1001, [5, 4]), (10**6, [5, 4, 3, 2, 1]), (None, [5, 4, 3, 2, 1])):
        found = await outbox.entries(EntryFilter(bytes_max=bytes_max))
        assert [entry.seq for entry in found] == seqs
    await outbox.close(5)


async def test_a_stretch_of_time_begins_with_its_first_moment_and_ends_before_its_last(rig: Rig) -> None:
    """Two days that follow each other have every event once."""
    outbox = await rig.open()
    await outbox.append([draft(number, captured_at=1000 + number) for number in range(1, 4)])
    found = await outbox.entries(EntryFilter(captured_from=1001, captured_before=1003))
    assert [entry.seq for entry in found] == [2, 1]
    await outbox.close(5)


async def test_reading_beside_a_daemon_disturbs_nobody(rig: Rig) -> None:
    """A technician lists entries in a loop while scans come in."""
    outbox = await rig.open()
    reader = OutboxReader.open(rig.folder)
    for number in range(1, 30):
        await outbox.append([draft(number)])
        assert reader.entries(EntryFilter(limit=1))[0].seq == number
    reader.close()
    await outbox.append([draft(30)])
    assert outbox.failed_commits == 0
    await outbox.close(5)


async def test_a_user_who_may_not_write_can_read_an_orderly_outbox(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dockline events list` by somebody else than the service: no index of a log can be made, and none is needed."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 3))
    opened: list[bool] = []

    def refuse(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
        opened.append(immutable)
        if not immutable:
            raise sqlite_error(sqlite3.SQLITE_CANTOPEN, "unable to open database file")
        return open_reader(path, immutable=True)

    monkeypatch.setattr("buffer.reader.open_reader", refuse)
    with pytest.raises(OutboxError):
        OutboxReader.open(rig.folder)  # there is a log with commits in it: without it the answer would be wrong
    await outbox.close(5)
    reader = OutboxReader.open(rig.folder)
    assert reader.head_of_chain().seq == 3
    assert opened == [False, False, True]
    reader.close()


async def test_noise_is_damage(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"noise" * 5000)
    with pytest.raises(OutboxDamaged):
        OutboxReader.open(tmp_path)


async def test_hostile_text_is_listed_as_it_is(rig: Rig) -> None:
    """A scanned code full of quotes, percent signs and control characters is data."""
    hostile = "'; DROP TABLE entry; -- %_\x1b[31m\u202e"
    outbox = await rig.open()
    await outbox.append([draft(1, device=hostile), draft(2)])
    assert [entry.device for entry in await outbox.entries(EntryFilter(device=hostile))] == [hostile]
    assert await outbox.entries(EntryFilter(device="%")) == []
    await outbox.close(5)
