"""`dockline bench`: what the gateway costs, as ratios measured side by side in one run."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.bench.rows import Row


def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Small amounts, one round: shows that it works.")] = False,
    row: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Only these rows (1, 2, 4, 5, 6, 8, 10, 12, 13, 14).")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to write; the disk that is measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
) -> None:
    """Measure speed and memory of a real gateway against this machine's own inserts and flushes."""
    from rich.console import Console

    from gateway.bench.rows import QUICK, Size
    from gateway.cli.stopping import run_until_stopped

    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="dockline-bench-", dir=folder or Path.cwd()) as home:
        rows = run_until_stopped(_measure(Path(home), QUICK if quick else Size(), set(row or ()), console.print))
    if as_json:
        typer.echo(json.dumps([asdict(one) | {"holds": one.holds} for one in rows], indent=2))
    else:
        _print_table(console, rows)
    if not all(one.holds for one in rows):
        raise typer.Exit(1)


async def _measure(folder: Path, size: object, wanted: set[str], say: object) -> list[Row]:
    from gateway.bench.rows import ROWS, Size

    assert isinstance(size, Size)
    assert callable(say)
    rows: list[Row] = []
    for numbers, measure in ROWS:
        if wanted and not wanted & set(numbers):
            continue
        async for one in measure(folder, size, say):
            rows.append(one)
    return [one for one in rows if not wanted or one.number in wanted]


def _print_table(console: object, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table("row", "what", "measured", "floor", "", title="Dockline, measured on this machine in one run")
    for one in rows:
        value = f"{one.value:.2f}" if one.value < 10 else f"{one.value:,.0f}"
        sign = "≤" if one.is_upper else "≥"
        detail = f"\n[dim]{one.detail}[/dim]" if one.detail else ""
        table.add_row(one.number, one.what + detail, f"{value} {one.unit}", f"{sign} {one.floor:g}",
                      "[green]holds[/green]" if one.holds else "[red]misses[/red]")  # fmt: skip
    console.print(table)
