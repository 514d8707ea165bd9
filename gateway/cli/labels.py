"""`dockline labels`: a sheet of the site's command labels, to print and pin up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.errors import EXIT_CONFIG, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.cli.problems import load_or_fail

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.sheet.label_sheet import PrintedLabel

QUANTITIES = ("2", "3", "4", "5", "6", "8", "10", "12", "20", "24")
_GROUPS = {"document": "Documents", "location": "Places", "operator": "Badges", "quantity": "Quantities"}


def labels(
    output: Annotated[Path, typer.Argument(help="The PDF to write.")] = Path("labels.pdf"),
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    quantity: Annotated[
        list[str] | None,
        typer.Option("--quantity", "-q", metavar="N", help="A quantity label; may be given several times."),
    ] = None,
    paper: Annotated[str, typer.Option(help="a4 or letter.")] = "a4",
) -> None:
    """Write a printable sheet of the site's command labels, and of its own labels named in the configuration."""
    from gateway.sheet.code128 import NotEncodable
    from gateway.sheet.label_sheet import PAPERS_MM, TooLong, label_sheet

    if paper not in PAPERS_MM:
        raise Failure(f'"{paper}" is no paper size', hint=f"one of {', '.join(PAPERS_MM)}", code=EXIT_USAGE)
    settings = load_or_fail(config, must_run=False)
    wanted = [*_commands(settings, quantity or QUANTITIES), *_own(settings)]
    try:
        sheet = label_sheet(f"{settings.site.id}: labels for {settings.site.gateway}", wanted, paper)
    except (NotEncodable, TooLong) as error:
        raise Failure(
            f"A label cannot be printed: {error}", hint="[labels] printed holds texts for Code 128, ASCII only"
        ) from None
    output.write_bytes(sheet)
    print(f"{len(wanted)} labels in {output}. Print at 100 %, not fitted to the page.")


def _commands(settings: Settings, quantities: list[str] | tuple[str, ...]) -> Iterator[PrintedLabel]:
    from gateway.capture.command import COMMANDS
    from gateway.capture.decimal_text import decimal_text
    from gateway.sheet.label_sheet import PrintedLabel

    prefix = settings.labels.command_prefix
    if prefix is None:
        raise Failure(
            "there are no command labels: the site has no prefix of its own for them",
            hint='set [labels] command_prefix = "DKL:" (or letters of your choice), then print',
            code=EXIT_CONFIG,
        )
    for group, words in COMMANDS.items():
        for word, caption in words.items():
            yield PrintedLabel(group, caption, f"{prefix}{word}")
    for quantity in quantities:
        if decimal_text(quantity) is None:
            raise Failure(f'"{quantity}" is not a quantity', code=EXIT_USAGE)
        yield PrintedLabel("The next item is", f"{decimal_text(quantity)} pieces", f"{prefix}quantity {quantity}")


def _own(settings: Settings) -> Iterator[PrintedLabel]:
    """Yield the labels that the file names, each under what this very configuration takes it for."""
    from gateway.capture.label import parse_label
    from gateway.sheet.label_sheet import PrintedLabel
    from gateway.wiring import site_map

    site = site_map(settings)
    found = []
    for text in settings.labels.printed:
        label = parse_label(text, "]C0", site.label_patterns, command_prefix=site.command_prefix)
        if label.kind not in _GROUPS:
            raise Failure(
                f'[labels] printed: "{text}" is no document, location, badge or quantity here',
                hint="add a [[labels.patterns]] that it matches",
                code=EXIT_CONFIG,
            )
        found.append(PrintedLabel(_GROUPS[label.kind], label.text, text))
    yield from sorted(found, key=lambda label: tuple(_GROUPS.values()).index(label.group))
