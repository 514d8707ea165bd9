"""Upstreams in memory: one that answers what a test says, one that takes everything but poison."""

from collections.abc import Callable

from buffer.entry import Accepted, Outcome
from sync import BatchRefused, Position, SyncError
from sync.batch import Batch

Answer = list[Outcome] | SyncError | None
"""None: everything is accepted."""


class ScriptedUpstream:
    def __init__(self, *answers: Answer, judge: Callable[[Batch], Answer] | None = None) -> None:
        self.answers = list(answers)
        self.judge = judge
        self.sent: list[Batch] = []
        self.taken: list[str] = []
        self.told: Position | SyncError | None = None
        self.tells: Callable[[str], Position] | None = None
        """Says what it tells of each source, instead of `told`."""
        self.is_refreshed = False
        self.claimed_through = 0
        self.before_answer: Callable[[Batch], None] = lambda _batch: None

    @property
    def events(self) -> list[str]:
        """What it took, without gap records."""
        return [id for id in self.taken if not id.startswith("gap-")]

    @property
    def event_batches(self) -> list[Batch]:
        """What it was sent, without the requests that announce what it rejected before."""
        return [batch for batch in self.sent if not all(id.startswith("gap-") for id in batch.ids)]

    async def send(self, batch: Batch) -> list[Outcome]:
        self.sent.append(batch)
        self.before_answer(batch)
        answer = self.answers.pop(0) if self.answers else (self.judge(batch) if self.judge else None)
        if isinstance(answer, SyncError):
            raise answer
        outcomes = [Accepted() for _ in batch.ids] if answer is None else answer
        self.taken += [id for id, outcome in zip(batch.ids, outcomes, strict=True) if outcome == Accepted()]
        return outcomes

    async def position(self, source: str) -> Position | None:
        if self.tells is not None:
            return self.tells(source)
        if isinstance(self.told, SyncError):
            raise self.told
        return self.told

    def refreshed(self) -> bool:
        refreshed, self.is_refreshed = self.is_refreshed, False
        return refreshed

    async def aclose(self) -> None:
        pass


def refuses(*poison: str) -> Callable[[Batch], Answer]:
    """A centre that answers 400 to every batch that holds one of these ids, and does not say which."""

    def judge(batch: Batch) -> Answer:
        return BatchRefused("400") if set(poison) & set(batch.ids) else None

    return judge
