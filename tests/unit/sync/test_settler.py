"""Writing down how far an upstream is, while the next requests are on their way."""

import asyncio
from collections.abc import Sequence

import pytest
from upstream_events import entries
from upstream_outbox import FakeOutbox
from upstream_pump import pumping
from upstream_scripted import ScriptedUpstream

from buffer.entry import Accepted, Outcome, Rejected
from buffer.errors import CommitUnknown
from sync import UpstreamUnavailable
from sync.batch import Batch
from sync.pump import POSITION_EVERY_S
from sync.settler import AHEAD_MAX


class SlowOutbox(FakeOutbox):
    """Its commits take until they are let through."""

    def __init__(self, count: int) -> None:
        super().__init__(entries(1, count))
        self.may_commit = asyncio.Event()
        self.asked: list[int] = []

    async def settle(
        self,
        upstream: str,
        *,
        through: int,
        rejected: Sequence[tuple[int, str]] = (),
        untold: Sequence[int] = (),
        owner: str = "",
        patience_s: float = 0.0,
    ) -> None:
        self.asked.append(through)
        await self.may_commit.wait()
        await super().settle(upstream, through=through, rejected=rejected, untold=untold, owner=owner)


class DistantUpstream(ScriptedUpstream):
    """An answer takes some turns of the loop."""

    async def send(self, batch: Batch) -> list[Outcome]:
        await asyncio.sleep(0)
        return await super().send(batch)


async def test_requests_do_not_wait_for_a_slow_commit_and_share_the_next_one() -> None:
    outbox = SlowOutbox(50)
    upstream = DistantUpstream()
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        await bench.until(lambda: len(upstream.sent) == 5)
        assert (outbox.at, bench.state.settled_through, bench.state.delivered) == (0, 0, 0), "nothing is said too soon"
        outbox.may_commit.set()
        await bench.settled(50)
        await bench.until(lambda: bench.state.delivered == 50)
        assert bench.state.settled_through == 50
    assert len(outbox.settles) < 5 and outbox.settles[-1] == 50


async def test_the_upstream_is_only_so_far_ahead_of_the_disk() -> None:
    """What is answered and not written down is sent again after a crash."""
    outbox = SlowOutbox(20)
    upstream = DistantUpstream()
    async with pumping(outbox, upstream, batch_events_max=1) as bench:
        await bench.time.pass_by(600)
        assert len(upstream.sent) == AHEAD_MAX + 1, "one more was under way"
        outbox.may_commit.set()
        await bench.settled(20)
    assert upstream.taken == [f"id-{seq}" for seq in range(1, 21)]


async def test_a_disk_that_refuses_stops_the_next_request_but_one() -> None:
    """Field story: disk full, and the installation kept sending."""
    outbox = FakeOutbox(entries(1, 20))
    outbox.refuse_settles = 20
    upstream = DistantUpstream()
    async with pumping(outbox, upstream, batch_events_max=1) as bench:
        await bench.until(lambda: bench.state.alarm is not None)
        assert bench.state.alarm is not None and bench.state.alarm.code == "cursor_not_written"
        await bench.until(lambda: outbox.refuse_settles == 1, within_s=3600)
        assert len(upstream.sent) <= 3
        await bench.settled(20)
        await bench.until(lambda: bench.state.alarm is None)


async def test_a_rejection_is_in_quarantine_before_the_next_request() -> None:
    """And what was answered before it is written before it."""
    outbox = SlowOutbox(40)
    bad = "id-15"
    upstream = DistantUpstream(judge=lambda batch: [Rejected("no") if one == bad else Accepted() for one in batch.ids])
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        await bench.until(lambda: len(upstream.sent) == 2)
        await bench.time.pass_by(60)
        assert len(upstream.sent) == 2
        outbox.may_commit.set()
        await bench.settled(40)
    assert outbox.settles[:2] == [10, 20] and outbox.quarantine == {15: "no"}


async def test_after_an_error_the_position_is_asked_when_all_is_written() -> None:
    outbox = SlowOutbox(20)
    upstream = DistantUpstream(None, UpstreamUnavailable("cut"))
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        await bench.until(lambda: len(upstream.sent) == 2)
        await bench.time.pass_by(60)
        assert outbox.cursor_asked == 1
        outbox.may_commit.set()
        await bench.settled(20)
    assert [batch.first for batch in upstream.sent] == [1, 11, 11], "nothing that was answered is sent again"


async def test_from_time_to_time_the_position_is_asked_when_all_is_written() -> None:
    """Asked while it is being written, the outbox would say where the upstream was before."""
    outbox = SlowOutbox(30)
    upstream = DistantUpstream()
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        upstream.before_answer = lambda _batch: setattr(bench.time, "now", bench.time.now + POSITION_EVERY_S)
        await bench.until(lambda: len(upstream.sent) == 1)
        await bench.time.turn()
        assert (len(upstream.sent), outbox.cursor_asked) == (1, 1)
        outbox.may_commit.set()
        await bench.settled(30)
    assert [batch.first for batch in upstream.sent] == [1, 11, 21]


async def test_a_stop_waits_for_what_is_being_written() -> None:
    outbox = SlowOutbox(30)
    upstream = DistantUpstream()
    async with pumping(outbox, upstream, batch_events_max=10) as bench:
        upstream.before_answer = lambda batch: bench.pump.stop() if batch.first == 11 else None
        await bench.until(lambda: len(upstream.sent) == 2)
        await bench.time.turn()
        assert bench.task is not None and not bench.task.done()
        outbox.may_commit.set()
        await bench.until(bench.task.done)
        assert (outbox.at, len(upstream.sent)) == (20, 2)


async def test_a_commit_that_failed_ends_the_pump_whatever_it_does_meanwhile() -> None:
    outbox = FakeOutbox(entries(1, 100))

    async def settle(*_: object, **__: object) -> None:
        raise CommitUnknown("I/O error")

    outbox.settle = settle  # type: ignore[method-assign]
    with pytest.raises(CommitUnknown):
        async with pumping(outbox, DistantUpstream(), batch_events_max=1) as bench:
            await bench.settled(100)
