"""`dockline status`: how the gateway is, from the daemon, or from the outbox when none runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.errors import EXIT_NOT_AS_HOPED
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, TokenOption

if TYPE_CHECKING:
    from buffer import OutboxReader
    from gateway.cli.client import Site


def status(
    *, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, token_file: TokenOption = None
) -> None:
    """Show devices, deliveries, storage and every trouble. Exit code 1 while there is an alarm or no daemon."""
    from gateway.cli.client import NoDaemon, Site

    site = Site(config, token_file)
    try:
        found = site.get("/v1/status")
    except NoDaemon as nobody:
        _status_offline(site, str(nobody), as_json=as_json)
        raise typer.Exit(EXIT_NOT_AS_HOPED) from None
    if as_json:
        from gateway.cli.show import print_json

        print_json(found)
    else:
        _print_status(found)
    if found["alarms"] or not found["ready"]:
        raise typer.Exit(EXIT_NOT_AS_HOPED)


def _status_offline(site: Site, why: str, *, as_json: bool) -> None:
    from gateway.cli.show import age, print_json, print_line, print_table

    reader = site.read()
    try:
        chain = reader.head_of_chain()
        books = [
            {
                "name": one.upstream,
                "lag_s": _lag_s(reader, one.seq),
                **asdict(census := reader.census(one.upstream)),
                "imbalance": census.imbalance,
            }
            for one in reader.upstreams()
        ]
    finally:
        reader.close()
    if as_json:
        print_json({"daemon": None, "why": why, "source": chain.source, "head_seq": chain.seq, "upstreams": books})
        return
    print_line(why, "red")
    print_line(f"The outbox in {site.storage} holds events up to sequence {chain.seq} of {chain.source}.")
    heads = ("upstream", "lag", *_BOOKS[1:])
    print_table(
        "Deliveries", heads, [(one["name"], age(one["lag_s"]), *(one[key] for key in _BOOKS[1:])) for one in books]
    )


def _lag_s(reader: OutboxReader, settled_through: int) -> float:
    """Return the age of the oldest event behind a position; 0 when there is none."""
    from buffer import EntryFilter
    from gateway.clock import wall_ms

    oldest = reader.entries(EntryFilter(seq_from=settled_through + 1, limit=1, newest_first=False))
    return round(max(0, wall_ms() - oldest[0].captured_at) / 1000, 1) if oldest else 0.0


ROWS_SHOWN = 25
"""Of a table; at a small site that is all of it."""
_BOOKS = ("name", "accepted", "delivered", "pending", "quarantined", "discarded", "skipped", "lost", "imbalance")


def _print_status(found: dict[str, Any]) -> None:
    from gateway.cli.show import ALIKE_SHOWN, age, counted, plain, print_line, print_table, size

    storage = found["storage"]
    state = "taking scans" if found["ready"] else f"NOT taking scans: {plain(found['not_ready_because'])}"
    print_line(f"{found['gateway']} at {found['site']}: {state}", "green" if found["ready"] else "bold red")
    autonomy = storage["autonomy_hours"]
    lasts = f", room for {_span(autonomy)} at today's rate" if autonomy is not None else ""
    room = f"{size(storage['bytes_used'])} of {size(storage['bytes_max'])}, {size(storage['disk_free'])} free{lasts}"
    print_line(f"up {age(found['uptime_s'])}, version {found['version']}, clock {found['clock']}")
    print_line(f"outbox: {counted(storage['entries'], 'event')}, {room}")
    _print_alarms(found["alarms"])
    _print_devices(found["devices"])
    print_table(
        "Deliveries",
        ("upstream", "health", "lag", *_BOOKS[1:]),
        [
            (one["name"], one["health"], age(one.get("lag_s")), *(one[key] for key in _BOOKS[1:]))
            for one in found["upstreams"]
        ],
    )
    _print_exceptions(found)
    _print_measures(found["measures"])
    _print_knocking(found)
    for notice in found["notices"]:
        print_line(f"note: {plain(notice)}", "yellow")
    if len(found["alarms"]) > ALIKE_SHOWN:
        # The first lines have left the screen by now.
        worst = found["alarms"][0]
        text = f"{len(found['alarms'])} alarms, listed above; the first: {worst['code']} {worst['subject']}"
        print_line(plain(text), "bold red")


def _print_alarms(alarms: list[dict[str, Any]]) -> None:
    """The gravest first; of many that are alike (a switch lost its power) the first, and the names of the others."""
    from gateway.cli.show import ALIKE_SHOWN, named, plain, print_line

    alike: dict[str, list[dict[str, Any]]] = {}
    for alarm in alarms:
        alike.setdefault(alarm["code"], []).append(alarm)
    for code, found in alike.items():
        for alarm in found[:ALIKE_SHOWN]:
            hint = f" ({alarm['hint']})" if alarm["hint"] else ""
            # An alarm may quote a centre: a line of its own would pass for one of ours.
            print_line(plain(f"ALARM {code} {alarm['subject']}: {alarm['message']}{hint}"), "bold red")
        if others := found[ALIKE_SHOWN:]:
            where = named(list(dict.fromkeys(one["subject"] for one in others)))
            print_line(f"ALARM {code}: {len(others)} more, of {where}", "bold red")


def _print_devices(devices: list[dict[str, Any]]) -> None:
    """All of them at a small site; at a large one those in trouble first, and the others by number."""
    from collections import Counter

    from gateway.cli.screen import rank
    from gateway.cli.show import age, most_first, print_line, print_table

    shown, others = most_first(devices, ROWS_SHOWN, lambda one: rank(one["state"]))
    rows = [
        (one["id"], one["station"], one["driver"], one["state"], age(one["last_reading_age_s"]), one["readings"])
        for one in shown
    ]
    print_table("Devices", ("device", "station", "driver", "state", "last reading", "readings"), rows)
    if others:
        states = Counter(one["state"] for one in others)
        said = ", ".join(f"{count} {state}" for state, count in sorted(states.items(), key=lambda one: rank(one[0])))
        print_line(f"and {len(others)} more ({said}): dockline devices list")


def _print_exceptions(found: dict[str, Any]) -> None:
    from gateway.cli.show import age, print_table

    checks = found["checks"]
    if checks["is_on"]:
        rows = [(one["code"], one["open"], one["overdue"], age(one["oldest_age_s"])) for one in checks["exceptions"]]
        print_table("Exceptions", ("code", "open", "overdue", "oldest"), rows)
        theirs = [
            (one["supplier"], one["code"], one["open"], one["overdue"], age(one["oldest_age_s"]))
            for one in checks["suppliers"]
        ]
        if theirs:
            heads = ("supplier", "code", "open", "overdue", "oldest")
            _print_first("Exceptions by supplier", heads, theirs, "supplier and code")


def _print_measures(measures: dict[str, Any]) -> None:
    """How the work goes; nothing before there was any."""
    from gateway.cli.show import age, clock, print_line

    said = []
    for name, key in (("dock to stock", "dock_to_stock"), ("pick cycle", "pick_cycle")):
        if measures[key]["count"]:
            said.append(f"{name} {age(measures[key]['mean_s'])} on average of {measures[key]['count']}")
    if said:
        print_line(f"Since {clock(measures['since_ms'])}: {'; '.join(said)}")
    scans = [(one["station"], one["last_hour"], one["this_hour"]) for one in measures["scans"]]
    if scans:
        scans.sort(key=lambda one: -one[2] - one[1])
        _print_first("Scans", ("station", "last hour", "this hour"), scans, "station")
    suppliers = [
        (one["supplier"], sum(one["opened"].values()), one["documents_closed"], one["per_document"] or "")
        for one in measures["suppliers"]
    ]
    if suppliers:
        suppliers.sort(key=lambda one: -one[1])
        _print_first("Suppliers", ("supplier", "exceptions", "documents closed", "a document"), suppliers, "supplier")
    columns = ("device", "readings", "unreadable", "last_group", "limit")
    read = [(*(one[name] for name in columns), _readability(one)) for one in measures["readability"]]
    if read:
        read.sort(key=lambda one: one[-1] != "degraded")
        heads = ("device", "readings", "unreadable", "of the last 50", "limit", "it is")
        _print_first("Readability", heads, read, "device")


def _readability(one: dict[str, Any]) -> str:
    if one["is_degraded"]:
        return "degraded"
    return "too few to say" if one["last_group"] is None else "well"


def _print_first(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], thing: str) -> None:
    """Print the first rows of a table, and how many there are beside them."""
    from gateway.cli.show import most_first, print_line, print_table

    shown, others = most_first(rows, ROWS_SHOWN, lambda _: 0)
    print_table(title, heads, shown)
    if others:
        print_line(f"and {len(others)} more rows, by {thing}: dockline status --json")


def _span(hours: float) -> str:
    """A forecast beyond a year is not worth a figure."""
    from gateway.cli.show import age

    return "over a year" if hours > 365 * 24 else age(hours * 3600)


def _print_knocking(found: dict[str, Any]) -> None:
    from gateway.cli.show import KNOCKING_SHOWN, clock, counted, plain, print_line

    for one in found["knocking"][:KNOCKING_SHOWN]:
        times = counted(one["readings"], "reading")
        print_line(f"KNOCKING {plain(one['device'])}: {times} refused, last {clock(one['last_ms'])}", "yellow")
        if one["admit"]:
            print_line("  these lines would admit it:\n    " + one["admit"].strip().replace("\n", "\n    "))
    more = len(found["knocking"]) - KNOCKING_SHOWN
    if more > 0:
        print_line(f"{counted(more, 'more device')} knocked before; `dockline status --json` lists them", "yellow")
