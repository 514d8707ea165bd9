"""Whether a process that ran for hours has stayed as large as it was.

A pure function of the samples. The first quarter is not judged: caches fill, code is loaded, every kind of trouble is
met for the first time. Behind it the process must not grow: it does every quarter what it did in the one before.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

WARM: Final = 0.25
"""Share of the run that is not judged."""
GROWN_MB: Final = 3.0
"""What the allocator moves by itself from one part of a run to another, measured over runs of an hour: twice it."""
GROWN_HANDLES: Final = 2
"""Descriptors or threads that may be open at the moment of one look and not of another."""
WAL_MB_MAX: Final = 64.0
"""The write-ahead log is copied back at 8 MB; a reader that holds a snapshot lets it grow for as long as it looks."""
SAMPLES_MIN: Final = 40
SECONDS_MIN: Final = 1200.0
"""In the first minutes of its life every process grows; a shorter run has not enough behind them."""


class Sample(NamedTuple):
    """One look at the process."""

    at_s: float
    rss_mb: float
    descriptors: int
    threads: int
    wal_mb: float
    outbox_mb: float
    cpu_s: float


class Finding(NamedTuple):
    """One thing that was judged."""

    what: str
    before: float
    after: float
    unit: str
    allowed: float
    """How much more than `before` the later one may be."""

    @property
    def holds(self) -> bool:
        """True when it has not grown."""
        return self.after <= self.before + self.allowed

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "GROWS"
        return f"{self.what:28}{self.before:9.1f} {self.after:9.1f} {self.unit:4} {verdict}"


class TooShort(Exception):
    """Too little was seen to tell growth from chance."""


def judge(samples: Sequence[Sample]) -> list[Finding]:
    """Return what was judged: the part behind the warm-up against the last one of the same length. Raises TooShort."""
    if len(samples) < SAMPLES_MIN or samples[-1].at_s < SECONDS_MIN * 0.99:
        raise TooShort(f"too short to judge growth by; {SECONDS_MIN / 60:.0f} minutes are needed")
    warm = samples[int(len(samples) * WARM) :]
    part = len(warm) // 3
    early, late = warm[:part], warm[-part:]

    def grown(what: str, of: Callable[[Sample], float], unit: str, allowed: float) -> Finding:
        return Finding(what, statistics.median(map(of, early)), statistics.median(map(of, late)), unit, allowed)

    return [
        grown("resident memory", lambda one: one.rss_mb, "MB", GROWN_MB),
        grown("file descriptors", lambda one: one.descriptors, "", GROWN_HANDLES),
        grown("threads", lambda one: one.threads, "", GROWN_HANDLES),
        Finding("largest write-ahead log", 0.0, max(one.wal_mb for one in samples), "MB", WAL_MB_MAX),
    ]
