"""What time brings: exceptions become overdue, an upstream stays away, nobody vouches for the clock, old rows go.

Being overdue and the age of rows are decided on the operating clock; how long something has lasted on the monotonic
one. The wall clock decides nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gateway.checks.checker import Checker
from gateway.checks.clearance import Clearance
from gateway.checks.docket import GATEWAY_ACTOR, Trouble
from gateway.checks.exception import Case
from gateway.checks.found import Found
from gateway.events.finding import ExceptionCode
from gateway.events.model import ClockQuality

STEPS_MAX: Final = 200
"""Exceptions that escalate in one commit."""
CLEAN_EVERY_MS: Final = 3_600_000
ANSWERED_S: Final = 60.0
"""An answer that is no older ends the exception about an upstream that stayed away."""
_DAY_MS: Final = 86_400_000


class Delivery(NamedTuple):
    """One upstream, as far as it matters here."""

    name: str
    is_owed: bool
    """Events wait for it."""
    answered_at: float | None
    """When it last gave an answer, on the monotonic clock; None: never in this run."""
    reason: str = ""


class Watch:
    """Called now and then. Says what to record; keeps how long things have lasted."""

    def __init__(
        self,
        checker: Checker,
        *,
        deliveries: Callable[[], Iterable[Delivery]],
        clock_quality: Callable[[], ClockQuality],
        monotonic: Callable[[], float],
        operating_ms: Callable[[], int],
    ) -> None:
        self._checker = checker
        self._deliveries = deliveries
        self._clock_quality = clock_quality
        self._monotonic = monotonic
        self._operating_ms = operating_ms
        self._began = monotonic()
        self._unsynchronised_since: float | None = None
        self._cleaned_ms: int | None = None
        self._clearance: Clearance | None = None

    @property
    def is_cleaning(self) -> bool:
        """True between two steps of one clearance: the next need not wait long."""
        return self._clearance is not None

    def due(self) -> bool:
        """Return True when `step` has something to do: else nothing need be appended."""
        return self._checker.is_on and (
            bool(self._overdue()) or self._is_cleaning_due() or any(self._troubles()) or any(self._over_with())
        )

    def step(self, found: Found) -> None:
        """Do what is due, at most `STEPS_MAX` of it; runs in a step of the gateway's own."""
        for case in self._overdue()[:STEPS_MAX]:
            self._checker.docket.escalate(case, found)
        for trouble in list(self._troubles()):
            self._checker.comparer.raise_(trouble, found)
        for case, said in list(self._over_with()):
            self._checker.docket.resolve(case, GATEWAY_ACTOR, said, found)
        if self._is_cleaning_due():
            self._clean(found)

    # -- within

    def _overdue(self) -> list[Case]:
        now_ms = self._operating_ms()
        return [case for case in self._checker.docket.open_cases() if case.is_overdue(now_ms)]

    def _troubles(self) -> Iterable[Trouble]:
        """Yield what has lasted too long and is not an open exception yet."""
        policy, docket, now = self._checker.policy, self._checker.docket, self._monotonic()
        for one in self._deliveries():
            away_s = now - (self._began if one.answered_at is None else one.answered_at)
            is_away = one.is_owed and away_s >= policy.sync_failure_after_s
            if is_away and docket.by_key("sync_failure", one.name) is None:
                why = f": {one.reason}" if one.reason else ""
                yield Trouble("sync_failure", one.name, f"{one.name} has taken nothing for {away_s / 60:.0f} min{why}")
        if self._clock_quality() == "synchronised":
            self._unsynchronised_since = None
            return
        if self._unsynchronised_since is None:
            self._unsynchronised_since = now
        lasted_s = now - self._unsynchronised_since
        code: ExceptionCode = "clock_unsynchronised"
        if lasted_s >= policy.clock_after_s and docket.by_key(code, "clock") is None:
            yield Trouble(code, "clock", f"no time service has vouched for the clock for {lasted_s / 60:.0f} min")

    def _over_with(self) -> Iterable[tuple[Case, str]]:
        """Yield the open exceptions whose cause is gone, each with why."""
        docket = self._checker.docket
        for one in self._deliveries():
            case = docket.by_key("sync_failure", one.name)
            has_answered = one.answered_at is not None and one.answered_at > self._monotonic() - ANSWERED_S
            if case is not None and (has_answered or not one.is_owed):
                yield case, f"{one.name} takes events again"
        case = docket.by_key("clock_unsynchronised", "clock")
        if case is not None and self._clock_quality() == "synchronised":
            yield case, "the clock is synchronised"

    def _is_cleaning_due(self) -> bool:
        return self._cleaned_ms is None or self._operating_ms() - self._cleaned_ms >= CLEAN_EVERY_MS

    def _settle_arrivals(self, found: Found) -> None:
        """A power cut came between a document and the work that was waiting for it."""
        for document, _, progress in self._checker.documents.rows():
            if progress.copy is None and self._checker.shelf.newest(document) is not None:
                self._checker.arrival.arrived(document, found)

    def _clean(self, found: Found) -> None:
        """Let go of what was closed or resolved long ago, as far as one step goes."""
        if self._clearance is None:
            self._settle_arrivals(found)
            keep_ms = int(self._checker.policy.keep_days * _DAY_MS)
            self._clearance = Clearance(self._checker, self._operating_ms() - keep_ms)
        clearance, self._clearance = self._clearance, None  # begun anew when this step fails
        clearance.step(found)
        if not clearance.is_done:
            self._clearance = clearance
        elif not clearance.has_more:
            self._cleaned_ms = self._operating_ms()
