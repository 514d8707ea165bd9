"""Second tries, when a person decides something while they are under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from upstream_events import entries
from upstream_outbox import FakeOutbox
from upstream_scripted import ScriptedUpstream

from buffer.entry import Accepted, Outcome, Rejected
from buffer.errors import QuarantineRefused
from sync.batch import Batch
from sync.retries import Retries


class DecidedOutbox(FakeOutbox):
    """Of what was sent again a person has discarded one meanwhile."""

    def __init__(self, discarded: int) -> None:
        super().__init__(entries(1, 4))
        self.discarded = discarded
        self.quarantine = dict.fromkeys((1, 2, 3, 4), "no")
        self.asked_again = {1, 2, 3, 4}

    async def settle_retry(self, upstream: str, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
        if self.discarded in [*delivered, *(seq for seq, _ in rejected)]:
            raise QuarantineRefused(f"{self.discarded} is discarded for {upstream}")
        await super().settle_retry(upstream, delivered, rejected)


async def written(record: Callable[[], Awaitable[None]]) -> None:
    await record()


def half(batch: Batch) -> list[Outcome]:
    return [Accepted() if id_ in ("id-1", "id-2") else Rejected("still no") for id_ in batch.ids]


async def test_a_decision_about_one_does_not_undo_what_is_true_of_the_others() -> None:
    """Otherwise the centre has one twice and the quarantine names an old reason for another."""
    for discarded in (1, 4):
        outbox = DecidedOutbox(discarded)
        await Retries(outbox, ScriptedUpstream(judge=half), "centre", written).run_once(None)
        assert outbox.asked_again == {discarded}
        assert outbox.retried == [seq for seq in (1, 2) if seq != discarded]
        assert next(outbox.quarantine[seq] for seq in (3, 4) if seq != discarded) == "still no"
