"""Room set aside is there when the disk is full, and never taken from a disk that has none."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from outbox_rig import MIB, Rig, draft, drafts, fail_disk, sqlite_error, writer_of

from buffer import CommitUnknown, Limits, OutboxFull
from buffer.spare import FULL_BYTES, SMALL_SHARE, SPARE_NAME, Spare

LIMITS = Limits(disk_reserve_bytes=0, spare_bytes=MIB)


def made(folder: Path, *, least: int = MIB, most: int = 8 * MIB, outbox: int = 0, free: int = 100 * MIB) -> Spare:
    spare = Spare(folder, bytes_min=least, bytes_max=most)
    spare.make(outbox_bytes=outbox, disk_free=free, keep_free=10 * MIB)
    return spare


def test_room_is_really_allocated_and_given_up_once(tmp_path: Path) -> None:
    """A sparse file would have the length and no blocks: a promise that the full disk would not keep."""
    spare = made(tmp_path)
    assert spare.held == MIB
    assert (tmp_path / SPARE_NAME).stat().st_blocks * 512 >= MIB
    assert spare.release()
    assert spare.held == 0
    assert not spare.release()


@pytest.mark.parametrize(
    ("outbox", "free", "held"),
    [
        (0, 100 * MIB, MIB),
        (4 * MIB, 100 * MIB, 5 * MIB),
        (100 * MIB, 100 * MIB, 8 * MIB),
        (100 * MIB, 10 * MIB + 2 * MIB, MIB),
        (0, 10 * MIB + 2 * MIB - 1, (2 * MIB - 1) // SMALL_SHARE),
        (0, 10 * MIB + SMALL_SHARE * FULL_BYTES, FULL_BYTES),
        (0, 10 * MIB + SMALL_SHARE * FULL_BYTES - 1, 0),
        (0, 9 * MIB, 0),
        (0, 0, 0),
    ],
)
def test_it_grows_with_the_outbox_and_only_into_plenty_of_room(
    tmp_path: Path, outbox: int, free: int, held: int
) -> None:
    assert made(tmp_path, outbox=outbox, free=free).held == held


def test_nothing_is_set_aside_when_nobody_wants_it(tmp_path: Path) -> None:
    assert made(tmp_path, least=0, outbox=100 * MIB).held == 0


async def test_an_outbox_that_finds_no_room_opens_in_the_spare(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = await rig.open(limits=LIMITS)
    await outbox.append([draft(1)])
    await outbox.close(5)
    spare = rig.folder / SPARE_NAME
    assert spare.stat().st_size == MIB
    monkeypatch.setattr("buffer.opening.begin_run", _full_while(spare))
    outbox = await rig.open(limits=LIMITS)
    assert (await outbox.head_of_chain()).seq == 1
    await outbox.close(5)
    monkeypatch.setattr("buffer.opening.begin_run", _full_while(rig.folder))
    with pytest.raises(OutboxFull):  # not even that is enough
        await rig.open(limits=LIMITS)


def _full_while(path: Path):  # type: ignore[no-untyped-def]
    from buffer.ledger import begin_run

    def begin(*arguments, **options):  # type: ignore[no-untyped-def]
        if path.exists():
            raise sqlite_error(sqlite3.SQLITE_FULL, "full")
        return begin_run(*arguments, **options)

    return begin


async def test_a_settle_that_finds_no_room_is_written_in_the_spare(rig: Rig) -> None:
    """The disk is full in mid-shift: the centre has the events, and the position must be able to say so."""
    outbox = await rig.open(limits=LIMITS)
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 10))
    spare = rig.folder / SPARE_NAME
    disk = fail_disk(outbox)
    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL, "full") if sql == "COMMIT" and spare.exists() else None
    await outbox.settle("centre", through=10)
    assert not spare.exists()
    assert await outbox.cursor("centre") == 10
    await outbox.close(5)


async def test_files_that_vanish_are_noticed_while_the_disk_is_full(rig: Rig) -> None:
    """The watchdog's question rode in one transaction with a settle, failed with it, and nobody looked at the files."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 10))
    disk = fail_disk(outbox)
    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL, "full") if sql == "COMMIT" else None
    settling = asyncio.ensure_future(outbox.settle("centre", through=10))
    await outbox.alive()
    with pytest.raises(OutboxFull):
        await settling
    (rig.folder / "outbox.db").rename(rig.folder / "gone.db")
    settling = asyncio.ensure_future(outbox.settle("centre", through=10))
    with pytest.raises(CommitUnknown):
        await asyncio.gather(outbox.alive(), outbox.alive())
    await asyncio.gather(settling, return_exceptions=True)
    assert rig.fatal
    assert writer_of(outbox) is not None
    await outbox.close(5)


async def test_a_position_moves_in_little_room_and_what_may_leave_with_it_waits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk what is delivered leaves at once; erasing it takes more room than there is, and must not undo the
    settle."""
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=0))
    await outbox.register("centre", required=True, start="now")
    await outbox.append([draft(number) for number in range(1, 6)])

    def purge(*_: object, **__: object) -> int:
        raise sqlite_error(sqlite3.SQLITE_FULL, "full")

    monkeypatch.setattr(writer_of(outbox), "purge_chunks", purge)
    await outbox.settle("centre", through=5)
    census = await outbox.census("centre")
    assert (census.delivered, census.imbalance) == (5, 0)
    assert writer_of(outbox).retention_due
    monkeypatch.undo()
    await outbox.close(5)
