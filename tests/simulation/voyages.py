"""`make voyages SEEDS=100000`: sail many seeds, say how fast, and name every one that failed.

`SEED=388` sails one seed with its trace, for whoever wants to understand it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from voyage import sail  # noqa: E402
from voyage_fleet import Passed, processors, sail_many  # noqa: E402
from voyage_judge import Verdict, judge  # noqa: E402

REPORT_EVERY_S = 30.0


def main() -> int:
    """Sail; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many voyages")
    parser.add_argument("--first", type=int, default=1, help="seed of the first one")
    parser.add_argument("--seed", type=int, help="sail this one only and print what happened")
    parser.add_argument("--jobs", type=int, default=processors(), help="processes")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _tell(arguments.seed)
    return _sail_many(range(arguments.first, arguments.first + arguments.seeds), arguments.jobs)


def _tell(seed: int) -> int:
    logbook = sail(seed, keep_trace=True)
    verdict = judge(logbook)
    print("\n".join(logbook.lines or []))
    print(f"\nseed {seed}, trace {verdict.trace}, faults:", *verdict.faults, sep="\n  ")
    _print_violations(verdict)
    return int(not verdict.holds)


def _print_violations(verdict: Verdict) -> None:
    print("holds" if verdict.holds else "violations:", *verdict.violations[:50], sep="\n  ")


def _sail_many(seeds: range, jobs: int) -> int:
    began = told = time.monotonic()
    sums: Counter[str] = Counter()
    failed: list[Passed] = []
    for one in sail_many(seeds, jobs):
        for name in ("scans", "faults", "kills", "redeliveries", "repeats_named"):
            sums[name] += getattr(one, name)
        sums["voyages"] += 1
        if one.violations:
            failed.append(one)
            print(f"seed {one.seed}: {len(one.violations)} violations, first {one.violations[0]}", flush=True)
        if time.monotonic() - told > REPORT_EVERY_S:
            told = time.monotonic()
            print(f"{sums['voyages']} of {len(seeds)}, {_pace(sums, began)}", flush=True)
    print(f"{sums['voyages']} voyages, {_pace(sums, began)}, {jobs} processes")
    print(", ".join(f"{sums[name]} {name.replace('_', ' ')}" for name in sums if name != "voyages"))
    print(f"failed seeds: {sorted(one.seed for one in failed)}")
    return int(bool(failed))


def _pace(sums: Counter[str], began: float) -> str:
    return f"{60 * sums['voyages'] / (time.monotonic() - began):.0f} a minute"


if __name__ == "__main__":
    sys.exit(main())
