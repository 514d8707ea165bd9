"""The pump: two positions and a loop, and what every bad day makes of it."""

import asyncio
import gc
import weakref
from math import log2

import pytest
from upstream_events import entries, entry
from upstream_outbox import FakeOutbox
from upstream_pump import pumping
from upstream_scripted import Answer, ScriptedUpstream, refuses
from upstream_time import VirtualTime

from buffer.entry import Accepted, Outcome, Rejected, Released
from buffer.errors import CommitUnknown
from sync import BatchRefused, BatchTooLarge, NotAnAnswer, Unanswered, UpstreamHolds, UpstreamUnavailable
from sync.batch import Batch


async def test_events_arrive_in_order_and_once() -> None:
    upstream = ScriptedUpstream()
    async with pumping(FakeOutbox(entries(1, 25)), upstream, batch_events_max=10) as bench:
        await bench.settled(25)
    assert upstream.taken == [f"id-{seq}" for seq in range(1, 26)]
    assert [len(batch) for batch in upstream.sent] == [10, 10, 5]


async def test_the_cursor_moves_after_the_answer_and_never_before() -> None:
    """A crash between sending and answering must find the cursor where it was."""
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream()
    seen: list[int] = []
    upstream.before_answer = lambda _batch: seen.append(outbox.at)
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
    assert seen == [0]


async def test_an_event_added_while_idle_leaves_without_a_timer() -> None:
    """Field story: offline scans did not sync until another scan was made."""
    outbox = FakeOutbox()
    upstream = ScriptedUpstream()
    async with pumping(outbox, upstream) as bench:
        await bench.time.turn()
        before = bench.time.now
        outbox.add(entry(1))
        await bench.settled(1)
        assert bench.time.now == before


async def test_answer_lost_sends_the_same_bytes_again() -> None:
    """Fault matrix 24, 25, 26: it was taken, the answer was not heard; the same ids go out once more."""
    upstream = ScriptedUpstream(UpstreamUnavailable("cut"))
    async with pumping(FakeOutbox(entries(1, 3)), upstream) as bench:
        await bench.settled(3)
    first, second = upstream.sent
    assert (first.body, first.ids, first.sequences) == (second.body, second.ids, second.sequences)


async def test_after_an_error_the_position_is_asked_again() -> None:
    outbox = FakeOutbox(entries(1, 3))
    upstream = ScriptedUpstream(UpstreamUnavailable("cut"))
    async with pumping(outbox, upstream) as bench:
        await bench.settled(3)
    assert outbox.cursor_asked == 2


async def test_three_days_without_a_network_cost_one_try_in_thirty_seconds_and_lose_nothing() -> None:
    """Fault matrix 21, 23: the back-off reaches its cap and stays there, in virtual time."""
    outbox = FakeOutbox(entries(1, 50))
    upstream = ScriptedUpstream(judge=lambda _batch: UpstreamUnavailable("refused"))
    async with pumping(outbox, upstream) as bench:
        await bench.time.pass_by(3600)
        tries = len(upstream.sent)
        await bench.time.pass_by(72 * 3600)
        tries = len(upstream.sent) - tries
        assert tries <= 72 * 3600 / 30
        assert max(bench.time.slept) <= 75
        assert bench.state.health == "unavailable"
        assert bench.state.alarm is not None
        assert bench.state.next_attempt_at is not None
        outbox.add(*entries(51, 60))
        upstream.judge = None
        await bench.settled(60)
        assert bench.state.alarm is None
    assert upstream.taken == [f"id-{seq}" for seq in range(1, 61)]


async def test_failures_back_off_further_and_further() -> None:
    upstream = ScriptedUpstream(judge=lambda _batch: UpstreamUnavailable("refused"))
    async with pumping(FakeOutbox(entries(1, 1)), upstream, backoff_base_s=1, backoff_max_s=64) as bench:
        await bench.until(lambda: len(upstream.sent) == 40)
        early, late = bench.time.slept[:4], bench.time.slept[-20:]
        assert max(early) <= 8
        assert sum(late) / len(late) > sum(early) / len(early)


async def test_success_makes_the_next_wait_a_short_one_again() -> None:
    outbox = FakeOutbox(entries(1, 1))
    upstream = ScriptedUpstream(judge=lambda _batch: UpstreamUnavailable("refused"))
    async with pumping(outbox, upstream, backoff_base_s=1, backoff_max_s=3600) as bench:
        await bench.until(lambda: len(upstream.sent) == 15, within_s=10**6)
        upstream.judge = None
        await bench.settled(1)
        upstream.answers = [UpstreamUnavailable("refused")]
        outbox.add(entry(2))
        await bench.until(lambda: outbox.at == 2, within_s=1.1)


async def test_retry_after_is_obeyed() -> None:
    """Fault matrix 27: not a request before it is due."""
    upstream = ScriptedUpstream(UpstreamUnavailable("throttled", retry_after_s=120))
    async with pumping(FakeOutbox(entries(1, 1)), upstream) as bench:
        started = bench.time.now
        await bench.settled(1)
        assert bench.time.now >= started + 120
        assert bench.time.now < started + 180


async def test_an_absurd_retry_after_is_bounded() -> None:
    upstream = ScriptedUpstream(UpstreamUnavailable("throttled", retry_after_s=10**9))
    async with pumping(FakeOutbox(entries(1, 1)), upstream, retry_after_max_s=600) as bench:
        await bench.until(lambda: bool(upstream.taken), within_s=700)


async def test_an_open_entry_with_retry_after_waits_that_long() -> None:
    upstream = ScriptedUpstream([Accepted(), Released(retry_after_s=50)])
    outbox = FakeOutbox(entries(1, 2))
    async with pumping(outbox, upstream) as bench:
        started = bench.time.now
        await bench.settled(2)
        assert bench.time.now >= started + 50


# One bad event.


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 33, 100])
async def test_one_poison_event_is_found_alone_in_few_requests(count: int) -> None:
    """Fault matrix 29: every other event is delivered, and finding the bad one takes at most 2*log2(n) + 2 requests."""
    for position in range(1, count + 1):
        outbox = FakeOutbox(entries(1, count))
        upstream = ScriptedUpstream(judge=refuses(f"id-{position}"))
        async with pumping(outbox, upstream, batch_events_max=count) as bench:
            await bench.settled(count)
        assert list(outbox.quarantine) == [position]
        assert upstream.events == [f"id-{seq}" for seq in range(1, count + 1) if seq != position]
        assert len(upstream.event_batches) <= 2 * log2(count) + 2, (count, position)


async def test_several_poison_events_are_each_found() -> None:
    outbox = FakeOutbox(entries(1, 300))
    poison = {7, 8, 150, 299, 300}
    upstream = ScriptedUpstream(judge=refuses(*(f"id-{seq}" for seq in poison)))
    async with pumping(outbox, upstream, batch_events_max=128) as bench:
        await bench.settled(300)
    assert set(outbox.quarantine) == poison
    assert upstream.events == [f"id-{seq}" for seq in range(1, 301) if seq not in poison]


async def test_an_outage_in_the_middle_of_the_search_loses_no_ground() -> None:
    """A centre that throttles to one request at a time: the search must end nevertheless."""
    outbox = FakeOutbox(entries(1, 64))
    refuse = refuses("id-3")
    asked = 0

    def judge(batch: Batch) -> Answer:
        nonlocal asked
        asked += 1
        return UpstreamUnavailable("429", retry_after_s=1) if asked % 2 else refuse(batch)

    async with pumping(outbox, ScriptedUpstream(judge=judge), batch_events_max=64) as bench:
        await bench.settled(64)
    assert list(outbox.quarantine) == [3]
    assert asked <= 2 * (2 * 6 + 2)


async def test_a_named_rejection_is_quarantined_with_its_reason() -> None:
    outbox = FakeOutbox(entries(1, 3))
    upstream = ScriptedUpstream([Accepted(), Rejected("GTIN unknown"), Accepted()])
    async with pumping(outbox, upstream) as bench:
        await bench.settled(3)
        assert bench.state.rejected == 1
        assert bench.state.delivered == 2
    assert outbox.quarantine == {2: "GTIN unknown"}
    assert len(upstream.event_batches) == 1


async def test_a_lone_rejected_event_is_quarantined_although_nothing_follows() -> None:
    outbox = FakeOutbox(entries(1, 1))
    async with pumping(outbox, ScriptedUpstream([Rejected("no")])) as bench:
        await bench.settled(1)
    assert outbox.quarantine == {1: "no"}


# A broken centre.


@pytest.mark.parametrize("count", [2, 50, 1000])
async def test_a_centre_that_refuses_everything_quarantines_nothing(count: int) -> None:
    """A deployment that answers 400 to all must not empty the day into quarantine; when it is mended, all arrives."""
    outbox = FakeOutbox(entries(1, count))
    upstream = ScriptedUpstream(judge=lambda _batch: BatchRefused("400"))
    async with pumping(outbox, upstream, reject_max=10) as bench:
        await bench.until(lambda: bench.state.health == "on_hold")
        await bench.time.pass_by(3600)
        assert outbox.quarantine == {}
        assert outbox.at == 0
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "centre_broken"
        upstream.judge = None
        await bench.settled(count)
    assert outbox.quarantine == {}
    assert upstream.taken == [f"id-{seq}" for seq in range(1, count + 1)]


async def test_a_batch_of_which_all_is_rejected_by_name_is_a_broken_centre() -> None:
    outbox = FakeOutbox(entries(1, 3))
    upstream = ScriptedUpstream([Rejected("no")] * 3)
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: bench.state.health == "on_hold")
        assert (outbox.at, outbox.quarantine) == (0, {})
        await bench.settled(3)
    assert outbox.quarantine == {}


@pytest.mark.parametrize(("bad", "is_broken"), [(4, False), (5, True)])
async def test_reject_max_in_a_row_is_believed_and_one_more_is_not(bad: int, is_broken: bool) -> None:
    outbox = FakeOutbox(entries(1, 20))
    rejected = {f"id-{seq}" for seq in range(3, 3 + bad)}
    upstream = ScriptedUpstream(
        judge=lambda batch: [Rejected("no") if id in rejected else Accepted() for id in batch.ids]
    )
    async with pumping(outbox, upstream, reject_max=4) as bench:
        await bench.until(lambda: bench.state.health in ("on_hold", "idle"))
        if is_broken:
            assert (outbox.at, outbox.quarantine, bench.state.health) == (2, {}, "on_hold")
        else:
            assert (outbox.at, set(outbox.quarantine)) == (20, {3, 4, 5, 6})


async def test_rejections_one_by_one_add_up() -> None:
    """A quiet site: every event is a batch of its own, and the limit counts over batches."""
    outbox = FakeOutbox()
    upstream = ScriptedUpstream(judge=lambda _batch: [Rejected("no")])
    async with pumping(outbox, upstream, reject_max=3) as bench:
        for seq in range(1, 6):
            outbox.add(entry(seq))
            await bench.time.pass_by(1)
        assert set(outbox.quarantine) == {1, 2, 3}
        assert bench.state.health == "on_hold"
        upstream.judge = None
        await bench.settled(5)
    assert upstream.taken == ["id-4", "id-5"]


# Size.


async def test_too_large_is_halved_until_it_fits() -> None:
    """Fault matrix 28."""
    outbox = FakeOutbox(entries(1, 64))
    upstream = ScriptedUpstream(judge=lambda batch: BatchTooLarge("413") if len(batch.body) > 3000 else None)
    async with pumping(outbox, upstream) as bench:
        await bench.settled(64)
    assert upstream.taken == [f"id-{seq}" for seq in range(1, 65)]
    refused = [batch for batch in upstream.sent if len(batch.body) > 3000]
    assert len(refused) <= 5
    assert outbox.quarantine == {}


async def test_a_single_event_that_is_too_large_is_quarantined_and_the_rest_goes_on() -> None:
    outbox = FakeOutbox([entry(1), entry(2, padding=9000), entry(3)])
    upstream = ScriptedUpstream(judge=lambda batch: BatchTooLarge("413: too large") if len(batch.body) > 5000 else None)
    async with pumping(outbox, upstream) as bench:
        await bench.settled(3)
    assert outbox.quarantine == {2: "413: too large"}
    assert upstream.events == ["id-1", "id-3"]


async def test_a_small_limit_that_goes_away_is_forgotten() -> None:
    """A proxy with a small limit was in the way for a minute; a site must not send crumbs for ever."""
    outbox = FakeOutbox(entries(1, 32))
    upstream = ScriptedUpstream(judge=lambda batch: BatchTooLarge("413") if len(batch) > 2 else None)
    async with pumping(outbox, upstream) as bench:
        await bench.settled(32)
        upstream.judge = None
        await bench.time.pass_by(700)
        outbox.add(*entries(33, 132))
        await bench.settled(132)
    assert max(len(batch) for batch in upstream.sent[-3:]) >= 64


class SlowLine(ScriptedUpstream):
    """Carries ten events a second, and has patience for twenty seconds."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self.time = time
        self.events_s = 10.0

    async def send(self, batch: Batch) -> list[Outcome]:
        took_s = len(batch) / self.events_s
        await self.time.sleep(min(took_s, 20.0))
        if took_s > 20:
            self.sent.append(batch)
            raise Unanswered("no whole answer within 20 s")
        return await super().send(batch)


async def test_a_backlog_comes_through_a_line_that_is_too_slow_for_a_full_request() -> None:
    """Cable dug up, three hours on a weak modem: a full request takes longer than it may, however often it is tried."""
    time = VirtualTime()
    line = SlowLine(time)
    outbox = FakeOutbox(entries(1, 4000))
    async with pumping(outbox, line, time=time) as bench:
        began = time.now
        await bench.settled(2000)
        wasted = [batch for batch in line.sent if len(batch) > 200]
        assert len(wasted) <= 3
        # At ten events a second it could not take less than 200 s.
        assert time.now - began < 200 + 20 * len(wasted) + 60
        line.events_s = 10_000.0
        known = len(line.sent)
        await bench.settled(4000)
    assert len(line.sent) - known <= 6
    assert line.taken == [f"id-{seq}" for seq in range(1, 4001)]


# Hold.


@pytest.mark.parametrize("code", ["upstream_credential", "upstream_address"])
async def test_a_refused_credential_or_address_holds_everything_and_quarantines_nothing(code: str) -> None:
    """Fault matrix 30, 31."""
    outbox = FakeOutbox(entries(1, 40))
    upstream = ScriptedUpstream(judge=lambda _batch: UpstreamHolds("no", hint="do this", code=code))
    async with pumping(outbox, upstream) as bench:
        await bench.time.pass_by(3600)
        assert (outbox.at, outbox.quarantine) == (0, {})
        assert bench.state.health == "on_hold"
        assert bench.state.alarm is not None
        assert (bench.state.alarm.code, bench.state.alarm.hint) == (code, "do this")
        upstream.judge = None
        await bench.until(lambda: outbox.at == 40, within_s=30)


async def test_a_new_credential_is_tried_within_seconds() -> None:
    upstream = ScriptedUpstream(UpstreamHolds("401"))
    outbox = FakeOutbox(entries(1, 1))
    async with pumping(outbox, upstream, hold_retry_s=3600) as bench:
        await bench.until(lambda: bench.state.health == "on_hold")
        upstream.is_refreshed = True
        await bench.until(lambda: outbox.at == 1, within_s=6)


async def test_a_nudge_ends_a_hold_and_a_wait_at_once() -> None:
    upstream = ScriptedUpstream(UpstreamHolds("401"), UpstreamUnavailable("x", retry_after_s=3000))
    outbox = FakeOutbox(entries(1, 1))
    async with pumping(outbox, upstream, hold_retry_s=3600) as bench:
        for tries in (1, 2, 3):
            await bench.until(lambda tries=tries: len(upstream.sent) == tries, within_s=0.1)
            await bench.time.turn()
            bench.pump.nudge()
        await bench.until(lambda: outbox.at == 1, within_s=0.1)


async def test_a_credential_file_that_keeps_changing_makes_no_storm() -> None:
    upstream = ScriptedUpstream(judge=lambda _batch: UpstreamHolds("401"))
    upstream.refreshed = lambda: True  # type: ignore[method-assign]
    async with pumping(FakeOutbox(entries(1, 1)), upstream) as bench:
        await bench.time.pass_by(600)
    assert len(upstream.sent) <= 600 / 5 + 1


# Partial answers.


async def test_the_cursor_stops_at_the_first_event_that_was_left_open() -> None:
    """Fault matrix 33: what lies behind a hole is sent again with it; nothing in the hole is skipped."""
    outbox = FakeOutbox(entries(1, 4))
    upstream = ScriptedUpstream([Accepted(), Released(), Accepted(), Rejected("no")])
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(upstream.sent) >= 2)
        assert upstream.sent[1].first == 2, "and not behind the hole"
        await bench.settled(4)
    assert "id-2" in upstream.taken


async def test_an_answer_that_leaves_all_open_is_waited_for() -> None:
    upstream = ScriptedUpstream([Released(), Released()])
    async with pumping(FakeOutbox(entries(1, 2)), upstream) as bench:
        await bench.settled(2)
        assert any(state.alarm and state.alarm.code == "upstream_partial" for state in bench.states)


async def test_a_portal_in_between_delivers_nothing() -> None:
    """Fault matrix 34."""
    outbox = FakeOutbox(entries(1, 2))
    upstream = ScriptedUpstream(judge=lambda _batch: NotAnAnswer("a portal answers"))
    async with pumping(outbox, upstream) as bench:
        await bench.time.pass_by(3600)
        assert outbox.at == 0
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "upstream_not_answering"


# Gap records and retries.


async def test_a_quarantined_entry_is_announced_in_order() -> None:
    rows = [entry(1), entry(2, gap_reason="damaged"), entry(3)]
    upstream = ScriptedUpstream()
    async with pumping(FakeOutbox(rows), upstream) as bench:
        await bench.settled(3)
    assert upstream.sent[0].sequences == (1, 2, 3)
    assert upstream.sent[0].ids[1].startswith("gap-id-2-")


async def test_a_centre_that_refuses_gap_records_does_not_stop_the_delivery() -> None:
    rows = [entry(seq, gap_reason="damaged") for seq in range(1, 30)] + [entry(30)]
    outbox = FakeOutbox(rows)
    upstream = ScriptedUpstream(
        judge=lambda batch: [Rejected("what?") if id.startswith("gap-") else Accepted() for id in batch.ids]
    )
    async with pumping(outbox, upstream, reject_max=3) as bench:
        await bench.settled(30)
    assert outbox.quarantine == {}
    assert upstream.taken == ["id-30"]


async def test_a_retry_carries_its_old_id_and_sequence() -> None:
    outbox = FakeOutbox(entries(1, 5))
    upstream = ScriptedUpstream(
        judge=lambda batch: [Rejected("no") if id == "id-2" else Accepted() for id in batch.ids]
    )
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
        assert outbox.quarantine == {2: "no"}
        upstream.judge = None
        outbox.asked_again.add(2)
        bench.pump.nudge()
        await bench.until(lambda: outbox.retried == [2], within_s=0.1)
    assert outbox.quarantine == {}
    assert upstream.sent[-1].ids == ("id-2",)
    assert upstream.sent[-1].sequences == (2,)


async def test_a_retry_is_found_without_a_nudge() -> None:
    outbox = FakeOutbox(entries(1, 2))
    upstream = ScriptedUpstream([Rejected("no"), Accepted()])
    async with pumping(outbox, upstream) as bench:
        await bench.settled(2)
        outbox.asked_again.add(1)
        await bench.until(lambda: outbox.retried == [1], within_s=31)


async def test_a_retry_that_the_centre_cannot_confirm_holds_up_nothing() -> None:
    """A centre that answers old events with its high-water mark only."""
    outbox = FakeOutbox(entries(1, 2))
    upstream = ScriptedUpstream([Rejected("no"), Accepted()])
    async with pumping(outbox, upstream) as bench:
        await bench.settled(2)
        outbox.asked_again.add(1)
        upstream.judge = lambda batch: NotAnAnswer("accepted_through 2") if batch.retry else None
        bench.pump.nudge()
        await bench.time.turn()
        outbox.add(entry(3))
        await bench.until(lambda: outbox.at == 3, within_s=0.1)
        assert outbox.asked_again == {1}
        assert "unavailable" not in {state.health for state in bench.states}


async def test_a_retry_that_is_rejected_again_stays_with_its_new_reason() -> None:
    outbox = FakeOutbox(entries(1, 3))
    upstream = ScriptedUpstream([Rejected("no"), Rejected("no"), Accepted()])
    async with pumping(outbox, upstream) as bench:
        await bench.settled(3)
        outbox.asked_again |= {1, 2}
        upstream.judge = lambda batch: BatchRefused("still no") if "id-1" in batch.ids else None
        bench.pump.nudge()
        await bench.until(lambda: not outbox.asked_again)
    assert outbox.quarantine == {1: "still no"}
    assert outbox.retried == [2]


# The outbox in trouble.


async def test_while_the_cursor_cannot_be_written_nothing_is_sent() -> None:
    """Field story: disk full, and the installation kept sending the same bulk."""
    outbox = FakeOutbox(entries(1, 3))
    outbox.refuse_settles = 20
    upstream = ScriptedUpstream()
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: bench.state.alarm is not None)
        assert bench.state.alarm is not None
        assert bench.state.alarm.code == "cursor_not_written"
        await bench.settled(3)
        assert bench.state.alarm is None
    assert len(upstream.sent) == 1


async def test_a_failed_disk_ends_the_pump_with_the_reason() -> None:
    outbox = FakeOutbox(entries(1, 3))

    async def settle(*_: object, **__: object) -> None:
        raise CommitUnknown("I/O error")

    outbox.settle = settle  # type: ignore[method-assign]
    with pytest.raises(CommitUnknown):
        async with pumping(outbox, ScriptedUpstream()) as bench:
            await bench.settled(3)


# Pace.


async def test_a_steady_trickle_shares_requests() -> None:
    """1,000 events a second for ten seconds cost at most 1 / linger_s requests a second, and none waits much longer."""
    outbox = FakeOutbox()
    upstream = ScriptedUpstream()
    async with pumping(outbox, upstream, linger_s=0.025) as bench:
        for tick in range(1000):
            outbox.add(*entries(tick * 10 + 1, tick * 10 + 10))
            await bench.time.pass_by(0.01)
            assert outbox.at >= max(tick - 2, 0) * 10
        await bench.settled(10_000)
    assert len(upstream.sent) <= 10 * 40 + 1


async def test_an_event_after_a_quiet_spell_does_not_linger() -> None:
    outbox = FakeOutbox()
    async with pumping(outbox, ScriptedUpstream(), linger_s=5) as bench:
        outbox.add(entry(1))
        await bench.settled(1)
        await bench.time.pass_by(10)
        outbox.add(entry(2))
        await bench.until(lambda: outbox.at == 2, within_s=0.001)


async def test_a_backlog_is_not_paced() -> None:
    outbox = FakeOutbox(entries(1, 500))
    async with pumping(outbox, ScriptedUpstream(), batch_events_max=10, linger_s=60) as bench:
        await bench.until(lambda: outbox.at == 500, within_s=0.001)


async def test_a_backlog_cut_by_bytes_is_not_paced_either() -> None:
    outbox = FakeOutbox(entries(1, 100))
    async with pumping(outbox, ScriptedUpstream(), batch_bytes_max=1000, linger_s=60) as bench:
        await bench.until(lambda: outbox.at == 100, within_s=0.001)


# Several requests in flight.


@pytest.mark.parametrize(("orders_by", "together"), [("arrival", 1), ("sequence", 3)])
async def test_only_an_upstream_that_orders_by_sequence_gets_several_requests(orders_by: str, together: int) -> None:
    outbox = FakeOutbox(entries(1, 60))
    upstream = ScriptedUpstream()
    under_way = most = 0
    send = upstream.send

    async def slow(batch: Batch) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        try:
            return await send(batch)
        finally:
            under_way -= 1

    upstream.send = slow  # type: ignore[method-assign, assignment]
    async with pumping(outbox, upstream, batch_events_max=10, orders_by=orders_by, in_flight_max=3) as bench:
        await bench.settled(60)
    assert most == together
    assert set(upstream.taken) == {f"id-{seq}" for seq in range(1, 61)}


async def test_a_failure_in_the_middle_of_a_wave_settles_only_what_lies_before_it() -> None:
    outbox = FakeOutbox(entries(1, 30))
    upstream = ScriptedUpstream(None, UpstreamUnavailable("cut"), None)
    async with pumping(outbox, upstream, batch_events_max=10, orders_by="sequence", in_flight_max=3) as bench:
        await bench.until(lambda: bench.state.health == "unavailable")
        assert outbox.at == 10
        await bench.settled(30)
    assert outbox.settles[0] == 10


# What is said about it.


async def test_the_state_tells_lag_health_and_counts() -> None:
    outbox = FakeOutbox(entries(1, 30))
    upstream = ScriptedUpstream(None, UpstreamUnavailable("cut"))
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        await bench.until(lambda: bench.state.health == "unavailable")
        assert (bench.state.settled_through, bench.state.newest, bench.state.lag) == (10, 30, 20)
        assert bench.state.failures == 1
        await bench.settled(30)
        await bench.until(lambda: bench.state.health == "idle")
        assert (bench.state.lag, bench.state.delivered, bench.state.requests) == (0, 30, 4)
        assert bench.state.failures == 0


async def test_stop_ends_after_the_request_under_way() -> None:
    outbox = FakeOutbox(entries(1, 30))
    upstream = ScriptedUpstream()
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        upstream.before_answer = lambda _batch: bench.pump.stop()
        await bench.until(lambda: bench.state.health == "stopped")
        assert bench.task is not None
        await bench.task
    assert outbox.at == 10
    assert len(upstream.sent) == 1


@pytest.mark.parametrize("trouble", [UpstreamUnavailable("x", retry_after_s=900), UpstreamHolds("x")])
async def test_stop_does_not_wait_for_a_wait(trouble: UpstreamUnavailable | UpstreamHolds) -> None:
    upstream = ScriptedUpstream(trouble)
    async with pumping(FakeOutbox(entries(1, 1)), upstream) as bench:
        await bench.until(lambda: bench.state.alarm is not None)
        bench.pump.stop()
        await bench.until(lambda: bench.state.health == "stopped", within_s=0.001)


@pytest.mark.parametrize("flights", [1, 4])
@pytest.mark.parametrize("kind", [NotAnAnswer, UpstreamUnavailable, UpstreamHolds])
async def test_a_failed_attempt_is_forgotten_at_once(kind: type[UpstreamUnavailable], flights: int) -> None:
    """A hotel's log-in page of a megabyte at every attempt: an error that held itself would hold the page as well, for
    as long as the collector of cycles does not run, and in a quiet gateway that is hours."""
    errors: list[weakref.ref[Exception]] = []

    def refuse(_batch: Batch) -> Answer:
        error = kind("nothing of ours", code="x")
        errors.append(weakref.ref(error))
        return error

    outbox = FakeOutbox(entries(1, 40))
    how = {"batch_events_max": 10, "orders_by": "sequence", "in_flight_max": flights}
    gc.collect()
    gc.disable()
    try:
        async with pumping(outbox, ScriptedUpstream(judge=refuse), **how) as bench:
            await bench.until(lambda: len(errors) >= 20 * flights)
            alive = sum(error() is not None for error in errors)
    finally:
        gc.enable()
    assert alive <= 2 * flights


@pytest.mark.fault(33)
async def test_what_flew_behind_a_hole_is_not_settled_past_it() -> None:
    """Four requests in the air; the first is taken in part, the others whole: what lies in the hole is sent again."""
    outbox = FakeOutbox(entries(1, 20))
    upstream = ScriptedUpstream([Accepted(), Accepted(), Accepted(), Released(), Released()])
    how = {"batch_events_max": 5, "orders_by": "sequence", "in_flight_max": 4}
    async with pumping(outbox, upstream, **how) as bench:
        await bench.settled(20)
    assert set(upstream.taken) == {f"id-{seq}" for seq in range(1, 21)}
