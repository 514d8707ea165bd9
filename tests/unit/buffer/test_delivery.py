"""Positions of upstreams."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from pathlib import Path

import pytest
from outbox_rig import Rig, draft, drafts, fail_disk, sqlite_error

from buffer import Limits, UpstreamUnknown
from buffer.errors import UpstreamTaken


async def test_each_upstream_has_its_own_position(rig: Rig) -> None:
    """One centre is down for a day: the other one's entries go on."""
    outbox = await rig.open()
    await outbox.register("a", required=True, start="now")
    await outbox.register("b", required=False, start="now")
    await outbox.append(drafts(1, 10))
    await outbox.settle("a", through=7)
    assert (await outbox.cursor("a"), await outbox.cursor("b")) == (7, 0)
    assert {one.upstream: one.required for one in await outbox.upstreams()} == {"a": True, "b": False}
    await outbox.close(5)


@pytest.mark.parametrize(("start", "cursor", "accepted"), [("now", 5, 2), ("retained", 0, 7)])
async def test_a_new_upstream_says_where_it_starts(rig: Rig, start: str, cursor: int, accepted: int) -> None:
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    await outbox.register("late", required=True, start=start)  # type: ignore[arg-type]
    assert await outbox.cursor("late") == cursor
    await outbox.append(drafts(6, 2))
    census = await outbox.census("late")
    assert (census.accepted, census.pending, census.imbalance) == (accepted, accepted, 0)
    await outbox.settle("late", through=7)
    assert (await outbox.census("late")).delivered == accepted
    await outbox.close(5)


async def test_an_upstream_registered_in_the_commit_of_a_scan_owes_no_scan_before_it(rig: Rig) -> None:
    """Append and registration share a commit: the counters agree on which came first."""
    outbox = await rig.open()
    append = outbox.append(drafts(1, 3))
    await outbox.register("centre", required=True, start="now")
    await append
    census = await outbox.census("centre")
    assert (await outbox.cursor("centre"), census.accepted, census.imbalance) == (3, 0, 0)
    await outbox.close(5)


async def test_registering_again_keeps_the_position_and_follows_required(rig: Rig) -> None:
    """Every start registers what the configuration names; a reload that changes `required` is audited."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 3))
    await outbox.register("centre", required=True, start="retained")
    await outbox.settle("centre", through=2)
    await outbox.register("centre", required=False, start="now")
    (position,) = await outbox.upstreams()
    assert (position.seq, position.required) == (2, False)
    assert [one.action for one in await outbox.audit_list()][-1] == "upstream_changed"
    await outbox.close(5)


@pytest.mark.parametrize("through", [1, 6])
async def test_a_position_that_cannot_be_is_refused(rig: Rig, through: int) -> None:
    """A pump with a bug must not move a cursor back or past what exists."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 5))
    await outbox.settle("centre", through=2)
    with pytest.raises(ValueError, match="cannot settle"):
        await outbox.settle("centre", through=through)
    for seq in (2, 6):
        with pytest.raises(ValueError, match="cannot reject"):
            await outbox.settle("centre", through=5, rejected=[(seq, "no")])
    assert await outbox.cursor("centre") == 2
    assert await outbox.quarantine_list() == []
    await outbox.close(5)


async def test_rewinding_delivers_again_as_far_as_entries_are_kept(rig: Rig) -> None:
    """A centre restored from an older backup says how far it is."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 10))
    await outbox.settle("centre", through=10, rejected=[(4, "no")])
    assert await outbox.rewind("centre", to=3, actor="centre", reason="restored") == 3
    census = await outbox.census("centre")
    assert (census.delivered, census.pending, census.quarantined, census.imbalance) == (3, 6, 1, 0)
    assert [entry.seq for entry in await outbox.head("centre", after=3, count_max=10, bytes_max=10**6)] == [
        *range(4, 11)
    ]
    await outbox.settle("centre", through=10)
    assert (await outbox.census("centre")).delivered == 9
    with pytest.raises(ValueError, match="cannot rewind"):
        await outbox.rewind("centre", to=11, actor="centre", reason="restored")
    assert [one.action for one in await outbox.audit_list()].count("upstream_rewound") == 1
    await outbox.close(5)


async def test_a_rewind_tells_what_retention_removed(rig: Rig) -> None:
    """A reader in order behind a restored centre would wait for it for ever."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 5))
    await outbox.settle("centre", through=5)
    rig.advance(hours=24)
    await outbox.append(drafts(6, 5))
    rig.advance(hours=24 * 13.5)
    await outbox.append([draft(11)])
    await outbox.settle("centre", through=11)
    assert await outbox.rewind("centre", to=2, actor="centre", reason="restored") == 5
    assert await outbox.cursor("centre") == 2
    gap, following = await outbox.head("centre", after=2, count_max=2, bytes_max=10**6)
    assert (gap.gap_first, gap.seq, gap.gap_reason, following.seq) == (3, 5, "skipped", 6)
    assert (await outbox.census("centre")).imbalance == 0
    assert await outbox.rewind("centre", to=1, actor="centre", reason="and again") == 2
    await outbox.settle("centre", through=11)
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def test_a_restored_centre_that_wants_more_than_is_kept_is_a_case_for_a_person(rig: Rig) -> None:
    """It was restored from last month: what retention removed since then nobody can give it, and somebody must know."""
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=0, bytes_max=1))
    await outbox.register("centre", required=True, start="now")
    await outbox._group.append(drafts(1, 20), (), ())
    await outbox.settle("centre", through=15)
    await outbox._group.submit(lambda writer: writer.purge_chunks(8))
    assert await outbox.rewind("centre", to=3, actor="centre", reason="centre instance b is at 3") == 15
    (incident,) = await outbox.incidents()
    assert incident.kind == "rewind_short"
    assert "up to 15 are not all kept" in incident.told.reason
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.rewind("centre", to=2, actor="op", reason="a person sees what the command says")
    assert len(await outbox.incidents()) == 1
    await outbox.close(5)


async def test_an_upstream_is_renamed_with_all_it_has(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.register("a", required=True, start="now")
    await outbox.register("b", required=True, start="now")
    await outbox.append(drafts(1, 3))
    await outbox.settle("a", through=2, rejected=[(2, "no")])
    with pytest.raises(UpstreamTaken, match="'b'"):
        await outbox.rename("a", "b", actor="op", reason="typo")
    await outbox.rename("a", "c", actor="op", reason="new house")
    assert await outbox.cursor("c") == 2
    assert [one.upstream for one in await outbox.quarantine_list()] == ["c"]
    with pytest.raises(UpstreamUnknown):
        await outbox.cursor("a")
    await outbox.close(5)


async def test_a_name_that_was_reloaded_too_early_takes_the_old_position_over(rig: Rig) -> None:
    """The file was changed and reloaded before anybody renamed: the new name began at the end and lacks 40 events."""
    outbox = await rig.open()
    await outbox.register("a", required=True, start="now")
    await outbox.append(drafts(1, 50))
    await outbox.settle("a", through=10)
    await outbox.register("b", required=True, start="now")
    await outbox.rename("a", "b", actor="op", reason="new house", replace=True)
    assert [one.upstream for one in await outbox.upstreams()] == ["b"]
    assert await outbox.cursor("b") == 10
    assert (await outbox.census("b")).imbalance == 0
    assert [one.action for one in await outbox.audit_list()][-2:] == ["upstream_removed", "upstream_renamed"]
    await outbox.close(5)


async def test_a_removed_upstream_pins_nothing_and_is_audited(rig: Rig) -> None:
    """A centre is decommissioned with entries pending and in quarantine."""
    outbox = await rig.open()
    for name in ("old", "new"):
        await outbox.register(name, required=True, start="now")
    await outbox.append(drafts(1, 3))
    rig.advance(hours=24)
    await outbox.settle("new", through=3)
    await outbox.settle("old", through=2, rejected=[(2, "no")])
    await outbox.unregister("old", actor="op", reason="sold")
    rig.advance(hours=24 * 15)
    await outbox.append([draft(4)])
    rig.advance(hours=24 * 15)
    await outbox.append([draft(5)])
    await outbox.append([draft(6)])
    assert rig.query("SELECT min(seq) FROM entry") == [(4,)]
    (removed,) = [one for one in await outbox.audit_list() if one.action == "upstream_removed"]
    assert (removed.actor, removed.upstream) == ("op", "old")
    await outbox.close(5)


async def test_a_refused_settle_whose_pump_is_gone_is_no_fault_of_the_loop(tmp_path: Path) -> None:
    """The disk is full, a reload takes the pump away while its settle waits: nothing is left that could say "never
    retrieved", traceback and all."""
    rig = Rig(tmp_path, inline=True)
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="retained")
    await outbox.append(drafts(1, 1))
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    disk = fail_disk(outbox)
    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL) if sql.startswith("COMMIT") else None
    settle = asyncio.ensure_future(outbox.settle("centre", through=1))
    await asyncio.sleep(0)
    settle.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    del settle
    disk.fail_on = lambda _: None
    rig.advance(seconds=5)
    await outbox.register("another", required=False, start="now")
    gc.collect()
    assert complaints == []
