"""The judge of stored events: CloudEvents rules, the published JSON Schemas and the models, on every one."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.events.catalogue import DATA
from gateway.events.json_schema import FOLDER
from gateway.events.model import CloudEvent


@cache
def validator() -> Draft202012Validator:
    """The validator a consumer would build from the published files alone."""
    schemas = [json.loads(path.read_text()) for path in sorted(Path(FOLDER).glob("*.json"))]
    registry: Registry[Any] = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in schemas)
    return Draft202012Validator(
        {"$ref": "urn:dockline:schema:event:v1"},
        registry=registry,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def check_cloudevents_rules(event: dict[str, Any]) -> None:
    """CloudEvents 1.0: sections "required attributes", "naming conventions", "type system" and the JSON format."""
    for name in ("id", "source", "specversion", "type"):
        assert isinstance(event[name], str) and event[name], f"{name} is required and not empty"
    assert event["specversion"] == "1.0"
    for name, value in event.items():
        assert name == "data" or re.fullmatch(r"[a-z0-9]+", name), f"{name} is no attribute name"
        assert name == "data" or isinstance(value, str), f"{name} is no string"
    assert urlsplit(event["source"]).netloc, "the source is an URI-reference with an authority"
    assert urlsplit(event["dataschema"]).scheme == "urn"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", event["time"])
    assert event["datacontenttype"] == "application/json"


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return all(no_nulls(item) for item in value.values())
    return value is not None


def checked(payload: bytes) -> dict[str, Any]:
    """Return the event when everything a consumer may rely on holds; raise AssertionError or ValidationError."""
    event: dict[str, Any] = json.loads(payload.decode("utf-8", "strict"), parse_constant=_refuse_constant)
    assert payload[:1] == b"{", "the sequence is prepended to the stored bytes"
    assert no_nulls(event), "what does not apply is absent, never null"
    check_cloudevents_rules(event)
    validator().validate(event)
    name = event["type"].split(".")[1]
    assert event["dataschema"] == f"urn:dockline:schema:{name}:v1"
    CloudEvent.model_validate_json(json.dumps({**event, "data": _common(event["data"])}))
    DATA[name].model_validate_json(json.dumps(event["data"]))
    assert UUID(event["id"]).version == 7
    assert event["time"] == event["data"]["occurred_at"]
    assert event["subject"] == event["data"]["station"]
    return event


def _common(data: dict[str, Any]) -> dict[str, Any]:
    names = ("site", "station", "occurred_at", "captured_at", "clock", "device")
    return {name: data[name] for name in names}


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
