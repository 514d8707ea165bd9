"""Rows the owner keeps beside the events."""

import pytest
from outbox_rig import Rig, draft

from buffer import AnnexRow, Note, Outbox, StateRow
from buffer.connection import DATABASE_NAME


def row(number: int, value: bytes | None = None, *, space: str = "line") -> AnnexRow:
    return AnnexRow(space, f"ASN-1/{number:06d}", b"v%d" % number if value is None else value)


async def under(outbox: Outbox, prefix: str = "") -> list[str]:
    return [one.key for one in outbox.annex_under("line", prefix)]


async def test_what_was_kept_is_found_by_its_name_after_a_restart(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.keep([row(number) for number in range(1, 2001)], note=Note("expectation_put", "jane", "ASN-1"))
    assert outbox.annex("line", "ASN-1/001234") == b"v1234"
    await outbox.close(5)
    outbox = await rig.open()
    assert outbox.annex("line", "ASN-1/001234") == b"v1234"
    assert outbox.annex("line", "ASN-1/002001") is None
    assert outbox.annex("other", "ASN-1/001234") is None
    assert (await outbox.audit_list())[-1].action == "expectation_put"
    assert (await outbox.verify()).problems == ()
    await outbox.close(5)


async def test_a_list_ends_where_its_prefix_ends(rig: Rig) -> None:
    """ASN-1 is withdrawn: ASN-10 and the sessions are not its rows."""
    outbox = await rig.open()
    keys = ["ASN-0/1", "ASN-1/1", "ASN-1/2", "ASN-10/1", "ASN-1\U0001f4e6"]
    await outbox.keep([AnnexRow("line", key, b"x") for key in keys])
    await outbox.keep([AnnexRow("other", "ASN-1/3", b"x")])
    assert await under(outbox, "ASN-1/") == ["ASN-1/1", "ASN-1/2"]
    assert await under(outbox, "ASN-1") == ["ASN-1/1", "ASN-1/2", "ASN-10/1", "ASN-1\U0001f4e6"]
    assert await outbox.drop_under("line", "ASN-1/", count_max=1) == 1
    assert await outbox.drop_under("line", "ASN-1/") == 1
    assert await under(outbox) == ["ASN-0/1", "ASN-10/1", "ASN-1\U0001f4e6"]
    await outbox.keep([AnnexRow("line", "ASN-0/1", None)])
    assert await under(outbox, "ASN-0") == []
    await outbox.close(5)


async def test_a_state_row_is_found_by_its_name_and_a_prefix_does_not_run_on(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append([draft(1)], state=[StateRow("a/1", b"1"), StateRow("a/2", b"2"), StateRow("b/1", b"3")])
    assert outbox.state("a/2") == b"2"
    assert outbox.state("a/") is None
    assert [one.key for one in outbox.states("a/")] == ["a/1", "a/2"]
    await outbox.put_states([StateRow("a/1", None)])
    assert [one.key for one in outbox.states()] == ["a/2", "b/1"]
    await outbox.close(5)


async def test_a_page_begins_behind_the_last_row_of_the_one_before(rig: Rig) -> None:
    """Else the last row of each page would be counted twice, or a list would never end."""
    outbox = await rig.open()
    keys = [f"a/{number}" for number in range(5)]
    await outbox.put_states([StateRow(key, b"1") for key in [*keys, "b/1"]])
    await outbox.keep([AnnexRow("line", key, b"1") for key in [*keys, "b/1"]])
    assert [one.key for one in outbox.states("a/", after="a/1", count_max=2)] == ["a/2", "a/3"]
    assert outbox.states("a/", after="a/4") == []
    assert [one.key for one in outbox.annex_under("line", "a/", after="a/1", count_max=2)] == ["a/2", "a/3"]
    assert outbox.annex_under("line", "a/", after="a/4") == []
    await outbox.close(5)


async def test_rows_are_kept_together_or_not_at_all(rig: Rig) -> None:
    outbox = await rig.open()
    with pytest.raises(Exception, match="stored"):
        await outbox.keep([row(1), AnnexRow("line", "x", "no bytes")])  # type: ignore[arg-type]
    assert outbox.annex("line", "ASN-1/000001") is None
    await outbox.close(5)


async def test_lookups_of_one_look_see_one_state_and_the_next_ones_the_newest(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.keep([row(1, b"before")])
    with outbox.one_look():
        assert outbox.annex("line", "ASN-1/000001") == b"before"
        await outbox.keep([row(1, b"after"), row(2)])
        assert outbox.annex("line", "ASN-1/000001") == b"before"
        assert outbox.annex("line", "ASN-1/000002") is None
    assert outbox.annex("line", "ASN-1/000001") == b"after"
    with pytest.raises(KeyError), outbox.one_look():
        raise KeyError
    await outbox.keep([row(1, b"last")])
    assert outbox.annex("line", "ASN-1/000001") == b"last", "a look that failed holds nothing"
    await outbox.close(5)


async def test_a_salvage_carries_the_annex(rig: Rig) -> None:
    """A page of the file is lost: what is expected at the docks tomorrow is still there."""
    outbox = await rig.open()
    await outbox.append([draft(number) for number in range(1, 50)])
    await outbox.keep([row(number) for number in range(1, 3001)])
    await outbox.close(5)
    (root,) = rig.query("SELECT rootpage FROM sqlite_master WHERE name = 'entry'")[0]
    rig.zero_page(root)
    outbox = await rig.open()
    assert (await outbox.incidents())[0] is not None
    assert len(outbox.annex_under("line", count_max=5000)) == 3000
    assert outbox.annex("line", "ASN-1/002999") == b"v2999"
    await outbox.close(5)


async def test_a_salvage_finds_rows_of_a_broken_annex(rig: Rig) -> None:
    """The root of the annex itself is lost: its rows are found page by page."""
    outbox = await rig.open()
    await outbox.append([draft(1)])
    await outbox.keep([row(number) for number in range(1, 3001)])
    await outbox.close(5)
    (root,) = rig.query("SELECT rootpage FROM sqlite_master WHERE name = 'annex'")[0]
    rig.zero_page(root)
    outbox = await rig.open()
    assert (rig.folder / DATABASE_NAME).exists()
    found = outbox.annex_under("line", count_max=5000)
    assert len(found) > 2900, "only what stood on the lost page may be missing"
    assert all(one.value == b"v%d" % int(one.key[-6:]) for one in found)
    await outbox.close(5)


async def test_operating_time_goes_on_over_a_restart(rig: Rig) -> None:
    outbox = await rig.open()
    rig.advance(seconds=60)
    await outbox.append([draft(1)])
    assert outbox.operating_ms == 60_000
    await outbox.close(5)
    rig.wall_ms -= 10**9  # somebody sets the clock back; due times do not move
    outbox = await rig.open()
    rig.advance(seconds=5)
    assert outbox.operating_ms == 65_000
    await outbox.close(5)
