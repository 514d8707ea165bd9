"""A disk that is really full.

On a file system of one megabyte where the tests may mount one, and by limiting the pages of the file everywhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from outbox_rig import Rig, draft, drafts, pages_left

from buffer import Limits, OutboxFull
from buffer.spare import FULL_BYTES


def small_disk(path: Path) -> bool:
    """Mount a file system of one megabyte; returns whether we may."""
    path.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        return False
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a file system of its own."""
    path = tmp_path / "disk"
    mounted = small_disk(path)
    yield path, mounted
    if mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.fault(7)
async def test_a_full_disk_refuses_keeps_drains_and_resumes(disk: tuple[Path, bool]) -> None:
    """The disk fills to the last byte in mid-scan: no acknowledgement for what did not fit, all that was acknowledged
    is there and drains into the room set aside for that (the least that helps), intake resumes by itself when there is
    space."""
    path, mounted = disk
    rig = Rig(path / "state")
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=0, spare_bytes=FULL_BYTES))
    await outbox.register("centre", required=True, start="now")
    ballast = path / "ballast"
    if not mounted:
        await pages_left(outbox, 40)
    else:
        ballast.write_bytes(b"x" * 300_000)
    held = 0
    refused: OutboxFull | None = None
    while refused is None:
        try:
            await outbox.append(drafts(held + 1, 20, size=500))
            held += 20
        except OutboxFull as error:
            refused = error
        assert held < 10_000
    assert "full" in str(refused)
    assert rig.fatal == []
    for _ in range(3):
        rig.advance(seconds=2)
        with pytest.raises(OutboxFull):
            await outbox.append(drafts(held + 1, 200, size=2000))
        await outbox.alive()
    head = await outbox.head("centre", after=0, count_max=10_000, bytes_max=10**8)
    assert [entry.seq for entry in head] == list(range(1, held + 1))
    await outbox.settle("centre", through=held)
    if mounted:
        ballast.unlink()
    else:
        await pages_left(outbox, None)
    for _ in range(10):
        rig.advance(seconds=2)
        try:
            await outbox.append([draft(held + 1)])
            break
        except OutboxFull:
            await outbox.alive()
    assert outbox.full_reason is None
    assert (await outbox.verify()).problems == ()
    census = await outbox.census("centre")
    assert (census.accepted, census.imbalance) == (held + 1, 0)
    await outbox.close(5)
    rig.shutdown()


async def test_without_room_set_aside_a_settling_may_have_to_wait_and_loses_nothing(disk: tuple[Path, bool]) -> None:
    """`spare_bytes = 0`, and the disk is full to the last byte: it may refuse what drains, too, but forgets nothing."""
    path, mounted = disk
    rig = Rig(path / "state")
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=0, spare_bytes=0))
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 100, size=500))
    ballast = path / "ballast"
    if not mounted:
        await pages_left(outbox, 0)
    else:
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    settled = 0
    for through in range(1, 101):
        try:
            await outbox.settle("centre", through=through)
            settled = through
        except OutboxFull:
            await outbox.alive()
            break
    assert await outbox.cursor("centre") == settled
    if mounted:
        assert settled < 100, "the disk was not full"
        ballast.unlink()
    else:
        await pages_left(outbox, None)
    rig.advance(seconds=2)
    await outbox.settle("centre", through=100)
    assert (await outbox.verify()).problems == ()
    census = await outbox.census("centre")
    assert (census.delivered, census.imbalance) == (100, 0)
    await outbox.close(5)
    rig.shutdown()


async def test_at_the_reserve_mark_the_disk_is_never_filled(disk: tuple[Path, bool]) -> None:
    """The mark is reached before the disk is full: refusal is orderly and settling needs no luck."""
    path, mounted = disk
    reserve = 400_000
    free = shutil.disk_usage(path).free
    limits = Limits(disk_reserve_bytes=reserve if mounted else free - 500_000)
    rig = Rig(path / "state")
    outbox = await rig.open(limits=limits)
    await outbox.register("centre", required=True, start="now")
    held = 0
    with pytest.raises(OutboxFull, match=r"reserve|fills"):
        while held < 20_000:
            await outbox.append(drafts(held + 1, 10, size=500))
            held += 10
    if mounted:
        assert shutil.disk_usage(path).free > reserve // 2
    await outbox.settle("centre", through=held)
    assert (await outbox.census("centre")).delivered == held
    assert outbox.failed_commits == 0
    await outbox.close(5)
    rig.shutdown()
