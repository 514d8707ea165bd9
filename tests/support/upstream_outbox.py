"""An outbox in memory that is as strict as the real one about what may be settled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from upstream_events import SOURCE

from buffer.entry import Entry, StateRow
from buffer.errors import OutboxFull


@dataclass(frozen=True)
class Head:
    source: str
    seq: int
    chain_hex: str


@dataclass(frozen=True)
class FakeEpoch:
    source: str
    first_seq: int


class FakeOutbox:
    def __init__(self, entries: Sequence[Entry] = (), *, source: str = SOURCE) -> None:
        self.source = source
        self.older: list[FakeEpoch] = []
        """Epochs before the present one."""
        self.first_of_source = 1
        """The first sequence of the present epoch."""
        self.rows: list[Entry] = list(entries)
        self.at = 0
        self.quarantine: dict[int, str] = {}
        self.asked_again: set[int] = set()
        self.again_after_rewind: set[int] = set()
        """What was delivered by a retry and is to be tried again when the centre was put back."""
        self.retried: list[int] = []
        self.unannounced: dict[int, str] = {}
        """Sequence -> what its gap record has to say."""
        self.announced: list[tuple[int, str]] = []
        self.state: dict[str, bytes] = {}
        self.settles: list[int] = []
        self.cursor_asked = 0
        self.epochs_wanted: list[str] = []
        self.rewinds: list[int] = []
        self.refuse_settles = 0
        self.exposed = self.newest
        self.exposed_kept = 0
        """How often a next run was to know what was exposed."""
        self._grown = asyncio.Event()

    @property
    def epochs(self) -> list[FakeEpoch]:
        return [*self.older, FakeEpoch(self.source, self.first_of_source)]

    def source_of(self, seq: int) -> str:
        return next(epoch.source for epoch in reversed(self.epochs) if epoch.first_seq <= seq)

    def add(self, *entries: Entry) -> None:
        self.rows += entries
        self._grown.set()

    async def cursor(self, upstream: str) -> int:
        self.cursor_asked += 1
        return self.at

    async def head(self, upstream: str, *, after: int, count_max: int, bytes_max: int) -> list[Entry]:
        assert count_max >= 1
        found: list[Entry] = []
        size = 0
        for row in self.rows:
            if row.seq <= after:
                continue
            size += len(row.payload)
            if found and (size > bytes_max or len(found) == count_max):
                break
            reason = self.quarantine.get(row.seq)
            found.append(row if reason is None else row._replace(gap_reason=f"quarantined: {reason}"))
        if found:
            self.exposed = max(self.exposed, found[:count_max][-1].seq)
        return found[:count_max]

    async def keep_exposed(self) -> None:
        self.exposed_kept += 1

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
        if self.refuse_settles:
            self.refuse_settles -= 1
            raise OutboxFull("the disk is full", hint="make room")
        assert self.at <= through <= (self.rows[-1].seq if self.rows else 0), "the cursor moves forward, to an entry"
        for seq, reason in rejected:
            assert self.at < seq <= through
            assert reason
            self.quarantine[seq] = reason
        for seq in [one for one in self.unannounced if self.at < one <= through]:
            del self.unannounced[seq]
        held = [(seq, self.quarantine[seq]) for seq in untold if seq in self.quarantine]
        self.unannounced.update((seq, f"quarantined: {reason}") for seq, reason in (*rejected, *held))
        self.at = through
        self.settles.append(through)

    async def announcements(self, upstream: str, *, count_max: int) -> list[Entry]:
        due = [(seq, reason) for seq, reason in sorted(self.unannounced.items()) if seq <= self.at]
        rows = {row.seq: row for row in self.rows}
        return [rows[seq]._replace(gap_reason=reason) for seq, reason in due[:count_max]]

    async def settle_announced(self, upstream: str, told: Sequence[tuple[int, str]]) -> None:
        self.announced += told
        for seq, reason in told:
            if self.unannounced.get(seq) == reason:
                del self.unannounced[seq]

    async def retries(self, upstream: str, *, count_max: int) -> list[Entry]:
        return [row for row in self.rows if row.seq in self.asked_again][:count_max]

    async def settle_retry(self, upstream: str, delivered: Sequence[int], rejected: Sequence[tuple[int, str]]) -> None:
        for seq in [*delivered, *(seq for seq, _ in rejected)]:
            self.asked_again.remove(seq)
        for seq in delivered:
            del self.quarantine[seq]
            self.retried.append(seq)
        self.quarantine.update(rejected)

    @property
    def newest(self) -> int:
        return self.rows[-1].seq if self.rows else 0

    async def appended(self, after: int) -> None:
        while not self.rows or self.rows[-1].seq <= after:
            self._grown.clear()
            await self._grown.wait()

    async def head_of_chain(self) -> Head:
        if not self.rows:
            return Head(self.source, 0, "00")
        return Head(self.source, self.rows[-1].seq, self.rows[-1].chain.hex())

    async def rewind(self, upstream: str, *, to: int, actor: str, reason: str) -> int:
        assert to <= self.at
        self.at = to
        self.rewinds.append(to)
        self.asked_again |= self.again_after_rewind
        self.quarantine.update(dict.fromkeys(self.again_after_rewind, "was rejected"))
        return to

    async def begin_epoch(self, reason: str) -> str:
        self.epochs_wanted.append(reason)
        self.source = f"{self.source}-{len(self.epochs_wanted)}"
        return self.source

    def states(self, prefix: str = "") -> list[StateRow]:
        return [StateRow(key, value) for key, value in self.state.items() if key.startswith(prefix)]

    async def note(self, row: StateRow) -> None:
        assert row.value is not None
        self.state[row.key] = row.value
