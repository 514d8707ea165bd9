"""Durations in buckets: how many, how long in all, and how they are spread."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Durations:
    """Seconds, in buckets with these upper bounds and one above them."""

    bounds_s: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum_s: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds_s) + 1)

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.counts)

    @property
    def mean_s(self) -> float | None:
        """Their mean; None when there are none."""
        return round(self.sum_s / self.count, 1) if self.count else None

    def add(self, seconds: float, times: int = 1) -> None:
        """Measure one, or as many that took the same."""
        self.counts[bisect_left(self.bounds_s, seconds)] += times
        self.sum_s += seconds * times

    def dump(self) -> list[Any]:
        """Return what `load` needs."""
        return [self.counts, round(self.sum_s, 3)]

    def load(self, kept: list[Any]) -> None:
        """Go on from what was dumped; other bounds than then start anew. Raises ValueError, TypeError."""
        counts, sum_s = kept
        if len(counts) == len(self.counts):
            self.counts, self.sum_s = [int(one) for one in counts], float(sum_s)
