"""The centre as a process: `dockline simulate centre`, or `python -m simulators.centre_main`.

Prints one JSON line with its addresses when it listens, and one with what it has when it ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulators.centre import Centre, Policy
from simulators.centre_script import Script, load_script


@dataclass(frozen=True, slots=True)
class CentreOptions:
    """How to run a centre."""

    host: str = "127.0.0.1"
    port: int = 0
    token_file: Path | None = None
    secret_file: Path | None = None
    plan: Path | None = None
    """Script of misbehaviour, JSON."""
    ledger: Path | None = None
    """File to keep the ledger in, NDJSON; an existing one is continued."""
    body_bytes_max: int = 16_000_000
    poison: tuple[str, ...] = ()
    fast: bool = False


async def serve_centre(
    options: CentreOptions, stop: asyncio.Event, on_ready: Callable[[Centre], None] = lambda _centre: None
) -> Centre:
    """Serve until `stop` is set; return the centre with what it learned. Raises OSError, ValueError for bad options."""
    policy = Policy(
        token=options.token_file.read_text().strip() if options.token_file else None,
        secret=options.secret_file.read_text().strip() if options.secret_file else None,
        body_bytes_max=options.body_bytes_max,
        poison=options.poison,
    )
    script = load_script(options.plan) if options.plan else Script()
    centre = Centre(policy, script, host=options.host, port=options.port, ledger_file=options.ledger, fast=options.fast)
    async with centre:
        on_ready(centre)
        await stop.wait()
    return centre


def summary(centre: Centre) -> dict[str, object]:
    """Return what a centre has, for people and for JSON.

    `events` is what the gateway counts as delivered: a gap record tells of an event and is none. `gap_records` counts
    the sequences that such records named.
    """
    if centre.fast:
        tally = centre.tally
        return {
            "events": tally.events,
            "requests": tally.requests,
            "through": tally.through,
            "gaps": tally.gaps,
            "repeats": tally.repeats,
        }
    ledger = centre.ledger
    return {
        "events": len(ledger.by_id) - len({event.id for event in ledger.events if event.is_gap}),
        "requests": len(centre.attempts),
        "redeliveries": ledger.redeliveries,
        "gap_records": sum(len(record.gaps) for record in ledger.sources.values()),
        "missing": len(ledger.missing),
        "late": len(ledger.late),
        "conflicts": ledger.conflicts,
    }


def run_centre(options: CentreOptions) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        centre = await serve_centre(
            options,
            stop,
            lambda centre: _say({"ready": True, "url": centre.url, "position_url": centre.position_url}),
        )
        _say(summary(centre))

    try:
        asyncio.run(serve())
    except (OSError, ValueError) as error:
        print(f"the centre cannot run: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="simulators.centre_main", description="A centre that takes events.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose; the address is printed")
    parser.add_argument("--token-file", type=Path, help="insist on this bearer token")
    parser.add_argument("--secret-file", type=Path, help="insist on Standard Webhooks signatures")
    parser.add_argument("--plan", type=Path, help="script of misbehaviour, JSON")
    parser.add_argument("--ledger", type=Path, help="keep the ledger in this file, NDJSON")
    parser.add_argument("--body-bytes-max", type=int, default=16_000_000, help="answer 413 above")
    parser.add_argument("--poison", nargs="*", default=[], help="reject events that hold one of these texts")
    parser.add_argument("--fast", action="store_true", help="count only, for benchmarks")
    given = parser.parse_args(arguments)
    return run_centre(CentreOptions(**{**vars(given), "poison": tuple(given.poison)}))


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
