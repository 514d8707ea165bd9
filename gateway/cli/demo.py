"""`dockline demo`: a whole simulated site on embedded defaults, a bad day, and the verdict."""

from __future__ import annotations

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
    scenario: Annotated[
        str | None, typer.Option(help='Instead of the bad day: a piece of work by its name; "list" names them.')
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100.0, help="With --scenario: how many times as fast pallets drive.")
    ] = 1.0,
) -> None:
    """Run a simulated site, cut its uplink, kill the gateway, and compare what devices and centre remember.

    Exit code 0 only when nothing was lost, doubled, invented or reordered; with --scenario, when every claim holds.
    """
    from rich.console import Console

    from gateway.cli.child import ChildFailed
    from gateway.cli.stopping import run_until_stopped
    from gateway.demo.view import conclusion, verdict_table

    console = Console(stderr=as_json)
    if scenario is not None:
        _play(scenario, seed, speed, console, keep=keep, as_json=as_json)
        return
    folder = Path(tempfile.mkdtemp(prefix="dockline-demo-"))
    try:
        verdict = run_until_stopped(_live(folder, seed, scans, console))
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


def _play(name: str, seed: int, speed: float, console: Console, *, keep: bool, as_json: bool) -> None:
    """Play one scenario and print its verdict; exit code 1 when a claim does not hold."""
    from gateway.cli.child import ChildFailed
    from gateway.cli.errors import Failure
    from gateway.cli.stopping import run_until_stopped
    from gateway.demo.scenario import run_scenario
    from gateway.demo.scenarios import SCENARIOS
    from gateway.demo.stage import Stage
    from gateway.demo.view import claims_table
    from gateway.settings.problem import did_you_mean

    if name == "list":
        for one in SCENARIOS.values():
            typer.echo(f"{one.name}: {one.title}")
        return
    found = SCENARIOS.get(name)
    if found is None:
        hint = did_you_mean(name, SCENARIOS) or f"there are {', '.join(SCENARIOS)}"
        raise Failure(f'There is no scenario "{name}".', hint=hint)
    folder = Path(tempfile.mkdtemp(prefix=f"dockline-{name}-"))
    stage = Stage(folder, found.posts, seed=seed, speed=speed)
    stage.on_tell = console.print
    try:
        judgement = run_until_stopped(run_scenario(found, stage))
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
        typer.echo(json.dumps(asdict(judgement) | {"holds": judgement.holds}, indent=2))
    else:
        console.print(claims_table(judgement))
    if not judgement.holds:
        raise typer.Exit(1)
