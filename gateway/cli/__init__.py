"""The commands, one file a group.

A command module imports typer and the standard library; what is heavy (drivers, pydantic models, the web server, rich)
is imported inside the commands, so that `dockline --help` costs no more than it says.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = (
    ("init", "gateway.cli.init"),
    ("run", "gateway.cli.run"),
    ("check", "gateway.cli.check"),
    ("status", "gateway.cli.status"),
    ("top", "gateway.cli.top"),
    ("doctor", "gateway.cli.doctor"),
    ("replay", "gateway.cli.replay"),
    ("backup", "gateway.cli.backup"),
    ("restore", "gateway.cli.backup"),
    ("rehearse", "gateway.cli.backup"),
    ("decommission", "gateway.cli.decommission"),
    ("schema", "gateway.cli.schema"),
    ("token", "gateway.cli.token"),
    ("labels", "gateway.cli.labels"),
    ("demo", "gateway.cli.demo"),
    ("bench", "gateway.cli.bench"),
)
"""Command and the module that has a function of that name."""

GROUPS = (
    ("devices", "gateway.cli.devices", "Devices: list, probe, watch."),
    ("events", "gateway.cli.events", "Events in the outbox: list, show, tail, export."),
    ("quarantine", "gateway.cli.quarantine", "Events an upstream would not take: list, show, retry, discard."),
    ("upstream", "gateway.cli.upstream", "Positions of upstreams: list, rewind, rename, remove."),
    ("expectations", "gateway.cli.expectations", "Expected documents: list, show, import, remove, switch."),
    ("exceptions", "gateway.cli.exceptions", "What is not as expected: list, show, acknowledge, resolve."),
    ("audit", "gateway.cli.audit", "The journal: verify, list, acknowledge."),
    ("simulate", "gateway.cli.simulate", "Simulated devices and a simulated centre."),
)
"""Group, the module that has its `app`, and its help."""

EPILOG = (
    "Exit codes: 0 done · 1 not as hoped · 64 wrong command line · 69 no daemon · 70 fault of the program · "
    "71 no memory · 73 outbox in use · 74 disk · 77 not allowed · 78 configuration"
)


class Commands(TyperGroup):
    """A group whose list of commands has whole sentences, folded, and words for what an option takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        named = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in named if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dockline {version('dockline')}")
        raise typer.Exit


def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take what stands before the command."""


def build_app() -> typer.Typer:
    """Return the program."""
    app = typer.Typer(
        name="dockline",
        cls=Commands,
        help="Edge gateway for warehouse devices: scans in, canonical events out, nothing lost, nothing twice.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_program)
    for name, module in COMMANDS:
        app.command(name)(getattr(import_module(module), name))
    for name, module, text in GROUPS:
        app.add_typer(import_module(module).app, name=name, cls=Commands, help=text, no_args_is_help=True)
    return app
