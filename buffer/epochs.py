"""A new epoch in the middle of a run: at once, without a restart, and without a scan that falls between two sources.

Theory of operation. An event names its source in its payload, so the source must change where the events are made, in
the event loop, and the sequence from which it holds must be given where sequences are given, in the writer. Both see
the same order: the loop changes the source and queues a job in one step, so everything queued before the job was made
under the old source, and everything behind it under the new one. Once the job was met the epoch is *due*: it commits
with the first transaction that succeeds, before anything else in it, however often the disk refuses in between.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from buffer.audit import OUTBOX_ACTOR, record
from buffer.exposure import ExposureDesk
from buffer.incident import EPOCH_CHANGED, Told, record_incident
from buffer.ledger import Epoch
from buffer.writer import Writer


@dataclass(frozen=True, slots=True)
class EpochDue:
    """An epoch that begins with the next sequence."""

    source: str
    reason: str

    def write(self, writer: Writer) -> None:
        """Begin it inside the current transaction, unless it has begun; tell a person."""
        execute = writer.connection.execute
        if execute("SELECT 1 FROM epoch WHERE source = ?", (self.source,)).fetchone() is not None:
            return
        ledger, at = writer.ledger, writer.wall()
        execute(
            "INSERT INTO epoch (first_seq, source, linked_chain, reason, opened_at) VALUES (?,?,?,?,?)",
            (ledger.head_seq + 1, self.source, ledger.head_chain, self.reason, at),
        )
        operating_ms = writer.clock.now_ms()
        record(
            writer.connection,
            at=at,
            operating_ms=operating_ms,
            actor=OUTBOX_ACTOR,
            action="epoch_opened",
            detail=self.reason,
        )
        record_incident(writer.connection, EPOCH_CHANGED, Told(self.reason), at=at, operating_ms=writer.clock.now_ms())


class EpochDesk(ExposureDesk):
    """What an open outbox can say about sources; `Outbox` is one."""

    source: str
    _new_epoch: Callable[[], str]

    @abstractmethod
    def _require_open(self) -> None:
        """Return while writes are taken; raises OutboxClosed, CommitUnknown."""

    async def begin_epoch(self, reason: str) -> str:
        """Give out sequences under a new source from now on; returns it when that is on disk. Audited, and an incident.

        Whoever makes events has to look at `source` for each: it has changed when this begins to wait.
        Raises OutboxFull while the disk refuses; the epoch then begins with the next commit.
        """
        self._require_open()
        self.source = f"{self.source.rpartition('/')[0]}/{self._new_epoch()}"
        source = self.source
        await self._write(begin_epoch, source, reason)
        return source

    @property
    def epochs(self) -> list[Epoch]:
        """Every epoch of this journal, oldest first."""
        return list(self._opened.writer.epochs)

    def source_of(self, seq: int) -> str:
        """Return the source under which a sequence was given out (an older epoch's, for older entries)."""
        for epoch in reversed(self._opened.writer.epochs):
            if seq >= epoch.first_seq:
                return epoch.source
        return self.source


def begin_epoch(writer: Writer, source: str, reason: str) -> None:
    """Have everything from here on belong to another source. A job."""
    due = EpochDue(source, reason)
    if due not in writer.due_epochs:
        writer.due_epochs.append(due)
    due.write(writer)
