"""`dockline exceptions`: what is not as expected, whose it is, and what was decided."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.errors import EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LimitOption, TokenOption

app = typer.Typer()

STATES = ("unresolved", "all", "overdue", "open", "acknowledged", "escalated", "resolved")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the exception, as listed.")]


@app.command("list")
def list_exceptions(
    *,
    state: Annotated[
        str, typer.Option(help="unresolved, all, overdue, open, acknowledged, escalated or resolved.")
    ] = "unresolved",
    code: Annotated[str | None, typer.Option(help="Only of this code.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    document: Annotated[str | None, typer.Option(help="Only about this document.")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Only those behind this one.")] = None,
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """List exceptions, oldest first."""
    from gateway.cli.client import Site
    from gateway.cli.show import age, print_json, print_rest, print_table
    from gateway.settings.problem import did_you_mean

    if state not in STATES:
        hint = did_you_mean(state, STATES) or f"one of {', '.join(STATES)}"
        raise Failure(f'There is no state "{state}".', hint=hint, code=EXIT_USAGE)
    asked = {"state": state, "code": code, "owner": owner, "document": document, "after": after, "limit": limit}
    answer = Site(config, token_file).get("/v1/exceptions", **asked)
    found, go_on = answer["exceptions"], answer["next_after"]
    late = f", {answer['overdue']} overdue (--state overdue)" if answer["overdue"] else ""
    rest = f"{len(found)} of {answer['total']} exceptions{late}; --code, --owner and --document narrow it"
    more = None if go_on is None else f"{rest}, --after {go_on} goes on"
    if as_json:
        print_json(found)
        print_rest(more)
        return
    rows = [
        (
            one["exception"],
            one["code"],
            one["state"],
            one["severity"],
            one["owner"],
            age(one["age_s"]),
            "overdue" if one["overdue"] else age(one["due_in_s"]) if one["due_in_s"] is not None else None,
            one["message"],
        )
        for one in found
    ]
    print_table("Exceptions", ("id", "code", "state", "severity", "owner", "age", "due in", "what"), rows)
    print_rest(more)


@app.command("show")
def show_exception(case: IdArgument, *, config: ConfigOption = DEFAULT_CONFIG, token_file: TokenOption = None) -> None:
    """Show one exception with its evidence, as JSON."""
    from gateway.cli.client import Site
    from gateway.cli.show import print_json

    print_json(Site(config, token_file).get(f"/v1/exceptions/{case}"))


@app.command("acknowledge")
def acknowledge_exception(
    case: IdArgument,
    *,
    reason: Annotated[str, typer.Option(help="Who looks after it, or how; kept in the audit.")],
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Say that somebody looks after it; the centre hears of it. Audited."""
    from gateway.cli.client import Site

    answer = Site(config, token_file).post(f"/v1/exceptions/{case}/acknowledge", {"reason": reason})
    print(f"{answer['code']} of {answer['owner']} is acknowledged")


@app.command("resolve")
def resolve_exception(
    case: IdArgument,
    *,
    resolution: Annotated[str, typer.Option(help="What was decided; the centre hears of it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Say what was decided: it is over, and nothing is on hold for it any more. Audited."""
    from gateway.cli.client import Site
    from gateway.cli.show import plain

    answer = Site(config, token_file).post(f"/v1/exceptions/{case}/resolve", {"resolution": resolution})
    print(f"{answer['code']} is resolved: {plain(answer['resolution'])}")
