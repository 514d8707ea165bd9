"""A backup is a copy that was restored and proved, and it never touches what it copies."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from kill_points import killed_at_every_point
from outbox_rig import Rig, drafts, redelivery, state

from buffer import Clocks, OutboxDamaged, OutboxMissing, SchemaNewer, back_up, present, rehearse, restore
from buffer.backup import Receipt, admit, digest_of, prove
from buffer.connection import DATABASE_NAME

CLOCKS = Clocks(wall=lambda: 1_790_000_500_000, monotonic=lambda: 5.0)
EVENTS = 40


async def filled(rig: Rig, count: int = EVENTS) -> None:
    """Leave an outbox with events, of which the centre has ten, and everything else that is kept."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="retained")
    await outbox.append(
        drafts(1, count), state=state(**{"session/dock-3": b"PO-1", "plc": b"7"}), redeliveries=[redelivery(1)]
    )
    await outbox.settle("centre", through=10, rejected=[(3, "no such article")])
    await outbox.close(5)


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, but for an empty log and the index of one, which every reader leaves."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".db-shm"}
    return {name: content for name, content in found.items() if content}


async def test_a_backup_is_taken_beside_the_daemon_and_holds_the_last_commit(rig: Rig, tmp_path: Path) -> None:
    """The technician saves the outbox at noon; scans go on."""
    await filled(rig)
    outbox = await rig.open()
    await outbox.append(drafts(EVENTS + 1, 5))
    receipt = back_up(rig.folder, tmp_path / "noon", clocks=CLOCKS)
    await outbox.append(drafts(EVENTS + 6, 5))
    assert receipt.proof.head.seq == EVENTS + 5
    assert receipt.proof.journal.is_whole and receipt.proof.journal.entries == EVENTS + 5
    assert (await outbox.head_of_chain()).seq == EVENTS + 10
    await outbox.close(5)


async def test_what_was_copied_is_as_it_was_and_nothing_is_left_beside_the_backup(rig: Rig, tmp_path: Path) -> None:
    await filled(rig)
    before = files(rig.folder)
    target = tmp_path / "usb" / "one"
    target.parent.mkdir()
    receipt = back_up(rig.folder, target, clocks=CLOCKS)
    assert files(rig.folder) == before
    assert [path.name for path in target.parent.iterdir()] == ["one"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert receipt.size_bytes == target.stat().st_size


async def test_a_backup_overwrites_nothing(rig: Rig, tmp_path: Path) -> None:
    await filled(rig)
    (tmp_path / "one").write_text("somebody's")
    with pytest.raises(FileExistsError):
        back_up(rig.folder, tmp_path / "one", clocks=CLOCKS)
    assert (tmp_path / "one").read_text() == "somebody's"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
async def test_a_stick_whose_file_system_knows_no_links_takes_a_backup(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """What is sold is formatted with FAT or exFAT. It still overwrites nothing."""

    def refused(_source: Path, _name: Path) -> None:
        raise OSError(code, os.strerror(code))

    await filled(rig)
    monkeypatch.setattr(os, "link", refused)
    target = tmp_path / "stick" / "one"
    target.parent.mkdir()
    receipt = back_up(rig.folder, target, clocks=CLOCKS)
    assert [path.name for path in target.parent.iterdir()] == ["one"]
    assert receipt.sha256 == digest_of(target)

    partial = target.with_name("partial")
    shutil.copy(target, partial)
    kept = target.stat().st_ino
    with pytest.raises(FileExistsError):
        admit(partial, target, clocks=CLOCKS)
    assert target.stat().st_ino == kept


async def test_a_copy_that_does_not_prove_is_no_backup(rig: Rig, tmp_path: Path) -> None:
    """A bit flipped on the disk long ago: a backup that repeats it must not be called good."""
    await filled(rig)
    rig.tamper("DROP TRIGGER entry_is_never_updated", "UPDATE entry SET payload = x'00' WHERE seq = 5")
    rig.tamper(
        "CREATE TRIGGER entry_is_never_updated BEFORE UPDATE ON entry\nBEGIN\n"
        "    SELECT RAISE(ABORT, 'an entry is never updated');\nEND"
    )
    with pytest.raises(OutboxDamaged, match="entry 5 does not match its digest"):
        back_up(rig.folder, tmp_path / "one", clocks=CLOCKS)
    assert not (tmp_path / "one").exists()
    receipt = back_up(rig.folder, tmp_path / "one", clocks=CLOCKS, accept_damage=True)
    assert receipt.proof.journal.problems == ("entry 5 does not match its digest",)


async def test_a_copy_of_a_broken_file_is_no_backup(rig: Rig, tmp_path: Path) -> None:
    await filled(rig, 400)
    rig.zero_page(12)
    with pytest.raises(OutboxDamaged):
        back_up(rig.folder, tmp_path / "one", clocks=CLOCKS)
    assert list(tmp_path.iterdir()) == [rig.folder]


def test_no_outbox_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(OutboxMissing):
        back_up(tmp_path / "state", tmp_path / "one", clocks=CLOCKS)


async def test_a_rehearsal_migrates_a_copy_and_changes_nothing(tmp_path: Path) -> None:
    """The outbox of an old version, before the new one is switched to."""
    folder = tmp_path / "state"
    folder.mkdir()
    with sqlite3.connect(folder / DATABASE_NAME) as old:
        old.executescript((Path(__file__).parents[2] / "data" / "outbox" / "v3.sql").read_text())
    before = files(folder)
    proof = rehearse(folder, clocks=CLOCKS)
    assert proof.schema_before == 3 and proof.schema_after > 3 and proof.journal.is_whole
    assert files(folder) == before


async def test_a_rehearsal_refuses_what_a_newer_version_wrote(rig: Rig) -> None:
    await filled(rig)
    rig.tamper("PRAGMA user_version = 900", "CREATE TABLE later (a INTEGER) STRICT")
    with pytest.raises(SchemaNewer):
        rehearse(rig.folder, clocks=CLOCKS)
    assert [path.name for path in rig.folder.glob("rehearsal-*")] == []


async def test_a_backup_killed_anywhere_leaves_the_outbox_and_no_half_backup(rig: Rig, tmp_path: Path) -> None:
    """Somebody pulls the plug, the stick, or both."""
    await filled(rig)
    before = files(rig.folder)
    target = tmp_path / "usb" / "one"
    target.parent.mkdir()
    points = 0
    for point in killed_at_every_point(lambda: _back_up(rig.folder, target)):
        points = point
        assert files(rig.folder) == before
        if target.exists():
            assert list(target.parent.glob(".one.trial-*")) == [], "it had its name while it was still on trial"
            assert present_of(target, tmp_path) == EVENTS
            target.unlink()
    assert points > 20
    assert [path.name for path in target.parent.iterdir()] == ["one"], "the last run swept up after the others"


def _back_up(folder: Path, target: Path) -> Receipt:
    return back_up(folder, target, clocks=CLOCKS)


def present_of(backup: Path, tmp_path: Path) -> int:
    folder = tmp_path / "looked"
    folder.mkdir()
    restore(folder, backup, at=1, actor="test")
    found = present(folder)
    assert found is not None
    assert prove(folder, clocks=CLOCKS).journal.is_whole
    shutil.rmtree(folder)
    return found.head.seq
