"""`dockline expectations`: documents that scans are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.errors import EXIT_NOT_AS_HOPED, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LimitOption, TokenOption

app = typer.Typer()

DocumentArgument = Annotated[str, typer.Argument(help="Id of the document.")]


@app.command("list")
def list_expectations(
    *,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Only documents behind this id.")] = None,
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """List the documents that are expected, and the work on them here."""
    from gateway.cli.client import Site
    from gateway.cli.show import counted, print_json, print_rest, print_table

    answer = Site(config, token_file).get("/v1/expectations", after=after, limit=limit)
    found, go_on = answer["expectations"], answer["next_after"]
    more = (
        None
        if go_on is None
        else f"{counted(len(found), 'document')} shown, and there are more: --after {go_on} goes on"
    )
    if as_json:
        print_json(found)
        print_rest(more)
        return
    rows = [
        (one["id"], one["type"], one["version"], one["scope"], one["lines_total"], one.get("supplier"), _work(one))
        for one in found
    ]
    print_table("Expected", ("document", "type", "version", "scope", "lines", "supplier", "work here"), rows)
    print_rest(more)


@app.command("show")
def show_expectation(
    document: DocumentArgument,
    *,
    limit: LimitOption = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Show one document with its lines, as JSON."""
    from gateway.cli.client import Site
    from gateway.cli.show import print_json

    print_json(Site(config, token_file).get(_path(document), limit=limit))


@app.command("import")
def import_expectations(
    file: Annotated[Path, typer.Argument(help="JSON: one document, a list, or the answer of a centre.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Keep the documents of a file: new ones, and newer versions of known ones."""
    import json

    from gateway.checks.expectation import ExpectationInvalid, read_expectation
    from gateway.cli.client import Site
    from gateway.cli.show import plain, print_json

    try:
        value = json.loads(file.read_bytes(), parse_float=str)
    except ValueError as error:
        raise Failure(f"{file}: not JSON: {error}") from None
    if isinstance(value, dict) and "expectations" in value:
        value = value["expectations"]
    documents = value if isinstance(value, list) else [value]
    for number, one in enumerate(documents, 1):
        try:
            read_expectation(one)  # all of them before the first is sent
        except ExpectationInvalid as error:
            hint = "docs/expectations.md has the shape; nothing was imported"
            raise Failure(f"{file}: number {number}: {error}", hint=hint) from None
    site = Site(config, token_file)
    answers = [site.put(_path(one["id"]), one) for one in documents]
    if as_json:
        print_json(answers)
        return
    changed = sum(answer["changed"] for answer in answers)
    print(f"{changed} of {len(answers)} documents are new here or newer")
    for answer in answers:
        older = [work["activity"] for work in answer["progress"] if work["version"] != answer["version"]]
        if older:
            hint = f'dockline expectations switch {answer["id"]} --reason "..."'
            print(plain(f"{answer['id']}: {', '.join(older)} goes on by the version it began with; {hint}"))


@app.command("remove")
def remove_expectation(
    document: DocumentArgument, *, config: ConfigOption = DEFAULT_CONFIG, token_file: TokenOption = None
) -> None:
    """Expect a document no more; work under way goes on by what it began with. Audited."""
    from gateway.cli.client import Site
    from gateway.cli.show import plain

    Site(config, token_file).delete(_path(document))
    print(plain(f"{document} is not expected any more"))


@app.command("switch")
def switch_expectation(
    document: DocumentArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")],
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Have work under way go on by the newest version: everything is counted again by it. Audited."""
    from gateway.cli.client import Site
    from gateway.cli.show import plain

    answer = Site(config, token_file).post(f"{_path(document)}/switch", {"reason": reason})
    print(plain(f"{document}: {', '.join(answer['switched'])} goes by version {answer['version']} now"))
    if answer["counting"]:
        print(f"{', '.join(answer['counting'])} is still counted by it, between the scans; until then it is as it was")


def _path(document: object) -> str:
    if not isinstance(document, str) or not document:
        raise Failure("a document has an id", code=EXIT_NOT_AS_HOPED)
    return f"/v1/expectations/{quote(document, safe='')}"


def _work(one: dict[str, Any]) -> str:
    return ", ".join(f"{work['activity']} {work['state']} (v{work['version']})" for work in one["progress"]) or "-"
