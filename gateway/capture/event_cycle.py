"""Repeat reads become one observation per pass.

Theory of operation. A reader inventories a tag many times a second for as long as it can hear it. In the words of
ALE (EPCglobal Application Level Events): a *logical reader* is one or several antennas that stand for one place, and
an *event cycle* is what it has seen. Here each logical reader has one `EventCycle`, and a tag's *pass* runs

    absent --first sight--> present --unseen for more than depart_after_s--> departed (= absent)

A pass is one observation: the first sight is admitted, repeat reads only move `last_seen`. Time is monotonic and
comes in with each read; a wall clock that is set back or forward neither repeats nor swallows anything. A reader that
was cut off hands in minutes of reads at once: so that two passes do not melt into one, a gap by the reader's own clock
(`device_s`) ends a pass too. That clock alone never keeps a pass open, and when it is wrong a pass is reported twice.

A pass has a *meaning*: what the station session would make of the tag now (activity, document, location). When the
meaning changes while the tag stands there, a new pass begins: a correction is never taken for a repeat read. A document
that is closed or forgotten corrects nothing: `goes_on` says under which other meanings a pass goes on, with its own.

Use, from `Intake.take` (no await between the steps):

    admission = cycle.admits(epc, meaning, now, rssi_dbm=...)   # per read
    if admission.is_first: cycle.cover(epc, event_id)           # the event that covers the pass
    seal = cycle.seal(now, wall_ms)                             # once per cycle and append; rows go with the entries
    cycle.commit(seal.number)                                   # after the commit succeeded
    cycle.rollback(seal.number)                                 # after it failed: undoes that seal and all behind it

A repeat read carries the covering event's id and whether that event is on disk. If it is not yet, the verdict has to
wait for the commit that is under way; if that fails, `rollback` forgets the first sight, and the reader's next read
(or the same message again) is a first sight once more.

Bounded memory: `tags_max` passes. At the bound the pass unseen for longest goes first, departed ones therefore before
present ones. A present tag forced out so is observed again at its next read: doubled, never lost, and counted in
`forced_out`.

Durable state: one row per open pass, written with its first sight and deleted some time after it departed, and one row
with the time of the last read, refreshed at most every `refresh_s` while tags are read. Repeat reads write nothing
else. After a restart passes go on if the gateway was away for less than `depart_after_s`; see `restore`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import eq
from typing import Final, Literal

from buffer.entry import StateRow

_DELETIONS_MAX: Final = 500
"""Rows of departed passes deleted with one append; more would lengthen the commit a scan is waiting for."""

STATE_PREFIX: Final = "event_cycle/"


@dataclass(frozen=True, slots=True)
class EventCycleSpec:
    """How one logical reader tells passes apart. ALE calls this an ECSpec."""

    depart_after_s: float = 10.0
    """Seconds unseen (more than this) after which a tag has departed; its next read is a new pass."""
    tags_max: int = 20_000
    """Open passes remembered: at about 400 bytes a tag, 8 MB."""
    reads_min: int = 1
    """Inventory reads before a tag is admitted; more than 1 keeps out strays that are read by chance."""
    rssi_min_dbm: float | None = None
    """Weaker reads count as not seen; None = any. A read without a signal strength is never weak."""

    def __post_init__(self) -> None:
        assert self.depart_after_s > 0, "a pass lasts"
        assert self.tags_max >= 1, "one tag fits"

    @property
    def refresh_s(self) -> float:
        """Seconds between refreshes of the last-read row: how far off the durable state may be."""
        return self.depart_after_s / 2


@dataclass(frozen=True, slots=True)
class Admission:
    """What one read of a tag is."""

    kind: Literal["first", "repeat", "weak", "few"]
    """first: a new pass, report it. repeat: covered by `event_id`. weak: under `rssi_min_dbm`. few: fewer than
    `reads_min` reads so far. The last two are the site's own filter: nothing covers them and nothing is stored."""
    event_id: str | None = None
    """For repeat: the event that covers the pass."""
    is_committed: bool = False
    """For repeat: the covering event is on disk. When False, answer after the commit under way."""

    @property
    def is_first(self) -> bool:
        """True when this read must become an event."""
        return self.kind == "first"


@dataclass(frozen=True, slots=True)
class Seal:
    """The admissions since the last seal, as rows that commit with their events."""

    number: int
    """Names this seal to `commit` and `rollback`; grows by one."""
    rows: tuple[StateRow, ...]


FIRST: Final = Admission("first")
_WEAK: Final = Admission("weak")
_FEW: Final = Admission("few")


class _Pass:
    """One tag, present."""

    __slots__ = ("device_s", "last_seen", "meaning", "reads", "repeat")

    def __init__(self, meaning: str, last_seen: float, reads: int, device_s: float | None = None) -> None:
        self.meaning = meaning
        self.last_seen = last_seen
        self.device_s = device_s
        self.reads = reads
        self.repeat: Admission | None = None
        """What a repeat read is answered; None while the tag has too few reads to be admitted."""


@dataclass(slots=True)
class _Admitted:
    """Undo record of one first sight."""

    epc: bytes
    begun: _Pass
    before: _Pass | None
    """The pass it ended by another meaning, or the candidate it grew from."""
    had_row: bool
    """A departed pass of the same tag still had its row on disk."""


@dataclass(slots=True)
class _Frame:
    """What one seal wrote, until its commit is known."""

    number: int
    admitted: list[_Admitted]
    deleted: list[bytes]


def device_seconds(at: str | None) -> float | None:
    """Return RFC 3339 `at` as seconds for `EventCycle.admits(device_s=)`; None when it is missing or unreadable.

    A time without offset is taken as UTC: only differences of one reader's own times are ever used.
    """
    if at is None:
        return None
    try:
        told = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


class EventCycle:
    """The passes at one logical reader. Not thread-safe; no I/O, no clock of its own."""

    def __init__(
        self, reader: str, spec: EventCycleSpec | None = None, *, goes_on: Callable[[str, str], bool] = eq
    ) -> None:
        """`reader` names the logical reader in durable state: the station for fixed readers (several readers of one
        station are one logical reader), the device for readers that carry their own context with them."""
        self.reader = reader
        self.spec = spec or EventCycleSpec()
        self.prefix = f"{STATE_PREFIX}{reader}/"
        self._goes_on = goes_on
        """Whether a pass with the first meaning goes on under the second."""
        self.forced_out = 0
        """Present tags forgotten because of `tags_max`, since start: above zero, raise `tags_max` or accept doubles."""
        self._passes: OrderedDict[bytes, _Pass] = OrderedDict()  # least recently seen first
        self._departed: dict[bytes, None] = {}  # ended passes whose row may be on disk, oldest first
        self._unsealed: list[_Admitted] = []
        self._frames: list[_Frame] = []
        self._seals = 0
        self._refresh_at = float("-inf")

    def __len__(self) -> int:
        """Passes remembered, departed ones not yet swept included; never more than `tags_max`."""
        return len(self._passes)

    def admits(
        self,
        epc: bytes,
        meaning: str,
        now: float,
        *,
        rssi_dbm: float | None = None,
        seen_count: int = 1,
        device_s: float | None = None,
    ) -> Admission:
        """Say what a read of `epc` at monotonic time `now` (seconds) is. After `first`, call `cover`.

        `meaning` is any text that differs when the station session would make another event of the tag.
        `seen_count` is the reads a reader already summed up in this report, `device_s` the time by its own clock.
        """
        spec = self.spec
        if rssi_dbm is not None and spec.rssi_min_dbm is not None and rssi_dbm < spec.rssi_min_dbm:
            return _WEAK
        known = self._passes.get(epc)
        if known is not None:
            gap_s = now - known.last_seen
            if device_s is not None:
                if known.device_s is not None and device_s - known.device_s > gap_s:
                    gap_s = device_s - known.device_s
                known.device_s = device_s
            if gap_s > spec.depart_after_s:
                self._end(epc)
                known = None
            elif known.repeat is not None and self._goes_on(known.meaning, meaning):
                known.last_seen = now
                self._passes.move_to_end(epc)
                return known.repeat
        arrival = _Pass(meaning, now, seen_count, device_s)
        return self._admit_or_wait(epc, arrival, known)

    def cover(self, epc: bytes, event_id: str) -> None:
        """Name the event that covers the pass whose first sight was just admitted."""
        begun = self._unsealed[-1]
        assert begun.epc == epc, "cover follows the first sight it belongs to"
        begun.begun.repeat = Admission("repeat", event_id)

    def refresh_due(self, now: float) -> bool:
        """True when the last-read row is older than `refresh_s`: worth a commit of its own, without entries."""
        return now >= self._refresh_at and bool(self._passes)

    def seal(self, now: float, wall_ms: int) -> Seal | None:
        """Close what was admitted since the last seal; the rows must be appended together with the covering events.

        None when there is nothing to write. `wall_ms` (milliseconds since 1970) is used for `restore` alone.
        """
        is_refresh = self.refresh_due(now)
        if not self._unsealed and not is_refresh:
            return None
        self._sweep(now)
        rows = [StateRow(f"{self.prefix}seen", b"%d" % wall_ms)]
        self._refresh_at = now + self.spec.refresh_s
        deleted = [epc for epc, _ in zip(self._departed, range(_DELETIONS_MAX), strict=False)]
        for epc in deleted:
            del self._departed[epc]
            rows.append(StateRow(self._key(epc), None))
        for admitted in self._unsealed:
            assert admitted.begun.repeat is not None, "every first sight is covered before it is sealed"
            if self._passes.get(admitted.epc) is admitted.begun:  # not replaced or forced out within this seal
                value = f"{admitted.begun.repeat.event_id} {admitted.begun.meaning}"
                rows.append(StateRow(self._key(admitted.epc), value.encode()))
        self._seals += 1
        self._frames.append(_Frame(self._seals, self._unsealed, deleted))
        self._unsealed = []
        return Seal(self._seals, tuple(rows))

    def commit(self, seal: int) -> None:
        """Everything up to and including this seal is on disk: its events may cover repeat reads from now on."""
        while self._frames and self._frames[0].number <= seal:
            for admitted in self._frames.pop(0).admitted:
                uncommitted = admitted.begun.repeat
                if uncommitted is not None:
                    admitted.begun.repeat = Admission("repeat", uncommitted.event_id, is_committed=True)

    def rollback(self, seal: int | None = None) -> None:
        """Undo this seal and everything behind it, unsealed admissions included; None undoes only the unsealed.

        A seal that was undone or committed before is left alone, and so is what came after it: each of several appends
        that failed together may say so, while a new one is already under way. That tags were present is not undone,
        only that they were reported.
        """
        if seal is not None and all(frame.number != seal for frame in self._frames):
            return
        self._undo(self._unsealed)
        self._unsealed = []
        while seal is not None and self._frames and self._frames[-1].number >= seal:
            frame = self._frames.pop()
            self._undo(frame.admitted)
            for epc in frame.deleted:
                self._keep_stale(epc)
            self._refresh_at = float("-inf")

    def restore(self, rows: Sequence[StateRow], now: float, wall_ms: int) -> None:
        """Take up the open passes of the last run; replaces everything known. Rows of other readers are ignored.

        How long the gateway was away can only be told by the wall clock. Passes are older by that time, less
        `refresh_s` which the last-read row may lag behind; a clock that runs backwards counts as no time at all. So a
        false clock can at most report a pass twice, or take reads within `depart_after_s` after the start for the
        pass before.
        """
        values = {row.key[len(self.prefix) :]: row.value for row in rows if row.key.startswith(self.prefix)}
        seen = values.pop("seen", None)
        away_s = (wall_ms - int(seen)) / 1000 if seen is not None and seen.isdigit() else 0.0
        last_seen = now - max(0.0, away_s - self.spec.refresh_s)
        self._passes.clear()
        self._departed.clear()
        self._unsealed, self._frames = [], []
        self._refresh_at = float("-inf")
        for name, value in values.items():
            try:
                epc = bytes.fromhex(name)
            except ValueError:
                continue  # not ours; a row that makes no sense must not stop the start
            event_id, _, meaning = (value or b"").decode(errors="replace").partition(" ")
            restored = _Pass(meaning, last_seen, self.spec.reads_min)
            restored.repeat = Admission("repeat", event_id, is_committed=True)
            self._passes[epc] = restored
        while len(self._passes) > self.spec.tags_max:
            self._end(next(iter(self._passes)))

    def present(self, now: float) -> int:
        """Tags admitted and not departed at `now`. Walks all passes: for a status page, not for each read."""
        horizon = now - self.spec.depart_after_s
        return sum(1 for known in self._passes.values() if known.repeat is not None and known.last_seen >= horizon)

    def _admit_or_wait(self, epc: bytes, arrival: _Pass, known: _Pass | None) -> Admission:
        """`known` is a candidate with too few reads so far, or the present pass that another meaning ends."""
        if known is None or known.repeat is None:
            arrival.reads += known.reads if known is not None else 0
            if arrival.reads < self.spec.reads_min:
                self._place(epc, arrival)
                return _FEW
        self._unsealed.append(_Admitted(epc, arrival, known, had_row=epc in self._departed))
        self._departed.pop(epc, None)  # the new row overwrites the old one
        self._place(epc, arrival)
        return FIRST

    def _place(self, epc: bytes, present: _Pass) -> None:
        if epc not in self._passes and len(self._passes) >= self.spec.tags_max:
            self._sweep(present.last_seen)
            if len(self._passes) >= self.spec.tags_max:
                self._end(next(iter(self._passes)))
                self.forced_out += 1
        self._passes[epc] = present
        self._passes.move_to_end(epc)

    def _sweep(self, now: float) -> None:
        horizon = now - self.spec.depart_after_s
        while self._passes:
            epc = next(iter(self._passes))
            if self._passes[epc].last_seen >= horizon:
                break
            self._end(epc)

    def _end(self, epc: bytes) -> None:
        if self._passes.pop(epc).repeat is not None:
            self._departed[epc] = None

    def _undo(self, admitted: list[_Admitted]) -> None:
        for record in reversed(admitted):
            if self._passes.get(record.epc) is record.begun:
                if record.before is not None:
                    record.before.last_seen = record.begun.last_seen
                    self._passes[record.epc] = record.before  # keeps its place among the recently seen
                else:
                    del self._passes[record.epc]
            if record.had_row:
                self._keep_stale(record.epc)

    def _keep_stale(self, epc: bytes) -> None:
        """A row of a departed pass is on disk after all; delete it with the next seal, unless a pass uses it."""
        known = self._passes.get(epc)
        if known is None or known.repeat is None:
            self._departed[epc] = None

    def _key(self, epc: bytes) -> str:
        return f"{self.prefix}{epc.hex()}"
