"""Many voyages on all processors."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from voyage import sail
from voyage_checks import CheckedVoyage, judge_checked
from voyage_judge import Verdict, judge


@dataclass(frozen=True)
class Passed:
    """What one process tells the other of a voyage."""

    seed: int
    scans: int
    faults: int
    kills: int
    redeliveries: int
    repeats_named: int
    violations: tuple[str, ...]


def sail_one(seed: int) -> Passed:
    """Sail one seed and sum it up."""
    return _summed_up(judge(sail(seed)))


def _summed_up(verdict: Verdict) -> Passed:
    ledger = verdict.ledger
    return Passed(
        verdict.seed,
        ledger.injected,
        len(verdict.faults),
        verdict.kills,
        ledger.redeliveries,
        len(ledger.repeats_named),
        verdict.violations,
    )


def _settle_in() -> None:
    """A voyage makes many values that die young: looking for cycles every 700 of them is a tenth of its time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def processors() -> int:
    """Return how many there are for us."""
    return len(os.sched_getaffinity(0))


def sail_checked(seed: int) -> Passed:
    """Sail one seed with a picker who works by lists, and sum it up."""
    return _summed_up(judge_checked(sail(seed, kind=CheckedVoyage)))


def sail_many(seeds: Iterable[int], jobs: int, one: Callable[[int], Passed] = sail_one) -> Iterator[Passed]:
    """Yield every voyage as it ends."""
    with multiprocessing.get_context("spawn").Pool(jobs, _settle_in) as pool:
        yield from pool.imap_unordered(one, seeds, chunksize=4)
