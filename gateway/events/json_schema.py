"""JSON Schema of the events, generated from the models.

One file an event for its `data`, with the URN of `dataschema` as `$id`; `event.json` for the envelope, which ties each
type to its data; `gap.json` for the record that announces a hole; and `delivered.json` for any member of a batch. The
files are part of the product and are checked against the models by a test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from gateway.events.catalogue import DATA
from gateway.events.gap import GapRecord
from gateway.events.model import CloudEvent, event_type, schema_urn

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE: Final = "event"
GAP: Final = "gap"
DELIVERED: Final = "delivered"
FOLDER: Final = Path(__file__).parent / "schema"
"""Where the published files lie, and are installed to."""


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its file name without suffix."""
    generated = {name: _data_schema(name) for name in DATA}
    generated[ENVELOPE] = _envelope_schema()
    generated[GAP] = {"$schema": DIALECT, "$id": schema_urn(GAP), **_published(GapRecord.model_json_schema())}
    generated[DELIVERED] = _delivered_schema()
    return generated


def write_schemas(folder: Path) -> None:
    """Write `<event>.json` for every event and `event.json` for the envelope; raise OSError."""
    for name, schema in schemas().items():
        (folder / f"{name}.json").write_text(schema_text(schema), encoding="utf-8")


def schema_text(schema: dict[str, Any]) -> str:
    """Return the text a schema file holds."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _data_schema(name: str) -> dict[str, Any]:
    schema = _published(DATA[name].model_json_schema(mode="validation"))
    return {"$schema": DIALECT, "$id": schema_urn(name), **schema}


def _envelope_schema() -> dict[str, Any]:
    schema = _published(CloudEvent.model_json_schema(mode="validation"))
    schema.pop("$defs", None)
    schema["properties"]["type"] = {"enum": [event_type(name) for name in DATA]}
    schema["properties"]["data"] = {"type": "object"}
    schema["allOf"] = [
        {
            "if": {"properties": {"type": {"const": event_type(name)}}},
            "then": {
                "properties": {"dataschema": {"const": schema_urn(name)}, "data": {"$ref": schema_urn(name)}},
            },
        }
        for name in DATA
    ]
    return {"$schema": DIALECT, "$id": schema_urn(ENVELOPE), **schema}


def _delivered_schema() -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "$id": schema_urn(DELIVERED),
        "title": "Delivered",
        "description": "Any member of a batch: an event with its sequence, or the record of a gap.",
        "required": ["sequence", "type"],
        "if": {"properties": {"type": {"const": event_type(GAP)}}},
        "then": {"$ref": schema_urn(GAP)},
        "else": {"$ref": schema_urn(ENVELOPE)},
    }


def _published(node: Any) -> Any:
    """Open the content for later versions; say "absent" where the models say "or null": events hold no null."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if key != "additionalProperties"}
    options = node.get("anyOf")
    if options is not None and {"type": "null"} in options:
        kept = [option for option in options if option != {"type": "null"}]
        node.pop("anyOf")
        node.pop("default", None)
        node = {**(kept[0] if len(kept) == 1 else {"anyOf": kept}), **node}
    return {
        key: {name: _published(item) for name, item in value.items() if item.get("type") != "null"}
        if key == "properties"
        else _published(value)
        for key, value in node.items()
    }
