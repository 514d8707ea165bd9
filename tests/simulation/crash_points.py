"""`make crash-points`: record the daemon, cut the power at every write, and start on what is left.

`SCENARIO=load,salvage COUNT=10000 SEED=7` choose; `KEEP=folder` keeps the recordings, and the image of every bad state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from crash_replay import Figures, examine_many  # noqa: E402
from crash_scenarios import SCENARIOS, Stage  # noqa: E402
from crash_trace import Said, Step  # noqa: E402

REPORT_EVERY_S = 20.0
COUNTS = {"load": 10_000}
COUNT = 2_000
"""States of every other scenario."""


def main() -> int:
    """Record and judge; return 1 when a state broke a promise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", default=",".join(SCENARIOS), help=f"some of {','.join(SCENARIOS)}")
    parser.add_argument("--count", type=int, help="states of each scenario (load 10,000, others 2,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the states that are drawn")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--keep", type=Path, help="folder for recordings and bad images")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    unknown = set(asked.scenario.split(",")) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for name in asked.scenario.split(","):
            rows.append(_scenario(stage, name, asked))
            print(_said(rows[-1]), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(row["bad"] for row in rows))


def _scenario(stage: Stage, name: str, asked: argparse.Namespace) -> dict[str, Any]:
    began = told = time.monotonic()
    takes = asyncio.run(SCENARIOS[name](stage))
    if asked.keep is not None:
        (asked.keep / f"{name}.pickle").write_bytes(pickle.dumps(takes))
    count = asked.count or COUNTS.get(name, COUNT)
    figures = Figures()
    for figures in examine_many(takes, count, asked.seed, asked.jobs, keep=asked.keep):
        if time.monotonic() - told > REPORT_EVERY_S:
            told = time.monotonic()
            print(f"{name}: {figures.states} of {count} states, {len(figures.bad)} bad", flush=True)
    steps: list[Step] = [step for take in takes for step in take.recording.steps]
    return {
        "scenario": name,
        "recordings": len(takes),
        "writes": sum(not isinstance(step, Said) for step in steps),
        "messages": sum(isinstance(step, Said) for step in steps),
        "states": figures.states,
        "modes": dict(figures.modes),
        "bad": [str(one) for one in figures.bad],
        "seconds": round(time.monotonic() - began),
    }


def _said(row: dict[str, Any]) -> str:
    lines = [
        f"{row['scenario']}: {row['states']} states, {len(row['bad'])} bad; {row['recordings']} recordings of"
        f" {row['writes']} changes and {row['messages']} messages; {row['seconds']} s"
    ]
    return "\n".join(lines + [f"  BAD {one}" for one in row["bad"][:20]])


if __name__ == "__main__":
    sys.exit(main())
