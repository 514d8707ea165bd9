"""What an upstream rejected is told to whoever reads behind it: soon, once, and without holding up an event."""

import json

from upstream_events import entries, entry
from upstream_outbox import FakeOutbox
from upstream_pump import pumping
from upstream_scripted import Answer, ScriptedUpstream, refuses

from buffer.entry import Accepted, Rejected, Released
from sync import BatchRefused, NotAnAnswer, UpstreamUnavailable
from sync.batch import Batch


def is_announcement(batch: Batch) -> bool:
    return all(id.startswith("gap-") for id in batch.ids)


def named(*rejected: int) -> ScriptedUpstream:
    """An upstream that rejects these events by name and takes all else."""

    def judge(batch: Batch) -> Answer:
        if is_announcement(batch):
            return None
        return [Rejected("no") if seq in rejected else Accepted() for seq in batch.sequences]

    return ScriptedUpstream(judge=judge)


async def test_a_rejected_event_is_announced_before_anything_that_follows() -> None:
    """One request behind the one that brought the rejections, whatever their number; nothing is sent twice."""
    outbox, upstream = FakeOutbox(entries(1, 9)), named(1, 3, 4)
    async with pumping(outbox, upstream, batch_events_max=6) as bench:
        await bench.settled(9)
    assert [batch.sequences for batch in upstream.sent] == [(1, 2, 3, 4, 5, 6), (1, 3, 4), (7, 8, 9)]
    records = json.loads(upstream.sent[1].body)
    assert [record["type"] for record in records] == ["dockline.gap.v1"] * 3
    assert [record["data"]["reason"] for record in records] == ["quarantined: no"] * 3
    assert [record["sequence"] for record in records] == [f"{seq:020d}" for seq in (1, 3, 4)]
    assert outbox.unannounced == {}


async def test_what_is_rejected_at_the_end_of_a_request_is_announced_behind_the_next() -> None:
    """Until something behind it is accepted it may be the centre that is broken."""
    outbox, upstream = FakeOutbox(entries(1, 9)), named(3)
    async with pumping(outbox, upstream, batch_events_max=3) as bench:
        await bench.settled(9)
    assert [batch.sequences for batch in upstream.sent] == [(1, 2, 3), (4, 5, 6), (3,), (7, 8, 9)]


async def test_bisection_announces_too() -> None:
    outbox, upstream = FakeOutbox(entries(1, 9)), ScriptedUpstream(judge=refuses("id-4"))
    async with pumping(outbox, upstream) as bench:
        await bench.settled(9)
    assert [id[:8] for id in upstream.taken] == [
        "id-1",
        "id-2",
        "id-3",
        "id-5",
        "gap-id-4",
        "id-6",
        "id-7",
        "id-8",
        "id-9",
    ]


async def test_the_last_event_of_all_is_announced_without_waiting_for_another() -> None:
    outbox, upstream = FakeOutbox(entries(1, 3)), named(3)
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: bool(outbox.announced), within_s=1)


async def test_what_a_killed_run_left_is_announced_first() -> None:
    outbox, upstream = FakeOutbox(entries(1, 5)), named()
    outbox.at, outbox.unannounced = 3, {2: "quarantined: no"}
    async with pumping(outbox, upstream) as bench:
        await bench.settled(5)
    assert [batch.sequences for batch in upstream.sent] == [(2,), (4, 5)]


async def test_a_centre_that_is_believed_broken_announces_nothing() -> None:
    outbox, upstream = FakeOutbox(entries(1, 9)), named(*range(1, 10))
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(upstream.sent) >= 3)
    assert not any(is_announcement(batch) for batch in upstream.sent)
    assert outbox.unannounced == {}


async def test_a_centre_that_does_not_know_gap_records_costs_few_requests() -> None:
    """It answers 400 to the type. Fifty rejections must not become fifty more requests, nor a question for ever."""

    def judge(batch: Batch) -> Answer:
        if is_announcement(batch):
            return BatchRefused("400: unknown type")
        return [Rejected("no") if seq % 2 else Accepted() for seq in batch.sequences]

    outbox, upstream = FakeOutbox(entries(1, 100)), ScriptedUpstream(judge=judge)
    async with pumping(outbox, upstream) as bench:
        await bench.settled(100)
        await bench.time.turn()
        outbox.add(entry(102))
        await bench.settled(102)
        assert sum(map(is_announcement, upstream.sent)) == 4
        await bench.time.pass_by(24 * 3600)
        assert sum(map(is_announcement, upstream.sent)) <= 4 * (7 + 24)
        upstream.judge = None
        await bench.until(lambda: not outbox.unannounced, within_s=3700)


async def test_one_refused_record_does_not_silence_the_others() -> None:
    outbox = FakeOutbox(entries(1, 9))
    outbox.at, outbox.unannounced = 9, dict.fromkeys((2, 4, 6, 8), "quarantined: no")

    def judge(batch: Batch) -> Answer:
        return BatchRefused("400") if 2 in batch.sequences else None

    upstream = ScriptedUpstream(judge=judge)
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(outbox.unannounced) == 1)
    assert [id[:8] for id in upstream.taken] == ["gap-id-4", "gap-id-6", "gap-id-8"]


async def test_after_an_outage_records_go_before_further_events_but_one_request() -> None:
    outbox, upstream = FakeOutbox(entries(1, 3)), named(2)
    upstream.answers = [
        [Accepted(), Rejected("no"), Accepted()],
        UpstreamUnavailable("cut"),
        UpstreamUnavailable("cut"),
    ]
    async with pumping(outbox, upstream) as bench:
        await bench.until(lambda: len(upstream.sent) >= 2)
        outbox.add(*entries(4, 6))
        await bench.settled(6)
        outbox.add(*entries(7, 9))
        await bench.settled(9)
    sent = [batch.sequences for batch in upstream.sent]
    assert sent == [(1, 2, 3), (2,), (4, 5, 6), (4, 5, 6), (2,), (7, 8, 9)]


async def test_a_centre_that_stumbles_over_gap_records_still_gets_the_events() -> None:
    """It answers 500 to a type it does not know: that must not become an outage of everything behind."""

    def judge(batch: Batch) -> Answer:
        return UpstreamUnavailable("500") if is_announcement(batch) else None

    outbox, upstream = FakeOutbox(), ScriptedUpstream(judge=judge)
    outbox.add(*entries(1, 2))
    outbox.at, outbox.unannounced = 1, {1: "quarantined: no"}
    async with pumping(outbox, upstream, linger_s=0.0) as bench:
        for seq in range(3, 203):
            await bench.settled(seq - 1)
            await bench.time.pass_by(10)
            outbox.add(entry(seq))
        await bench.settled(202)
    assert len(upstream.events) == 201
    assert 2 <= sum(map(is_announcement, upstream.sent)) <= 10
    assert outbox.unannounced, "it is tried again: the centre may learn"


async def test_a_record_that_is_not_named_is_tried_again_at_growing_distance() -> None:
    """A centre that answers by ids, and passes over what it does not know; a portal would look the same."""

    def judge(batch: Batch) -> Answer:
        return [Released() for _ in batch.ids] if is_announcement(batch) else None

    outbox, upstream = FakeOutbox(entries(1, 2)), ScriptedUpstream(judge=judge)
    outbox.at, outbox.unannounced = 2, {1: "quarantined: no"}
    async with pumping(outbox, upstream) as bench:
        await bench.time.turn()
        await bench.time.pass_by(24 * 3600)
        assert len(upstream.sent) <= 32
        upstream.judge = None
        await bench.until(lambda: not outbox.unannounced, within_s=3700)


async def test_an_answer_that_is_none_leaves_a_record_due() -> None:
    outbox, upstream = FakeOutbox(entries(1, 2)), named()
    outbox.at, outbox.unannounced = 1, {1: "quarantined: no"}
    upstream.answers = [NotAnAnswer("a portal")]
    async with pumping(outbox, upstream) as bench:
        await bench.settled(2)
        await bench.until(lambda: not outbox.unannounced, within_s=100)
