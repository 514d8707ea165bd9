"""The books, and whether they notice a thief."""

from __future__ import annotations

import pytest
from outbox_rig import Rig, drafts

from buffer import Census, Outbox
from buffer.census import RECOUNT_SEGMENTS, Segments


async def busy(rig: Rig) -> Outbox:
    """Return an outbox with entries in every term of the books."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 20))
    await outbox.settle("centre", through=10, rejected=[(2, "no"), (3, "no"), (4, "no")])
    await outbox.quarantine_discard("centre", [3], actor="op", note="")
    await outbox.quarantine_retry("centre", [4], actor="op")
    return outbox


async def test_every_entry_is_somewhere(rig: Rig) -> None:
    outbox = await busy(rig)
    census = await outbox.census("centre")
    assert census == Census(accepted=20, delivered=7, pending=10, quarantined=2, discarded=1, skipped=0)
    assert census.imbalance == 0
    await outbox.close(5)


@pytest.mark.parametrize(
    ("theft", "imbalance"),
    [
        ("DELETE FROM entry WHERE seq = 15", 1),
        ("DELETE FROM entry WHERE seq = 20", 1),
        ("DELETE FROM quarantine WHERE seq = 2", 1),
        ("DELETE FROM quarantine WHERE seq = 3", 1),
        ("DELETE FROM entry WHERE seq = 2", 1),
        ("UPDATE cursor SET seq = 11", 1),
        ("UPDATE cursor SET delivered = 6", 1),
        ("UPDATE ledger SET accepted = 19", -1),
        (
            "INSERT INTO entry VALUES (21, 'x', 'x', 'x', 'x', 0, x'', x'', x'')",
            -1,
        ),
    ],
)
async def test_one_row_behind_our_back_shows(rig: Rig, theft: str, imbalance: int) -> None:
    """Each term has a source of its own: whoever changes one row changes the sum."""
    outbox = await busy(rig)
    assert (await outbox.census("centre")).imbalance == 0
    rig.tamper(theft)
    assert (await outbox.census("centre")).imbalance == imbalance
    await outbox.close(5)


async def test_the_books_survive_a_restart(rig: Rig) -> None:
    outbox = await busy(rig)
    before = await outbox.census("centre")
    await outbox.close(5)
    outbox = await rig.open()
    assert await outbox.census("centre") == before
    await outbox.close(5)


async def test_a_large_backlog_is_counted_in_pieces_and_a_loss_still_shows(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million pending rows are not read at every look; a row lost among them shows within a round of looks."""
    monkeypatch.setattr("buffer.census.SEGMENT_ROWS", 10)
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 1000))
    await outbox.settle("centre", through=5)
    segments = Segments()
    connection = outbox._opened.quick
    counted: list[str] = []
    connection.set_trace_callback(counted.append)
    assert segments.count(connection, 5, 1000) == 995
    assert len(counted) > 90
    counted.clear()
    assert segments.count(connection, 5, 1000) == 995
    assert len(counted) <= RECOUNT_SEGMENTS + 2
    connection.set_trace_callback(None)
    rig.tamper("DELETE FROM entry WHERE seq = 500")
    looks = 1
    while segments.count(connection, 5, 1000) == 995 and looks < 1000:
        looks += 1
    assert looks <= 100 / RECOUNT_SEGMENTS + 1
    rig.tamper("DELETE FROM entry WHERE seq IN (510, 600)")
    assert segments.count(connection, 5, 1000, fresh=True) == 992
    assert segments.count(connection, 505, 1000) == 493
    assert segments.count(connection, 1000, 1000) == 0
    await outbox.close(5)


async def test_upstreams_at_other_positions_do_not_make_each_other_forget(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve upstreams, six far behind and one not so far: each look at the books read 300,000 rows six times."""
    monkeypatch.setattr("buffer.census.SEGMENT_ROWS", 10)
    outbox = await rig.open()
    await outbox.register("far", required=True, start="now")
    await outbox.append(drafts(1, 1000))
    connection, segments = outbox._opened.quick, Segments()
    counted: list[str] = []
    assert segments.count(connection, 5, 1000) == 995
    connection.set_trace_callback(counted.append)
    for _ in range(3):
        for position in (905, 5, 1000):
            counted.clear()
            assert segments.count(connection, position, 1000) == 1000 - position
            assert len(counted) <= RECOUNT_SEGMENTS + 2, position
    connection.set_trace_callback(None)
    rig.tamper("DELETE FROM entry WHERE seq <= 205")
    segments.forget(205)
    assert segments.count(connection, 205, 1000) == 795, "what retention removed is not remembered"
    assert segments.count(connection, 5, 1000) == 795
    await outbox.close(5)


@pytest.mark.parametrize("after", range(64))
def test_any_cursor_is_counted_right(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders of segments are where such code goes wrong."""
    import sqlite3

    monkeypatch.setattr("buffer.census.SEGMENT_ROWS", 8)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO entry VALUES (?)", [(seq,) for seq in range(1, 64)])
    segments = Segments()
    for _ in range(3):
        assert segments.count(connection, after, 63) == max(0, 63 - after)
    connection.close()
