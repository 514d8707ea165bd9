"""What every upstream promises the pump, run against each of them over a real wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from upstream_events import SOURCE, entries, entry
from upstream_far_end import FAR_ENDS, FarEnd
from upstream_outbox import FakeOutbox

from buffer.entry import Accepted, Entry, Rejected, Released
from sync import (
    Batch,
    BatchRefused,
    BatchTooLarge,
    Pump,
    PumpSettings,
    UpstreamHolds,
    UpstreamUnavailable,
    join_batch,
)

BOUND_S = 60.0
"""Longer than anything here takes; a test that reaches it has failed."""


@pytest.fixture(params=FAR_ENDS, ids=lambda kind: kind.replace(", ", "-"))
async def far(request: pytest.FixtureRequest) -> AsyncIterator[FarEnd]:
    async with FAR_ENDS[request.param]() as far_end:
        yield far_end


def batch(first: int, last: int) -> Batch:
    return join_batch(lambda _seq: SOURCE, entries(first, last))


def of(*rows: Entry) -> Batch:
    return join_batch(lambda _seq: SOURCE, rows)


def tries_of(far: FarEnd, day: str) -> int:
    """How often a request is made before nobody has answered it."""
    return 2 if far.asks_first and day in ("lost answer", "lost request") else 1


async def test_what_is_accepted_is_there_and_in_order(far: FarEnd) -> None:
    assert await far.upstream.send(batch(1, 3)) == [Accepted()] * 3
    assert await far.upstream.send(batch(4, 6)) == [Accepted()] * 3
    assert far.ids() == [f"id-{seq}" for seq in range(1, 7)]


@pytest.mark.parametrize("kind", FAR_ENDS)
async def test_a_thousand_events_fit_into_one_batch(kind: str) -> None:
    async with FAR_ENDS[kind](timeout_s=BOUND_S) as far:
        assert await far.upstream.send(batch(1, 1000)) == [Accepted()] * 1000
        assert len(far.ids()) == 1000


async def test_a_redelivery_is_harmless(far: FarEnd) -> None:
    for _ in range(3):
        assert await far.upstream.send(batch(1, 5)) == [Accepted()] * 5
    assert len(far.ids()) == 5
    assert far.deliveries("id-1") == 3
    assert far.conflicts() == []


async def test_gap_records_pass_like_events(far: FarEnd) -> None:
    gap = entry(2, gap_reason="damaged")
    assert await far.upstream.send(of(entry(1), gap, entry(3))) == [Accepted()] * 3
    assert far.ids()[1].startswith("gap-id-2-")


@pytest.mark.parametrize("day", ["lost answer", "half answer", "applied, then 503"])
async def test_an_answer_that_is_not_heard_is_no_acknowledgement(far: FarEnd, day: str) -> None:
    """Fault matrix 24, 25, 26: the far end has it, we cannot know, and the same ids go out again."""
    tries = tries_of(far, day)
    far.will(*[day] * tries)
    with pytest.raises(UpstreamUnavailable):
        await far.upstream.send(batch(1, 4))
    assert await far.upstream.send(batch(1, 4)) == [Accepted()] * 4
    assert far.deliveries("id-4") == tries + 1
    assert far.conflicts() == []


@pytest.mark.parametrize("day", ["lost request", "unavailable", "never answers"])
async def test_no_answer_delivers_nothing(far: FarEnd, day: str) -> None:
    """Fault matrix 22, 26: a black hole ends in time, too."""
    far.will(*[day] * tries_of(far, day))
    with pytest.raises(UpstreamUnavailable) as caught:
        async with asyncio.timeout(BOUND_S):
            await far.upstream.send(batch(1, 4))
    assert caught.value.code
    assert far.ids() == []


async def test_a_request_to_come_back_later_says_when(far: FarEnd) -> None:
    """Fault matrix 27."""
    far.will("throttled")
    with pytest.raises(UpstreamUnavailable) as caught:
        await far.upstream.send(batch(1, 1))
    assert caught.value.retry_after_s == 7


async def test_a_closed_far_end_is_unavailable_and_comes_back_by_itself(far: FarEnd) -> None:
    """Fault matrix 21."""
    await far.upstream.send(batch(1, 1))
    await far.close()
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            await far.upstream.send(batch(2, 2))
    await far.open()
    assert await far.upstream.send(batch(2, 2)) == [Accepted()]


@pytest.mark.parametrize("day", ["no credential", "not allowed", "wrong address", "wrong method", "gone", "redirect"])
async def test_a_refusal_of_us_is_held_and_explained(far: FarEnd, day: str) -> None:
    """Fault matrix 30, 31, 35."""
    far.will(day)
    with pytest.raises(UpstreamHolds) as caught:
        await far.upstream.send(batch(1, 4))
    assert caught.value.hint
    assert far.ids() == []
    assert await far.upstream.send(batch(1, 4)) == [Accepted()] * 4


async def test_a_request_that_is_too_large_says_so(far: FarEnd) -> None:
    """Fault matrix 28."""
    far.wants_at_most(len(batch(1, 2).body))
    with pytest.raises(BatchTooLarge):
        await far.upstream.send(batch(1, 4))
    assert await far.upstream.send(batch(1, 2)) == [Accepted()] * 2


async def test_a_poison_event_is_named_or_the_batch_is_refused(far: FarEnd) -> None:
    """Fault matrix 29."""
    far.dislikes("poison")
    poisoned = of(entry(1), entry(2, note="poison"), entry(3))
    if far.names:
        outcomes = await far.upstream.send(poisoned)
        assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Accepted]
    else:
        with pytest.raises(BatchRefused):
            await far.upstream.send(poisoned)
    assert "id-2" not in far.ids()


async def test_what_is_not_named_stays_open(far: FarEnd) -> None:
    """Fault matrix 33: exact sets. An upstream that names nothing takes all or nothing."""
    far.will("partial")
    outcomes = await far.upstream.send(batch(1, 4))
    if far.names:
        assert outcomes == [Accepted(), Accepted(), Released(), Released()]
        assert far.ids() == ["id-1", "id-2"]
    else:
        assert outcomes == [Accepted()] * 4


async def test_a_rejected_event_comes_with_a_reason(far: FarEnd) -> None:
    far.will("first rejected")
    outcomes = await far.upstream.send(batch(1, 3))
    if far.names:
        assert isinstance(outcomes[0], Rejected)
        assert outcomes[0].reason
        assert outcomes[1:] == [Accepted()] * 2


async def test_a_portal_is_no_acknowledgement(far: FarEnd) -> None:
    """Fault matrix 34. With `acknowledge = "status"` any 2xx counts, and the documentation says so."""
    far.will("portal")
    if far.believes_any_2xx:
        await far.upstream.send(batch(1, 2))
    else:
        with pytest.raises(UpstreamUnavailable):
            await far.upstream.send(batch(1, 2))
    assert far.ids() == []


async def test_it_can_be_closed_and_used_again(far: FarEnd) -> None:
    await far.upstream.send(batch(1, 1))
    await far.upstream.aclose()
    await far.upstream.aclose()
    assert await far.upstream.send(batch(2, 2)) == [Accepted()]


async def test_a_cancelled_send_leaves_it_usable(far: FarEnd) -> None:
    far.will("never answers")
    sending = asyncio.ensure_future(far.upstream.send(batch(1, 1)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sending, 0.2)
    assert await far.upstream.send(batch(1, 1)) == [Accepted()]


async def test_the_pump_brings_everything_across_a_bad_day(far: FarEnd) -> None:
    """Every named trouble once, over a real wire: in order, nothing lost, one poison event set aside and announced."""
    days = ["lost answer", "unavailable", "half answer", "no credential", "redirect", "lost request"]
    far.will(*days, *(["partial"] if far.names else []))
    far.dislikes("poison")
    outbox = FakeOutbox([entry(seq, note="poison" if seq == 77 else "") for seq in range(1, 201)])
    await deliver(outbox, far, lambda: outbox.at == 200 and not outbox.unannounced)
    assert outbox.quarantine.keys() == {77}
    (record,) = [id for id in far.ids() if id.startswith("gap-")]
    assert record.startswith("gap-id-77-")
    assert [id for id in far.ids() if id != record] == [f"id-{seq}" for seq in range(1, 201) if seq != 77]
    assert far.conflicts() == []


async def deliver(outbox: FakeOutbox, far: FarEnd, is_done: Callable[[], bool]) -> None:
    done = asyncio.Event()
    settings = PumpSettings(
        name="centre", batch_events_max=30, backoff_base_s=0.001, backoff_max_s=0.001, hold_retry_s=0.001
    )
    pump = Pump(
        outbox,
        far.upstream,
        settings,
        rng=Random(3),
        monotonic=asyncio.get_running_loop().time,
        on_state=lambda _state: done.set() if is_done() else None,
    )
    running = asyncio.ensure_future(pump.run())
    async with asyncio.timeout(BOUND_S):
        await asyncio.wait([running, asyncio.ensure_future(done.wait())], return_when=asyncio.FIRST_COMPLETED)
    pump.stop()
    await running
