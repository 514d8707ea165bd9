"""Gap records that go out behind their place: an upstream rejected an event, and its readers have to hear of the hole.

Theory of operation. The outbox notes which records are due in the commit that settles the rejection; here they are sent
before anything that follows, many in one request. They are small, and there are never more of them than there were
rejections and decisions about them. A record is due until it was accepted: a centre that refuses everything for an hour
must not leave a hole that nobody explains.

They must not hold up the events, whatever a centre makes of a type it does not know. An outage looks the same for both
at first: the pump waits, and when an ordinary request has been answered, the records are due again. If they fail then,
they are put off, for longer each time. A record that is refused, or passed over in the answer, is stubborn: it is tried
again at growing distance, a request's worth at a time, and holds up no other. A centre that refuses the first few of a
request refuses the type, and is not asked about the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from buffer.entry import Accepted, Entry, Outcome, Rejected, Released
from sync.batch import gap_id, join_batch
from sync.errors import BatchRefused, BatchTooLarge, NotAnAnswer, UpstreamHolds, UpstreamUnavailable
from sync.outbox_port import OutboxPort
from sync.retries import Record
from sync.upstream import Upstream

_log = logging.getLogger(__name__)

RECORDS_MAX = 100
"""In one request."""
REFUSED_MAX = 3
"""Records refused one by one, and none accepted, after which the rest of a request counts as refused, too."""
STUBBORN_MAX = 1000
"""Refused records that are read again to find those behind them."""
PUT_OFF_S = 30.0
PUT_OFF_S_MAX = 3600.0


class _Distance:
    """A moment before which nothing is tried, further away each time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.reset()

    @property
    def is_over(self) -> bool:
        return self._monotonic() >= self._at

    def reset(self) -> None:
        self._at, self._step_s = float("-inf"), PUT_OFF_S

    def grow(self) -> None:
        self._at = self._monotonic() + self._step_s
        self._step_s = min(self._step_s * 2, PUT_OFF_S_MAX)


class Announcements:
    """The gap records that one upstream has to be sent behind their place."""

    def __init__(
        self, outbox: OutboxPort, upstream: Upstream, name: str, record: Record, monotonic: Callable[[], float]
    ) -> None:
        self._outbox = outbox
        self._upstream = upstream
        self._name = name
        self._record = record
        self._is_due = True
        """Something may have to be sent: after a start, too."""
        self._has_failed = False
        self._is_about_them = False
        """They failed, and an ordinary request was answered since."""
        self._failing = _Distance(monotonic)
        self._stubborn: set[str] = set()
        """Ids of records that were refused or passed over."""
        self._stubbornness = _Distance(monotonic)

    def wake(self) -> None:
        """Look for records: something was rejected or decided."""
        self._is_due = True

    def answered(self) -> None:
        """Take note that an ordinary request was answered."""
        if self._has_failed:
            self._is_due = self._is_about_them = True

    async def run_once(self, instance: str | None) -> bool:
        """Send what is due, to this instance of the centre; return whether it accepted something.

        Raises as `Upstream.send` when nobody answers.
        """
        again = bool(self._stubborn) and self._stubbornness.is_over
        if not (self._is_due or again) or not self._failing.is_over:
            return False
        self._is_due = False
        entries = await self._next(again=again)
        if not entries:
            return False
        try:
            outcomes = await self._send(entries, instance)
        except (UpstreamUnavailable, UpstreamHolds):
            if self._is_about_them:
                self._failing.grow()
                self._is_due = True
            self._has_failed, self._is_about_them = True, False
            raise
        self._has_failed = self._is_about_them = False
        self._failing.reset()
        accepted = [one for one, outcome in zip(entries, outcomes, strict=True) if isinstance(outcome, Accepted)]
        if accepted:
            told = [(entry.seq, entry.gap_reason or "") for entry in accepted]
            await self._record(lambda: self._outbox.settle_announced(self._name, told))
        self._note(entries, outcomes, again=again)
        self._is_due = self._is_due or len(entries) == RECORDS_MAX or (again and bool(accepted))
        return bool(accepted)

    async def _next(self, *, again: bool) -> list[Entry]:
        """Return the records of one request: the oldest, or (without `again`) the oldest that are not stubborn."""
        if again:
            return await self._outbox.announcements(self._name, count_max=RECORDS_MAX)
        count_max = RECORDS_MAX + min(len(self._stubborn), STUBBORN_MAX)
        entries = await self._outbox.announcements(self._name, count_max=count_max)
        return [entry for entry in entries if gap_id(entry) not in self._stubborn][:RECORDS_MAX]

    def _note(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], *, again: bool) -> None:
        refused = 0
        for entry, outcome in zip(entries, outcomes, strict=True):
            match outcome:
                case Accepted() if again:
                    self._stubborn.clear()  # it has learned
                case Accepted():
                    pass
                case Rejected() | Released():
                    refused += 1
                    self._stubborn.add(gap_id(entry))
        if refused:
            _log.warning("gap_record_refused upstream=%s seq=%d count=%d", self._name, entries[0].seq, refused)
            if again or self._stubbornness.is_over:
                self._stubbornness.grow()
        elif again:
            self._stubbornness.reset()

    async def _send(self, entries: Sequence[Entry], instance: str | None) -> list[Outcome]:
        try:
            return await self._upstream.send(join_batch(self._outbox.source_of, entries, instance=instance))
        except NotAnAnswer:
            # Not raised: if it is a portal that answers, the next ordinary batch finds out.
            return [Released() for _ in entries]
        except (BatchRefused, BatchTooLarge) as error:
            if len(entries) == 1:
                return [Rejected(str(error))]
        outcomes: list[Outcome] = []
        for entry in entries:
            is_refused = len(outcomes) >= REFUSED_MAX and not any(isinstance(one, Accepted) for one in outcomes)
            outcomes += [Rejected("")] if is_refused else await self._send([entry], instance)
        return outcomes
