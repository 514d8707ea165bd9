"""What `dockline top` shows, made of one status and what changed since the one before: no terminal, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gateway.cli.show import age, counted, plain, size

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = dict[str, Any]
BAD = ("down", "faulty", "no-storage", "stopped", "on_hold", "unavailable")
ODD = ("degraded", "silent", "opening", "starting")
FIXED_LINES = 8
"""Head, room, headings and the foot."""


@dataclass(slots=True)
class Rates:
    """How fast things go, from one look to the next."""

    events_per_s: float | None = None
    delivered_per_s: dict[str, float] = field(default_factory=dict)
    _before: tuple[float, int, dict[str, int]] | None = None

    def note(self, status: Json, now: float) -> None:
        """Take a look at `now`, in seconds of a clock that never goes back."""
        head = status["storage"]["head_seq"]
        delivered = {one["name"]: one["delivered"] for one in status["upstreams"]}
        if self._before is not None and (span := now - self._before[0]) > 0:
            _, old_head, old = self._before
            self.events_per_s = max(0, head - old_head) / span
            self.delivered_per_s = {
                name: max(0, count - old.get(name, count)) / span for name, count in delivered.items()
            }
        self._before = (now, head, delivered)


def screen(status: Json, rates: Rates, *, lines: int | None) -> RenderableType:
    """Return the screen; with `lines` the lists are cut to that height, what is ill first."""
    room = None if lines is None else max(4, lines - FIXED_LINES - len(status["alarms"][:4]))
    parts: list[RenderableType] = [_head(status), _storage(status, rates)]
    parts += [
        Text(
            plain(f"ALARM {one['code']} {one['subject']}: {one['message']}"),
            "bold red",
            no_wrap=True,
            overflow="ellipsis",
        )
        for one in status["alarms"][:4]
    ]
    if len(status["alarms"]) > 4:
        parts.append(Text(f"and {counted(len(status['alarms']) - 4, 'more alarm')}: dockline status", "red"))
    upstreams = _upstreams(status, rates)
    exceptions = _exceptions(status)
    left = None if room is None else max(2, room - len(status["upstreams"]) - 1 - exceptions.row_count)
    stations = _stations(status, None if left is None else max(1, left // 3))
    devices = _devices(status, None if left is None else max(1, left - stations.row_count))
    parts += [Text(), upstreams, stations, devices]
    if exceptions.row_count:
        parts.append(exceptions)
    return Group(*parts)


def absence(why: str) -> RenderableType:
    """Return the screen while nobody answers."""
    return Group(Text(plain(why), "bold red"), Text("Asking again; q ends."))


def _head(status: Json) -> Text:
    state = "taking scans" if status["ready"] else f"NOT taking scans: {status['not_ready_because']}"
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{status['gateway']} at {status['site']}: ", "bold")
    text.append(plain(state), "green" if status["ready"] else "bold red")
    text.append(f"  up {age(status['uptime_s'])}  clock {status['clock']}  {status['version']}")
    return text


def _storage(status: Json, rates: Rates) -> Text:
    storage = status["storage"]
    share = storage["bytes_used"] / storage["bytes_max"] if storage["bytes_max"] else 0
    waiting = max((one["pending"] for one in status["upstreams"]), default=0)
    rate = f", {rates.events_per_s:.1f}/s" if rates.events_per_s is not None else ""
    hours = storage["autonomy_hours"]
    lasts = f", room for {age(min(hours, 8760.0) * 3600)}" if hours is not None else ""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(
        f"queue {waiting}{rate}  outbox {storage['entries']} events, {size(storage['bytes_used'])} ({share:.0%}){lasts}"
    )
    if storage["level"] != "calm":
        text.stylize("yellow")
    return text


def _upstreams(status: Json, rates: Rates) -> Table:
    table = _table("upstream", "health", "queue", "lag", "delivered", "per s", "quarantined", "last answer")
    for one in status["upstreams"]:
        rate = rates.delivered_per_s.get(one["name"])
        table.add_row(
            plain(one["name"]), _state(one["health"]), str(one["pending"]), age(one.get("lag_s")),
            str(one["delivered"]), "-" if rate is None else f"{rate:.1f}",
            str(one["quarantined"]), age(one["last_answer_age_s"]),
        )  # fmt: skip
    return table


def _stations(status: Json, rows_max: int | None) -> Table:
    """A station is as well as its worst device."""
    by_station: dict[str, list[Json]] = {}
    for one in status["devices"]:
        by_station.setdefault(one["station"], []).append(one)
    hours = {one["station"]: one for one in status["measures"]["scans"]}
    table = _table("station", "state", "devices", "last reading", "last hour", "this hour")
    rows = []
    for name, devices in by_station.items():
        ages = [one["last_reading_age_s"] for one in devices if one["last_reading_age_s"] is not None]
        worst = min((one["state"] for one in devices), key=rank)
        hour = hours.get(name, {})
        count = sum(one["state"] != "admits" for one in devices)
        rows.append((rank(worst), (
            plain(name), _state(worst), str(count), age(min(ages, default=None)),
            str(hour.get("last_hour", 0)), str(hour.get("this_hour", 0)),
        )))  # fmt: skip
    return _filled(table, rows, rows_max, "station")


def _devices(status: Json, rows_max: int | None) -> Table:
    links = {one["device"]: one for one in status["links"]}
    table = _table("device", "state", "last byte", "last reading", "readings", "")
    # The reason takes what is left of the line; the others are kept whole.
    table.expand, table.columns[-1].ratio = True, 1
    rows = []
    for one in status["devices"]:
        link = links.get(one["id"], {})
        why = link.get("last_error") if one["state"] not in {"up", "heard"} else None
        rows.append((rank(one["state"]), (
            plain(one["id"]), _state(one["state"]), age(link.get("last_byte_age_s")), age(one["last_reading_age_s"]),
            str(one["readings"]), Text(plain(why or ""), no_wrap=True, overflow="ellipsis"),
        )))  # fmt: skip
    return _filled(table, rows, rows_max, "device")


def _exceptions(status: Json) -> Table:
    table = _table("exception", "open", "overdue", "oldest")
    if status["checks"]["is_on"]:
        for one in status["checks"]["exceptions"]:
            overdue = Text(str(one["overdue"]), "red" if one["overdue"] else "")
            table.add_row(plain(one["code"]), str(one["open"]), overdue, age(one["oldest_age_s"]))
    return table


def _filled(table: Table, rows: Sequence[tuple[int, Sequence[str | Text]]], rows_max: int | None, thing: str) -> Table:
    """Add rows, the worst first; what does not fit is counted."""
    ordered = [row for _, row in sorted(rows, key=lambda one: one[0])]
    shown = ordered if rows_max is None or len(ordered) <= rows_max else ordered[: max(1, rows_max - 1)]
    for row in shown:
        table.add_row(*row)
    if len(shown) < len(ordered):
        table.add_row(f"+ {counted(len(ordered) - len(shown), thing)}")
    return table


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=True, overflow="ellipsis")
    return table


def _state(state: str) -> Text:
    return Text(plain(state), ("red", "yellow", "green", "")[rank(state)])


def rank(state: str) -> int:
    """Return how a state is: 0 ill, 1 odd, 2 well, 3 nothing to say."""
    if state in BAD:
        return 0
    if state in ODD:
        return 1
    return 3 if state in {"disabled", "not heard", "admits"} else 2
