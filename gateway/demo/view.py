"""What a person sees of the demo: a live picture of the site, then the verdict."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.demo.day import Day, Verdict
from gateway.demo.scenario import Judgement
from simulators.ledger import Ledger
from simulators.parts import PartsCount

_BAD = {"CUT", "KILLED"}


def picture(day: Day) -> RenderableType:
    """Return the site as it stands now."""
    devices = Table.grid(padding=(0, 2))
    scans = day.site.device_scans()
    by_tag: dict[str, list[int]] = {}
    for scan in scans:
        made_and_heard = by_tag.setdefault(scan.token.tag, [0, 0])
        made_and_heard[0] += 1
        made_and_heard[1] += scan.acknowledged
    for tag, (made, heard) in sorted(by_tag.items()):
        devices.add_row(_device_name(tag), f"{made:>4} scanned", f"{heard:>4} acknowledged")
    parts = day.site.parts()
    devices.add_row("press-plc", f"{parts.counted:>4} parts", f"{parts.delivered:>4} at the centre")
    held = len(day.site.centre.ledger.by_id)
    state = Table.grid(padding=(0, 2))
    state.add_row("gateway", _state(day.gateway_state), "uplink", _state(day.uplink))
    state.add_row("centre", f"{held} events", "redelivered", str(day.site.centre.ledger.redeliveries))
    done = sum(scan.acknowledged for scan in scans)
    bar = ProgressBar(total=day.site.tokens_expected, completed=done, width=60)
    story = Text("\n".join(f"· {line}" for line in day.story))
    return Panel(Group(devices, Text(), state, Text(), bar, story), title="Dockline demo", expand=False)


def verdict_table(verdict: Verdict) -> Table:
    """Return the verdict of a day as a table of words and figures."""
    table = ledger_table(verdict.ledger, verdict.parts)
    table.add_row("kills, outage", f"{verdict.kills}, {verdict.outage_s:.0f} s", f"{verdict.answers_lost} answers lost")
    return table


def ledger_table(ledger: Ledger, parts: PartsCount) -> Table:
    """Return the fates of all scans and parts as a table of words and figures."""
    table = Table(title="Verdict: what the devices remember against what the centre received", show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)  # words and figures stay whole on a narrow terminal
    table.add_column(overflow="fold")
    table.add_row("injected", f"{ledger.injected}", "scans and tags, by the devices' own record")
    table.add_row("acknowledged", f"{ledger.acknowledged}", "heard a positive answer")
    table.add_row("delivered", f"{ledger.delivered}", "are at the centre")
    for name, what in (
        ("lost", "acknowledged and not at the centre"),
        ("duplicated", "one scan in two events"),
        ("invented", "at the centre, made by nobody"),
        ("corrupted", "damaged, or two scans run together"),
        ("conflicting", "one id with two contents"),
        ("reordered", "of one device, out of its order"),
        ("zombies", "refused to the device, yet delivered"),
        ("out_of_sequence", "holes or leaps in the gateway's sequence"),
    ):
        found = ledger.violations()[name]
        colour = "red" if found else "green"
        table.add_row(name.replace("_", " "), f"[{colour}]{len(found)}[/{colour}]", what)
    table.add_section()
    table.add_row(
        "repeats named", f"{len(ledger.repeats_named)}", "by scanners that cannot number, flagged in the event"
    )
    table.add_row("redeliveries", f"{ledger.redeliveries}", "of the same id: harmless, the centre dedupes by id")
    colour = "red" if parts.missing else "green"
    table.add_row(
        "PLC parts", f"[{colour}]{parts.delivered} of {parts.counted}[/{colour}]", "counted by the PLC itself"
    )
    return table


def claims_table(judgement: Judgement) -> Table:
    """Return the claims of a scenario: what should be, and what devices and centre show."""
    table = Table("", "claim", "what devices and centre show", title=judgement.title)
    for claim in judgement.claims:
        sign = "[green]holds[/green]" if claim.holds else "[red]differs[/red]"
        shown = Text(_short(claim.found))
        if not claim.holds:
            shown.append(f"\nshould be {_short(claim.expected)}", style="red")
        table.add_row(sign, Text(claim.what), shown)
    return table


def _short(value: object) -> str:
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} of them: {', '.join(str(one) for one in value[:2])}, ..."
    return str(value)


def conclusion(verdict: Verdict) -> str:
    """Return the last line: what the exit code means."""
    if verdict.holds:
        return "[bold green]The promises held.[/bold green]"
    broken = [name.replace("_", " ") for name, found in verdict.ledger.violations().items() if found]
    if verdict.parts.missing or not verdict.parts.counted:
        broken.append(f"{verdict.parts.missing} PLC parts missing")
    if verdict.gateway_exit:
        broken.append(f"the gateway ended with exit code {verdict.gateway_exit}")
    return f"[bold red]Broken: {', '.join(broken)}.[/bold red]"


def _device_name(tag: str) -> str:
    kind = {"s": "dock-{}-scanner", "h": "hh-{}", "r": "portal-{}"}[tag[0]]
    return kind.format(tag[1:])


def _state(text: str) -> str:
    return f"[bold red]{text}[/bold red]" if text in _BAD else f"[green]{text}[/green]"
