"""The newest entries, kept in memory: exactly what the file would say, or nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox_rig import SMALL, Rig, draft, drafts, pages_left

from buffer.digest import CHAIN_START, EntryRow, seal
from buffer.entry import Draft, Entry
from buffer.errors import OutboxFull
from buffer.limits import MIB, Limits
from buffer.tail import Tail

KEEPING = Limits(disk_reserve_bytes=0, tail_bytes_max=MIB)


def rows(first: int, sizes: list[int]) -> list[EntryRow]:
    made = [Draft(f"e{first + n}", "t", "s", "d", 1, b"x" * size) for n, size in enumerate(sizes)]
    return seal(made, first, CHAIN_START)[0]


@given(
    st.lists(st.lists(st.integers(1, 40), max_size=6), max_size=8),
    st.integers(0, 120),
    st.integers(0, 50),
    st.integers(1, 10),
    st.integers(1, 100),
)
def test_it_gives_the_next_entries_or_nothing(
    commits: list[list[int]], kept: int, after: int, count: int, size: int
) -> None:
    tail = Tail(kept, lambda _: 0)
    everything: list[EntryRow] = []
    for sizes in commits:
        new = rows(len(everything) + 1, sizes)
        everything += new
        tail.extend(new)
    held = []
    for row in reversed(everything):
        held.insert(0, row)
        if sum(len(one[6]) for one in held) > kept:
            held.pop(0)
            break
    found = tail.behind("centre", after, count_max=count, bytes_max=size)
    if after + 1 not in [row[0] for row in held]:
        assert found == []
        return
    expected = [Entry(*row) for row in held if row[0] > after][:count]
    while len(expected) > 1 and sum(len(entry.payload) for entry in expected) > size:
        expected.pop()
    assert found == expected


def test_what_every_upstream_has_is_let_go_of() -> None:
    """Memory holds what somebody waits for, and not eight megabytes of what was delivered a minute ago."""
    tail = Tail(MIB, lambda _: 0)
    tail.extend(rows(1, [10] * 9))
    assert len(tail.behind("slow", 2, count_max=2, bytes_max=MIB)) == 2
    assert [entry.seq for entry in tail.behind("quick", 7, count_max=9, bytes_max=MIB)] == [8, 9]
    assert [entry.seq for entry in tail.behind("slow", 2, count_max=2, bytes_max=MIB)] == [3, 4], "still waited for"
    assert tail.behind("quick", 9, count_max=9, bytes_max=MIB) == []
    assert tail.kept_bytes == 70
    assert [entry.seq for entry in tail.behind("slow", 6, count_max=2, bytes_max=MIB)] == [7, 8]
    assert tail.kept_bytes == 30
    assert tail.behind("quick", 5, count_max=9, bytes_max=MIB) == [], "who goes back reads the file"
    tail.extend(rows(10, [10]))
    assert [entry.seq for entry in tail.behind("quick", 9, count_max=9, bytes_max=MIB)] == [10]


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("count", [1, 5, 12])
def test_whichever_end_is_nearer_it_gives_the_same(after: int, count: int) -> None:
    tail = Tail(MIB, lambda _: 0)
    tail.extend(rows(1, [10] * 12))
    assert len(tail.behind("slow", 0, count_max=1, bytes_max=MIB)) == 1
    found = tail.behind("quick", after, count_max=count, bytes_max=MIB)
    assert [entry.seq for entry in found] == list(range(after + 1, min(after + count, 12) + 1))


async def test_it_is_silent_while_quarantine_may_change() -> None:
    held = {"centre": 0}
    tail = Tail(MIB, lambda upstream: held[upstream])
    tail.extend(rows(1, [10, 10, 10]))
    assert len(tail.behind("centre", 0, count_max=9, bytes_max=MIB)) == 3
    written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tail.write_began(written)
    assert tail.behind("centre", 0, count_max=9, bytes_max=MIB) == []
    held["centre"] = 2
    written.set_result(None)
    await asyncio.sleep(0)
    assert tail.behind("centre", 0, count_max=9, bytes_max=MIB) == [], "entry 2 is to be a gap record"
    assert [entry.seq for entry in tail.behind("centre", 2, count_max=9, bytes_max=MIB)] == [3]


async def test_memory_and_file_say_the_same(any_rig: Rig) -> None:
    """Whatever an upstream is given, its bytes are those that a restart would read."""
    outbox = await any_rig.open(limits=KEEPING)
    await outbox.register("centre", required=True, start="retained")
    await outbox.append(drafts(1, 5))
    await outbox.append([draft(6)])
    kept = await outbox.head("centre", after=2, count_max=3, bytes_max=MIB)
    await outbox.close(5)
    again = await any_rig.open(limits=SMALL)
    assert kept == await again.head("centre", after=2, count_max=3, bytes_max=MIB)
    await again.close(5)


async def test_a_rejected_entry_comes_as_a_gap_although_it_is_in_memory(any_rig: Rig) -> None:
    """A centre restored from a backup: the position goes back over an entry that is in quarantine."""
    outbox = await any_rig.open(limits=KEEPING)
    await outbox.register("centre", required=True, start="retained")
    await outbox.append(drafts(1, 3))
    assert len(await outbox.head("centre", after=0, count_max=9, bytes_max=MIB)) == 3
    await outbox.settle("centre", through=3, rejected=[(2, "bad")])
    await outbox.rewind("centre", to=0, actor="tester", reason="restored")
    head = await outbox.head("centre", after=0, count_max=9, bytes_max=MIB)
    assert [entry.gap_reason for entry in head] == [None, "quarantined: bad", None]
    await outbox.close(5)


async def test_a_refused_commit_leaves_nothing_in_memory(rig: Rig) -> None:
    """The disk is full in the middle of a commit: what it would have brought is not on disk and must not be sent."""
    outbox = await rig.open(limits=KEEPING)
    await outbox.register("centre", required=True, start="retained")
    await outbox.append(drafts(1, 2))
    await pages_left(outbox, 0)
    with pytest.raises(OutboxFull):
        await outbox.append(drafts(3, 1, size=100_000))
    assert [entry.seq for entry in await outbox.head("centre", after=0, count_max=9, bytes_max=MIB)] == [1, 2]
    await outbox.close(5)
