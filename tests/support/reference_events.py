"""docs/events.md: every event a gateway delivers, with an example that fits its schema and every member it may have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.events.catalogue import DATA
from gateway.events.gap import GapRecord
from gateway.events.json_schema import schemas
from gateway.events.model import event_type, schema_urn

HEAD = """\
# Events

What the centre receives: every type, an example of each, and every member it may have. This page is made from the
models that the events are held to (`make docs`); nobody writes in it. The JSON Schemas lie in `gateway/events/schema/`
and are printed by `dockline schema`; how events are delivered, and what a consumer may rely on, stands in
[delivery.md](delivery.md).

Version 1 grows by optional members only: ignore what you do not know. A member that does not apply is left out; none is
null. Quantities are decimal strings, because a binary fraction cannot hold 0.1. Order is `sequence`, never a time.
"""
ENVELOPE = """
## The envelope

Every event is a CloudEvents 1.0 object. Only `data` differs by type.

"""
SOURCE = "//dc07/dock-pc-1/0b6f2c91"
AT = "2026-11-21T08:00:00.120Z"
ID = "019aa5b0-1c00-7abc-8def-0123456789ab"
OTHER_ID = "019aa5af-9e10-7123-9abc-0123456789ab"
DIGEST = "9f1c2ab37705d1e04c88f2b1a6633e10"
BASE: dict[str, Any] = {"site": "dc07", "station": "dock-3"}
WHEN: dict[str, Any] = {"occurred_at": AT, "captured_at": AT, "clock": "synchronised"}
SCANNER: dict[str, Any] = {"device": {"id": "dock-3-scanner", "profile": "zebra-ds3608"}}
HANDHELD: dict[str, Any] = {"device": {"id": "hh-7", "message_id": "hh-7-3fa9c2d1-000123"}}
SEEN: dict[str, Any] = {"evidence": {"raw": "0109521234543213", "symbology": "]C1"}}
ITEM: dict[str, Any] = {"item": {"gtin": "09521234543213"}, "quantity": {"value": "1", "unit": "EA"}}
RULE: dict[str, Any] = {"id": "receiving-variance", "version": 1, "author": "dockline"}


def scanned(activity: str, biz_step: str, **more: Any) -> dict[str, Any]:
    """Return the data of an ordinary scan of goods."""
    return {"activity": activity, **BASE, **more, **ITEM, "biz_step": biz_step, **WHEN, **SCANNER, **SEEN}


EXAMPLES: dict[str, dict[str, Any]] = {
    "receipt": scanned("receipt", "receiving", document={"id": "ASN-4711", "type": "asn"}),
    "putaway": scanned("putaway", "storing", to_location="A-01-02"),
    "pick": {
        "activity": "pick", "site": "dc07", "station": "floor", "operator": "op7", "document": {"id": "PL-1001"},
        "item": {"gtin": "09521234543213", "lot": "L42", "expiry": "2027-05-31"},
        "quantity": {"value": "2", "unit": "EA"}, "from_location": "A-01-03", "biz_step": "picking", **WHEN, **HANDHELD,
        "evidence": {"raw": "01095212345432131727053110L42", "symbology": "]C1"},
    },
    "count": {
        "activity": "count", "site": "dc07", "station": "line-1", "kind": "increment",
        "quantity": {"value": "12", "unit": "EA"},
        "measurement": {"name": "good_parts", "value": "12", "previous": "4711", "raw": "4723"},
        **WHEN, "device": {"id": "press-plc"},
    },
    "shipment": scanned("shipment", "loading", document={"id": "SO-88"}),
    "return": scanned("return", "receiving", disposition="returned", return_disposition="restock"),
    "transfer": scanned("transfer", "storing", from_location="A-01-02", to_location="B-02-01"),
    "observation": {
        **BASE, "read_point": "urn:epc:id:sgln:9521321.00003.0",
        "item": {"epc": "urn:epc:id:sgtin:9521321.012345.4711", "gtin": "09521321123458", "serial": "4711"},
        "tag_read": {"antenna": 2, "rssi_dbm": -54.0, "seen_count": 17}, **WHEN,
        "device": {"id": "portal-1", "profile": "zebra-iot-connector"},
    },
    "condition": {
        "site": "dc07", "station": "cold-store",
        "measurement": {"name": "room_1", "value": "4.5", "unit": "CEL", "previous": "42", "raw": "45"},
        "biz_step": "sensor_reporting", **WHEN, "device": {"id": "cold-store"},
    },
    "device": {
        **BASE, "state": "down", "reason": "the port /dev/ttyUSB0 is gone", **WHEN, "device": {"id": "dock-3-scanner"},
    },
    "unrecognised": {
        **BASE, "activity": "receipt", "reason": "the check digit of 09521234543214 is wrong, expected 3", **WHEN,
        **SCANNER, "evidence": {"raw": "0109521234543214", "symbology": "]C1"},
    },
    "void": {**BASE, "activity": "receipt", "voids": OTHER_ID, "document": {"id": "ASN-4711"}, **WHEN, **SCANNER},
    "tally": {
        **BASE, "activity": "receipt", "document": {"id": "ASN-4711", "type": "asn"}, "number": 1, "checked": True,
        "coverage": "complete", "final": True,
        "expectation": {"id": "ASN-4711", "type": "asn", "version": "1", "digest": DIGEST},
        "expected_total": "10", "observed_total": "8",
        "lines": [{
            "line": "1", "item": {"gtin": "09521234543213"}, "expected": "10", "observed": "8", "unit": "EA",
            "difference": "-2", "result": "short", "events": 8,
        }],
        "lines_total": 1, "exceptions": [OTHER_ID], "biz_step": "receiving", **WHEN, **SCANNER,
    },
    "exception": {
        **BASE, "exception": ID, "state": "open", "code": "receiving_variance",
        "message": "2 EA of 09521234543213 are missing: 10 expected, 8 received", "severity": "major",
        "owner": "procurement", "raised_at": AT, "due_at": "2026-11-22T08:00:00.120Z", "activity": "receipt",
        "document": {"id": "ASN-4711", "type": "asn"}, "item": {"gtin": "09521234543213"}, "rule": RULE,
        "expectation": {"id": "ASN-4711", "type": "asn", "version": "1", "digest": DIGEST},
        "events": [OTHER_ID], "events_total": 8,
        "variance": {
            "direction": "short", "expected": "10", "observed": "8", "difference": "-2", "unit": "EA", "percent": "-20",
        },
        "disposition": "mismatch_quantity", "invoice_relevant": True, "hold": False, "escalations": 0,
        **WHEN, **SCANNER,
    },
}  # fmt: skip
GAP: dict[str, Any] = {
    "sequence": "00000000000000001205",
    "specversion": "1.0",
    "id": f"gap-{OTHER_ID}",
    "source": SOURCE,
    "type": "dockline.gap.v1",
    "datacontenttype": "application/json",
    "subject": "dock-3",
    "time": AT,
    "data": {"sequence": "00000000000000001205", "digest": DIGEST, "reason": "quarantined: unknown item"},
}


def example(name: str) -> dict[str, Any]:
    """Return the example of an event as it is delivered."""
    data = EXAMPLES[name]
    return {
        "sequence": "00000000000000001204",
        "specversion": "1.0",
        "type": event_type(name),
        "source": SOURCE,
        "subject": data["station"],
        "datacontenttype": "application/json",
        "dataschema": schema_urn(name),
        "id": ID,
        "time": data["occurred_at"],
        "data": data,
    }


def events_page() -> str:
    """Return the text of the page."""
    found = schemas()
    parts = [HEAD, "| type | when |\n|---|---|"]
    for name, model in DATA.items():
        parts.append(f"| [`{event_type(name)}`](#{anchor(name)}) | {sentence(model.__doc__)} |")
    parts.append(f"| [`dockline.gap.v1`](#docklinegapv1) | {sentence(GapRecord.__doc__)} |")
    parts.append(ENVELOPE + table(found["event"], found["event"], skipped={"data"}))
    for name, model in DATA.items():
        parts.append(f"\n## {event_type(name)}\n\n{model.__doc__}\n\n{fenced(example(name))}\n\nMembers of `data`:\n")
        parts.append(table(found[name], found[name]))
    parts.append(f"\n## dockline.gap.v1\n\n{GapRecord.__doc__}\n\n{fenced(GAP)}\n\nMembers of `data`:\n")
    parts.append(table(found["gap"]["$defs"]["GapData"], found["gap"]))
    parts.append("\n## Parts of events\n")
    parts += shared(found)
    return "\n".join(parts) + "\n"


def anchor(name: str) -> str:
    return event_type(name).replace(".", "")


def sentence(text: str | None) -> str:
    """Return the first sentence of a docstring."""
    return (text or "").strip().split("\n\n")[0].partition(". ")[0].replace("\n", " ").rstrip(".") + "."


def fenced(value: Any) -> str:
    return "```json\n" + json.dumps(value, indent=2) + "\n```"


def shared(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a heading and a table for each part that events are made of, once each."""
    parts = {part: schema for name in DATA for part, schema in found[name].get("$defs", {}).items()}
    for part, schema in sorted(parts.items()):
        yield f"\n### {part}\n\n{sentence(schema.get('description'))}\n"
        yield table(schema, {"$defs": parts})


def table(schema: Mapping[str, Any], root: Mapping[str, Any], *, skipped: set[str] | None = None) -> str:
    """Return the members of an object as a table."""
    lines = ["| member | | type | meaning |", "|---|---|---|---|"]
    for key, field in schema["properties"].items():
        if key in (skipped or ()):
            continue
        needed = "always" if key in schema.get("required", ()) else ""
        meaning = field.get("description") or described(field, root)
        told = meaning.replace("<", "&lt;").replace("|", "\\|")
        lines.append(f"| `{key}` | {needed} | {type_of(field)} | {told} |".replace("\n", " "))
    return "\n".join(lines)


def described(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return what a part says about itself, for a member that says nothing of its own."""
    reference = field.get("$ref") or field.get("items", {}).get("$ref")
    if reference is None:
        return ""
    text = root["$defs"][reference.rpartition("/")[2]].get("description")
    return sentence(text) if text else ""


def type_of(field: Mapping[str, Any]) -> str:
    """Return the type of a member in words."""
    if "$ref" in field:
        part = field["$ref"].rpartition("/")[2]
        return f"[{part}](#{part.lower()})"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if field.get("type") == "array":
        return f"list of {type_of(field['items'])}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return str(field.get("format") or words[field["type"]])
