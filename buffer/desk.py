"""The side of an open outbox that faces people: what they may look at, and what they decide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from buffer import delivery, incident, quarantine
from buffer.audit import AuditRecord
from buffer.census import Census
from buffer.entry import Entry
from buffer.incident import Incident
from buffer.opening import Opened
from buffer.quarantine import QuarantineCase, Quarantined, QuarantineReason, QuarantineState
from buffer.reader import EntryFilter, Tally
from buffer.settlement import Settlement
from buffer.snapshot import snapshot
from buffer.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")


class Desk(ABC):
    """Questions and decisions of people; `Outbox` is one."""

    _opened: Opened

    @abstractmethod
    async def _read(self, run: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Return what `run` returns, in a reading thread."""

    @abstractmethod
    async def _write(self, run: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Return what `run`, which gets the writer first, returns when it is on disk."""

    async def upstreams(self) -> list[delivery.Position]:
        """Return every registered upstream and how far it is."""
        return await self._read(self._opened.reader.upstreams)

    async def rewind(self, upstream: str, *, to: int, actor: str, reason: str) -> int:
        """Move the cursor back; audited. Returns the sequence behind which everything is kept, if that is higher."""
        return await self._write(delivery.rewind, upstream, to=to, actor=actor, reason=reason)

    async def quarantine_list(
        self,
        upstream: str | None = None,
        *,
        state: QuarantineState | None = None,
        reason: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Quarantined]:
        """Return quarantined entries by upstream and seq: behind `after`, and with `reason` in their reason."""
        return await self._read(
            self._opened.reader.quarantine_list, upstream, state=state, reason=reason, after=after, limit=limit
        )

    async def quarantine_reasons(
        self,
        upstream: str | None = None,
        *,
        state: QuarantineState | None = None,
        reason: str | None = None,
        limit: int = 20,
    ) -> tuple[int, list[QuarantineReason]]:
        """Return how many entries are quarantined, and the reasons that most of them have, the most first."""
        return await self._read(
            self._opened.reader.quarantine_reasons, upstream, state=state, reason=reason, limit=limit
        )

    async def quarantine_show(self, upstream: str, seq: int) -> QuarantineCase | None:
        """Return everything about one quarantined entry; None when it is not in quarantine."""
        return await self._read(self._opened.reader.quarantine_show, upstream, seq)

    async def quarantine_retry(self, upstream: str, seqs: Sequence[int], *, actor: str, note: str = "") -> None:
        """Have entries sent again, all or none; audited. Raises QuarantineRefused."""
        await self._write(quarantine.retry, upstream, seqs, actor=actor, note=note)

    async def quarantine_discard(self, upstream: str, seqs: Sequence[int], *, actor: str, note: str) -> None:
        """Decide that an upstream never gets these entries, all or none; audited. Raises QuarantineRefused."""
        await self._write(quarantine.discard, upstream, seqs, actor=actor, note=note)

    async def unregister(self, upstream: str, *, actor: str, reason: str) -> None:
        """Forget an upstream and its quarantine; audited. Raises UpstreamUnknown."""
        await self._write(delivery.unregister, upstream, actor=actor, reason=reason)

    async def rename(self, upstream: str, name: str, *, actor: str, reason: str, replace: bool = False) -> None:
        """Give an upstream another name; audited. Raises UpstreamUnknown, UpstreamTaken."""
        await self._write(delivery.rename, upstream, name, actor=actor, reason=reason, replace=replace)

    async def record(self, action: str, *, actor: str, upstream: str = "", detail: str = "") -> None:
        """Write an audit record of something a person did; returns when it is on disk."""
        await self._write(Writer.record, action, actor=actor, upstream=upstream, detail=detail)

    async def snapshot(self, target: Path) -> None:
        """Copy the outbox as of its last commit into the new file `target`, beside the work; minutes on a large one.

        Raises OutboxFull (no room for the copy), OutboxDamaged.
        """
        await self._read(snapshot, self._opened.folder, target)

    async def incidents(self, *, unacknowledged_only: bool = False) -> list[Incident]:
        """Return the damage that was met, oldest first; unacknowledged, it is an alarm."""
        return await self._read(self._opened.reader.incidents, unacknowledged_only=unacknowledged_only)

    async def acknowledge(self, number: int, *, actor: str, note: str) -> None:
        """Note that a person knows of an incident; audited. Raises OutboxError when there is none open."""
        await self._write(incident.acknowledge, number, actor=actor, note=note)

    async def audit_list(self, *, after: int | None = None, limit: int = 1000) -> list[AuditRecord]:
        """Return the first audit records with a number above `after`, or the newest without it; oldest first."""
        return await self._read(self._opened.reader.audit_list, after=after, limit=limit)

    async def entry(self, id_or_seq: str | int) -> Entry | None:
        """Return one entry by event id or sequence; None when it is not here."""
        return await self._read(self._opened.reader.entry, id_or_seq)

    async def settlements(self, seq: int) -> list[Settlement]:
        """Return what became of an entry with every upstream, and when."""
        return await self._read(self._opened.reader.settlements, seq)

    async def tally(self, wanted: EntryFilter) -> Tally:
        """Count the entries that a filter lets through."""
        return await self._read(self._opened.reader.tally, wanted)

    async def entries(self, wanted: EntryFilter) -> list[Entry]:
        """Return the entries that a filter lets through."""
        return await self._read(self._opened.reader.entries, wanted)

    async def census(self, upstream: str, *, fresh: bool = False) -> Census:
        """Return the books of one upstream; `fresh` counts every row again. Raises UpstreamUnknown."""
        return await self._read(self._opened.reader.census, upstream, fresh=fresh)

    async def announcements(self, upstream: str, *, count_max: int) -> list[Entry]:
        """Return gap entries of what an upstream rejected and was not told of, oldest first."""
        return await self._read(self._opened.reader.announcements, upstream, count_max)

    async def settle_announced(self, upstream: str, told: Sequence[tuple[int, str]]) -> None:
        """Note that it answered for them (seq, gap reason)."""
        await self._write(delivery.settle_announced, upstream, told)

    async def retries(self, upstream: str, *, count_max: int) -> list[Entry]:
        """Return quarantined entries that a person asked to send again, oldest first."""
        return await self._read(self._opened.reader.retries, upstream, count_max)

    async def settle_retry(self, upstream: str, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
        """Note what became of retried entries. Raises QuarantineRefused when one is not waiting for a retry."""
        await self._write(quarantine.settle_retry, upstream, delivered, rejected)
