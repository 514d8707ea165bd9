"""`dockline quarantine`: events an upstream would not take, and what a person decides about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway.cli.completion import complete_upstream, say_unknown
from gateway.cli.errors import EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LimitOption, TokenOption

app = typer.Typer()

UpstreamArgument = Annotated[str, typer.Argument(help="Name of the upstream.", autocompletion=complete_upstream)]
SeqsArgument = Annotated[list[int] | None, typer.Argument(min=1, help="Sequences, as listed.")]
RejectedOption = Annotated[
    str | None, typer.Option("--rejected-for", help="Instead of sequences: all that wait with this in their reason.")
]
SEQS_MAX = 1000
"""In one request."""
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the audit.")]


@app.command("list")
def list_quarantine(
    *,
    upstream: Annotated[
        str | None, typer.Option(help="Only of this upstream.", autocompletion=complete_upstream)
    ] = None,
    state: Annotated[str | None, typer.Option(help="open, retry, delivered or discarded.")] = "open",
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """List what waits for a decision."""
    from typing import cast, get_args

    from buffer import QuarantineState
    from gateway.cli.client import NoDaemon, Site
    from gateway.cli.show import clock, print_json, print_rest, print_table

    if state is not None and state not in get_args(QuarantineState):
        raise Failure(f'"{state}" is no state', hint=f"one of {', '.join(get_args(QuarantineState))}", code=EXIT_USAGE)
    site = Site(config, token_file)
    try:
        answer = site.get("/v1/quarantine", upstream=upstream, state=state, limit=limit)
        found, total, reasons = answer["quarantine"], answer["total"], answer["reasons"]
    except NoDaemon:
        reader = site.read()
        try:
            wanted = cast("QuarantineState | None", state)
            found = [asdict(one) for one in reader.quarantine_list(upstream, state=wanted, limit=limit)]
            total, whys = reader.quarantine_reasons(upstream, state=wanted)
            reasons = [asdict(one) for one in whys]
        finally:
            reader.close()
    rest = f"{len(found)} of {total} events; --rejected-for REASON has all of one reason retried or discarded"
    if as_json:
        print_json(found)
        print_rest(rest if total > len(found) else None)
        return
    rows = [
        (
            one["upstream"],
            one["seq"],
            one["state"],
            clock(one["since"]),
            one["type"].removeprefix("dockline.").removesuffix(".v1"),
            one["device"],
            one["owner"],
            one["reason"],
        )
        for one in found
    ]
    if not found:
        say_unknown(config, upstream=upstream)
    print_table("Quarantine", ("upstream", "seq", "state", "since", "type", "device", "owner", "reason"), rows)
    if total > len(found):
        whys_shown = [(one["upstream"], one["count"], one["reason"]) for one in reasons]
        print_table("Why, all of them", ("upstream", "events", "reason"), whys_shown)
        print_rest(rest)


@app.command("show")
def show_quarantine(
    upstream: UpstreamArgument,
    seq: Annotated[int, typer.Argument(help="Sequence, as listed.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Show one event in quarantine with its history, as JSON."""
    from gateway.cli.client import NoDaemon, Site
    from gateway.cli.show import print_json

    site = Site(config, token_file)
    try:
        print_json(site.get(f"/v1/quarantine/{upstream}/{seq}"))
    except NoDaemon:
        print_json(_show_offline(site, upstream, seq))


def _show_offline(site: Any, upstream: str, seq: int) -> dict[str, Any]:
    from gateway.event_json import as_event

    reader = site.read()
    try:
        case = reader.quarantine_show(upstream, seq)
    finally:
        reader.close()
    if case is None:
        raise Failure("This event is not in quarantine for that upstream.", hint="dockline quarantine list")
    history = [{**asdict(record), "chain": record.chain.hex()} for record in case.history]
    entry = as_event(case.entry) if case.entry is not None else None
    return {**asdict(case.quarantined), "event": entry, "history": history}


@app.command("retry")
def retry_quarantine(
    upstream: UpstreamArgument,
    seqs: SeqsArgument = None,
    *,
    rejected_for: RejectedOption = None,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Have events sent again, as they are and under their own sequence: one, many, or all of a reason."""
    from gateway.cli.client import Site

    site = Site(config, token_file)
    count = 0
    for part in _chosen(site, upstream, seqs, rejected_for):
        count += len(site.post(f"/v1/quarantine/{upstream}/retry", {"seqs": part, "reason": reason})["retried"])
    print(f"{count} will be sent again")


@app.command("discard")
def discard_quarantine(
    upstream: UpstreamArgument,
    seqs: SeqsArgument = None,
    *,
    rejected_for: RejectedOption = None,
    reason: ReasonOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    token_file: TokenOption = None,
) -> None:
    """Decide that the upstream never gets these events. Cannot be undone; audited."""
    from gateway.cli.client import Site

    site = Site(config, token_file)
    parts = _chosen(site, upstream, seqs, rejected_for)
    chosen = sum(len(part) for part in parts)
    if not yes:
        typed = typer.prompt(f"{upstream} will never get these events. Type how many they are", type=int)
        if typed != chosen:
            raise Failure(f"They are {chosen}; nothing was discarded.")
    count = 0
    for part in parts:
        count += len(site.post(f"/v1/quarantine/{upstream}/discard", {"seqs": part, "reason": reason})["discarded"])
    print(f"{count} discarded")


def _chosen(site: Any, upstream: str, seqs: list[int] | None, rejected_for: str | None) -> list[list[int]]:
    """Return the sequences that were named, or those that wait with a reason, in parts. Raises Failure."""
    if bool(seqs) == (rejected_for is not None):
        raise Failure("Name sequences, or a reason with --rejected-for.", code=EXIT_USAGE)
    chosen = sorted(set(seqs or ()))
    if rejected_for is not None:
        asked = {"upstream": upstream, "state": "open", "reason": rejected_for, "limit": SEQS_MAX}
        while found := site.get("/v1/quarantine", **asked, after=chosen[-1] if chosen else 0)["quarantine"]:
            chosen += [one["seq"] for one in found]
        if not chosen:
            raise Failure(f'Nothing waits for {upstream} with "{rejected_for}" in its reason.')
    return [chosen[at : at + SEQS_MAX] for at in range(0, len(chosen), SEQS_MAX)]
