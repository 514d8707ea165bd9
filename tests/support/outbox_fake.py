"""An outbox in memory: what intake needs, with commits that a test holds back, lets through or fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from buffer.annex import AnnexRow
from buffer.entry import Draft, Redelivery, StateRow
from buffer.errors import OutboxError
from gateway.capture.outbox_port import OnKnown


@dataclass
class Append:
    """One append, committed or not."""

    drafts: Sequence[Draft]
    state: Sequence[StateRow]
    redeliveries: Sequence[Redelivery]
    future: asyncio.Future[None]
    on_known: OnKnown | None = None

    def known(self, error: OutboxError | None) -> None:
        if self.on_known is not None:
            self.on_known(error)


@dataclass
class OutboxFake:
    """Commits at once unless `hold` is set; then `commit` and `fail` decide, oldest first."""

    source: str = "//dc07/dock-pc-1/e1"
    hold: bool = False
    refuse: OutboxError | None = None
    """Raised by the next appends: a full disk."""
    failed_commits: int = 0
    entries: list[Draft] = field(default_factory=list)
    rows: dict[str, bytes] = field(default_factory=dict)
    answers: dict[tuple[str, str], Redelivery] = field(default_factory=dict)
    queue: list[Append] = field(default_factory=list)
    commits: int = 0
    lookups: int = 0
    annexes: dict[tuple[str, str], bytes] = field(default_factory=dict)
    operating_ms: int = 1_000

    def one_look(self) -> AbstractContextManager[None]:
        return nullcontext()

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        state: Sequence[StateRow] = (),
        redeliveries: Sequence[Redelivery] = (),
        on_known: OnKnown | None = None,
    ) -> asyncio.Future[None]:
        if self.refuse is not None:
            raise self.refuse
        one = Append(drafts, state, redeliveries, asyncio.get_running_loop().create_future(), on_known)
        self.queue.append(one)
        if not self.hold:
            asyncio.get_running_loop().call_soon(self.commit, 1)
        return one.future

    def commit(self, count: int | None = None) -> None:
        """Put the oldest `count` appends on disk; all without it."""
        for _ in range(len(self.queue) if count is None else count):
            one = self.queue.pop(0)
            self.entries.extend(one.drafts)
            for row in one.state:
                if row.value is None:
                    self.rows.pop(row.key, None)
                else:
                    self.rows[row.key] = row.value
            for answer in one.redeliveries:
                self.answers[answer.device, answer.message_id] = answer
            self.commits += 1
            one.future.set_result(None)
            one.known(None)

    def fail(self, error: OutboxError) -> None:
        """Fail everything queued, in one step, as the outbox does."""
        self.failed_commits += 1
        queued, self.queue = self.queue, []
        for one in queued:
            one.future.set_exception(error)
            one.future.exception()
            one.known(error)

    def redeliveries(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Redelivery]:
        self.lookups += 1
        return {key: self.answers[key] for key in keys if key in self.answers}

    def states(self, prefix: str = "", *, after: str = "", count_max: int | None = None) -> list[StateRow]:
        rows = sorted(self.rows.items())
        found = [StateRow(key, value) for key, value in rows if key.startswith(prefix) and key > after]
        return found[:count_max]

    def state(self, key: str) -> bytes | None:
        return self.rows.get(key)

    def annex(self, space: str, key: str) -> bytes | None:
        return self.annexes.get((space, key))

    def annex_under(self, space: str, prefix: str = "", *, after: str = "", count_max: int = 1000) -> list[AnnexRow]:
        found = sorted(one for one in self.annexes if one[0] == space and one[1].startswith(prefix) and one[1] > after)
        return [AnnexRow(*one, self.annexes[one]) for one in found[:count_max]]

    def put_annex(self, rows: Sequence[AnnexRow]) -> None:
        """Write rows of the annex at once."""
        for row in rows:
            if row.value is None:
                self.annexes.pop((row.space, row.key), None)
            else:
                self.annexes[row.space, row.key] = row.value
