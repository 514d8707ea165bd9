"""Whether a process that ran for hours has stayed as large as it was.

A pure function of the samples. The first quarter of an hour is not judged: caches fill, code is loaded, every kind of
trouble is met for the first time. Behind it the process must not grow: it does in the last third what it did in the
first.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

WARM_S: Final = 900.0
GROWN_MB: Final = 6.0
"""Three times what was seen: 101.9 MB in the first minutes that are judged, 103.9 MB ten minutes later, and less and
less. A leak of two hundred bytes a scan is more than that in an hour at twenty scans a second."""
GROWN_HANDLES: Final = 2
"""Descriptors or threads that may be open at the moment of one look and not of another."""
WAL_MB_MAX: Final = 64.0
"""The write-ahead log is copied back at 8 MB; a reader that holds a snapshot lets it grow for as long as it looks."""
SAMPLES_MIN: Final = 40
"""Behind the first quarter of an hour."""
SECONDS_MIN: Final = 2400.0
"""A shorter run has not enough behind it."""


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
    warm = [one for one in samples if one.at_s >= WARM_S]
    if len(warm) < SAMPLES_MIN or samples[-1].at_s < SECONDS_MIN * 0.99:
        raise TooShort(f"too short to judge growth by; {SECONDS_MIN / 60:.0f} minutes are needed")
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
