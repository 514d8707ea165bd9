"""Units that do not answer: what is left out, and what is recorded of it.

Theory of operation. A slave that is switched off costs a whole time-out each time it is asked, and on a shared
bus everybody else waits. So each unit has a budget of one time-out a round, and from the second one in a row on it
rests, longer each time, up to `REST_MAX_S`: a dead slave takes at most a fifth of the bus, soon next to nothing.

Values that did not arrive are a gap, and a gap is recorded, not each missed poll of it. A gap is a window: from the
first missed poll to the first complete answer after the last one.

- When the unit stays silent for `GAP_OPEN_S`, or the link is lost, the gap is recorded as open, so that the record
  does not depend on the unit or this program ever coming back. That row is state: a new driver goes on with it. When
  no clock can tell how long the new one was coming (`moment`), the gap is at least as long as was seen.
- When the unit answers again, it is recorded as over, with its duration. A unit that fails every other poll would
  make a record each time; so after a record the next one waits for `GAP_INTERVAL_S`, and what is missed meanwhile
  belongs to the same window. A minute holds at most two records of a unit, whatever happens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from drivers.moment import Moment

REST_FACTOR = 4.0
"""A unit rests four times as long as its silence has just cost."""
REST_MAX_S = 60.0
"""A slave that was switched on again is noticed within a minute."""
GAP_OPEN_S = 10.0
GAP_INTERVAL_S = 60.0
LASTING_POLLS = 3
"""Polls in a row without a value that make a silence worth telling a person about."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A window in which polls of one unit brought no value."""

    unit_id: int
    reason: str
    """Why the first of them failed."""
    polls: int
    since_s: float
    duration_s: float
    is_over: bool
    is_least: bool = False
    """It was longer, by a time that no clock can tell."""

    def describe(self) -> str:
        """For a person."""
        polls = "1 poll" if self.polls == 1 else f"{self.polls} polls"
        if not self.is_over:
            state = f"missing for {self.duration_s:.1f} s so far"
        elif self.is_least:
            state = f"{polls} missed within at least {self.duration_s:.1f} s, how long it was no clock can tell"
        else:
            state = f"{polls} missed within {self.duration_s:.1f} s"
        return f"unit {self.unit_id}: {self.reason}; {state}"

    def encode(self, now_s: float, moment: Moment) -> bytes:
        """The row that commits with the record; `moment` is now by the clocks that another process has, too."""
        if self.is_over:
            return b"{}"
        since = moment.back(now_s - self.since_s)
        row = {
            "since_ms": since.wall_ms,
            "boot": since.boot,
            "elapsed_s": since.elapsed_s,
            "is_vouched": since.is_vouched,
            "seen_s": self.duration_s,
            "polls": self.polls,
            "reason": self.reason,
        }
        return json.dumps(row, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the row of an open gap says."""

    since: Moment
    seen_s: float
    polls: int
    reason: str

    @classmethod
    def decode(cls, row: bytes | None) -> _Stored | None:
        try:
            stored = json.loads(row or b"{}")
            since = Moment(
                str(stored.get("boot", "")),  # rows of earlier versions have the wall clock alone
                float(stored.get("elapsed_s", 0)),
                int(stored["since_ms"]),
                stored.get("is_vouched") is True,
            )
            return cls(since, float(stored.get("seen_s", 0)), int(stored["polls"]), str(stored["reason"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Outage:
    """The silences of one unit. Times are monotonic seconds."""

    def __init__(self, unit_id: int) -> None:
        self.unit_id = unit_id
        self._reason = ""
        self._polls = 0
        self._missed_in_a_row = 0
        self._last_reason = ""
        self._since: float | None = None
        self._is_least = False
        self._until: float | None = None
        self._is_open_on_disk = False
        self._recorded: float | None = None
        self._strikes = 0
        self._rests_until: float | None = None

    def resume(self, row: bytes | None, now: float, moment: Moment) -> None:
        """Go on with the gap that was open when the last driver ended; `moment` is now by the other clocks."""
        stored = _Stored.decode(row)
        if stored is None:
            return
        passed_s = moment.since(stored.since)
        self._since = now - (stored.seen_s if passed_s is None else passed_s)
        self._is_least = passed_s is None
        self._polls, self._reason, self._is_open_on_disk = stored.polls, stored.reason, True

    @property
    def strikes(self) -> int:
        """Time-outs in a row."""
        return self._strikes

    @property
    def is_silent(self) -> bool:
        """Whether the last poll brought no value."""
        return self._since is not None and self._until is None

    @property
    def is_pending(self) -> bool:
        """Whether there is a gap that is not yet recorded as over."""
        return self._since is not None

    @property
    def last_reason(self) -> str:
        """Why the last poll that failed did."""
        return self._last_reason

    @property
    def complaint(self) -> str | None:
        """What lasts: why the last polls brought no value. None when they did, or only one or two did not."""
        if self._missed_in_a_row < LASTING_POLLS:
            return None
        return f"unit {self.unit_id}: {self._last_reason}"

    def rests(self, now: float) -> bool:
        """Whether the unit is to be left alone for now."""
        return self._rests_until is not None and now < self._rests_until

    def missed(self, begun: float, reason: str) -> None:
        """A poll that was begun then brought no value, or not every value."""
        if self._since is None:
            self._since, self._reason, self._polls, self._is_least = begun, reason, 0, False
        self._until = None
        self._polls += 1
        self._missed_in_a_row += 1
        self._last_reason = reason or self._last_reason

    def struck(self, now: float, cost_s: float) -> None:
        """The unit did not answer at all and that took `cost_s`; from the second time in a row on it rests."""
        self._strikes += 1
        if self._strikes > 1:
            self.rest(now, min(REST_MAX_S, cost_s * REST_FACTOR * 2.0 ** min(self._strikes - 2, 16)))

    def rest(self, now: float, rest_s: float) -> None:
        """Leave the unit alone for so long."""
        self._rests_until = now + rest_s

    def spoke(self) -> None:
        """The unit answered something, be it that it refuses."""
        self._strikes = 0
        self._rests_until = None

    def answered(self, now: float) -> None:
        """A poll brought every value."""
        self.spoke()
        self._missed_in_a_row = 0
        if self.is_silent:
            self._until = now

    def due(self, now: float, *, is_ending: bool = False) -> Gap | None:
        """What has to be recorded now, if anything; it stays due until `recorded`. `is_ending`: nobody polls on."""
        if self._since is None:
            return None
        if self._until is None:
            is_due = not self._is_open_on_disk and (is_ending or now - self._since >= GAP_OPEN_S)
        elif self._is_open_on_disk:
            is_due = now - self._since >= GAP_INTERVAL_S
        else:
            is_due = is_ending or self._recorded is None or now - self._recorded >= GAP_INTERVAL_S
        if not is_due:
            return None
        end = now if self._until is None else self._until
        is_over = self._until is not None
        return Gap(self.unit_id, self._reason, self._polls, self._since, end - self._since, is_over, self._is_least)

    def recorded(self, now: float, gap: Gap) -> None:
        """The gap is on disk."""
        self._recorded = now
        self._is_open_on_disk = not gap.is_over
        if gap.is_over:
            self._since = self._until = None
