"""Printing for people. What devices said is hostile: it is escaped, and never read as markup."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.log import escape, escape_lines

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
SHORT_CELL_CHARACTERS = 15
TURNED_ROWS_MAX = 4
"""More rows than this are not read side by side."""
PIPE_COLUMNS = 200
FOLDED_CHARACTERS_MIN = 36
INDENT = 10
KNOCKING_SHOWN = 3
"""Devices that knock and are shown with their lines, the latest first: more would push all else off the screen."""
ALIKE_SHOWN = 3
"""Of troubles that are alike so many are shown, the others are named or counted."""
NAMED_MAX = 12
"""Names in one line."""


def print_json(value: Any) -> None:
    """Print JSON; ASCII only, so no terminal is told anything."""
    print(json.dumps(value, indent=2))


def most_first(rows: Sequence[T], rows_max: int, rank: Callable[[T], int]) -> tuple[list[T], list[T]]:
    """Return what to show and what to count: all in their order while they are few, else the first of the worst."""
    if len(rows) <= rows_max:
        return list(rows), []
    ordered = sorted(rows, key=rank)
    return ordered[:rows_max], ordered[rows_max:]


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are text, whatever is in them. What does not fit side by side is listed line by line."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no edge to fold lines at.
        console = Console(width=PIPE_COLUMNS)
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        print_line(f"{title}: none")
        return
    widths = [max(len(head), *(len(row[index]) for row in cells)) for index, head in enumerate(heads)]
    turned = [max(len(cell) for cell in row) for row in cells]
    if _fits(widths, console.width):
        _print_grid(console, title, heads, cells, widths)
    elif len(heads) > 2 and len(cells) <= TURNED_ROWS_MAX and _fits([max(map(len, heads)), *turned], console.width):
        # Heads that do not fit stand below each other, and what they head beside them.
        upright = [[head, *(row[index] for row in cells)] for index, head in enumerate(heads)]
        _print_grid(console, title, upright[0], upright[1:], [max(map(len, heads)), *turned])
    else:
        _print_blocks(console, title, heads, cells)


def _fits(widths: Sequence[int], columns: int) -> bool:
    """Short columns are kept whole; long ones are folded, into no less than a short one's width."""
    return sum(min(width, SHORT_CELL_CHARACTERS) for width in widths) + 2 * (len(widths) - 1) <= columns


def _print_grid(
    console: Console, title: str, heads: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        # So that what must be folded is what is long.
        is_short = width <= SHORT_CELL_CHARACTERS
        table.add_column(
            Text(head),
            overflow="fold",
            no_wrap=is_short,
            min_width=None if is_short else min(width, SHORT_CELL_CHARACTERS),
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _print_blocks(console: Console, title: str, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(title, style="italic"))
    for first, *rest in cells:
        console.print(Text(first, style="bold"))
        said = ", ".join(f"{head} {cell}" for head, cell in zip(heads[1:], rest, strict=True) if cell != "-")
        if said:
            console.print(Padding(Text(said, overflow="fold"), (0, 0, 0, 4)))


def print_line(text: str, style: str = "") -> None:
    """Print one line; a colour where the terminal has any. What it quotes of others tells the terminal nothing."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(escape_lines(text), style=style), soft_wrap=not console.is_terminal)


def print_rest(text: str | None) -> None:
    """Say of how many a list shows only some, and how to see the others; beside what a program reads, not in it."""
    import sys

    if text is not None:
        sys.stdout.flush()
        print(text, file=sys.stderr)


def print_folded(head: str, text: str, style: str = "", *, mark: str = "") -> None:
    """Print a text beside its head and folded there; on a narrow terminal below its head. `mark` begins the text."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal or len(head) + len(mark) + len(text) <= console.width:
        print_line(head + mark + text, style)
        return
    is_beside = console.width - len(head) >= FOLDED_CHARACTERS_MIN
    indent = len(head) if is_beside else INDENT
    lines = textwrap.wrap(text, max(20, console.width - indent - len(mark)), break_on_hyphens=False) or [""]
    if not is_beside and head.strip():
        print_line(head.rstrip(), style)
    for number, line in enumerate(lines):
        begins = head if is_beside and number == 0 else " " * indent
        print_line(begins + (mark if number == 0 else " " * len(mark)) + line, style)


def named(names: Sequence[str]) -> str:
    """Return names for a sentence: the first of them, and how many follow."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(map(plain, names[:NAMED_MAX])) + more


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
