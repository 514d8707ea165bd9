"""Replays: same ids, no cursor touched, the live delivery first, and a kill in the middle is harmless."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest
from outbox_rig import Rig, draft, drafts
from upstream_scripted import ScriptedUpstream, refuses

from buffer import EntryFilter, Outbox
from buffer.entry import Accepted, Rejected
from sync import Replay, ReplayOrder, ReplayState, Unanswered, UpstreamHolds, UpstreamUnavailable
from sync.backoff import Backoff
from sync.errors import NotAnAnswer
from sync.replay import TRIES, UNANSWERED_EVENTS_MIN, YIELDS_MAX

IDS = [one.id for one in drafts(1, 40)]


class Bench:
    def __init__(self, outbox: Outbox, upstream: ScriptedUpstream) -> None:
        self.outbox = outbox
        self.upstream = upstream
        self.slept: list[float] = []
        self.is_behind = False

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def replay(self, state: ReplayState | None = None, *, rate: float = 1000.0, **wanted: object) -> Replay:
        order = ReplayOrder("r1", "centre", EntryFilter(**wanted), rate, "op", "lost there", 40)  # type: ignore[arg-type]
        return Replay(
            self.outbox,
            self.upstream,
            state or ReplayState(order),
            is_live_behind=lambda: self.is_behind,
            backoff=Backoff(Random(1), base_s=1, cap_s=2, retry_after_max_s=60),
            monotonic=lambda: sum(self.slept),
            sleep=self.sleep,
        )


async def bench(tmp_path: Path, upstream: ScriptedUpstream | None = None) -> Bench:
    outbox = await Rig(tmp_path / "state", inline=True).open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append([*drafts(1, 39), draft(40, station="dock-9", type="dockline.pick.v1")])
    await outbox.settle("centre", through=30, rejected=[(5, "no"), (6, "no")])
    await outbox.quarantine_discard("centre", [6], actor="op", note="old")
    return Bench(outbox, upstream or ScriptedUpstream())


async def test_everything_is_sent_again_as_it_was_and_no_cursor_moves(tmp_path: Path) -> None:
    made = await bench(tmp_path)
    before = await made.outbox.census("centre")
    replay = made.replay()
    await replay.run()
    assert made.upstream.events == [id_ for seq, id_ in enumerate(IDS[:39], 1) if seq not in (5, 6)] + [IDS[39]]
    bodies = [event for batch in made.upstream.sent for event in json.loads(batch.body)]
    assert bodies[0] == {"sequence": f"{1:020d}", "specversion": "1.0", "n": 1}
    assert [event["sequence"] for event in bodies] == [f"{seq:020d}" for seq in range(1, 41)]
    assert [event["data"]["reason"] for event in bodies[4:6]] == ["quarantined: no", "discarded: no"]
    assert all(batch.retry for batch in made.upstream.sent)
    assert (replay.state.status, replay.state.accepted, replay.state.left_out) == ("finished", 38, 2)
    assert await made.outbox.cursor("centre") == 30
    assert await made.outbox.census("centre") == before
    await made.outbox.close(5)


async def test_a_line_too_slow_for_a_full_request_is_sent_smaller_ones(tmp_path: Path) -> None:
    slow = ScriptedUpstream(judge=lambda batch: Unanswered("no whole answer") if len(batch) > 15 else None)
    made = await bench(tmp_path, slow)
    replay = made.replay()
    async with asyncio.timeout(60):
        await replay.run()
    assert replay.state.accepted == 38
    assert [len(batch) for batch in slow.sent][:3] == [40, 20, 10]
    assert max(len(batch) for batch in slow.sent[2:]) == UNANSWERED_EVENTS_MIN
    await made.outbox.close(5)


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({"seq_from": 10, "seq_to": 12}, [10, 11, 12]),
        ({"station": "dock-9"}, [40]),
        ({"type": "dockline.pick.v1"}, [40]),
        ({"captured_from": 1_790_000_000_000 + 20, "captured_before": 1_790_000_000_000 + 22}, [20, 21]),
        ({"device": "nobody"}, []),
    ],
)
async def test_only_what_is_wanted(tmp_path: Path, wanted: dict[str, object], seqs: list[int]) -> None:
    made = await bench(tmp_path)
    await made.replay(**wanted).run()
    assert made.upstream.taken == [IDS[seq - 1] for seq in seqs]
    await made.outbox.close(5)


async def test_a_kill_in_the_middle_is_gone_on_with(tmp_path: Path) -> None:
    """The process ends between two batches: the next one begins behind the last answer that was kept."""
    made = await bench(tmp_path, ScriptedUpstream(None, None, KeyboardInterrupt))  # type: ignore[arg-type]
    replay = made.replay(rate=4)

    def killed(_batch: object) -> None:
        if len(made.upstream.sent) == 3:
            raise KeyboardInterrupt

    made.upstream.before_answer = killed
    with pytest.raises(KeyboardInterrupt):
        await replay.run()
    made.upstream.before_answer = lambda _batch: None
    made.upstream.answers = []
    (row,) = made.outbox.states("replay/")
    state = ReplayState.of_row(row)
    assert state is not None
    assert (state.accepted, state.left_out) == (6, 2)
    assert state.order.wanted == EntryFilter()
    await made.replay(state).run()
    assert len(made.upstream.taken) == len(set(made.upstream.taken)) == 40
    await made.outbox.close(5)


async def test_the_rate_is_kept(tmp_path: Path) -> None:
    made = await bench(tmp_path)
    await made.replay(rate=5).run()
    assert sum(made.slept) == pytest.approx(40 / 5)
    assert max(len(batch) for batch in made.upstream.sent) == 5
    await made.outbox.close(5)


async def test_the_live_delivery_goes_first_and_cannot_end_the_replay(tmp_path: Path) -> None:
    made = await bench(tmp_path)
    made.is_behind = True
    replay = made.replay()
    await replay.run()
    assert len(made.slept) >= YIELDS_MAX
    assert replay.state.status == "finished"
    await made.outbox.close(5)


async def test_an_outage_and_a_hold_are_waited_for(tmp_path: Path) -> None:
    made = await bench(tmp_path, ScriptedUpstream(UpstreamUnavailable("gone"), UpstreamHolds("401")))
    replay = made.replay()
    await replay.run()
    assert replay.state.accepted == 38
    assert len(made.slept) >= 2
    await made.outbox.close(5)


async def test_however_long_an_outage_is_nothing_counts_as_sent_for_it(tmp_path: Path) -> None:
    """Only answers that confirm nothing are counted; nobody answered here."""
    made = await bench(tmp_path, ScriptedUpstream(*[UpstreamUnavailable("gone")] * (TRIES + 2)))
    replay = made.replay()
    await replay.run()
    assert (replay.state.accepted, replay.state.unconfirmed) == (38, 0)
    await made.outbox.close(5)


async def test_one_that_is_refused_is_counted_and_quarantines_nothing(tmp_path: Path) -> None:
    made = await bench(tmp_path, ScriptedUpstream(judge=refuses(IDS[19])))
    replay = made.replay()
    await replay.run()
    assert (replay.state.accepted, replay.state.rejected) == (37, 1)
    assert [one.seq for one in await made.outbox.quarantine_list("centre")] == [5, 6]
    await made.outbox.close(5)


async def test_a_centre_that_confirms_nothing_is_told_so(tmp_path: Path) -> None:
    made = await bench(tmp_path, ScriptedUpstream(judge=lambda _batch: NotAnAnswer("accepted_through 99")))
    replay = made.replay()
    await replay.run()
    assert (replay.state.accepted, replay.state.unconfirmed, replay.state.left_out) == (0, 38, 2)
    assert len(made.upstream.sent) == TRIES
    await made.outbox.close(5)


@pytest.mark.parametrize(
    ("wanted", "told", "left_out"),
    [
        ({}, [(12, 25)], 14),
        ({"seq_from": 20, "seq_to": 22}, [(12, 25)], 3),
        ({"seq_from": 24}, [(12, 25)], 2),
        ({"seq_to": 11}, [], 0),
        ({"station": "dock-9"}, [(12, 25)], 14),
    ],
)
async def test_what_is_gone_is_told_where_it_would_have_been(
    tmp_path: Path, wanted: dict[str, object], told: list[tuple[int, int]], left_out: int
) -> None:
    """Nobody knows what it was, so it counts as wanted, and the record is the one that tells of the whole run."""
    made = await bench(tmp_path)
    rig = Rig(tmp_path / "state", inline=True)
    rig.tamper("DELETE FROM entry WHERE seq BETWEEN 12 AND 25")
    replay = made.replay(**wanted)
    await replay.run()
    gaps = [event for batch in made.upstream.sent for event in json.loads(batch.body) if "gap" in event.get("id", "")]
    runs = [event["data"] for event in gaps if event["data"]["reason"] == "missing"]
    assert [(int(run["first_sequence"]), int(run["sequence"])) for run in runs] == told
    others = len(gaps) - len(runs)
    assert replay.state.left_out == left_out + others
    assert replay.state.status == "finished"
    await made.outbox.close(5)


async def test_named_rejections_are_counted(tmp_path: Path) -> None:
    made = await bench(tmp_path, ScriptedUpstream([Accepted(), Rejected("unknown site")]))
    replay = made.replay(seq_from=1, seq_to=2)
    await replay.run()
    assert (replay.state.accepted, replay.state.rejected, replay.state.through) == (1, 1, 2)
    await made.outbox.close(5)


def test_a_row_that_cannot_be_read_is_none() -> None:
    from buffer import StateRow

    assert ReplayState.of_row(StateRow("replay/x", b"not json")) is None
    assert ReplayState.of_row(StateRow("replay/x", b'{"order": {}}')) is None
