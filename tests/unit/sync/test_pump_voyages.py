"""Random bad days from seeds, and proof that the judge of them is not blind."""

import pytest
from upstream_outbox import FakeOutbox
from upstream_voyage import sail

from buffer.entry import Accepted, Outcome, Rejected, Released
from sync import BatchRefused, NotAnAnswer, UpstreamHolds, guard
from sync.batch import Batch
from sync.http_events import HttpEvents


@pytest.mark.parametrize("seed", range(1070, 1090))
async def test_no_weather_loses_invents_or_convicts_an_event(seed: int) -> None:
    verdict = await sail(seed)
    assert verdict.holds, verdict


@pytest.mark.parametrize("seed", range(100, 110))
async def test_false_accusations_lose_nothing(seed: int) -> None:
    """An innocent event may end in quarantine, where a person finds it, or be taken late when the centre first refused
    it; it never vanishes."""
    verdict = await sail(seed, false_witness=True)
    verdict.innocent, verdict.late = [], []
    assert verdict.holds, verdict


async def fails_somewhere() -> bool:
    verdicts = [await sail(seed, false_witness=True) for seed in range(8)]
    return not all(not verdict.lost and not verdict.missing for verdict in verdicts)


async def test_the_judge_sees_an_answer_that_is_believed_because_it_is_a_200(monkeypatch: pytest.MonkeyPatch) -> None:
    send = HttpEvents.send

    async def any_200_will_do(self: HttpEvents, batch: Batch) -> list[Outcome]:
        try:
            return await send(self, batch)
        except NotAnAnswer:
            return [Accepted() for _ in batch.ids]

    assert not await fails_somewhere()
    monkeypatch.setattr(HttpEvents, "send", any_200_will_do)
    assert await fails_somewhere()


async def test_the_judge_sees_events_dropped_on_a_client_error(monkeypatch: pytest.MonkeyPatch) -> None:
    send = HttpEvents.send

    async def drops(self: HttpEvents, batch: Batch) -> list[Outcome]:
        try:
            return await send(self, batch)
        except (UpstreamHolds, BatchRefused):
            return [Accepted() for _ in batch.ids]

    monkeypatch.setattr(HttpEvents, "send", drops)
    assert await fails_somewhere()


async def test_the_judge_sees_a_cursor_that_jumps_over_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = guard.Guard.judge

    def over_the_hole(self: guard.Guard, entries: list, outcomes: list[Outcome]) -> guard.Settlement:  # type: ignore[type-arg]
        return judge(self, entries, [Accepted() if isinstance(outcome, Released) else outcome for outcome in outcomes])

    monkeypatch.setattr(guard.Guard, "judge", over_the_hole)
    assert await fails_somewhere()


async def test_the_judge_sees_a_cursor_that_moves_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    head = FakeOutbox.head

    async def marks_first(self: FakeOutbox, upstream: str, **how: int) -> list:  # type: ignore[type-arg]
        found = await head(self, upstream, **how)
        if found:
            self.at = found[-1].seq
        return found

    async def settle(self: FakeOutbox, upstream: str, *, through: int, rejected: object = (), **_: object) -> None:
        self.at = max(self.at, through)
        self.quarantine.update(rejected)  # type: ignore[call-overload]

    monkeypatch.setattr(FakeOutbox, "head", marks_first)
    monkeypatch.setattr(FakeOutbox, "settle", settle)
    assert await fails_somewhere()


async def test_the_judge_sees_a_broken_centre_that_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard, a refused batch convicts everybody in it."""
    send = HttpEvents.send

    async def convicts(self: HttpEvents, batch: Batch) -> list[Outcome]:
        try:
            return await send(self, batch)
        except BatchRefused as error:
            return [Rejected(str(error)) for _ in batch.ids]

    monkeypatch.setattr(HttpEvents, "send", convicts)
    monkeypatch.setattr(guard, "_is_all_rejected", lambda *_: False)
    verdicts = [await sail(seed, false_witness=True, reject_max=10_000) for seed in range(6)]
    assert any(len(verdict.innocent) > 5 for verdict in verdicts)
