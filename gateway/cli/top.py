"""`dockline top`: the gateway on one screen, live."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, TokenOption

if TYPE_CHECKING:
    from gateway.cli.client import Json, Site
    from gateway.cli.screen import Rates


def top(
    *,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds from one look to the next.")] = 1.0,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Show stations, devices, deliveries, room and exceptions on one screen, live; q or Ctrl-C ends.

    Without a terminal the screen is printed once. Exit code 69 when no daemon answers at the beginning.
    """
    from gateway.cli.client import Site

    site = Site(config, token_file)
    first = site.get("/v1/status")
    if sys.stdout.isatty() and sys.stdin.isatty():
        _live(site, first, every)
    else:
        _once(first)


def _once(status: Json) -> None:
    from rich.console import Console

    from gateway.cli.screen import Rates, screen
    from gateway.cli.show import PIPE_COLUMNS

    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(screen(status, Rates(), lines=None))


def _live(site: Site, status: Json, every_s: float) -> None:
    import os
    import select
    import termios
    import tty

    from rich.console import Console
    from rich.live import Live

    from gateway.cli.client import NoDaemon
    from gateway.cli.screen import Rates, absence, screen

    console, rates = Console(), Rates()
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            shown: Json | None = status
            why = ""
            while True:
                _note(rates, shown)
                lines = console.size.height
                live.update(screen(shown, rates, lines=lines) if shown is not None else absence(why), refresh=True)
                if select.select([keyboard], [], [], every_s)[0] and os.read(keyboard, 1) in {b"q", b"Q", b""}:
                    return
                try:
                    shown, why = site.get("/v1/status"), ""
                except NoDaemon as nobody:
                    shown, why = None, str(nobody)
    except KeyboardInterrupt:
        return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _note(rates: Rates, status: Json | None) -> None:
    import time

    if status is not None:
        rates.note(status, time.monotonic())
