"""JSON Schema of the configuration file, for editors that complete and check TOML while it is written.

It knows the shapes; the rules over several tables are `dockline check`'s. `config/gateway.schema.json` is generated
from here and a test compares the two.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from drivers.registry import DRIVERS, load_driver
from gateway.settings.load import DEFAULT_UPSTREAM_KIND, REQUIRED_SECTIONS, SHARED_LINKS, UPSTREAM_KINDS
from gateway.settings.model import SECTIONS, DeviceCommon, StationSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """Return the schema of `gateway.toml`."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {name: _table(model, definitions) for name, model in SECTIONS.items()}
    properties["upstream"] = _several({"oneOf": [_upstream(kind, definitions) for kind in UPSTREAM_KINDS]})
    properties["station"] = _several(_table(StationSettings, definitions))
    properties["device"] = _several({"oneOf": [_device(name, definitions) for name in _device_drivers()]})
    properties["mqtt"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            key: _table(load_driver(driver).settings_model, definitions) for key, driver in SHARED_LINKS.items()
        },
    }
    return {
        "$schema": DIALECT,
        "title": "Configuration of a Dockline gateway",
        "type": "object",
        "additionalProperties": False,
        "required": [*REQUIRED_SECTIONS, "upstream"],
        "properties": properties,
        "$defs": dict(sorted(definitions.items())),
    }


def _device_drivers() -> list[str]:
    return [name for name in DRIVERS if name not in SHARED_LINKS.values()]


def _upstream(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _table(UPSTREAM_KINDS[kind], definitions)
    if kind != DEFAULT_UPSTREAM_KIND:
        schema["required"] = [*schema["required"], "kind"]
    return schema


def _device(driver: str, definitions: dict[str, Any]) -> dict[str, Any]:
    common = _table(DeviceCommon, definitions)
    own = _table(load_driver(driver).settings_model, definitions)
    properties = {**common["properties"], **own.get("properties", {})}
    properties["driver"] = {**properties["driver"], "const": driver}
    # What a profile presets need not stand in the device: only the common keys are required here.
    return {
        "title": driver,
        "type": "object",
        "additionalProperties": False,
        "required": common["required"],
        "properties": properties,
    }


def _table(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return schema


def _several(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
