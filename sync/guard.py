"""What may be settled after an answer, and when rejections say more about the centre than about the events.

Theory of operation. A rejected event is quarantined and waits for a person, so believing a broken centre is expensive:
a bad deployment that answers 400 to everything would empty a site's day into quarantine. Two limits stand against it.
More than `reject_max` rejections in a row, or a batch (of more than one) in which nothing is accepted, is a broken
centre: everything is kept and a person is told.

For the limits to mean anything, a rejection must not be settled before it is known what follows. So rejected events
are *withheld*: the reading goes on behind them, and they are settled together with the next accepted event, or when
nothing is left behind them. Until then a crash forgets them, and they are sent and rejected once more.

The cursor is one number, so only the unbroken head of a batch can be settled: what is accepted behind a released entry
is sent again with it, and the consumer knows it by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buffer.entry import Accepted, Entry, Outcome, Rejected, Released


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one answer allows."""

    through: int | None
    """The cursor may move here; None: nowhere."""
    rejected: tuple[tuple[int, str], ...] = ()
    """To be quarantined, with the reason; all at or before `through`."""
    accepted: int = 0
    """Events that the upstream took and that are at or before `through`."""
    released: Released | None = None
    """The first entry the upstream left open; the reading starts there again."""
    broken: str | None = None
    """Why the centre is not to be believed; nothing of the run that showed it is in `rejected`."""
    unannounced: tuple[int, ...] = ()
    """Entries at or before `through` whose gap record the upstream refused; they are told of again later."""


class Guard:
    """Keeps the run of rejections of one upstream. Pure: no I/O, no clock."""

    def __init__(self, reject_max: int) -> None:
        self._reject_max = reject_max
        self._run_settled = 0
        """Rejections at the end of what is settled, that is, since something was last accepted."""
        self._withheld: list[tuple[int, str]] = []
        self._withheld_through: int | None = None
        self._untold: list[int] = []
        """Entries among the withheld ones whose gap record was refused."""
        self._is_suspicious = False
        """A batch of more than one was refused as a whole and nothing was accepted since."""

    @property
    def withheld_through(self) -> int | None:
        """Where the reading goes on while rejections are withheld; None when there are none."""
        return self._withheld_through

    @property
    def is_wary(self) -> bool:
        """Whether the next answer decides about earlier events, so that only one request should be under way."""
        return self._is_suspicious or bool(self._withheld)

    def refused(self) -> None:
        """Take note that a batch of more than one was refused as a whole."""
        self._is_suspicious = True

    def drop(self) -> None:
        """Forget what is withheld: the reading starts at the cursor again."""
        self._withheld, self._untold = [], []
        self._withheld_through = None

    def judge(self, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> Settlement:
        """Return what the outcomes allow. The entries follow directly on what is withheld."""
        is_whole = len(outcomes) == len(entries) and set(map(type, outcomes)) == {Accepted}
        if is_whole and not self._withheld:
            # Nearly every answer, and a thousand outcomes one by one take as long as sending them.
            self._run_settled, self._is_suspicious = 0, False
            return Settlement(entries[-1].seq, accepted=len(entries))
        through: int | None = None
        rejected: list[tuple[int, str]] = []
        unannounced: list[int] = []
        released: Released | None = None
        accepted = 0
        broken: str | None = None
        for entry, outcome in zip(entries, outcomes, strict=True):
            match outcome:
                case Accepted():
                    rejected += self._withheld
                    unannounced += self._untold
                    self.drop()
                    through, accepted = entry.seq, accepted + 1
                    self._run_settled, self._is_suspicious = 0, False
                case Rejected(reason):
                    if entry.gap_reason is None:
                        self._withheld.append((entry.seq, reason))
                    if not self._withheld:
                        unannounced.append(entry.seq)
                        through = entry.seq
                    else:
                        self._untold += () if entry.gap_reason is None else (entry.seq,)
                        self._withheld_through = entry.seq
                    if self._run_settled + len(self._withheld) > self._reject_max:
                        broken = f"more than {self._reject_max} events in a row were rejected; the last: {reason}"
                        break
                case Released():
                    released = outcome
                    break
        if broken is None and _is_all_rejected(entries, outcomes):
            broken = f"every one of {len(entries)} events was rejected; the last: {self._withheld[-1][1]}"
        if broken is not None:
            self.drop()
        return Settlement(through, tuple(rejected), accepted, released, broken, tuple(unannounced))

    def nothing_behind(self) -> Settlement:
        """Return what becomes of the withheld rejections now that nothing is left to be sent behind them."""
        rejected, through, untold = tuple(self._withheld), self._withheld_through, tuple(self._untold)
        self.drop()
        if self._is_suspicious and rejected:
            return Settlement(None, broken=f"nothing of what is pending is accepted; the last: {rejected[-1][1]}")
        self._is_suspicious = False
        self._run_settled += len(rejected)
        return Settlement(through, rejected, unannounced=untold)


def _is_all_rejected(entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> bool:
    """Gap records do not count: a centre that does not know them is not broken."""
    members = [outcome for entry, outcome in zip(entries, outcomes, strict=True) if entry.gap_reason is None]
    return len(members) > 1 and all(isinstance(outcome, Rejected) for outcome in members)
