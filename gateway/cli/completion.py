"""What a shell offers for the word under the cursor: names from the configuration, and from the daemon when one runs.

Nothing here may fail or say anything: a shell shows what a completion prints. It has to be quick, too, so the file is
read and not validated, and the daemon is asked over its local socket only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from gateway.cli.errors import Failure

ASK_S = 1.0


def complete_station(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the stations that begin so."""
    return _beginning(incomplete, _names(ctx, "station", "id", "devices", "station"))


def complete_device(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the devices that begin so; handhelds too that were heard under a pattern."""
    return _beginning(incomplete, _names(ctx, "device", "id", "devices", "id"))


def complete_upstream(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the upstreams that begin so; those too that left the file and still have a position."""
    return _beginning(incomplete, _names(ctx, "upstream", "name", "upstreams", "name"))


def complete_type(incomplete: str) -> list[str]:
    """Return the event types that begin so."""
    from gateway.events.catalogue import DATA

    return _beginning(incomplete, DATA)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _names(ctx: typer.Context, table: str, key: str, told: str, member: str) -> set[str]:
    config = _config(ctx)
    return _configured(config, table, key) | _heard(config, told, member)


def _config(ctx: typer.Context) -> Path:
    from gateway.cli.options import DEFAULT_CONFIG

    return Path(ctx.params.get("config") or DEFAULT_CONFIG)


def _configured(config: Path, table: str, key: str) -> set[str]:
    from gateway.settings.document import read_document
    from gateway.settings.problem import Problem

    found = read_document(config)
    tables = [] if isinstance(found, Problem) else found.data.get(table, [])
    rows = tables if isinstance(tables, list) else []
    return {name for row in rows if isinstance(row, dict) and isinstance(name := row.get(key), str)}


def _heard(config: Path, told: str, member: str) -> set[str]:
    from gateway.cli.client import Site

    with contextlib.suppress(Failure, OSError, ValueError, KeyError, TypeError):
        status: dict[str, Any] | None = Site(config).get_quickly("/v1/status", ASK_S)
        return {str(one[member]) for one in status[told]} if status is not None else set()
    return set()


def say_unknown(config: Path, **wanted: str | None) -> None:
    """Say of names for which nothing was found that the file does not know them: a slip of the finger finds nothing.

    What left the file may still have events, so this is no error.
    """
    import sys

    from gateway.settings.problem import did_you_mean

    for kind, name in wanted.items():
        key = "name" if kind == "upstream" else "id"
        known = sorted(_configured(config, kind, key))
        patterns = [one[:-1] for one in known if one.endswith("*")]
        if name is None or not known or name in known or any(name.startswith(one) for one in patterns):
            continue
        better = did_you_mean(name, known) or f"there {'is' if len(known) == 1 else 'are'} {', '.join(known[:20])}"
        print(f'There is no {kind} "{name}" in {config}; {better}', file=sys.stderr)
