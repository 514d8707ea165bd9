"""Where to read on when the centre says where it is."""

import asyncio

import pytest
from upstream_events import SOURCE, entries, entry
from upstream_outbox import FakeEpoch, FakeOutbox
from upstream_pump import PumpBench, pumping
from upstream_scripted import ScriptedUpstream

from buffer.errors import OutboxDamaged
from sync import NotAnAnswer, Position, SyncError, UpstreamHolds, UpstreamUnavailable
from sync.position import EPOCHS_ASKED_MAX, find_start, known_instance
from sync.pump import POSITION_EVERY_S


@pytest.mark.parametrize(
    ("through", "instance", "known", "after", "is_rewind", "alarmed"),
    [
        (10, "a", "a", 10, False, False),
        (12, "a", "a", 10, False, False),
        (10, "b", "a", 10, True, False),
        (12, "b", "a", 10, True, False),
        (7, "b", "a", 7, True, False),
        (0, "b", "a", 0, True, False),
        (7, "a", "a", 10, False, True),
        (7, None, "a", 10, False, True),
        (7, "a", None, 10, False, True),
        (0, "a", "a", 10, False, False),
        (0, "a", None, 10, False, False),
    ],
)
def test_the_table(
    through: int, instance: str | None, known: str | None, after: int, is_rewind: bool, alarmed: bool
) -> None:
    start = find_start(Position(SOURCE, through, instance), cursor=10, known_instance=known)
    assert (start.after, start.is_rewind, start.alarm is not None) == (after, is_rewind, alarmed)


def test_a_centre_that_does_not_say_changes_nothing() -> None:
    assert find_start(None, cursor=10, known_instance="a").after == 10


async def test_a_restored_centre_gets_what_it_lost_once() -> None:
    """It went back to a backup: the events since then come again under their ids, and only once for that restore."""
    outbox = FakeOutbox(entries(1, 20))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(20)
    upstream.told = Position(SOURCE, 12, "second")
    upstream.taken.clear()
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(upstream.taken) == 8)
        await bench.time.turn()
    assert upstream.taken == [f"id-{seq}" for seq in range(13, 21)]
    assert outbox.rewinds == [12]
    async with pumping(outbox, upstream) as bench:
        await bench.time.turn()
        assert outbox.rewinds == [12]
        assert len(upstream.taken) == 8


async def test_a_backup_older_than_the_source_lacks_the_end_of_the_one_before() -> None:
    """A new epoch began between the backup and its restore. The centre has what came since, so it seems complete."""
    outbox = FakeOutbox(entries(1, 20))
    outbox.older = [FakeEpoch("//dc07/dock-pc-1/e0", 1), FakeEpoch("//dc07/dock-pc-1/e0b", 9)]
    outbox.first_of_source = 15
    first = {SOURCE: 0, "//dc07/dock-pc-1/e0": 0, "//dc07/dock-pc-1/e0b": 0}
    upstream = ScriptedUpstream()
    upstream.tells = lambda source: Position(source, first[source], "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(20)
    upstream.taken.clear()
    backup = {SOURCE: 20, "//dc07/dock-pc-1/e0": 8, "//dc07/dock-pc-1/e0b": 11}
    upstream.tells = lambda source: Position(source, backup[source], "second")
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(upstream.taken) == 9)
        await bench.time.turn()
    assert upstream.taken == [f"id-{seq}" for seq in range(12, 21)]
    assert outbox.rewinds == [11]


@pytest.mark.parametrize(("epochs", "to"), [(EPOCHS_ASKED_MAX + 1, 60), (EPOCHS_ASKED_MAX + 2, 1)])
async def test_of_very_many_epochs_the_oldest_are_sent_again_unasked(epochs: int, to: int) -> None:
    outbox = FakeOutbox(entries(1, 60))
    outbox.older = [FakeEpoch(f"//dc07/dock-pc-1/old-{number}", number) for number in range(1, epochs)]
    outbox.first_of_source = epochs
    upstream = ScriptedUpstream()
    upstream.tells = lambda source: Position(source, 60, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(60)
    upstream.tells = lambda source: Position(source, 60, "second")
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: bool(outbox.rewinds))
        await bench.settled(60)
    assert outbox.rewinds == [to]


async def test_what_somebody_had_retried_is_tried_again_at_a_restored_centre() -> None:
    """The gap record in its place came in order, so the position of the centre says nothing about the event itself."""
    outbox = FakeOutbox(entries(1, 9))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(9)
    outbox.again_after_rewind = {4}
    upstream.told = Position(SOURCE, 9, "second")
    upstream.taken.clear()
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: bool(outbox.retried))
    assert upstream.taken == ["id-4"]
    assert upstream.sent[-1].instance == "second"


async def test_what_somebody_had_retried_is_tried_again_as_soon_as_the_centre_was_put_back() -> None:
    """Not when the delivery next happens to look: the centre's readers go by the order of what comes."""
    outbox = FakeOutbox(entries(1, 9))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(9)
        outbox.again_after_rewind = {4}
        upstream.told = Position(SOURCE, 9, "second")
        upstream.answers = [UpstreamUnavailable("412", code="centre_changed")]
        outbox.add(entry(10))
        await bench.until(lambda: outbox.at == 10)
        assert outbox.retried == [4]


async def test_every_batch_names_the_centre_that_said_where_it_is() -> None:
    """Until the new one was asked, nothing may be taken by it: one event in front of the question spoils the answer."""
    outbox = FakeOutbox(entries(1, 3))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(3)
        upstream.answers = [UpstreamUnavailable("412", code="centre_changed")]
        upstream.told = Position(SOURCE, 1, "second")
        outbox.add(entry(4))
        await bench.settled(4)
    assert [(batch.first, batch.instance) for batch in upstream.sent] == [(1, "first"), (4, "first"), (2, "second")]
    assert outbox.rewinds == [1]
    assert known_instance(outbox, "centre") == "second"


async def test_a_centre_that_is_restored_while_nothing_fails_is_found_out_by_asking() -> None:
    """No request fails, no connection breaks: the events since its backup would have been missing for ever."""
    outbox = FakeOutbox(entries(1, 20))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "first")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(20)
        upstream.told = Position(SOURCE, 12, "second")
        upstream.taken.clear()
        await bench.time.pass_by(2 * POSITION_EVERY_S)
        await bench.until(lambda: len(upstream.taken) == 8)
    assert outbox.rewinds == [12]


async def test_a_centre_that_forgets_under_the_same_name_is_an_alarm_while_delivery_goes_on() -> None:
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 0, "only")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
    upstream.told = Position(SOURCE, 3, "only")
    async with pumping(outbox, upstream) as bench:
        outbox.add(*entries(6, 8))
        await bench.settled(8)
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "position_behind"
    assert outbox.rewinds == []


async def test_a_centre_ahead_of_us_gets_a_new_epoch_at_once_and_delivery_goes_on() -> None:
    """This disk was rolled back: going on would give a second meaning to sequences the centre has."""
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    upstream.tells = lambda source: Position(source, 900 if source == SOURCE else 0, "c")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
        assert bench.state.alarm is None
    (reason,) = outbox.epochs_wanted
    assert "events up to 900" in reason
    assert outbox.source != SOURCE
    assert outbox.rewinds == []


async def test_a_centre_ahead_of_what_it_was_sent_is_found_out_however_much_was_made_meanwhile() -> None:
    """Scans came in before the centre could be asked: what it names was made here once more, and never sent."""
    outbox = FakeOutbox(entries(1, 5))
    outbox.add(*entries(6, 40))
    upstream = ScriptedUpstream()
    upstream.tells = lambda source: Position(source, 6 if source == SOURCE else 0, "c")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(40)
    assert len(outbox.epochs_wanted) == 1


async def test_a_centre_that_has_what_it_was_sent_is_not_ahead() -> None:
    """It took a batch and its answer was lost: what it names was read for it."""
    outbox = FakeOutbox()
    outbox.add(*entries(1, 40))
    upstream = ScriptedUpstream()
    upstream.answers = [UpstreamUnavailable("cut")]
    upstream.tells = lambda source: Position(source, outbox.exposed, "c")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(40)
    assert outbox.epochs_wanted == []


@pytest.mark.parametrize("silence", [UpstreamUnavailable("no route"), UpstreamHolds("401")])
async def test_a_centre_that_cannot_be_asked_is_a_reason_to_keep_what_it_can_have(silence: SyncError) -> None:
    outbox = FakeOutbox(entries(1, 2))
    upstream = ScriptedUpstream()
    upstream.told = silence
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: outbox.exposed_kept > 0)


async def test_a_centre_ahead_of_a_source_it_cannot_know_is_not_believed() -> None:
    """It answers the same number to everybody. One new epoch is begun, not one a minute."""
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    upstream.told = Position(SOURCE, 900, "c")
    async with pumping(outbox, upstream) as bench:
        await bench.time.pass_by(600)
        assert bench.state.health == "on_hold"
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "position_ahead"
    assert upstream.sent == []
    assert len(outbox.epochs_wanted) == 1


async def test_an_answer_that_claims_too_much_is_an_alarm_where_nobody_can_be_asked() -> None:
    """Without a position_url a disk that was put back shows in nothing else. What is sent is taken all the same."""
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    upstream.claimed_through = 5
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
        assert bench.state.alarm is None
        upstream.claimed_through = 900
        outbox.add(entry(6))
        await bench.settled(6)
        outbox.add(*entries(7, 8))
        upstream.claimed_through = 8
        await bench.settled(8)
        await bench.time.pass_by(2 * POSITION_EVERY_S)
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "answer_ahead"
        assert "900" in bench.state.alarm.message
        assert bench.state.health == "idle"
    assert outbox.epochs_wanted == []


async def test_an_answer_that_claims_too_much_has_the_centre_asked_at_once() -> None:
    """It was reachable all the time, and would be asked in five minutes; until then sequences would be used twice."""
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    through = 5
    upstream.tells = lambda source: Position(source, through if source == SOURCE else 0, "c")
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
        through = upstream.claimed_through = 900
        outbox.add(entry(6))
        await bench.settled(6)
        await bench.time.pass_by(1)
        assert len(outbox.epochs_wanted) == 1


async def test_a_centre_that_is_used_to_claim_too_much_is_not_asked_after_every_request() -> None:
    asked = 0

    def tells(source: str) -> Position:
        nonlocal asked
        asked += 1
        return Position(source, 0, "c")

    outbox, upstream = FakeOutbox(), ScriptedUpstream()
    upstream.tells, upstream.claimed_through = tells, 10**9
    async with pumping(outbox, upstream) as bench:
        for seq in range(1, 101):
            outbox.add(entry(seq))
            await bench.settled(seq)
            await bench.time.pass_by(1)
        assert bench.state.alarm is None
    assert asked <= 3


async def test_a_pump_that_the_outbox_ended_asks_again_where_it_is() -> None:
    """What it believed came from the outbox that failed it."""
    outbox = FakeOutbox(entries(1, 4))
    bench = PumpBench(outbox, ScriptedUpstream())
    outbox.settle, settle = damaged, outbox.settle  # type: ignore[method-assign]
    bench.task = asyncio.ensure_future(bench.pump.run())
    with pytest.raises(OutboxDamaged):
        await bench.settled(4)
    outbox.settle = settle  # type: ignore[method-assign]
    asked = outbox.cursor_asked
    bench.task = asyncio.ensure_future(bench.pump.run())
    await bench.settled(4)
    assert outbox.cursor_asked == asked + 1
    bench.pump.stop()
    await bench.until(bench.task.done)


async def damaged(*_: object, **__: object) -> None:
    raise OutboxDamaged("a page cannot be read")


async def test_a_position_that_cannot_be_had_is_an_outage_like_any_other() -> None:
    outbox = FakeOutbox(entries(1, 2))
    upstream = ScriptedUpstream()
    upstream.told = NotAnAnswer("portal")
    async with pumping(outbox, upstream) as bench:
        await bench.time.pass_by(60)
        assert upstream.sent == []
        assert bench.state.health == "unavailable"
        upstream.told = None
        await bench.settled(2)
