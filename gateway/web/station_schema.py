"""Schemas of what the API tells of stations and devices, for its description."""

from __future__ import annotations

from typing import Any, Final, get_args

from drivers.reading import Reading
from gateway.andon.board import DAY_COLUMNS, Shown, Tone

Schema = dict[str, Any]
_TEXT: Final[Schema] = {"type": "string"}
_MAYBE: Final[Schema] = {"type": ["string", "null"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_NUMBERS: Final[Schema] = {"type": "array", "items": {"type": "integer"}}


def station_schemas() -> dict[str, Schema]:
    """Return them by name."""
    remark = _all(code=_TEXT, message=_TEXT)
    special: Schema = {
        "number": _COUNT, "at_ms": _COUNT, "length": _COUNT, "redelivered": _FLAG, "keyed": _FLAG,
        "tone": {"enum": list(get_args(Tone))},
        "events": _list(_TEXT), "exceptions": _list(remark), "device": _TEXT, "kind": _TEXT, "code": _TEXT,
        "result": _TEXT,
    }  # fmt: skip
    shown = _all(**{name: special.get(name, _MAYBE) for name in _example().as_json()})
    hour = _all(good=_COUNT, attention=_COUNT, error=_COUNT, minutes=_NUMBERS)
    tally: Schema = {
        "type": ["object", "null"],
        "description": "Null without a document in work; without figures where counting is blind.",
        "properties": {"document": _TEXT, "activity": _TEXT, "observed": _MAYBE, "expected": _MAYBE, "unit": _MAYBE,
                       "exceptions": _COUNT, "lines": _COUNT, "version": _TEXT, "is_blind": _FLAG},
    }  # fmt: skip
    station: Schema = {
        "id": _TEXT, "activity": _MAYBE, "read_point": _MAYBE, "devices": _list(_TEXT),
        "last": {"anyOf": [_component("ShownScan"), {"type": "null"}]}, "hour": hour,
        "session": {"type": ["object", "null"], "description": "The context of whoever scanned last."}, "tally": tally,
    }  # fmt: skip
    column: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
    status = _component("DeviceStatus")
    return {
        "ShownScan": shown,
        "Station": _all(**station),
        "StationShown": _all(**station, recent=_list(_component("ShownScan")), now_ms=_COUNT),
        "History": _all(since_ms=_COUNT, first_ms=_COUNT, minutes=_COUNT,
                        series=_all(**dict.fromkeys(DAY_COLUMNS, column))),
        "Devices": _all(devices=_list(status), links=_list(_component("LinkStatus")),
                        knocking=_list(_component("Knock")), knocking_unlisted=_COUNT, stations=_list(_TEXT),
                        config=_TEXT, apply=_TEXT),
        "DeviceLines": _all(id=_TEXT, entry=_TEXT, station=_TEXT, driver=_TEXT, profile=_MAYBE, url=_MAYBE,
                            lines=_TEXT, free_ports=_list(_TEXT), config=_TEXT, apply=_TEXT),
    }  # fmt: skip


def _example() -> Shown:
    return Shown(1, 0, None, "stored", "good", Reading("s-1", "scan", b""), None, 0)


def _all(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _component(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
