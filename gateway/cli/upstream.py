"""`dockline upstream`: the positions of upstreams, and what a person decides about them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.completion import complete_upstream
from gateway.cli.errors import EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, TokenOption

if TYPE_CHECKING:
    from gateway.cli.client import Site

app = typer.Typer()

NameArgument = Annotated[str, typer.Argument(help="Name of the upstream, as listed.", autocompletion=complete_upstream)]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the audit.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
HEADS = ("upstream", "in the file", "keeps events", "settled through", "pending", "quarantined", "delivered", "lost")


@app.command("list")
def list_upstreams(
    *, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, token_file: TokenOption = None
) -> None:
    """List every position, also of upstreams that are not in the file any more: they still keep events."""
    from gateway.cli.client import Site
    from gateway.cli.show import print_json, print_line, print_table

    found = _listed(Site(config, token_file), config)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["name"],
            "yes" if one["configured"] else "NO",
            "until it has them" if one["required"] else "while there is room",
            *(one[key] for key in ("settled_through", "pending", "quarantined", "delivered", "lost")),
        )
        for one in found
    ]
    print_table("Upstreams", HEADS, rows)
    for one in found:
        if not one["configured"]:
            print_line(f"{one['name']} is not in {config}: dockline upstream rename or remove {one['name']}", "yellow")


@app.command("rewind")
def rewind_upstream(
    name: NameArgument,
    *,
    to: Annotated[int, typer.Option(min=0, help="The last sequence it has; what is kept behind it is sent again.")],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Deliver again from a sequence on, under the same ids: a centre was restored from a backup."""
    from gateway.cli.client import NoDaemon, Site

    site = Site(config, token_file)
    one = _one(site, config, name)
    if to > one["settled_through"]:
        raise Failure(f"{name} is at {one['settled_through']}: a position only goes back.", code=EXIT_USAGE)
    if dry_run:
        print(f"{name} would go back from {one['settled_through']} to {to}; nothing done")
        return
    try:
        kept_behind = site.post(f"/v1/upstreams/{name}/rewind", {"to": to, "reason": reason})["kept_behind"]
    except NoDaemon:
        from gateway.cli.alone import actor, with_outbox

        kept_behind = with_outbox(config, lambda outbox: outbox.rewind(name, to=to, actor=actor(), reason=reason))
    gone = "" if kept_behind == to else f"; up to {kept_behind} not everything is kept, and it is told what is gone"
    print(f"{name} goes on behind {to}{gone}")


@app.command("rename")
def rename_upstream(
    name: NameArgument,
    new: Annotated[str, typer.Argument(help="Its new name.")],
    *,
    reason: ReasonOption,
    replace: Annotated[
        bool, typer.Option("--replace", help="The new name has a position already (it was reloaded first): forget it.")
    ] = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Give the position and the quarantine of an upstream to another name: it was renamed in the file."""
    from gateway.cli.client import NoDaemon, Site

    site = Site(config, token_file)
    one = _one(site, config, name)
    if dry_run:
        print(f"{new} would go on behind {one['settled_through']}, where {name} is; nothing done")
        return
    try:
        site.post(f"/v1/upstreams/{name}/rename", {"name": new, "replace": replace, "reason": reason})
    except NoDaemon:
        from gateway.cli.alone import actor, with_outbox

        with_outbox(config, lambda outbox: outbox.rename(name, new, actor=actor(), reason=reason, replace=replace))
    print(f"{new} goes on behind {one['settled_through']}")


@app.command("remove")
def remove_upstream(
    name: NameArgument,
    *,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Forget an upstream that is gone for good: it never gets what it does not have, and stops keeping events."""
    from gateway.cli.client import NoDaemon, Site

    site = Site(config, token_file)
    one = _one(site, config, name)
    loses = f"{name} never gets {one['pending']} pending and {one['quarantined']} quarantined events"
    if dry_run:
        print(f"{loses}; nothing done")
        return
    if one["configured"]:
        raise Failure(f"{name} is in {config}.", hint="take it out and reload (or restart) first", code=EXIT_USAGE)
    if not yes:
        typer.confirm(f"{loses}. Forget it?", abort=True, err=True)
    try:
        site.post(f"/v1/upstreams/{name}/remove", {"reason": reason})
    except NoDaemon:
        from gateway.cli.alone import actor, with_outbox

        with_outbox(config, lambda outbox: outbox.unregister(name, actor=actor(), reason=reason))
    print(f"{name} is forgotten")


def _one(site: Site, config: Path, name: str) -> dict[str, Any]:
    found = _listed(site, config)
    for one in found:
        if one["name"] == name:
            return one
    names = ", ".join(one["name"] for one in found) or "none"
    raise Failure(f'There is no upstream "{name}" with a position here.', hint=f"there are: {names}", code=EXIT_USAGE)


def _listed(site: Site, config: Path) -> list[dict[str, Any]]:
    """Return every position, from the daemon, or from the file and the configuration when none runs."""
    from gateway.cli.client import NoDaemon

    try:
        found: list[dict[str, Any]] = site.get("/v1/upstreams")["upstreams"]
        return found
    except NoDaemon:
        reader = site.read()
    from gateway.cli.problems import load_or_fail

    try:
        configured = {one.name for one in load_or_fail(config, must_run=False).upstreams}
        return [
            {
                "name": one.upstream,
                "configured": one.upstream in configured,
                "required": one.required,
                "settled_through": one.seq,
                **asdict(census := reader.census(one.upstream)),
                "imbalance": census.imbalance,
            }
            for one in reader.upstreams()
        ]
    finally:
        reader.close()
