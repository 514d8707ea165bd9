"""The local API as an OpenAPI 3.1 document, made from the table of operations and the values the handlers return.

It is served at `/v1/openapi.json`; `dockline schema openapi` prints it, and docs/openapi.json and docs/api.md are made
from it. Objects are open: a later version may add members, and whoever reads an answer ignores what they do not know.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic import TypeAdapter

from buffer.audit import AuditRecord
from buffer.quarantine import Quarantined
from drivers.scan_schema import acknowledgement_schema, one_or_many, scan_schema
from gateway.checks.expectation import document_schema
from gateway.delivery_schema import event_schema
from gateway.events.finding import ExceptionData
from gateway.status import Status
from gateway.web.operations import KINDS, MOMENT, OPERATIONS, SEQUENCE, TEXT, Operation, Schema
from gateway.web.replay import EVENTS_PER_S, EVENTS_PER_S_MAX
from gateway.web.session import COOKIE, CSRF_HEADER
from gateway.web.station_schema import station_schemas

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = "#/components/schemas/{model}"
_PLACE: Final = re.compile(r"\{(\w+)\}")
_NUMBERED: Final = frozenset({"seq", "number"})
ABOUT: Final = """\
The API on the gateway itself, for devices, the command line, the page and programs on the same network. It listens on
loopback unless the site says otherwise; off loopback it needs TLS, and every request a token. On loopback looking is
free. `Authorization: Bearer <token>`; each token has a role: a device brings its own scans and nothing else; viewer,
operator, technician and admin are a ladder, each may do what the ones before it may. The events that the gateway
delivers to a centre are another interface."""


def openapi() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dockline local API", "version": version("dockline"), "description": ABOUT},
        "jsonSchemaDialect": DIALECT,
        "servers": [{"url": "http://127.0.0.1:8470", "description": "The default of [api] bind."}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.about for operation in OPERATIONS)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components().items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`dockline token` makes one."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"The page's; what changes something repeats a word in {CSRF_HEADER.title()}.",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    words = _PLACE.sub("", operation.path.removeprefix("/v1")).strip("/").replace("/", "_").replace(".", "_")
    one = "_one" if operation.path.endswith("}") else ""
    answers = {str(operation.status): _answer(operation)}
    for status, meaning in operation.also:
        answers.setdefault(str(status), _further(operation, status, meaning))
    if operation.role is not None:
        answers.setdefault("401", _error("There is no token, or it is not valid here."))
        answers.setdefault("403", _error(f"The token has not the role {operation.role}."))
    if operation.action is not None or operation.takes is not None:
        answers.setdefault("413", _error("The body is too large."))
        answers.setdefault("415", _error("The body is not declared as application/json, or is compressed."))
    if operation.action is not None or operation.query:
        answers.setdefault("422", _error("A key or a value makes no sense; the body says which."))
    answers["default"] = _error("Anything else that went wrong.")
    found: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}_{re.sub('_+', '_', words)}{one}",
        "tags": [operation.about],
        "summary": operation.summary,
        "description": _who(operation),
        "parameters": [*map(_place, _PLACE.findall(operation.path)), *map(_parameter, operation.query)],
        "security": [{"token": []}] if operation.role == "device" else _security(operation),
        "responses": dict(sorted(answers.items())),
    }
    if operation.action is not None:
        found["requestBody"] = _body(_exactly({key: KINDS[kind] for key, kind in operation.action.items()}))
    elif operation.takes is not None:
        found["requestBody"] = _body(_schema(operation.takes))
    return found


def _who(operation: Operation) -> str:
    if operation.role is None:
        return "Anybody who reaches the address."
    if operation.role == "device":
        return "Role device: the one that the token names."
    if operation.role == "viewer":
        return "Role viewer; on loopback everybody."
    return f"Role {operation.role}. What is done is in the audit, with who did it and why."


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.role is None:
        return []
    return [{"token": []}, {"session": []}, *([{}] if operation.role == "viewer" else [])]


def _place(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": SEQUENCE if name in _NUMBERED else TEXT}


def _parameter(stated: tuple[str, Schema, str]) -> dict[str, Any]:
    name, schema, meaning = stated
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _body(schema: Schema) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _exactly(properties: Schema) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def _schema(stated: str | Schema) -> Schema:
    return {"$ref": _REFERENCE.format(model=stated)} if isinstance(stated, str) else stated


def _answer(operation: Operation) -> dict[str, Any]:
    described = HTTPStatus(operation.status).phrase
    if operation.status == 204:
        return {"description": described}
    if isinstance(operation.gives, str) and "/" in operation.gives:
        return {"description": described, "content": {operation.gives: {}}}
    return {"description": described, "content": {"application/json": {"schema": _schema(operation.gives)}}}


def _further(operation: Operation, status: int, meaning: str) -> dict[str, Any]:
    if operation.gives == "text/plain":
        return {"description": meaning, "content": {"text/plain": {}}}
    if (operation.path, status) == ("/v1/replay", 200):
        return {"description": meaning, "content": {"application/json": {"schema": _schema("Count")}}}
    if (operation.path, status) in (("/v1/scans", 403), ("/v1/stations/{station}/scans", 403)):
        either = {"anyOf": [_schema(operation.gives), _schema("Error")]}
        return {"description": meaning, "content": {"application/json": {"schema": either}}}
    if (operation.path, status) == ("/v1/readers/{device}/tags", 403):
        either = {"anyOf": [_schema("TagsTaken"), _schema("Error")]}
        return {"description": meaning, "content": {"application/json": {"schema": either}}}
    if status < 300:
        return {"description": meaning, "content": {"application/json": {"schema": _schema(operation.gives)}}}
    return _error(meaning)


def _error(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": _schema("Error")}}}


def components() -> dict[str, Schema]:
    """Return every named schema."""
    found: dict[str, Schema] = {}
    _add(found, "Status", TypeAdapter(Status).json_schema(mode="serialization", ref_template=_REFERENCE))
    _add(found, "Quarantined", TypeAdapter(Quarantined).json_schema(mode="serialization", ref_template=_REFERENCE))
    record = TypeAdapter(AuditRecord).json_schema(mode="serialization", ref_template=_REFERENCE)
    _add(found, "AuditRecord", record)
    found["AuditRecord"]["properties"]["chain"] = {"type": "string", "pattern": "^[0-9a-f]*$"}
    _add(found, "ExpectedDocument", _moved(document_schema()))
    found["Event"] = event_schema()
    _add(found, "Exception", _exception())
    found |= {"Scan": scan_schema(), "Acknowledgement": acknowledgement_schema()}
    found |= {"Scans": one_or_many(_schema("Scan")), "Acknowledgements": one_or_many(_schema("Acknowledgement"))}
    found |= _journal() | _replays() | _documents() | station_schemas()
    found["Error"] = _required(
        {
            "error": _required(
                {"code": TEXT, "message": TEXT, "hint": {"type": "string", "description": "What to do."}},
                but=("hint",),
            )
        }
    )
    found["Caller"] = _required(
        {"name": TEXT, "role": TEXT, "csrf": {"type": ["string", "null"], "description": "The word to repeat."}}
    )
    found["TagsTaken"] = _required(
        {"readings": SEQUENCE, "refused": SEQUENCE, "problem": {"type": "string"}}, but=("problem",)
    )
    return found


def _add(found: dict[str, Schema], name: str, schema: Schema) -> None:
    found.update(schema.pop("$defs", {}))
    found[name] = schema


def _required(properties: Schema, but: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "required": [key for key in properties if key not in but], "properties": properties}


def _moved(schema: Schema) -> Schema:
    """Return a schema that stands alone as one of our components."""
    text = {key: value for key, value in schema.items() if key not in {"$schema", "$id"}}
    return _pointed(text)  # type: ignore[no-any-return]


def _pointed(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _pointed(value)
            for key, value in node.items()
        }
    return [_pointed(item) for item in node] if isinstance(node, list) else node


def _exception() -> Schema:
    schema = ExceptionData.model_json_schema(mode="serialization", ref_template=_REFERENCE)
    schema["properties"] |= {
        "age_s": {"type": "integer", "description": "Operating time since it was raised."},
        "overdue": {"type": "boolean"},
        "due_in_s": {"type": ["integer", "null"], "description": "Operating time until it is overdue; null: never."},
    }
    # What does not apply is left out here, and a list shows neither evidence nor lines.
    always = [key for key in schema["required"] if key not in {"events", "lines"}]
    schema["required"] = [*always, "age_s", "overdue", "due_in_s"]
    return schema


def _journal() -> dict[str, Schema]:
    place = {"seq": SEQUENCE, "digest": TEXT, "chain": TEXT}
    damaged = _required({**place, "id": TEXT, "damaged_base64": TEXT})
    stored = _required({**place, "event": _schema("Event")})
    case = {"event": {"anyOf": [_schema("StoredEvent"), {"type": "null"}]}, "history": _listed("AuditRecord")}
    step = _required(
        {"name": TEXT, "at": {"type": ["string", "null"], "description": "Null: not recorded."}, "note": TEXT}
    )
    books = dict.fromkeys(("accepted", "delivered", "pending", "quarantined", "discarded", "skipped", "lost"), SEQUENCE)
    return {
        "StoredEvent": {"oneOf": [stored, damaged], "description": "An entry of the outbox, and its place there."},
        "EventJourney": {"allOf": [_schema("StoredEvent"), _required({"steps": {"type": "array", "items": step}})]},
        "QuarantineCase": {"allOf": [_schema("Quarantined"), _required(case)]},
        "Position": _required(
            {
                "name": TEXT,
                "configured": {"type": "boolean"},
                "required": {"type": "boolean"},
                "settled_through": SEQUENCE,
                **books,
                "imbalance": {"type": "integer", "description": "Always 0, or something is lost."},
            }
        ),
    }


def _listed(component: str) -> Schema:
    return {"type": "array", "items": _schema(component)}


def _replays() -> dict[str, Schema]:
    counts = dict.fromkeys(("total", "through", "done", "accepted", "rejected", "unconfirmed", "left_out"), SEQUENCE)
    texts = dict.fromkeys(("id", "upstream", "actor", "reason", "status", "note"), TEXT)
    rate: Schema = {"type": "integer", "minimum": 1, "maximum": int(EVENTS_PER_S_MAX), "default": int(EVENTS_PER_S)}
    first: Schema = {"type": "integer", "minimum": 1}
    order = {
        "upstream": KINDS["text"], "reason": KINDS["text"], "from_sequence": first, "to_sequence": first,
        "from": MOMENT, "to": MOMENT, "type": TEXT, "station": TEXT, "device": TEXT, "events_per_s": rate,
        "dry_run": {"type": "boolean", "description": "Only count; upstream and reason may then be left out."},
    }  # fmt: skip
    nullable: Schema = {"type": ["integer", "null"]}
    return {
        "Replay": _required({**texts, **counts, "events_per_s": {"type": "number"}}),
        "ReplayOrder": {"type": "object", "additionalProperties": False, "properties": order},
        "Count": _required({"count": SEQUENCE, "first": nullable, "last": nullable}),
    }


def _documents() -> dict[str, Schema]:
    work = _required(
        {
            "activity": TEXT,
            "version": {"type": ["string", "null"], "description": "Null: it is unchecked."},
            "state": {"enum": ["open", "recount", "switching", "closing", "closed"]},
            "closed": SEQUENCE,
        }
    )
    texts = {"type": "array", "items": TEXT}
    keys = {"type": "object", "additionalProperties": TEXT}
    line = _required(
        {"line": TEXT, "item": keys, "quantity": TEXT, "unit": TEXT, "lots": texts, "serials": texts,
         "locations": texts, "price": TEXT, "return_disposition": TEXT},
        but=("lots", "serials", "locations", "price", "return_disposition"),
    )  # fmt: skip
    header: Schema = {
        "id": TEXT, "type": TEXT, "version": TEXT, "digest": TEXT, "copy": SEQUENCE, "scope": TEXT,
        "lines_total": SEQUENCE, "quantity": TEXT, "unit": TEXT,
        "supplier": TEXT, "currency": TEXT, "locations": texts, "forbidden_locations": texts,
        "origin": {"enum": ["pull", "api", "file"]}, "progress": {"type": "array", "items": work},
        "changed": {"type": "boolean", "description": "In the answer to a PUT: whether it was new."},
    }  # fmt: skip
    optional = ("quantity", "unit", "supplier", "currency", "locations", "forbidden_locations", "origin", "changed")
    return {
        "ExpectationSummary": _required(header, but=optional),
        "ExpectationShown": _required({**header, "lines": {"type": "array", "items": line}}, but=optional),
    }
