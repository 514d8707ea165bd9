"""What anybody outside can have of the journal, over the runs of a gateway that reaches nobody."""

from __future__ import annotations

import pytest
from outbox_rig import Rig, drafts, fail_disk, sqlite_error, state

from buffer import Outbox
from buffer.exposure import EXPOSED_KEY, Exposure


async def open_with(rig: Rig, first: int, count: int) -> Outbox:
    """Open, as after a start, and append."""
    outbox = await rig.open()
    await outbox.append(drafts(first, count))
    return outbox


async def read_on(outbox: Outbox, after: int, count: int) -> None:
    await outbox.head("centre", after=after, count_max=count, bytes_max=10**6)


async def test_what_was_found_may_have_been_sent_and_what_was_made_since_was_not(any_rig: Rig) -> None:
    outbox = await open_with(any_rig, 1, 20)
    await outbox.close(5)
    outbox = await open_with(any_rig, 21, 10)
    assert (outbox.newest, outbox.exposed) == (30, 20)
    await read_on(outbox, 0, 5)
    assert outbox.exposed == 20
    await read_on(outbox, 20, 4)
    assert outbox.exposed == 24
    await outbox.close(5)


async def test_a_run_that_could_ask_nobody_leaves_the_next_one_its_bound(any_rig: Rig) -> None:
    outbox = await open_with(any_rig, 1, 20)
    await outbox.close(5)
    for first in (21, 31):
        outbox = await open_with(any_rig, first, 10)
        await outbox.keep_exposed()
        await outbox.keep_exposed()
        await outbox.close(5)
    outbox = await any_rig.open()
    assert (outbox.newest, outbox.exposed) == (40, 20)
    await outbox.close(5)


async def test_the_bound_is_gone_from_disk_before_anything_behind_it_is_handed_out(any_rig: Rig) -> None:
    """A kill right after the request: the centre has what the next run must not be surprised about."""
    outbox = await open_with(any_rig, 1, 20)
    assert outbox.exposed == 0
    await outbox.keep_exposed()
    assert outbox.state(EXPOSED_KEY) == b"0"
    await read_on(outbox, 0, 1)
    assert outbox.state(EXPOSED_KEY) is None
    await outbox.keep_exposed()
    assert outbox.state(EXPOSED_KEY) == b"1"
    await outbox.close(5)


async def test_it_is_kept_before_the_first_scan(any_rig: Rig) -> None:
    """The scan may come, and the mains fail, before the centre is asked for the second time."""
    outbox = await open_with(any_rig, 1, 3)
    await outbox.close(5)
    outbox = await any_rig.open()
    await outbox.keep_exposed()
    await outbox.append(drafts(4, 5))
    await outbox.close(5)
    outbox = await any_rig.open()
    assert (outbox.newest, outbox.exposed) == (8, 3)
    await outbox.close(5)


async def test_nothing_is_written_for_one_that_is_away_while_another_takes_everything(any_rig: Rig) -> None:
    """Every failed question and every delivery would cost a commit, for as long as the one is away."""
    outbox = await open_with(any_rig, 1, 3)
    await read_on(outbox, 0, 3)
    await outbox.keep_exposed()
    assert outbox.state(EXPOSED_KEY) is None
    await outbox.close(5)


async def test_a_full_disk_holds_up_neither_the_asking_nor_what_drains_it(rig: Rig) -> None:
    outbox = await open_with(rig, 1, 20)
    failing = fail_disk(outbox)
    failing.fail_on = lambda sql: sqlite_error(13, "disk full") if sql.startswith("COMMIT") else None
    await outbox.keep_exposed()
    assert outbox.state(EXPOSED_KEY) is None
    failing.fail_on = lambda _sql: None
    await outbox.keep_exposed()
    failing.fail_on = lambda sql: sqlite_error(13, "disk full") if sql.startswith("COMMIT") else None
    entries = await outbox.head("centre", after=0, count_max=5, bytes_max=10**6)
    assert (len(entries), outbox.exposed) == (5, 5)
    failing.fail_on = lambda _sql: None
    await outbox.close(5)


@pytest.mark.parametrize(("kept", "through"), [(b"12", 12), (b"40", 30), (b"-1", 30), (b"", 30), (None, 30)])
def test_a_kept_bound_that_cannot_be_is_not_believed(kept: bytes | None, through: int) -> None:
    exposure = Exposure(30)
    exposure.recall(kept)
    assert exposure.through == through


async def test_a_bound_that_was_put_back_with_its_disk_still_holds(any_rig: Rig) -> None:
    """The image was taken while nobody could be asked; since then everything was sent."""
    outbox = await open_with(any_rig, 1, 10)
    await outbox.put_states(state(**{EXPOSED_KEY: b"4"}))
    await outbox.close(5)
    outbox = await any_rig.open()
    assert outbox.exposed == 4
    await outbox.close(5)
