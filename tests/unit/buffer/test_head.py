"""What is next, with damage in the file."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from outbox_rig import Rig, draft, drafts

from buffer import EntryFilter, Outbox, OutboxDamaged, OutboxError

NO_TRIGGER = "DROP TRIGGER entry_is_never_updated"


async def opened(rig: Rig, entries: int = 5) -> Outbox:
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, entries))
    return outbox


async def test_limits_of_an_answer(rig: Rig) -> None:
    """Count and bytes are both kept, but one entry always comes, else a large one would stop the line for ever."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 4, size=100))

    async def seqs(after: int, count_max: int, bytes_max: int) -> list[int]:
        head = await outbox.head("centre", after=after, count_max=count_max, bytes_max=bytes_max)
        return [entry.seq for entry in head]

    assert await seqs(0, 10, 10**6) == [1, 2, 3, 4]
    assert await seqs(0, 3, 10**6) == [1, 2, 3]
    assert await seqs(0, 10, 300) == [1, 2, 3]
    assert await seqs(0, 10, 299) == [1, 2]
    assert await seqs(2, 10, 1) == [3]
    assert await seqs(4, 10, 10**6) == []
    await outbox.close(5)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entry SET payload = CAST(payload || 'x' AS BLOB) WHERE seq = 3",
        "UPDATE entry SET id = 'other' WHERE seq = 3",
        "UPDATE entry SET captured_at = captured_at + 1 WHERE seq = 3",
        "UPDATE entry SET device = 'hh-8' WHERE seq = 3",
        "UPDATE entry SET digest = zeroblob(16) WHERE seq = 3",
        "UPDATE entry SET id = CAST(x'ff80' AS TEXT) WHERE seq = 3",
    ],
)
async def test_a_damaged_row_is_quarantined_and_stops_nobody(rig: Rig, damage: str) -> None:
    """A bit flips on old flash; SQLite's own check does not see it."""
    outbox = await opened(rig)
    rig.tamper(NO_TRIGGER, damage)
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [(entry.seq, entry.gap_reason) for entry in head] == [
        (1, None),
        (2, None),
        (3, "damaged"),
        (4, None),
        (5, None),
    ]
    assert head[2].payload == b""
    (held,) = rig.query("SELECT upstream, seq, reason, state FROM quarantine")
    assert held == ("centre", 3, "damaged", "open")
    again = await outbox.head("centre", after=2, count_max=1, bytes_max=10**6)
    assert again[0].gap_reason == "damaged"
    await outbox.settle("centre", through=5)
    census = await outbox.census("centre")
    assert (census.delivered, census.quarantined, census.imbalance) == (4, 1, 0)
    with pytest.raises(OutboxError, match="damaged"):
        await outbox.quarantine_retry("centre", [3], actor="op")
    await outbox.close(5)


async def test_swapped_rows_are_seen(rig: Rig) -> None:
    """Two whole rows change places, digests and all: each is under a number that is not its own."""
    outbox = await opened(rig)
    rig.tamper(
        NO_TRIGGER,
        "UPDATE entry SET seq = 99 WHERE seq = 2",
        "UPDATE entry SET seq = 2 WHERE seq = 4",
        "UPDATE entry SET seq = 4 WHERE seq = 99",
    )
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [entry.seq for entry in head if entry.gap_reason == "damaged"] == [2, 4]
    await outbox.close(5)


async def test_a_missing_row_is_announced_and_stays_in_the_books(rig: Rig) -> None:
    """Somebody deletes rows by hand: the consumer hears of a gap, and the imbalance does not go away by delivering."""
    outbox = await opened(rig)
    rig.tamper("DELETE FROM entry WHERE seq IN (2, 3)", "DELETE FROM entry WHERE seq = 5")
    assert (await outbox.census("centre")).imbalance == 3
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [(entry.seq, entry.gap_reason, entry.gap_first) for entry in head] == [
        (1, None, None),
        (3, "missing", 2),
        (4, None, None),
        (5, "missing", 5),
    ]
    await outbox.settle("centre", through=5)
    assert (await outbox.census("centre")).imbalance == 3
    await outbox.close(5)


async def test_a_number_is_not_given_out_twice_after_the_tail_was_deleted(rig: Rig) -> None:
    outbox = await opened(rig)
    await outbox.close(5)
    rig.tamper("DELETE FROM entry WHERE seq >= 4")
    outbox = await rig.open()
    await outbox.append([draft(6)])
    assert rig.query("SELECT max(seq) FROM entry") == [(6,)]
    assert (await outbox.verify()).lost == 2
    assert (await outbox.incidents())[0].told.missing == ((4, 5),)
    await outbox.close(5)


async def test_an_entry_is_never_updated(rig: Rig) -> None:
    """Not by a bug of ours, nor casually by a person with a database tool."""
    outbox = await opened(rig)
    with pytest.raises(sqlite3.IntegrityError, match="never updated"):
        rig.tamper("UPDATE entry SET payload = x'00' WHERE seq = 1")
    await outbox.close(5)


def flip(path: Path, needle: bytes, rng: random.Random) -> None:
    """Flip one bit inside the stored bytes of one entry."""
    content = bytearray(path.read_bytes())
    at = content.rindex(needle) + rng.randrange(len(needle))
    content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("seed", range(20))
async def test_a_flipped_bit_never_leaves_as_an_event(rig: Rig, seed: int) -> None:
    """Any bit of a stored payload flips while the daemon is off: that entry is a gap, the others go out whole."""
    rng = random.Random(seed)
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append([draft(number, payload=b"payload-%03d-" % number * 20) for number in range(1, 51)])
    await outbox.close(5)
    victim = rng.randrange(1, 51)
    flip(rig.folder / "outbox.db", b"payload-%03d-" % victim * 20, rng)
    outbox = await rig.open()
    head = await outbox.head("centre", after=0, count_max=100, bytes_max=10**6)
    assert [entry.seq for entry in head if entry.gap_reason] == [victim]
    assert all(entry.payload == b"payload-%03d-" % entry.seq * 20 for entry in head if not entry.gap_reason)
    await outbox.close(5)


async def test_a_broken_page_costs_its_own_rows_only(rig: Rig) -> None:
    """A sector reads back as zeros: the rows of that page are damaged, all others are delivered."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 200, size=300))
    await outbox.close(5)
    path = rig.folder / "outbox.db"
    content = bytearray(path.read_bytes())
    page = content.index(draft(100).id.encode()) // 4096
    lost = [
        number for number in range(1, 201) if draft(number).id.encode() in content[page * 4096 : page * 4096 + 4096]
    ]
    outbox = await rig.open()
    rig.zero_page(page + 1)
    found = await outbox.head("centre", after=0, count_max=500, bytes_max=10**6)
    assert len(lost) >= 5
    assert [entry.seq for entry in found if entry.gap_reason == "damaged"] == lost
    assert len([entry for entry in found if entry.gap_reason is None]) == 200 - len(lost)
    await outbox.close(5)


async def test_a_broken_table_is_not_taken_for_many_broken_rows(rig: Rig) -> None:
    """The root of the table is gone: nothing is quarantined, the file is called damaged."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 1000, size=300))
    await outbox.close(5)
    ((root,),) = rig.query("SELECT rootpage FROM sqlite_master WHERE name = 'entry'")
    outbox = await rig.open()
    rig.zero_page(root)
    with pytest.raises(OutboxDamaged):
        await outbox.head("centre", after=0, count_max=1000, bytes_max=10**6)
    assert rig.query("SELECT count(*) FROM quarantine") == [(0,)]
    with pytest.raises(OutboxDamaged):
        await outbox.entries(EntryFilter(device="none"))
    await outbox.close(5)


async def test_what_was_discarded_stays_so_behind_others_that_have_left(rig: Rig) -> None:
    """A centre is put back to an early backup: of a bad day's rejects the first ones were discarded and have left."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 4))
    await outbox.settle("centre", through=4, rejected=[(seq, "no") for seq in range(1, 5)])
    await outbox.quarantine_discard("centre", [1, 2, 3, 4], actor="op7", note="test labels")
    rig.advance(hours=15 * 24)
    await outbox.append(drafts(5, 1))
    assert rig.query("SELECT count(*) FROM entry") == [(1,)]
    await outbox.settle("centre", through=5, rejected=[(5, "no")])
    await outbox.quarantine_discard("centre", [5], actor="op7", note="a test label")
    await outbox.rewind("centre", to=0, actor="op7", reason="restored")
    head = await outbox.head("centre", after=0, count_max=2, bytes_max=10**6)
    assert [(entry.seq, entry.gap_reason) for entry in head] == [(4, "skipped"), (5, "discarded: no")]
    await outbox.close(5)


@pytest.mark.parametrize("reason", ["missing", "skipped"])
async def test_a_run_ends_where_its_source_ends(rig: Rig, reason: str) -> None:
    """A record names sequences of one source: a consumer that counts each by itself would miss the end of the first."""
    outbox = await opened(rig, 4)
    await outbox.begin_epoch("cloned")
    await outbox.append(drafts(5, 4))
    await outbox.begin_epoch("cloned again")
    await outbox.append(drafts(9, 4))
    rig.tamper("DELETE FROM entry WHERE seq BETWEEN 2 AND 11")
    if reason == "skipped":
        rig.tamper("INSERT INTO purged VALUES (2, 11, zeroblob(16))")
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [(entry.gap_first, entry.seq, entry.gap_reason) for entry in head] == [
        (None, 1, None),
        (2, 4, reason),
        (5, 8, reason),
        (9, 11, reason),
        (None, 12, None),
    ]
    assert [outbox.source_of(entry.gap_first or entry.seq) for entry in head] == [
        outbox.source_of(entry.seq) for entry in head
    ]
    await outbox.close(5)


async def test_a_row_that_was_delivered_and_is_damaged_now_is_owed_to_nobody(rig: Rig) -> None:
    """A replay met it: the books said that one event was there twice, and a person was asked about what had arrived."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=3)
    await outbox.close(5)
    outbox = await rig.open()
    rig.tamper(NO_TRIGGER, "UPDATE entry SET payload = x'7b7d' WHERE seq IN (2, 4)")
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [entry.seq for entry in head if entry.gap_reason == "damaged"] == [2, 4]
    assert [one.seq for one in await outbox.quarantine_list("centre")] == [4]
    census = await outbox.census("centre", fresh=True)
    assert (census.delivered, census.quarantined, census.imbalance) == (3, 1, 0)
    await outbox.close(5)
