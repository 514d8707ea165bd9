"""`dockline events`: what is in the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.completion import say_unknown
from gateway.cli.errors import Failure
from gateway.cli.export import export_events
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    StationOption,
    TokenOption,
    TypeOption,
    check_type,
)

if TYPE_CHECKING:
    from gateway.cli.client import Site

app = typer.Typer()
app.command("export")(export_events)
WHAT_CHARACTERS_MAX = 100


@app.command("list")
def list_events(
    *,
    event_type: TypeOption = None,
    station: StationOption = None,
    device: DeviceOption = None,
    limit: LimitOption = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """List events, newest first."""
    from gateway.cli.client import NoDaemon, Site
    from gateway.cli.show import print_json, print_table

    check_type(event_type)
    site = Site(config, token_file)
    try:
        found = _events_online(site, limit, type=event_type, station=station, device=device)
    except NoDaemon:
        found = _events_offline(site, event_type, station, device, limit)
    if as_json:
        print_json(found)
        return
    print_table("Events", _HEADS, [_row(one) for one in found])
    if not found:
        say_unknown(config, station=station, device=device)


def _events_online(site: Site, limit: int, **wanted: str | None) -> list[Any]:
    """Return what the daemon lists: large events come in several answers."""
    found: list[Any] = []
    before: int | None = None
    while True:
        told = site.get("/v1/events", limit=limit - len(found), before=before, **wanted)
        found += told["events"]
        before = told["next_before"]
        if before is None or len(found) >= limit:
            return found


def _events_offline(site: Site, kind: str | None, station: str | None, device: str | None, limit: int) -> list[Any]:
    from buffer import EntryFilter
    from gateway.event_json import as_event

    if kind is not None and "." not in kind:
        kind = f"dockline.{kind}.v1"
    reader = site.read()
    try:
        return [as_event(one) for one in reader.entries(EntryFilter(kind, station, device, limit=limit))]
    finally:
        reader.close()


@app.command("show")
def show_event(
    event: Annotated[str, typer.Argument(help="Event id, or its sequence.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Show one event, and each step of it with its time: device, gateway, commit, answer, each upstream.

    What is not stored is said to be unknown.
    """
    import json

    from gateway.cli.client import Site
    from gateway.cli.show import plain, print_json, print_line, print_table

    found = _journey(Site(config, token_file), event)
    if as_json:
        print_json(found)
        return
    what = " ".join(str(cell) for cell in _row(found)[2:] if cell)
    print_line(f"Sequence {found['seq']}: {plain(what)}", "bold")
    print_table("Steps", ("step", "when", "what is known"), [tuple(one.values()) for one in found["steps"]])
    print(json.dumps(found.get("event", found), indent=2))


def _journey(site: Site, event: str) -> dict[str, Any]:
    """Return an event as stored with its steps, from the daemon or the file. Raises Failure."""
    from urllib.parse import quote

    from gateway.cli.client import NoDaemon
    from gateway.event_json import as_event
    from gateway.journey import as_json, journey

    try:
        return site.get(f"/v1/events/{quote(event, safe='')}/steps")
    except NoDaemon:
        reader = site.read()
    try:
        entry = reader.entry(int(event) if event.isascii() and event.isdigit() and len(event) < 19 else event)
        if entry is None:
            raise Failure("There is no such event here.", hint="it may be past its retention; dockline events list")
        found = as_event(entry)
        return {**found, "steps": as_json(journey(found, reader.settlements(entry.seq)))}
    finally:
        reader.close()


@app.command("tail")
def tail_events(
    *,
    after: Annotated[int | None, typer.Option(min=0, help="Begin after this sequence; else with the next.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    within: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    event_type: TypeOption = None,
    station: StationOption = None,
    device: DeviceOption = None,
    document: Annotated[str | None, typer.Option(help="Only about this document.")] = None,
    code: Annotated[str | None, typer.Option(help="Only about this GTIN, SSCC, item number or scanned text.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
) -> None:
    """Print events as they are committed, until interrupted."""
    import json
    import sys

    from gateway.cli.client import Site
    from gateway.cli.show import plain

    check_type(event_type)
    wanted = {"type": event_type, "station": station, "device": device, "document": document, "code": code}
    site = Site(config, token_file)
    if sys.stderr.isatty() and after is None:
        print("Waiting for the next event; Ctrl-C ends.", file=sys.stderr)
    for seen, found in enumerate(site.follow("/v1/events/tail", within_s=within, after=after, **wanted), 1):
        line = json.dumps(found) if as_json else "  ".join(plain(cell) for cell in _row(found))
        print(line, flush=True)
        if count is not None and seen >= count:
            return


_HEADS = ("seq", "captured", "type", "station", "device", "what")


def _row(found: dict[str, Any]) -> tuple[object, ...]:
    event = found.get("event")
    if event is None:
        return (found["seq"], "-", "damaged", "-", "-", found.get("id"))
    data = event.get("data", {})
    kind = str(event.get("type", "")).removeprefix("dockline.").removesuffix(".v1")
    device = data.get("device") or {}
    # With a space where it may be folded.
    captured = str(data.get("captured_at") or "-").replace("T", " ")
    return (found["seq"], captured, kind, event.get("subject"), device.get("id"), what_of(data))


def what_of(data: dict[str, Any]) -> str:
    """Return what an event is about, in a few words."""
    item = data.get("item") or {}
    for key in ("sscc", "gtin", "sku", "epc", "code"):
        if item.get(key):
            quantity = (data.get("quantity") or {}).get("value")
            code = _short(str(item[key]))
            return f"{code} x {quantity}" if quantity else code
    measurement = data.get("measurement") or {}
    if measurement:
        return f"{measurement.get('name')} {measurement.get('value')}"
    state, reason = data.get("state"), data.get("reason")
    return _short(" ".join(str(part) for part in (state, reason) if part))


def _short(text: str) -> str:
    """Return the beginning of a text; `events show` has all of it."""
    return text if len(text) <= WHAT_CHARACTERS_MAX else text[:WHAT_CHARACTERS_MAX] + "..."
