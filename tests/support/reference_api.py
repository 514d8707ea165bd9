"""docs/api.md: the OpenAPI document of the local API, for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.web.openapi import openapi
from gateway.web.operations import OPERATIONS, Operation

HEAD = """\
# The local API

{about}

This page is made from the code (`make docs`); nobody writes in it. Programs take [openapi.json](openapi.json), the same
as OpenAPI 3.1, also at `/v1/openapi.json` on every gateway. [install.md](install.md#devices-and-people-on-the-http-api)
says how tokens are made and how the API is opened to the network; [delivery.md](delivery.md) describes the other
interface, the one a centre offers.

```sh
curl http://127.0.0.1:8470/v1/status
curl -H "Authorization: Bearer $TOKEN" "http://127.0.0.1:8470/v1/events?type=pick&limit=10"
```

Whatever is refused has the same body, `{{"error": {{"code", "message", "hint"}}}}`. A `code` never changes its meaning;
message and hint are for people. Bodies are JSON, declared as `application/json`, never compressed. Every action states
its reason, and is in the audit under the name of the token.
"""
OVERVIEW = "| | role | |\n|---|---|---|"


def api_page() -> str:
    """Return the text of the page."""
    document = openapi()
    parts = [HEAD.format(about=document["info"]["description"]), OVERVIEW]
    parts += [
        f"| [`{one.method} {one.path}`](#{anchor(one)}) | {one.role or '–'} | {one.summary} |" for one in OPERATIONS
    ]
    about = ""
    for one in OPERATIONS:
        if one.about != about:
            about = one.about
            parts.append(f"\n## {about}")
        parts += section(one, document["paths"][one.path][one.method.lower()])
    return "\n".join(parts) + "\n"


def anchor(one: Operation) -> str:
    return re.sub(r"[^\w -]", "", f"{one.method} {one.path}".lower()).replace(" ", "-")


def section(one: Operation, told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said of one operation."""
    yield f"\n### {one.method} {one.path}\n\n{one.summary} {told['description']}"
    if one.query:
        yield "\n| parameter | | |\n|---|---|---|"
        for name, schema, meaning in one.query:
            yield f"| `{name}` | {shape(schema)} | {meaning} |"
    if one.action is not None:
        values = {"text": "...", "number": 8840, "numbers": [8841, 8842], "flag": False}
        body = json.dumps({key: values[kind] for key, kind in one.action.items()})
        yield f"\nBody: `{body}`"
    elif isinstance(one.takes, str):
        yield f"\nBody: `{one.takes}` of [openapi.json](openapi.json)."
    elif one.takes is not None:
        yield f"\nBody: JSON. {one.takes['description']}"
    yield "\n| answer | |\n|---|---|"
    for status, answer in told["responses"].items():
        if status == "default":
            continue
        yield f"| {status} | {answer['description']}{content(answer)} |"


def content(answer: Mapping[str, Any]) -> str:
    """Return what the body of an answer is."""
    for kind, media in answer.get("content", {}).items():
        schema = media.get("schema", {})
        if kind != "application/json":
            return f" ({kind})"
        if schema == {"$ref": "#/components/schemas/Error"}:
            return ""
        return f" ({members(schema)})" if schema else ""
    return ""


def members(schema: Mapping[str, Any]) -> str:
    """Return the schema of a body in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(members(one) for one in schema["anyOf"])
    if "properties" in schema:
        return "`{" + ", ".join(f'"{key}"' for key in schema["properties"]) + "}`"
    return "JSON"


def shape(schema: Mapping[str, Any]) -> str:
    """Return the schema of a parameter in words."""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    words = {"integer": "whole number", "string": "text"}
    text = "time" if schema.get("format") == "date-time" else words[schema["type"]]
    if "maximum" in schema:
        text += f" up to {schema['maximum']}"
    return f"{text}, else {schema['default']}" if "default" in schema else text
