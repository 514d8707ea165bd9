"""What may leave, and when."""

from __future__ import annotations

import pytest
from outbox_rig import MIB, Rig, draft, drafts

from buffer import Limits, Outbox, OutboxFull
from buffer.retention import runs

DAY = 24.0


async def opened(rig: Rig, limits: Limits | None = None, **upstreams: bool) -> Outbox:
    outbox = await rig.open(limits=limits or Limits(disk_reserve_bytes=0))
    for name, required in (upstreams or {"centre": True}).items():
        await outbox.register(name, required=required, start="now")
    return outbox


def kept(rig: Rig) -> tuple[int, int]:
    """Return first seq and number of the entries that are here."""
    ((first, count),) = rig.query("SELECT min(seq), count(*) FROM entry")
    return first, count


async def test_delivered_and_old_enough_leaves_and_the_chain_still_verifies(rig: Rig) -> None:
    outbox = await opened(rig)
    await outbox.append(drafts(1, 10))
    await outbox.settle("centre", through=10)
    rig.advance(hours=15 * DAY)
    await outbox.append(drafts(11, 5))
    assert kept(rig) == (11, 5)
    verification = await outbox.verify()
    assert (verification.entries, verification.anchored, verification.problems) == (5, 10, ())
    assert (await outbox.census("centre")).imbalance == 0
    assert outbox.stats().entries == 5
    await outbox.close(5)


async def test_nothing_undelivered_leaves_however_old(rig: Rig) -> None:
    """The line to the centre is dead for two months."""
    outbox = await opened(rig)
    await outbox.append(drafts(1, 10))
    await outbox.settle("centre", through=4)
    for day in range(60):
        rig.advance(hours=DAY)
        await outbox.append([draft(11 + day)])
    assert kept(rig) == (5, 66)
    await outbox.close(5)


async def test_without_an_upstream_nothing_leaves(rig: Rig) -> None:
    """Set up today, connected to the centre next month."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    rig.advance(hours=30 * DAY)
    await outbox.append([draft(6)])
    assert kept(rig) == (1, 6)
    await outbox.close(5)


@pytest.mark.fault(19)
async def test_a_wall_clock_that_jumps_purges_nothing(rig: Rig) -> None:
    """A time server hands out a date 30 days ahead."""
    outbox = await opened(rig)
    await outbox.append(drafts(1, 5))
    await outbox.settle("centre", through=5)
    rig.wall_ms += 30 * 24 * 3_600_000
    await outbox.append([draft(6)])
    assert kept(rig) == (1, 6)
    await outbox.close(5)


async def test_time_that_the_gateway_was_off_does_not_count_and_time_on_adds_up(rig: Rig) -> None:
    """Monotonic time starts anew at every boot; retention does not."""
    for run in range(16):
        outbox = await opened(rig)
        await outbox.append([draft(1 + run)])
        await outbox.settle("centre", through=1 + run)
        rig.advance(hours=DAY)
        await outbox.close(5)
        rig.monotonic_s = 7.0  # a new boot
        rig.wall_ms += 365 * 24 * 3_600_000
    first, count = kept(rig)
    assert first == 3 and count == 14


async def test_the_slowest_required_upstream_pins(rig: Rig) -> None:
    outbox = await opened(rig, a=True, b=True)
    await outbox.append(drafts(1, 10))
    await outbox.settle("a", through=10)
    await outbox.settle("b", through=3)
    rig.advance(hours=15 * DAY)
    await outbox.append([draft(11)])
    assert kept(rig) == (4, 8)
    await outbox.close(5)


async def test_an_optional_upstream_alone_pins_as_well(rig: Rig) -> None:
    """Nothing that nobody has ever taken may leave by age."""
    outbox = await opened(rig, nice=False)
    await outbox.append(drafts(1, 10))
    await outbox.settle("nice", through=3)
    rig.advance(hours=15 * DAY)
    await outbox.append([draft(11)])
    assert kept(rig) == (4, 8)
    await outbox.close(5)


async def test_rows_leave_in_small_chunks_and_keep_up_with_intake(rig: Rig) -> None:
    """A delete of a month in one commit would stall the scan that pays for it."""
    outbox = await opened(rig)
    await outbox.append(drafts(1, 3000))
    await outbox.settle("centre", through=3000)
    rig.advance(hours=15 * DAY)
    await outbox.append([draft(3001)])
    assert kept(rig) == (501, 2501)
    await outbox.append(drafts(3002, 1000))
    assert kept(rig) == (2001, 2001)
    for number in range(3):
        await outbox.append([draft(4002 + number)])
    assert kept(rig)[0] == 3001
    assert rig.query("SELECT first_seq, last_seq FROM purged") == [(1, 3000)]
    await outbox.close(5)


FULL = Limits(bytes_max=2 * MIB, disk_reserve_bytes=0)


async def fill(outbox: Outbox, first: int) -> int:
    """Append until refused; returns the next number."""
    number = first
    while True:
        try:
            await outbox.append(drafts(number, 50, size=1000))
        except OutboxFull:
            return number
        number += 50


async def test_at_the_cap_intake_is_refused_and_what_is_there_drains(rig: Rig) -> None:
    """The line is dead and the outbox fills: NAK at the mark; when the line returns intake resumes by itself."""
    outbox = await opened(rig, FULL)
    refused = await fill(outbox, 1)
    assert 1000 < refused < 3000
    stats = outbox.stats()
    assert (stats.level, stats.entries) == ("full", refused - 1)
    assert stats.full_reason is not None and "2 MiB" in stats.full_reason
    assert stats.bytes_used < FULL.bytes_max + 100 * 1500
    with pytest.raises(OutboxFull):
        outbox.append([])
    await outbox.settle("centre", through=refused // 2)
    for _ in range(20):
        rig.advance(seconds=1)
        try:
            await outbox.append([draft(refused)])
            break
        except OutboxFull:
            await outbox.alive()
            await outbox.alive()
    assert outbox.full_reason is None
    assert (await outbox.census("centre")).imbalance == 0
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_full_outbox_does_not_flap(rig: Rig) -> None:
    """Room for one scan more is not yet room: the second scan would get another answer than the first."""
    outbox = await opened(rig, FULL)
    refused = await fill(outbox, 1)
    await outbox.settle("centre", through=5)
    rig.advance(seconds=1)
    with pytest.raises(OutboxFull):
        outbox.append([draft(refused)])
    await outbox.alive()
    with pytest.raises(OutboxFull):
        outbox.append([draft(refused)])
    await outbox.close(5)


async def test_delivered_entries_make_room_before_their_time(rig: Rig) -> None:
    """All is delivered, retention is two weeks, the disk is small: intake goes on, the replay window shrinks."""
    outbox = await opened(rig, FULL)
    for number in range(1, 6001, 50):
        await outbox.append(drafts(number, 50, size=1000))
        await outbox.settle("centre", through=number + 49)
    first, count = kept(rig)
    assert first > 3000 and count >= 1000
    assert outbox.stats().bytes_used <= FULL.bytes_max
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


@pytest.mark.fault(8)
async def test_at_the_cap_an_optional_upstream_skips_and_is_told(rig: Rig) -> None:
    """The data lake is dead for a week; the WMS is not: scans go on, the lake later gets a gap for what it missed."""
    outbox = await opened(rig, FULL, wms=True, lake=False)
    await outbox.settle("lake", through=0)
    for number in range(1, 6001, 50):
        for _ in range(20):
            try:
                await outbox.append(drafts(number, 50, size=1000))
                break
            except OutboxFull:
                rig.advance(seconds=1)
                await outbox.alive()
        await outbox.settle("wms", through=(await outbox.head_of_chain()).seq)
    head = (await outbox.head_of_chain()).seq
    assert head == 6000
    wms, lake = await outbox.census("wms"), await outbox.census("lake")
    assert (wms.imbalance, wms.skipped, wms.delivered) == (0, 0, head)
    assert lake.imbalance == 0 and lake.skipped > 3000
    gap, following = (await outbox.head("lake", after=0, count_max=2, bytes_max=10**6))[:2]
    assert (gap.gap_reason, gap.gap_first, gap.seq) == ("skipped", 1, lake.skipped)
    assert (following.seq, following.gap_reason) == (gap.seq + 1, None)
    await outbox.settle("lake", through=gap.seq + 1)
    lake = await outbox.census("lake")
    assert (lake.delivered, lake.imbalance) == (1, 0)
    assert "entries_skipped" in {one.action for one in await outbox.audit_list() if one.upstream == "lake"}
    await outbox.close(5)


async def test_what_is_rejected_after_it_was_skipped_is_counted_once(rig: Rig) -> None:
    """The lake's answer takes a minute; meanwhile the outbox is full and gives up what was asked about."""
    outbox = await opened(rig, FULL, wms=True, lake=False)
    refused = await fill(outbox, 1)
    await outbox.head("lake", after=0, count_max=10, bytes_max=10**6)
    await outbox.settle("wms", through=refused - 1)
    assert kept(rig)[0] > 10
    await outbox.settle("lake", through=10, rejected=[(3, "no")], untold=[5])
    assert await outbox.quarantine_list("lake") == []
    told = [(one.seq, one.gap_reason) for one in await outbox.announcements("lake", count_max=10)]
    assert told == [(3, "skipped")]
    await outbox.settle_announced("lake", told)
    assert await outbox.announcements("lake", count_max=10) == []
    assert (await outbox.census("lake", fresh=True)).imbalance == 0
    await outbox.close(5)


async def test_a_required_upstream_never_skips(rig: Rig) -> None:
    outbox = await opened(rig, FULL, wms=True, lake=True)
    refused = await fill(outbox, 1)
    await outbox.settle("wms", through=refused - 1)
    for _ in range(5):
        rig.advance(seconds=1)
        with pytest.raises(OutboxFull):
            outbox.append([draft(refused)])
        await outbox.alive()
    assert kept(rig) == (1, refused - 1)
    await outbox.close(5)


async def test_freed_pages_are_used_again(rig: Rig) -> None:
    """Three outages, three drains: the file is not larger after the third than after the first."""
    outbox = await opened(rig, Limits(disk_reserve_bytes=0, retention_ms=0))
    sizes = []
    for cycle in range(3):
        for number in range(1, 2001, 100):
            await outbox.append(drafts(cycle * 2000 + number, 100, size=500))
        await outbox.settle("centre", through=(cycle + 1) * 2000)
        for _ in range(8):
            rig.advance(hours=1)
            await outbox.settle("centre", through=(cycle + 1) * 2000)
        sizes.append(rig.query("PRAGMA page_count")[0][0])
    assert sizes[2] <= sizes[0] * 1.05
    await outbox.close(5)


def test_runs_of_numbers() -> None:
    assert runs([]) == []
    assert runs([1]) == [(1, 1)]
    assert runs([1, 2, 3, 5, 7, 8]) == [(1, 3), (5, 5), (7, 8)]
