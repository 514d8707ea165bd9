"""The steps of one event: what is stored has its time, and what is not is said to be unknown."""

from __future__ import annotations

from typing import Any

import pytest

from buffer import Settlement
from gateway.journey import journey

NOON = 1_795_262_400_000


def event(**data: Any) -> dict[str, Any]:
    known = {
        "occurred_at": "2026-11-21T11:59:58.000Z",
        "captured_at": "2026-11-21T12:00:00.000Z",
        "clock": "synchronised",
        "device": {"id": "hh-1"},
    }
    return {"seq": 7, "event": {"data": known | data}}


def steps(found: dict[str, Any], *settlements: Settlement) -> list[tuple[str, str | None]]:
    return [(one.name, one.at) for one in journey(found, settlements)]


def test_a_scan_has_the_device_s_time_and_no_invented_ones() -> None:
    assert steps(event(), Settlement("centre", "accepted", NOON)) == [
        ("device time", "2026-11-21T11:59:58.000Z"),
        ("received", "2026-11-21T12:00:00.000Z"),
        ("committed", None),
        ("answered", None),
        ("accepted by centre", "2026-11-21T12:00:00.000Z"),
    ]
    assert all("not recorded" in one.note for one in journey(event(), []) if one.at is None)


def test_a_device_without_a_clock_states_no_time() -> None:
    found = event(occurred_at="2026-11-21T12:00:00.000Z")
    assert steps(found)[0] == ("device time", None)


def test_what_the_gateway_made_itself_was_answered_to_nobody() -> None:
    made = [("made", "2026-11-21T12:00:00.000Z"), ("committed", None)]
    assert steps(event(device=None)) == made
    about_a_device = event()
    about_a_device["event"]["type"] = "dockline.device.v1"
    assert steps(about_a_device) == made


def test_a_damaged_event_is_told_as_such() -> None:
    assert steps({"seq": 7, "id": "x", "damaged_base64": ""})[0] == ("received", None)


@pytest.mark.parametrize(
    ("settlement", "name", "note"),
    [
        (Settlement("wms", "pending", None), "pending for wms", "it has not taken it yet"),
        (Settlement("wms", "pending", NOON), "pending for wms", "it took it at this time, and is to have it again"),
        (Settlement("wms", "settled", None), "settled with wms", "when is not recorded"),
        (Settlement("wms", "open", NOON, "GTIN check digit"), "in quarantine for wms", "GTIN check digit"),
        (Settlement("wms", "discarded", NOON, "x"), "discarded for wms by a person", "by the audit"),
        (Settlement("wms", "delivered", NOON, "x"), "delivered to wms from quarantine", "by the audit"),
        (Settlement("wms", "retry", NOON, "x"), "to be sent again to wms", "x"),
    ],
)
def test_every_fate_is_told(settlement: Settlement, name: str, note: str) -> None:
    step = journey(event(), [settlement])[-1]
    assert (step.name, note in step.note) == (name, True)
