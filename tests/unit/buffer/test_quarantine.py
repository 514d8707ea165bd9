"""Entries an upstream will not take."""

from __future__ import annotations

import pytest
from outbox_rig import Rig, drafts

from buffer import Outbox, QuarantineReason, QuarantineRefused


async def opened(rig: Rig, entries: int = 5) -> Outbox:
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, entries))
    return outbox


async def test_a_rejected_entry_is_held_and_its_neighbours_are_delivered(rig: Rig) -> None:
    """One label with a wrong check digit among five."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=5, rejected=[(3, "GTIN check digit")], owner="quality")
    (held,) = await outbox.quarantine_list("centre")
    assert (held.seq, held.reason, held.owner, held.state, held.device) == (
        3,
        "GTIN check digit",
        "quality",
        "open",
        "dock-3-scanner",
    )
    census = await outbox.census("centre")
    assert (census.delivered, census.quarantined, census.pending, census.imbalance) == (4, 1, 0, 0)
    await outbox.close(5)


async def test_an_entry_rejected_ahead_of_the_cursor_becomes_a_gap_in_order(rig: Rig) -> None:
    """Bisection found the poison before everything in front of it was delivered."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=0, rejected=[(3, "poison")])
    census = await outbox.census("centre")
    assert (census.delivered, census.quarantined, census.pending, census.imbalance) == (0, 1, 4, 0)
    head = await outbox.head("centre", after=0, count_max=10, bytes_max=10**6)
    assert [(entry.seq, entry.gap_reason) for entry in head] == [
        (1, None),
        (2, None),
        (3, "quarantined: poison"),
        (4, None),
        (5, None),
    ]
    assert head[2].digest
    await outbox.settle("centre", through=5)
    census = await outbox.census("centre")
    assert (census.delivered, census.quarantined, census.imbalance) == (4, 1, 0)
    await outbox.close(5)


async def test_a_person_retries_and_it_is_delivered(rig: Rig) -> None:
    """The centre has learned the item; the entry goes out under its old sequence."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=5, rejected=[(2, "unknown item"), (4, "unknown item")])
    assert await outbox.retries("centre", count_max=10) == []
    await outbox.quarantine_retry("centre", [2, 4], actor="op7")
    assert [entry.seq for entry in await outbox.retries("centre", count_max=1)] == [2]
    await outbox.settle_retry("centre", [2], [(4, "still unknown")])
    assert await outbox.retries("centre", count_max=10) == []
    case = await outbox.quarantine_show("centre", 4)
    assert case is not None and case.entry is not None
    assert (case.quarantined.state, case.quarantined.reason) == ("open", "still unknown")
    assert [(one.actor, one.action) for one in case.history] == [
        ("outbox", "entry_quarantined"),
        ("op7", "entry_retried"),
        ("outbox", "entry_quarantined"),
    ]
    census = await outbox.census("centre")
    assert (census.delivered, census.quarantined, census.imbalance) == (4, 1, 0)
    assert await outbox.quarantine_show("centre", 1) is None
    await outbox.close(5)


async def test_what_was_delivered_by_a_retry_is_retried_when_the_centre_is_put_back(rig: Rig) -> None:
    """The restored centre has the gap records of both, so its position is behind them; it never saw the events."""
    outbox = await opened(rig, entries=8)
    await outbox.settle("centre", through=8, rejected=[(2, "no"), (3, "no"), (4, "no"), (7, "no")])
    await outbox.quarantine_retry("centre", [2, 4, 7], actor="op7")
    await outbox.settle_retry("centre", [2, 4, 7], [])
    rig.tamper("DROP TRIGGER entry_is_never_updated", "UPDATE entry SET payload = CAST('{}' AS BLOB) WHERE seq = 4")
    assert await outbox.rewind("centre", to=6, actor="centre", reason="b is at 6") == 6
    assert [entry.seq for entry in await outbox.retries("centre", count_max=9)] == [2]
    census = await outbox.census("centre", fresh=True)
    assert (census.delivered, census.quarantined, census.pending, census.imbalance) == (5, 2, 1, 0)
    assert [entry.gap_reason for entry in await outbox.head("centre", after=6, count_max=9, bytes_max=10**6)] == [
        None,
        None,
    ]
    last = (await outbox.audit_list())[-2]
    assert (last.actor, last.action, last.seq, last.detail) == (
        "centre",
        "entry_retried",
        2,
        "b is at 6",
    )
    await outbox.settle("centre", through=8)
    await outbox.settle_retry("centre", [2], [])
    census = await outbox.census("centre", fresh=True)
    assert (census.delivered, census.quarantined, census.imbalance) == (7, 1, 0)
    await outbox.close(5)


async def test_a_person_discards_and_the_books_say_so(rig: Rig) -> None:
    outbox = await opened(rig)
    await outbox.settle("centre", through=1, rejected=[(2, "no")])
    await outbox.quarantine_discard("centre", [2], actor="op7", note="test label")
    census = await outbox.census("centre")
    assert (census.discarded, census.quarantined, census.pending, census.imbalance) == (1, 0, 3, 0)
    (gap,) = await outbox.head("centre", after=1, count_max=1, bytes_max=10**6)
    assert (gap.seq, gap.gap_reason) == (2, "discarded: no")
    await outbox.settle("centre", through=5)
    census = await outbox.census("centre")
    assert (census.delivered, census.discarded, census.imbalance) == (4, 1, 0)
    last = (await outbox.audit_list())[-1]
    assert (last.actor, last.action, last.seq, last.detail) == ("op7", "entry_discarded", 2, "test label")
    await outbox.close(5)


async def test_what_is_decided_stays_decided(rig: Rig) -> None:
    """Two people at two screens: the second one hears that it is settled, and nothing of a list is half done."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=5, rejected=[(2, "no"), (3, "no"), (4, "no")])
    await outbox.quarantine_discard("centre", [2], actor="a", note="")
    for refused in ([2], [1], [3, 2]):
        with pytest.raises(QuarantineRefused):
            await outbox.quarantine_retry("centre", refused, actor="b")
        with pytest.raises(QuarantineRefused):
            await outbox.quarantine_discard("centre", refused, actor="b", note="")
    with pytest.raises(QuarantineRefused):
        await outbox.settle_retry("centre", [3], [])
    assert [(one.seq, one.state) for one in await outbox.quarantine_list()] == [
        (2, "discarded"),
        (3, "open"),
        (4, "open"),
    ]
    assert [one.seq for one in await outbox.quarantine_list(state="open")] == [3, 4]
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def test_held_entries_outlive_retention(rig: Rig) -> None:
    """A month later somebody looks: the payload is there, its neighbours are gone, the chain holds."""
    outbox = await opened(rig)
    await outbox.settle("centre", through=5, rejected=[(3, "no")])
    rig.advance(hours=24 * 31)
    await outbox.append(drafts(6, 1))
    rig.advance(hours=24 * 31)
    await outbox.settle("centre", through=6)
    await outbox.append(drafts(7, 1))
    assert rig.query("SELECT seq FROM entry") == [(3,), (7,)]
    assert rig.query("SELECT first_seq, last_seq FROM purged") == [(1, 2), (4, 6)]
    assert (await outbox.verify()).problems == ()
    await outbox.quarantine_discard("centre", [3], actor="op", note="")
    await outbox.append(drafts(8, 1))
    assert rig.query("SELECT first_seq, last_seq FROM purged") == [(1, 6)]
    assert (await outbox.verify()).problems == ()
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def test_those_of_one_reason_are_found_page_by_page(rig: Rig) -> None:
    """Three thousand labels of one printer were rejected over the week-end; all are meant, not the first page."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 9))
    await outbox.settle(
        "centre", through=9, rejected=[(n, "check digit" if n % 2 else "no site") for n in range(1, 10)]
    )
    first = await outbox.quarantine_list("centre", reason="check", limit=3)
    rest = await outbox.quarantine_list("centre", reason="check", after=first[-1].seq, limit=3)
    assert [one.seq for one in (*first, *rest)] == [1, 3, 5, 7, 9]
    assert await outbox.quarantine_list("centre", reason="%") == []
    await outbox.close(5)


async def test_reasons_are_counted_over_all_that_is_held_and_the_most_come_first(rig: Rig) -> None:
    """Fifty thousand events in quarantine have four reasons: those are what a person decides about."""
    outbox = await rig.open()
    for name in ("centre", "second"):
        await outbox.register(name, required=True, start="now")
    await outbox.append(drafts(1, 9))
    whys = {1: "no site", **dict.fromkeys((2, 4, 6), "check digit"), **dict.fromkeys((8, 9), "closed")}
    await outbox.settle("centre", through=9, rejected=sorted(whys.items()))
    await outbox.settle("second", through=9, rejected=[(3, "check digit")])
    await outbox.quarantine_discard("centre", [9], actor="jane", note="known")

    def told(found: tuple[int, list[QuarantineReason]]) -> tuple[int, list[tuple[str, str, int]]]:
        return found[0], [(one.upstream, one.reason, one.count) for one in found[1]]

    assert told(await outbox.quarantine_reasons("centre", state="open")) == (
        5, [("centre", "check digit", 3), ("centre", "closed", 1), ("centre", "no site", 1)])  # fmt: skip
    assert told(await outbox.quarantine_reasons(limit=2)) == (
        7, [("centre", "check digit", 3), ("centre", "closed", 2)])  # fmt: skip
    assert told(await outbox.quarantine_reasons(reason="digit", state="open", limit=9)) == (
        4, [("centre", "check digit", 3), ("second", "check digit", 1)])  # fmt: skip
    assert told(await outbox.quarantine_reasons("nobody")) == (0, [])
    await outbox.close(5)


async def test_why_somebody_wanted_a_retry_is_in_the_history(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 2))
    await outbox.settle("centre", through=2, rejected=[(1, "no site")], owner="quality")
    await outbox.quarantine_retry("centre", [1], actor="op7", note="the site is known now")
    case = await outbox.quarantine_show("centre", 1)
    assert case is not None
    assert case.quarantined.owner == "quality"
    assert [(one.action, one.actor, one.detail) for one in case.history][-1] == (
        "entry_retried",
        "op7",
        "the site is known now",
    )
    await outbox.close(5)
