"""A restore gives the backup's outbox a life of its own: a new epoch, no sequence twice, nothing thrown away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kill_points import killed_at_every_point
from outbox_rig import Rig, draft, drafts, redelivery, state

from buffer import Clocks, OutboxDamaged, OutboxLocked, OutboxReader, SchemaNewer, back_up, present, restore

CLOCKS = Clocks(wall=lambda: 1_790_000_500_000, monotonic=lambda: 5.0)
SAVED = 40
LATER = 10
AT = 1_790_000_600_000


async def saved(rig: Rig, backup: Path) -> None:
    """Leave an outbox with `SAVED + LATER` events, and a backup from before the later ones."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="retained")
    rows = state(**{"session/dock-3": b"PO-1", "modbus/plc/parts": b"1000", "sync/centre/centre_instance": b"i1"})
    await outbox.append(drafts(1, SAVED), state=rows, redeliveries=[redelivery(1)])
    await outbox.settle("centre", through=10, rejected=[(3, "no such article")])
    back_up(rig.folder, backup, clocks=CLOCKS)
    await outbox.append(drafts(SAVED + 1, LATER), state=state(**{"modbus/plc/parts": b"1500"}))
    await outbox.settle("centre", through=SAVED + LATER)
    await outbox.close(5)


async def test_a_restore_begins_a_new_epoch_and_no_sequence_is_used_twice_under_one_source(rig: Rig) -> None:
    """The disk of last night is back: forty events, and the centre already has fifty of the old source."""
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    old = await rig.open()
    old_source = old.source
    await old.close(5)
    done = restore(rig.folder, backup, at=AT, actor="anna")
    assert (done.head.seq, done.head.source) == (SAVED, old_source)
    outbox = await rig.open()
    assert outbox.source != old_source
    await outbox.append([draft(900)])
    assert outbox.source_of(SAVED) == old_source
    assert outbox.source_of(SAVED + 1) == outbox.source
    assert (await outbox.verify()).is_whole
    await outbox.close(5)


async def test_two_restores_of_one_backup_never_share_a_source(rig: Rig) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    sources = set()
    for _ in range(3):
        restore(rig.folder, backup, at=AT, actor="anna")
        outbox = await rig.open()
        await outbox.append([draft(900)])
        sources.add(outbox.source_of(SAVED + 1))
        await outbox.close(5)
    assert len(sources) == 3
    assert len(list(rig.folder.glob("replaced-*"))) == 3


async def test_deliveries_go_on_from_the_position_of_the_backup_under_the_ids_the_centre_knows(rig: Rig) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    restore(rig.folder, backup, at=AT, actor="anna")
    outbox = await rig.open()
    assert await outbox.cursor("centre") == 10
    again = await outbox.head("centre", after=10, count_max=100, bytes_max=10**6)
    assert [entry.id for entry in again] == [one.id for one in drafts(11, SAVED - 10)]
    census = await outbox.census("centre", fresh=True)
    assert (census.imbalance, census.quarantined, census.pending) == (0, 1, SAVED - 10)
    await outbox.close(5)


async def test_a_counter_begins_anew_and_what_a_delivery_remembers_of_its_centre_stays(rig: Rig) -> None:
    """Read against the value of last night, 500 parts would be counted a second time."""
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    restore(rig.folder, backup, at=AT, actor="anna")
    outbox = await rig.open()
    assert [row.key for row in outbox.states()] == ["sync/centre/centre_instance"]
    assert list(outbox.redeliveries([("hh-7", "hh-7-000001")])) == [("hh-7", "hh-7-000001")]
    await outbox.close(5)


async def test_a_restore_is_audited_with_who_did_it_and_where_the_old_files_are(rig: Rig) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    done = restore(rig.folder, backup, at=AT, actor="cli:anna")
    outbox = await rig.open()
    (record,) = [one for one in await outbox.audit_list() if one.action == "outbox_restored"]
    assert record.actor == "cli:anna" and done.replaced in record.detail
    await outbox.close(5)


async def test_what_was_there_is_kept_whole(rig: Rig) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    done = restore(rig.folder, backup, at=AT, actor="anna")
    kept = OutboxReader.open(rig.folder / done.replaced)
    assert kept.head_of_chain().seq == SAVED + LATER and kept.verify().is_whole
    kept.close()


async def test_a_restore_is_refused_while_a_daemon_runs(rig: Rig) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    outbox = await rig.open()
    with pytest.raises(OutboxLocked):
        restore(rig.folder, backup, at=AT, actor="anna")
    await outbox.append([draft(900)])
    assert (await outbox.verify()).is_whole
    await outbox.close(5)


@pytest.mark.parametrize("harm", ["cut", "flipped", "text", "empty", "newer", "trigger"])
async def test_what_is_no_whole_backup_is_refused_and_nothing_is_changed(rig: Rig, harm: str) -> None:
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    spoil(backup, harm)
    names = sorted(path.name for path in rig.folder.iterdir())
    with pytest.raises(SchemaNewer if harm == "newer" else OutboxDamaged):
        restore(rig.folder, backup, at=AT, actor="anna")
    assert sorted(path.name for path in rig.folder.iterdir()) == names
    found = present(rig.folder)
    assert found is not None and found.head.seq == SAVED + LATER


def spoil(backup: Path, harm: str) -> None:
    whole = bytearray(backup.read_bytes())
    match harm:
        case "cut":
            backup.write_bytes(whole[: len(whole) // 2])
        case "flipped":
            place = whole.index(b'{"specversion":"1.0","n":17}')
            whole[place + 22] ^= 1
            backup.write_bytes(whole)
        case "text":
            backup.write_text("not a database at all, but long enough to be one" * 100)
        case "empty":
            backup.write_bytes(b"")
        case "trigger":
            import sqlite3

            with sqlite3.connect(backup) as evil:
                evil.execute("CREATE TRIGGER swallow AFTER INSERT ON entry BEGIN DELETE FROM entry; END")
            evil.close()
        case "newer":
            whole[60:64] = (900).to_bytes(4, "big")
            import sqlite3

            backup.write_bytes(whole)
            with sqlite3.connect(backup) as later:
                later.execute("CREATE TABLE later (a INTEGER) STRICT")
            later.close()


async def test_a_restore_into_an_empty_folder_replaces_nothing(rig: Rig, tmp_path: Path) -> None:
    """A new PC."""
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    shutil.rmtree(rig.folder)
    rig.folder.mkdir()
    assert restore(rig.folder, backup, at=AT, actor="anna").replaced == ""
    outbox = await rig.open()
    assert (await outbox.head_of_chain()).seq == SAVED
    await outbox.close(5)


async def test_a_restore_killed_anywhere_leaves_the_old_outbox_or_the_restored_one_whole(rig: Rig) -> None:
    """The power goes while the technician restores. Never half of one and half of the other, and nothing is lost."""
    backup = rig.folder.parent / "one"
    await saved(rig, backup)
    pristine = rig.folder.parent / "pristine"
    shutil.copytree(rig.folder, pristine)
    outcomes = []
    for point in killed_at_every_point(lambda: _restore(rig.folder, backup)):
        outbox = await rig.open()
        head, source = (await outbox.head_of_chain()).seq, outbox.source
        assert (await outbox.verify()).is_whole
        told = ["epoch_changed"] if head == SAVED else []
        assert [one.kind for one in await outbox.incidents()] == told, f"after point {point} it was taken for damage"
        await outbox.close(5)
        kept = list(rig.folder.glob("replaced-*/outbox.db"))
        if head == SAVED:
            assert len(kept) == 1 and source.rsplit("/", 1)[0] == "//dc07/dock-pc-1"
        else:
            assert head == SAVED + LATER and kept == []
        outcomes.append(head)
        shutil.rmtree(rig.folder)
        shutil.copytree(pristine, rig.folder)
    assert set(outcomes) == {SAVED, SAVED + LATER} and outcomes == sorted(outcomes, reverse=True)


def _restore(folder: Path, backup: Path) -> None:
    restore(folder, backup, at=AT, actor="anna")
