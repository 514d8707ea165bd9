"""Exceptions in figures, for status and metrics: how many, how old, how many overdue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.checks.exception import Case


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


@dataclass(frozen=True, slots=True)
class ChecksStatus:
    """The checks at one moment."""

    is_on: bool
    exceptions: tuple[CodeSummary, ...]
    """By code; those without an open exception are left out."""
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
            sum(case.data.escalations > 0 or case.is_overdue(operating_ms) for case in found),
            sum(case.data.escalations > 0 for case in found),
            max(operating_ms - case.raised_ms for case in found) // 1000,
        )
        for code, found in sorted(by_code.items())
    )
