"""`dockline audit`: the proof that the journal is what was committed, and what people and the outbox itself did."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.errors import EXIT_NOT_AS_HOPED, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LimitOption, TokenOption

if TYPE_CHECKING:
    from buffer import ChainHead

app = typer.Typer()

HeadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--head", metavar="HEAD", help='A head kept elsewhere, "SOURCE:SEQUENCE:HASH" as in the header Dockline-Chain.'
    ),
]


@app.command("verify")
def verify_journal(
    *,
    head: HeadOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Prove the journal from the file itself: every event, its order, every audit record. Exit code 1: it is broken.

    Reads the outbox directly, beside a running daemon too. Without a head kept elsewhere a tail that was cut off
    cleanly cannot be noticed.
    """
    from gateway.cli.client import Site
    from gateway.cli.show import plain, print_json, print_line

    heads = [head_of(text) for text in head or []]
    reader = Site(config).read()
    try:
        found = _verified(reader, heads, quiet=as_json)
    finally:
        reader.close()
    if as_json:
        print_json({**asdict(found), "whole": found.is_whole})
    else:
        print_line(
            f"{found.entries} events and {found.audited} audit records checked, {found.anchored} removed by retention,"
            f" {found.lost} lost and announced"
        )
        print_line(f"head {found.head.source}:{found.head.seq}:{found.head.chain_hex}")
        for note in found.notes:
            print_line(f"note: {plain(note)}", "yellow")
        for number, problem in enumerate(found.problems):
            print_line(f"{'BROKEN' if number == 0 else 'then'}: {plain(problem)}", "bold red")
        if found.is_whole:
            print_line("the journal is whole", "green")
    if not found.is_whole:
        raise typer.Exit(EXIT_NOT_AS_HOPED)


def _verified(reader: Any, heads: list[ChainHead], *, quiet: bool) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    from buffer import OutboxError

    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task("verifying", total=None)
        try:
            return reader.verify(lambda seq, last: progress.update(bar, completed=seq, total=last), heads)
        except OutboxError as error:
            raise Failure(f"The journal cannot be read: {error}", hint=error.hint) from None


def head_of(text: str) -> ChainHead:
    """Return the head that a text names. Raises Failure."""
    from buffer import ChainHead

    source, _, rest = text.strip().strip('"').rpartition(":")[0].rpartition(":")
    chain = text.strip().strip('"').rpartition(":")[2].lower()
    is_hash = len(chain) == 32 and not set(chain) - set("0123456789abcdef")
    if not source or not rest.isascii() or not rest.isdigit() or not is_hash:
        raise Failure(f'"{text}" is no head', hint="SOURCE:SEQUENCE:HASH, as in Dockline-Chain", code=EXIT_USAGE)
    return ChainHead(source, int(rest), chain)


@app.command("list")
def list_records(
    *,
    after: Annotated[
        int | None, typer.Option(min=0, help="The first records behind this number; without it the newest.")
    ] = None,
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List what people and the outbox itself did, oldest first."""
    from gateway.cli.client import Site
    from gateway.cli.show import clock, counted, print_json, print_rest, print_table

    reader = Site(config).read()
    try:
        records = reader.audit_list(after=after, limit=limit + 1)
    finally:
        reader.close()
    more = None
    if len(records) > limit:
        records = records[1:] if after is None else records[:-1]
        go_on = (
            " before them: --after 0 begins with the first"
            if after is None
            else f": --after {records[-1].number} goes on"
        )
        more = f"{counted(limit, 'record')} shown, and there are more{go_on}"
    if as_json:
        print_json([{**asdict(one), "chain": one.chain.hex()} for one in records])
        print_rest(more)
        return
    rows = [(one.number, clock(one.at), one.actor, one.action, one.upstream, one.seq, one.detail) for one in records]
    print_table("Audit", ("number", "at", "actor", "action", "upstream", "seq", "detail"), rows)
    print_rest(more)


@app.command("acknowledge")
def acknowledge_incident(
    incident: Annotated[int, typer.Argument(help="Number of the incident, as `dockline status` shows it.")],
    *,
    reason: Annotated[str, typer.Option(help="What was done about it; kept in the audit.")],
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Say that you know of damage that was salvaged: the alarm ends, the record stays."""
    from gateway.cli.client import Site

    Site(config, token_file).post(f"/v1/incidents/{incident}/acknowledge", {"reason": reason})
    print(f"incident {incident} acknowledged")
