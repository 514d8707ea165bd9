"""Exceptions in figures, for status and metrics: how many, how old, how many overdue."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.checks.exception import Case

AGE_BOUNDS_S: Final = (14_400, 86_400, 259_200)
"""4 hours, a day, three days."""
SUPPLIERS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class CodeSummary:
    """The open exceptions of one code."""

    code: str
    open: int
    """Not resolved, whether acknowledged or not."""
    overdue: int
    escalated: int
    oldest_age_s: int
    """Operating time since the oldest was raised."""
    ages: tuple[int, ...]
    """How many are open for up to each of `AGE_BOUNDS_S`, and for longer."""


@dataclass(frozen=True, slots=True)
class SupplierSummary:
    """The open exceptions of one code about the documents of one supplier."""

    code: str
    supplier: str
    open: int
    overdue: int
    oldest_age_s: int


@dataclass(frozen=True, slots=True)
class ChecksStatus:
    """The checks at one moment."""

    is_on: bool
    exceptions: tuple[CodeSummary, ...]
    """By code; those without an open exception are left out."""
    suppliers: tuple[SupplierSummary, ...]
    """By supplier and code, the most first, at most `SUPPLIERS_MAX`; exceptions without a supplier are left out."""
    pull_url: str | None = None
    pull_failures: int = 0
    pull_problem: str | None = None
    pull_hint: str | None = None
    last_pull_age_s: float | None = None

    @property
    def open(self) -> int:
        """How many are not resolved."""
        return sum(one.open for one in self.exceptions)

    @property
    def overdue(self) -> int:
        """How many somebody should have acted on."""
        return sum(one.overdue for one in self.exceptions)


def summarise(cases: Sequence[Case], operating_ms: int) -> tuple[CodeSummary, ...]:
    """Return the open exceptions by code."""
    by_code: dict[str, list[Case]] = {}
    for case in cases:
        by_code.setdefault(case.data.code, []).append(case)
    return tuple(
        CodeSummary(
            code,
            len(found),
            sum(is_late(case, operating_ms) for case in found),
            sum(case.data.escalations > 0 for case in found),
            _oldest_s(found, operating_ms),
            _ages(found, operating_ms),
        )
        for code, found in sorted(by_code.items())
    )


def summarise_suppliers(cases: Sequence[Case], operating_ms: int) -> tuple[SupplierSummary, ...]:
    """Return the open exceptions by supplier and code, the most first."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.data.supplier is not None:
            groups.setdefault((case.data.code, case.data.supplier), []).append(case)
    largest = sorted(groups.items(), key=lambda one: (-len(one[1]), one[0]))[:SUPPLIERS_MAX]
    return tuple(
        SupplierSummary(
            *key, len(found), sum(is_late(case, operating_ms) for case in found), _oldest_s(found, operating_ms)
        )
        for key, found in largest
    )


def is_late(case: Case, operating_ms: int) -> bool:
    """Return True for an open exception that is overdue, or was and has been escalated."""
    return case.is_open and (case.data.escalations > 0 or case.is_overdue(operating_ms))


def _oldest_s(cases: Sequence[Case], operating_ms: int) -> int:
    return max(operating_ms - case.raised_ms for case in cases) // 1000


def _ages(cases: Sequence[Case], operating_ms: int) -> tuple[int, ...]:
    counts = [0] * (len(AGE_BOUNDS_S) + 1)
    for case in cases:
        counts[bisect_left(AGE_BOUNDS_S, (operating_ms - case.raised_ms) / 1000)] += 1
    return tuple(counts)
