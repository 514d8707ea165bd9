"""`dockline replay`: have events sent again to an upstream, under their own ids, beside the live delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.completion import complete_upstream
from gateway.cli.errors import EXIT_NOT_AS_HOPED, EXIT_USAGE, Failure
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DeviceOption,
    JsonOption,
    StationOption,
    TokenOption,
    TypeOption,
    check_type,
)

if TYPE_CHECKING:
    from gateway.cli.client import Site

WAIT_S = 5
UpstreamArgument = Annotated[str | None, typer.Argument(help="Name of the upstream.", autocompletion=complete_upstream)]


def replay(
    upstream: UpstreamArgument = None,
    *,
    from_sequence: Annotated[int | None, typer.Option(min=1, help="First sequence.")] = None,
    to_sequence: Annotated[int | None, typer.Option(min=1, help="Last sequence.")] = None,
    from_time: Annotated[str | None, typer.Option("--from", help="Captured from (2026-11-21T08:00:00Z).")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="Captured before.")] = None,
    event_type: TypeOption = None,
    station: StationOption = None,
    device: DeviceOption = None,
    rate: Annotated[int, typer.Option(min=1, max=10_000, help="Events a second, at most.")] = 200,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Only list replays that run, and the last ones.")] = False,
    cancel: Annotated[str | None, typer.Option(help="End the replay of this id where it is; with --reason.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Begin and do not watch.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Send events again, slowly and after the live ones; ids and sequences stay. Ctrl-C only stops watching."""
    from gateway.cli.client import Site
    from gateway.cli.show import print_json

    check_type(event_type)
    site = Site(config, token_file)
    if list_all:
        _print_all(site.get("/v1/replay")["replays"], as_json=as_json)
        return
    if reason is None and not dry_run:
        raise Failure("Say why, with --reason; it is kept in the audit.", hint="--dry-run counts without one")
    given = {
        "from_sequence": from_sequence,
        "to_sequence": to_sequence,
        "from": from_time,
        "to": to_time,
        "type": event_type,
        "station": station,
        "device": device,
    }
    if cancel is not None:
        print(_said(site.post(f"/v1/replay/{cancel}/cancel", {"reason": reason})))
        return
    if upstream is None:
        raise Failure("Name the upstream.", hint="dockline upstream list", code=EXIT_USAGE)
    order: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if dry_run:
        _count(site, {**order, "upstream": upstream, "dry_run": True}, as_json=as_json)
        return
    begun = site.post("/v1/replay", {**order, "upstream": upstream, "reason": reason, "events_per_s": rate})
    state = begun if no_wait else _watch(site, begun, quiet=as_json)
    if as_json:
        print_json(state)
    else:
        print(_said(state))
    if state["status"] in {"failed", "cancelled"} or state["rejected"] or state["unconfirmed"]:
        raise typer.Exit(EXIT_NOT_AS_HOPED)


def _count(site: Site, order: dict[str, Any], *, as_json: bool) -> None:
    from gateway.cli.show import print_json

    found = site.post("/v1/replay", order)
    if as_json:
        print_json(found)
        return
    span = f", sequences {found['first']} to {found['last']}" if found["count"] else ""
    print(f"{found['count']} events{span}; nothing was sent")


def _print_all(found: list[dict[str, Any]], *, as_json: bool) -> None:
    from gateway.cli.show import print_json, print_table

    if as_json:
        print_json(found)
        return
    heads = ("id", "upstream", "status", "done", "total", "actor", "reason", "note")
    print_table("Replays", heads, [[one[head] for head in heads] for one in found])


def _watch(site: Site, state: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Return the replay when it is over, with a progress bar until then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("replay", total=state["total"])
        while state["status"] in {"running", "waiting"}:
            state = site.get(f"/v1/replay/{state['id']}", wait=WAIT_S)
            progress.update(
                bar, completed=state["done"] + state["left_out"], description=state["note"][:60] or "replay"
            )
    return state


def _said(state: dict[str, Any]) -> str:
    return (
        f"replay {state['id']} {state['status']}: {state['accepted']} of {state['total']} accepted,"
        f" {state['rejected']} rejected, {state['unconfirmed']} unconfirmed, {state['left_out']} left out"
    )
