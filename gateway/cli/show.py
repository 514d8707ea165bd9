"""Printing for people. What devices said is hostile: it is escaped, and never read as markup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.log import escape

SHORT_CELL_CHARACTERS = 15


def print_json(value: Any) -> None:
    """Print JSON; ASCII only, so no terminal is told anything."""
    print(json.dumps(value, indent=2))


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are text, whatever is in them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no edge to fold lines at.
        console = Console(width=200)
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        console.print(Text(f"{title}: none"))
        return
    if len(heads) > 2 and sum(len(head) + 2 for head in heads) - 2 > console.width:
        # Heads that do not fit stand below each other, and what they head beside them.
        cells = [[head, *(row[index] for row in cells)] for index, head in enumerate(heads)]
        heads, cells = cells[0], cells[1:]
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        # Short columns are kept whole, so that what must be folded is what is long.
        is_short = max(len(head), *(len(row[index]) for row in cells)) <= SHORT_CELL_CHARACTERS
        table.add_column(Text(head), overflow="fold", no_wrap=is_short)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_line(text: str, style: str = "") -> None:
    """Print one line; a colour where the terminal has any."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)


def counted(number: int, thing: str) -> str:
    """Return "1 reading", "2 readings"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


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
