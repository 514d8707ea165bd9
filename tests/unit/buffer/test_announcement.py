"""A hole behind the position is told, survives everything, and is told again only when more is known of it."""

from __future__ import annotations

from outbox_rig import Rig, drafts

from buffer import Entry, EntryFilter, Outbox
from buffer.inspection import WISH_NAME


async def rejecting(rig: Rig, *rejected: int, through: int = 5) -> Outbox:
    """Return an outbox with five entries, some of which an upstream rejected."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 5))
    await outbox.settle("centre", through=through, rejected=[(seq, "no") for seq in rejected])
    return outbox


async def due(outbox: Outbox, upstream: str = "centre") -> list[Entry]:
    return await outbox.announcements(upstream, count_max=10)


def told(entries: list[Entry]) -> list[tuple[int, str | None]]:
    return [(entry.seq, entry.gap_reason) for entry in entries]


async def test_what_was_rejected_is_to_be_announced_until_that_was_answered_for(rig: Rig) -> None:
    """Kill -9 at any moment in between: the row is in the commit that moved the position, and stays."""
    outbox = await rejecting(rig, 2, 4)
    (first, second) = await due(outbox)
    assert told([first, second]) == [(2, "quarantined: no"), (4, "quarantined: no")]
    assert (first.id, first.station) == ("01890000-0000-7000-8000-000000000002", "dock-3")
    assert len(first.digest) == 16
    await outbox.close(5)
    outbox = await rig.open()
    assert await due(outbox) == [first, second]
    assert await outbox.announcements("centre", count_max=1) == [first]
    await outbox.settle_announced("centre", [(2, "quarantined: no")])
    assert await due(outbox) == [second]
    await outbox.settle_announced("centre", [(4, "quarantined: no")])
    assert await due(outbox) == []
    assert (await outbox.census("centre", fresh=True)).imbalance == 0
    await outbox.close(5)


async def test_only_the_upstream_that_rejected_it_is_told(rig: Rig) -> None:
    outbox = await rejecting(rig)
    await outbox.register("wms", required=True, start="retained")
    await outbox.settle("wms", through=5, rejected=[(3, "unknown")])
    assert await due(outbox) == []
    assert told(await due(outbox, "wms")) == [(3, "quarantined: unknown")]
    await outbox.rename("wms", "erp", actor="op7", reason="sold")
    assert told(await due(outbox, "erp")) == [(3, "quarantined: unknown")]
    await outbox.unregister("erp", actor="op7", reason="gone")
    assert rig.query("SELECT * FROM announcement") == []
    await outbox.close(5)


async def test_what_lies_ahead_of_the_position_is_told_in_its_place(rig: Rig) -> None:
    """A rewind before the record was sent: it comes in order, and not a second time behind it."""
    outbox = await rejecting(rig, 2)
    await outbox.rewind("centre", to=1, actor="op7", reason="restored")
    assert await due(outbox) == []
    assert told(await outbox.head("centre", after=1, count_max=1, bytes_max=100)) == [(2, "quarantined: no")]
    await outbox.settle("centre", through=5)
    assert await due(outbox) == []
    await outbox.close(5)


async def test_a_record_that_was_refused_in_its_place_is_due_again(rig: Rig) -> None:
    outbox = await rejecting(rig, 2)
    await outbox.settle_announced("centre", [(2, "quarantined: no")])
    await outbox.rewind("centre", to=0, actor="op7", reason="restored")
    await outbox.settle("centre", through=5, untold=[2, 3])
    assert told(await due(outbox)) == [(2, "quarantined: no")]
    await outbox.close(5)


async def test_a_decision_to_discard_is_told_once_more(rig: Rig) -> None:
    """Only then does a consumer know that it need not wait any longer; retention may have been quicker."""
    outbox = await rejecting(rig, 2)
    await outbox.settle_announced("centre", [(2, "quarantined: no")])
    await outbox.quarantine_discard("centre", [2], actor="op7", note="a test label")
    assert told(await due(outbox)) == [(2, "discarded: no")]
    rig.tamper("DELETE FROM entry WHERE seq = 2")
    (bare,) = await due(outbox)
    assert (bare.id, bare.digest, bare.gap_reason) == ("", b"", "discarded: no")
    await outbox.close(5)


async def test_to_discard_what_was_told_as_damaged_tells_nothing_new(rig: Rig) -> None:
    outbox = await rejecting(rig, through=0)
    await outbox.close(5)
    outbox = await rig.open()
    rig.tamper("DROP TRIGGER entry_is_never_updated", "UPDATE entry SET payload = x'7b7d' WHERE seq = 2")
    assert told(await outbox.head("centre", after=0, count_max=9, bytes_max=10**6))[1] == (2, "damaged")
    await outbox.settle("centre", through=5)
    await outbox.quarantine_discard("centre", [2], actor="op7", note="known")
    assert await due(outbox) == []
    await outbox.close(5)


async def test_a_decision_while_its_record_was_under_way_is_not_lost(rig: Rig) -> None:
    outbox = await rejecting(rig, 2)
    under_way = told(await due(outbox))
    await outbox.quarantine_discard("centre", [2], actor="op7", note="a test label")
    await outbox.settle_announced("centre", [(seq, reason or "") for seq, reason in under_way])
    assert told(await due(outbox)) == [(2, "discarded: no")]
    await outbox.close(5)


async def test_an_entry_that_arrived_late_needs_no_record(rig: Rig) -> None:
    outbox = await rejecting(rig, 2, 3)
    await outbox.quarantine_retry("centre", [2, 3], actor="op7")
    await outbox.settle_retry("centre", [2], [(3, "still no")])
    assert told(await due(outbox)) == [(3, "quarantined: still no")]
    await outbox.close(5)


async def test_an_entry_found_damaged_is_told_as_that(rig: Rig) -> None:
    outbox = await rejecting(rig, 2)
    rig.tamper("DROP TRIGGER entry_is_never_updated", "UPDATE entry SET payload = x'7b7d' WHERE seq = 2")
    (damaged,) = await due(outbox)
    assert (damaged.gap_reason, damaged.id, damaged.payload) == ("damaged", "", b"")
    await outbox.settle_announced("centre", [(2, "damaged")])
    assert await due(outbox) == []
    await outbox.close(5)


async def test_a_salvage_carries_what_is_still_to_be_told(rig: Rig) -> None:
    outbox = await rejecting(rig, 2, 4)
    await outbox.settle_announced("centre", [(4, "quarantined: no")])
    await outbox.close(5)
    rig.zero_page(1)
    outbox = await rig.open()
    # The list of tables is gone, so nobody can be sure: what is held is told again, under the same id.
    assert told(await due(outbox)) == [(2, "quarantined: no"), (4, "quarantined: no")]
    assert (await outbox.census("centre", fresh=True)).imbalance == 0
    await outbox.close(5)


async def test_what_a_salvage_cannot_carry_will_not_come_late(rig: Rig) -> None:
    """It was told as quarantined, so a consumer waits for it; now it is gone for good."""
    outbox = await rejecting(rig, 2)
    await outbox.settle_announced("centre", [(2, "quarantined: no")])
    await outbox.close(5)
    rig.tamper("DELETE FROM entry WHERE seq = 2")
    rig.tamper("VACUUM")  # or a look at every page would find it again
    (rig.folder / WISH_NAME).write_text("somebody looked\n")
    outbox = await rig.open()
    assert [entry.seq for entry in await outbox.entries(EntryFilter(newest_first=False))] == [1, 3, 4, 5]
    assert told(await due(outbox)) == [(2, "missing")]
    await outbox.settle_announced("centre", [(2, "missing")])
    assert await due(outbox) == []
    await outbox.close(5)
