"""When an upstream took an entry is known to the second, or said to be unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from outbox_rig import Rig, draft

from buffer import Outbox, Settlement


@pytest.fixture
async def outbox(rig: Rig) -> AsyncIterator[Outbox]:
    opened = await rig.open()
    await opened.register("a", required=True, start="retained")
    yield opened
    await opened.close(5)


async def fates(outbox: Outbox, seq: int) -> dict[str, tuple[str, int | None]]:
    return {one.upstream: (one.fate, one.at) for one in await outbox.settlements(seq)}


async def test_each_entry_has_the_time_at_which_its_position_moved(rig: Rig, outbox: Outbox) -> None:
    await outbox.append([draft(number) for number in range(1, 11)])
    await outbox.register("late", required=False, start="now")
    times = []
    for through in (3, 4, 8):
        rig.advance(seconds=2)
        times.append(rig.wall_ms)
        await outbox.settle("a", through=through)
    assert [(await fates(outbox, seq))["a"] for seq in (1, 3, 4, 5, 8, 9)] == [
        ("accepted", times[0]), ("accepted", times[0]), ("accepted", times[1]), ("accepted", times[2]),
        ("accepted", times[2]), ("pending", None),
    ]  # fmt: skip
    assert (await fates(outbox, 3))["late"] == ("settled", None), "it began behind it: nothing is claimed"


async def test_many_moves_of_one_second_are_one_row(rig: Rig, outbox: Outbox) -> None:
    """A steady trickle settles 25 times a second for weeks."""
    await outbox.append([draft(number) for number in range(1, 101)])
    for through in range(1, 101):
        await outbox.settle("a", through=through)
    assert rig.query("SELECT after_seq, through_seq FROM settlement") == [(0, 100)]
    assert rig.query("SELECT count(*) FROM settlement") == [(1,)]


async def test_what_is_delivered_again_is_pending_and_was_taken_before(rig: Rig, outbox: Outbox) -> None:
    await outbox.append([draft(number) for number in range(1, 11)])
    await outbox.settle("a", through=10)
    first = rig.wall_ms
    rig.advance(seconds=5)
    await outbox.rewind("a", to=4, actor="joe", reason="restored")
    assert ((await fates(outbox, 4))["a"], (await fates(outbox, 5))["a"]) == (("accepted", first), ("pending", first))
    await outbox.settle("a", through=6)
    assert (await fates(outbox, 6))["a"] == ("accepted", first), "the first time is the one that counts"


async def test_a_range_that_does_not_join_claims_nothing_in_between(rig: Rig, outbox: Outbox) -> None:
    """Moved, put back and moved within one second: what lies between the two ranges was not taken just now."""
    await outbox.append([draft(number) for number in range(1, 11)])
    await outbox.settle("a", through=4)
    rig.advance(seconds=5)
    await outbox.settle("a", through=8)
    await outbox.rewind("a", to=1, actor="joe", reason="restored")
    await outbox.settle("a", through=2)
    assert rig.query("SELECT after_seq, through_seq FROM settlement ORDER BY second") == [(0, 4), (1, 2)]


async def test_quarantine_tells_its_own_story(rig: Rig, outbox: Outbox) -> None:
    await outbox.append([draft(number) for number in range(1, 4)])
    await outbox.settle("a", through=3, rejected=[(2, "GTIN check digit")])
    (found,) = await outbox.settlements(2)
    assert (found.fate, found.reason) == ("open", "GTIN check digit")
    rig.advance(seconds=9)
    await outbox.quarantine_discard("a", [2], actor="joe", note="test label")
    assert await outbox.settlements(2) == [Settlement("a", "discarded", rig.wall_ms, "GTIN check digit")]


async def test_a_new_name_takes_the_story_along_and_a_removal_ends_it(rig: Rig, outbox: Outbox) -> None:
    await outbox.append([draft(1)])
    await outbox.settle("a", through=1)
    await outbox.rename("a", "b", actor="joe", reason="new centre")
    assert (await fates(outbox, 1))["b"][0] == "accepted"
    await outbox.unregister("b", actor="joe", reason="gone")
    assert rig.query("SELECT count(*) FROM settlement") == [(0,)]


async def test_the_story_leaves_with_the_entries_it_tells_of(rig: Rig, outbox: Outbox) -> None:
    for day in range(40):
        await outbox.append([draft(day + 1)])
        await outbox.settle("a", through=day + 1)
        rig.advance(hours=24)
    (kept,) = rig.query("SELECT count(*), min(seq) FROM entry")
    (told,) = rig.query("SELECT count(*) FROM settlement")
    assert kept[0] <= told[0] <= kept[0] + 2 < 20
    assert (await fates(outbox, kept[1]))["a"][0] == "accepted"
