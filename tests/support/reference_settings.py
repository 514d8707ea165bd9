"""docs/settings.md: every key of `gateway.toml`, made from the models that read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.show import size
from gateway.settings.json_schema import config_schema

HEAD = """\
# Settings

Every key of `/etc/dockline/gateway.toml`: its type, unit, default and meaning. This page is made from the models that
read the file (`make docs`); nobody writes in it. [config/gateway.toml](../config/gateway.toml) is the same as a file to
copy from, and [devices.md](devices.md) has an example for each kind of device.

Keys that are not on this page are errors. `dockline check` names every problem of a file with its line;
`systemctl reload dockline` applies a changed file, and keeps the old one when the new one is broken. Secrets never
stand in the file: a key that ends in `_file` names a file that only the service can read, one that ends in
`_credential` a systemd credential.
"""
UNITS_BY_WORD = {
    "s": "seconds", "days": "days", "bytes": "bytes", "percent": "per cent", "dbm": "dBm", "minute": "lines a minute",
    "events": "events",
}  # fmt: skip
UNITS_BY_KEY = {
    "limits.knocking_max": "devices",
    "log.events_per_minute_max": "lines a minute",
    "api.connections_max": "connections",
    "upstream.in_flight_max": "requests",
    "upstream.reject_max": "events",
    "mqtt.listener.connections_max": "connections",
    "mqtt.listener.connections_per_device_max": "connections",
    "mqtt.listener.receive_max": "messages",
    "mqtt.listener.messages_per_s_max": "messages a second",
    "mqtt.broker.receive_max": "messages",
    "device.join_gap_max": "addresses",
    "device.tags_max": "tags",
    "device.reads_min": "reads",
    "device.points.address": "0 is what a manual calls 1, 10001, 30001 or 40001",
    "device.points.unit_id": "slave number",
    "device.points.bit": "0 is the lowest",
    "device.points.scale": "factor",
    "device.points.rollover": "counts",
    "device.points.delta_max": "counts",
    "device.points.deadband": "unit of the point",
    "device.tags.rssi_scale": "factor to dBm",
    "checks.rules.version": "number",
    "checks.locations.version": "number",
    "checks.rules.tolerance_absolute": "unit of the line",
    "checks.rules.tolerance_value": "currency of the document",
    "checks.routes.variance_absolute_min": "unit of the line",
    "checks.routes.value_min": "currency of the document",
}
"""Where the name of a key does not say its unit. A number without one fails the test."""
INTRODUCTIONS = {
    "site": "Where this gateway is. Needed.",
    "storage": "What is kept, and where. Needed.",
    "limits": "How patient the gateway is with links and with itself.",
    "log": "What is written to the journal ([log-events.md](log-events.md)).",
    "labels": "What labels of the site's own look like ([labels.md](labels.md)).",
    "api": "The local API ([api.md](api.md)) and the page in the browser.",
    "checks": "What scans are compared with ([exceptions.md](exceptions.md)).",
    "expectations": "Where expected documents come from ([expectations.md](expectations.md)).",
    "mqtt.listener": "Devices connect to the gateway itself ([handhelds.md](handhelds.md)).",
    "mqtt.broker": "The gateway subscribes on a broker of the site.",
    "station": "Places that give a scan its meaning. Once for each.",
    "labels.patterns": "Labels the site made up itself. Once for each pattern.",
    "checks.rules": "How far apart expected and observed may be. Once for each rule.",
    "checks.routes": "Whose an exception is. The first that fits counts.",
    "checks.locations": "What may be put where. Once for each rule.",
    "device.points": "Registers of a PLC. Once for each.",
    "device.tags": "Where the tags are in the JSON of a reader. Most readers have a profile that says so.",
    "device.tags.ignore": "Records that are not tags.",
    "device.tags.health": "Records in which the reader speaks about itself.",
}
COMMON = "Keys of every upstream"
ARRAYS = ("upstream", "station", "device")


def settings_page() -> str:
    """Return the text of the page."""
    schema = config_schema()
    parts = [HEAD]
    for name, table, title, note in tables(schema):
        rows = [row(name, key, field, key in table.get("required", ()), schema) for key, field in table["keys"].items()]
        parts.append(f"## {title}\n\n{note}\n\n| key | type | unit | default | meaning |\n|---|---|---|---|---|\n")
        parts[-1] += "\n".join(rows) + "\n"
    return "\n".join(parts)


def tables(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield (name for units, table, heading, introduction) of every table, those inside others behind them."""
    properties = schema["properties"]
    for name in ("site", "storage"):
        yield from plain(name, properties[name], schema)
    yield from kinds("upstream", properties["upstream"]["items"]["oneOf"], schema)
    yield from plain("station", properties["station"]["items"], schema)
    yield from kinds("device", properties["device"]["items"]["oneOf"], schema)
    for name in ("listener", "broker"):
        yield from plain(f"mqtt.{name}", properties["mqtt"]["properties"][name], schema)
    told = {"site", "storage", "upstream", "station", "device", "mqtt"}
    for name in properties:
        if name not in told:
            yield from plain(name, properties[name], schema)


def plain(
    name: str, table: Mapping[str, Any], schema: Mapping[str, Any], *, is_array: bool = False
) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield one table, and the tables its keys hold."""
    title = f"`[[{name}]]`" if is_array or name in ARRAYS else f"`[{name}]`"
    keys = table["properties"]
    yield name, {**table, "keys": keys}, title, INTRODUCTIONS[name]
    for key, field in keys.items():
        inner = target(field, schema)
        if inner is not None:
            yield from plain(f"{name}.{key}", inner, schema, is_array=field.get("type") == "array")


def kinds(
    name: str, variants: list[Mapping[str, Any]], schema: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield what all variants of a table have in common, then what each adds or has otherwise."""
    first, *others = variants
    common = {
        key: field
        for key, field in first["properties"].items()
        if all(one["properties"].get(key) == field for one in others)
    }
    yield name, {**first, "keys": common}, f"`[[{name}]]`", f"Keys of every {name}. Once for each."
    for variant in variants:
        own = {key: field for key, field in variant["properties"].items() if key not in common}
        switch = next(key for key, field in own.items() if "const" in field)
        word = own[switch]["const"]
        title = f'`[[{name}]]` with `{switch} = "{word}"`'
        yield name, {**variant, "keys": own}, title, f"What this {switch} has besides the keys above."
        for key, field in own.items():
            inner = target(field, schema)
            if inner is not None:
                yield from plain(f"{name}.{key}", inner, schema, is_array=field.get("type") == "array")


def target(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the table a key holds, or holds a list of."""
    reference = field.get("$ref") or field.get("items", {}).get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else None


def row(name: str, key: str, field: Mapping[str, Any], is_needed: bool, schema: Mapping[str, Any]) -> str:
    """Return one line of a table."""
    shape = one_shape(field)
    unit = unit_of(f"{name}.{key}", key) if is_number(field) else ""
    is_needed = is_needed or ("default" not in field and target(field, schema) is None)
    default = "**needed**" if is_needed else default_of(field)
    if unit == "bytes" and isinstance(field.get("default"), int) and field["default"] % 1024 == 0:
        default += f" ({size(field['default']).replace('.0 ', ' ')})"
    cells = (f"`{key}`", type_of(shape, field), unit, default, field["description"])
    return "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |"


def one_shape(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the shape of a key that may also be absent: null cannot be written in TOML."""
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if options else field


def is_number(field: Mapping[str, Any]) -> bool:
    return one_shape(field).get("type") in {"number", "integer"}


def unit_of(path: str, key: str) -> str:
    """Return the unit of a number; raise KeyError when nobody said it."""
    if path in UNITS_BY_KEY:
        return UNITS_BY_KEY[path]
    words = [word for word in key.split("_") if word not in {"max", "min"}]
    return UNITS_BY_WORD[next(word for word in reversed(words) if word in UNITS_BY_WORD or word == words[-1])]


def type_of(shape: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    """Return the type in words, with its bounds."""
    if "const" in shape:
        return f'`"{shape["const"]}"`'
    if "enum" in shape:
        return ", ".join(f'`"{word}"`' for word in shape["enum"])
    if "$ref" in field:
        return "table"
    if shape.get("type") == "array":
        return "list of tables" if "$ref" in shape["items"] else "list of texts"
    if shape.get("type") == "boolean":
        return "`true`, `false`"
    if shape.get("type") in {"number", "integer"}:
        word = "whole number" if shape["type"] == "integer" else "number"
        return f"{word}{bounds(shape)}"
    return "path" if shape.get("format") == "path" else "text"


def bounds(shape: Mapping[str, Any]) -> str:
    """Return the bounds of a number in words."""
    least, most = shape.get("minimum"), shape.get("maximum")
    if "exclusiveMinimum" in shape:
        above = f" above {shape['exclusiveMinimum']:g}"
        return above if most is None else f"{above}, at most {most}"
    if least is not None and most is not None:
        return f" {least:g} to {most}" if isinstance(most, float) else f" {least} to {most}"
    if least is not None:
        return f" from {least}"
    return ""


def default_of(field: Mapping[str, Any]) -> str:
    """Return the default as it would be written, or a dash for none."""
    default = field.get("default")
    if default is None or default == [] or "default" not in field:
        return "–"
    return f"`{json.dumps(default)}`"
