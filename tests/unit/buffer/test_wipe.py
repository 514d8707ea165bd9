"""Wiping takes everything of ours and nothing of anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_points import killed_at_every_point
from outbox_rig import Rig, draft, drafts

from buffer import Clocks, OutboxLocked, back_up, restore, wipe
from buffer.wipe import overwrite

CLOCKS = Clocks(wall=lambda: 1_790_000_500_000, monotonic=lambda: 5.0)


async def used(rig: Rig) -> None:
    """Leave a folder that has seen everything: an outbox, one that a restore replaced, a note of damage."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 20))
    await outbox.close(5)
    backup = rig.folder.parent / "one"
    back_up(rig.folder, backup, clocks=CLOCKS)
    restore(rig.folder, backup, at=1_790_000_600_000, actor="anna")
    (rig.folder / "outbox.damage").write_text("met\n")
    (rig.folder / "lost+found").mkdir()


async def test_everything_of_ours_is_gone_and_the_rest_is_named(rig: Rig) -> None:
    await used(rig)
    gone, left = wipe(rig.folder)
    assert left == ["lost+found"] == [path.name for path in rig.folder.iterdir()]
    assert gone[0] == "outbox.db" and any(name.startswith("replaced-") for name in gone)


async def test_a_folder_in_use_is_not_wiped(rig: Rig) -> None:
    outbox = await rig.open()
    with pytest.raises(OutboxLocked):
        wipe(rig.folder)
    await outbox.append([draft(1)])
    await outbox.close(5)


def test_content_is_overwritten_before_the_name_goes(tmp_path: Path) -> None:
    """Another name of the same file shows what is left in its blocks."""
    secret, other = tmp_path / "secret", tmp_path / "other"
    secret.write_bytes(b"SECRET" * 100_000)
    other.hardlink_to(secret)
    overwrite(secret)
    assert not secret.exists()
    assert other.read_bytes() == bytes(600_000)


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").write_text("somebody's")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    overwrite(tmp_path / "folder")
    assert (tmp_path / "elsewhere").read_text() == "somebody's"


async def test_a_wipe_killed_anywhere_is_finished_by_the_next(rig: Rig) -> None:
    await used(rig)
    points = list(killed_at_every_point(lambda: _wipe(rig.folder)))
    assert len(points) > 3
    assert [path.name for path in rig.folder.iterdir()] == ["lost+found"]


def _wipe(folder: Path) -> None:
    wipe(folder)
