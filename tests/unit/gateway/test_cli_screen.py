"""The screen of `dockline top`: it fits, what is ill stands first, and nothing from outside moves the cursor."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.screen import Rates, absence, screen


def status(devices: int = 3, **change: Any) -> dict[str, Any]:
    made = [
        {
            "id": f"dock-{number}-scanner",
            "station": f"dock-{number}",
            "state": "up",
            "last_reading_age_s": float(number),
            "readings": 1,
        }
        for number in range(devices)
    ]
    return {
        "gateway": "dock-pc-1",
        "site": "dc07",
        "ready": True,
        "not_ready_because": None,
        "uptime_s": 60.0,
        "clock": "synchronised",
        "version": "1.0",
        "storage": {
            "bytes_used": 100,
            "bytes_max": 1000,
            "entries": 5,
            "head_seq": 50,
            "autonomy_hours": 41.0,
            "level": "calm",
        },
        "upstreams": [
            {
                "name": "centre",
                "health": "delivering",
                "pending": 7,
                "delivered": 40,
                "quarantined": 0,
                "last_answer_age_s": 1.0,
                "lag_s": 0.0,
            }
        ],
        "devices": made,
        "links": [{"device": one["id"], "last_byte_age_s": 0.5, "last_error": None} for one in made],
        "measures": {"scans": [{"station": "dock-1", "last_hour": 120, "this_hour": 12}]},
        "checks": {
            "is_on": True,
            "exceptions": [{"code": "short_pick", "open": 2, "overdue": 1, "oldest_age_s": 4000.0}],
        },
        "alarms": [],
        **change,
    }


def shown(found: dict[str, Any], rates: Rates | None = None, *, columns: int = 80, lines: int | None = 24) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=columns, force_terminal=False).print(screen(found, rates or Rates(), lines=lines))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("lines", [16, 24, 50])
@pytest.mark.parametrize("devices", [1, 30])
def test_it_fits_and_what_is_ill_stands_first(devices: int, lines: int) -> None:
    found = status(devices)
    found["devices"][-1]["state"] = "down"
    found["links"][-1]["last_error"] = "/dev/serial/by-id/usb-Zebra_DS3608-if00 is not there, and a long reason " * 3
    text = shown(found, lines=lines)
    assert len(text) <= lines
    assert max(len(line) for line in text) <= 80
    rows = [line for line in text if line.startswith("dock-") and "-scanner" in line]
    assert rows[0].startswith(f"dock-{devices - 1}-scanner  down")
    if devices == 30 and lines == 24:
        assert any(line.startswith("+ ") and line.rstrip().endswith("devices") for line in text)


def test_everything_is_on_it() -> None:
    text = "\n".join(shown(status()))
    for word in ("queue 7", "room for 41 h", "centre", "delivering", "dock-1", "120", "short_pick", "taking scans"):
        assert word in text


def test_rates_are_what_changed_since_the_last_look() -> None:
    rates = Rates()
    rates.note(status(), 10.0)
    assert rates.events_per_s is None
    after = status()
    after["storage"]["head_seq"], after["upstreams"][0]["delivered"] = 70, 45
    rates.note(after, 12.0)
    assert (rates.events_per_s, rates.delivered_per_s) == (10.0, {"centre": 2.5})
    assert "queue 7, 10.0/s" in "\n".join(shown(after, rates))


def test_what_a_device_or_a_centre_says_moves_no_cursor() -> None:
    evil = "\x1b[2J\x1b[31mgone"
    found = status(1, alarms=[{"code": "x", "subject": evil, "message": evil}], not_ready_because=evil, ready=False)
    found["links"][0]["last_error"], found["devices"][0]["state"] = evil, "down"
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=False)
    console.print(screen(found, Rates(), lines=None))
    console.print(absence(evil))
    assert "\x1b" not in out.getvalue()
    assert "gone" in out.getvalue()
