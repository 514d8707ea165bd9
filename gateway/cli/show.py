"""Printing for people. What devices said is hostile: it is escaped, and never read as markup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.log import escape


def print_json(value: Any) -> None:
    """Print JSON; ASCII only, so no terminal is told anything."""
    print(json.dumps(value, indent=2))


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are text, whatever is in them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no edge to fold lines at.
        console = Console(width=200)
    console.print(table)


def print_line(text: str, style: str = "") -> None:
    """Print one line; a colour where the terminal has any."""
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(text, style=style), soft_wrap=True)


def plain(value: object) -> str:
    """Return a cell: "-" for nothing, control characters spelled out."""
    return "-" if value is None else escape(str(value))


def clock(milliseconds: int | None) -> str:
    """Return a time of day for people: UTC, to the second."""
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def age(seconds: float | None) -> str:
    """Return a span for people."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def size(octets: int) -> str:
    """Return a number of bytes for people."""
    for step, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets} B"
