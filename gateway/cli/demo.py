"""`dockline demo`: a whole simulated site on embedded defaults, a bad day, and the verdict."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.demo.day import Verdict


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Draws everything the devices do.")] = 1,
    scans: Annotated[int, typer.Option(min=20, max=100_000, help="Scans of scanners and handhelds together.")] = 400,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with configuration, journals and outbox.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON, no picture.")] = False,
) -> None:
    """Run a simulated site, cut its uplink, kill the gateway, and compare what devices and centre remember.

    Exit code 0 only when nothing was lost, doubled, invented or reordered.
    """
    from rich.console import Console

    from gateway.cli.child import ChildFailed
    from gateway.demo.view import conclusion, verdict_table

    console = Console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="dockline-demo-"))
    try:
        verdict = asyncio.run(_live(folder, seed, scans, console))
    except ChildFailed as error:
        keep = True
        console.print(f"[red]The gateway did not start.[/red] The end of {folder}/gateway.log:\n{error}")
        raise typer.Exit(1) from None
    finally:
        if keep:
            console.print(f"Kept: {folder} (gateway.toml, gateway.log, one .ndjson a device, centre.ndjson, state/)")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        typer.echo(json.dumps(asdict(verdict) | {"holds": verdict.holds}, indent=2))
    else:
        console.print(verdict_table(verdict))
    console.print(conclusion(verdict))
    if not verdict.holds:
        raise typer.Exit(1)


async def _live(folder: Path, seed: int, scans: int, console: Console) -> Verdict:
    """Live through the day with a picture that follows it; without a terminal only the story is told."""
    from rich.live import Live

    from gateway.demo.day import Day
    from gateway.demo.view import picture
    from simulators.site import SitePlan

    day = Day(folder, SitePlan(seed=seed, scans=scans))
    if not console.is_terminal:
        day.on_tell = console.print
        return await day.run()
    with Live(console=console, auto_refresh=False) as live:
        day.on_change = lambda: live.update(picture(day), refresh=True)
        return await day.run()
