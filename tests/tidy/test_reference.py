"""Reference pages and interface descriptions are what the code says, complete, valid, and made by `make docs`."""

import ast
import inspect
import json
import re
import textwrap
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate
from reference import FILES
from reference_events import EXAMPLES, GAP, example
from reference_settings import tables, unit_of
from site_under_test import check_event
from starlette.routing import Route

from drivers.mqtt_routes import Routes
from drivers.reader_message import parse_report
from drivers.scan_message import parse_scans
from drivers.scan_schema import EXAMPLE_ACKNOWLEDGEMENT, EXAMPLE_SCAN, scan_schema
from drivers.tag_mapping import TagMapping
from gateway.asyncapi import asyncapi, message_schema, reader_mappings
from gateway.delivery_schema import headers_schema
from gateway.events.catalogue import DATA
from gateway.events.gap import GapRecord
from gateway.settings.json_schema import config_schema
from gateway.settings.profiles import SHIPPED
from gateway.web.app import build_app
from gateway.web.openapi import openapi
from gateway.web.operations import OPERATIONS

ROOT = Path(__file__).parents[2]
BESIDE_V1 = {"/healthz", "/readyz", "/metrics"}
"""Of the paths that do not begin with /v1/ those that are the API; the others are the page."""


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_from_the_code_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), "run: make docs"


# -- settings


def test_every_setting_is_on_the_page_with_its_meaning() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    schema = config_schema()
    for name, table, title, _ in tables(schema):
        section = text[text.index(f"## {title}\n") :].split("\n## ")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", section, re.MULTILINE))
        assert set(rows) == set(table["keys"]), name
        assert all(meaning.strip() for meaning in rows.values()), name
    shown = {key for _, table, _, _ in tables(schema) for key in table["keys"]}
    there = {key for definition in schema["$defs"].values() for key in definition.get("properties", {})}
    assert there <= shown


def test_a_number_whose_unit_nobody_said_would_be_noticed() -> None:
    assert unit_of("storage.retention_days", "retention_days") == "days"
    with pytest.raises(KeyError):
        unit_of("storage.patience", "patience")


# -- events


def test_every_event_has_an_example_that_fits_its_schema_and_its_model() -> None:
    assert set(EXAMPLES) == set(DATA)
    for name, model in DATA.items():
        check_event(example(name))
        model.model_validate_json(json.dumps(example(name)["data"]))
    check_event(GAP)
    GapRecord.model_validate(GAP)


def test_an_example_that_does_not_fit_would_be_noticed() -> None:
    wrong = example("pick")
    del wrong["data"]["item"]
    with pytest.raises(jsonschema.ValidationError):
        check_event(wrong)


# -- the API


def routes() -> list[Route]:
    app: Any = build_app(MagicMock(), MagicMock(body_bytes_max=1), MagicMock(), MagicMock())
    return [route for route in app._app.routes if isinstance(route, Route)]


def places_of(route: Route) -> set[tuple[str, str]]:
    path = route.path.replace(":path}", "}")
    return {(method, path) for method in route.methods or () if method != "HEAD"}


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    there = {place for route in routes() for place in places_of(route)}
    api = {(method, path) for method, path in there if path.startswith("/v1/") or path in BESIDE_V1}
    assert api == {(one.method, one.path) for one in OPERATIONS}, "gateway/web/operations.py"


def handler_calls(route: Route) -> list[ast.Call]:
    """Return the calls in a handler, those of the helpers that it hands its request to included."""
    source = textwrap.dedent(inspect.getsource(route.endpoint))
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def role_in(calls: list[ast.Call]) -> str | None:
    for call in calls:
        words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        match ast.unparse(call.func):
            case "require" | "self._action":
                return words[0]
            case "_speaker":
                return "device"
    return None


def action_in(calls: list[ast.Call]) -> dict[str, str] | None:
    for call in calls:
        match ast.unparse(call.func):
            case "read_action":
                return dict(ast.literal_eval(call.args[1]))
            case "self._action":
                return {"seqs": "numbers", "reason": "text"}
    return None


def test_roles_and_keys_are_those_that_the_handlers_ask_for() -> None:
    told = {(one.method, one.path): one for one in OPERATIONS}
    for route in routes():
        for place in places_of(route) & set(told):
            calls = handler_calls(route)
            assert told[place].role == role_in(calls), place
            assert told[place].action == action_in(calls), place


def test_the_description_is_openapi() -> None:
    validate(openapi())


def test_a_description_that_is_none_would_be_noticed() -> None:
    broken = openapi()
    del broken["paths"]["/v1/status"]["get"]["responses"]
    broken["paths"]["/v1/status"]["get"]["parameters"] = [{"name": "x", "in": "nowhere"}]
    with pytest.raises(Exception, match=r"nowhere|responses|valid"):
        validate(broken)


def test_every_answer_of_the_page_about_the_api_is_in_the_file() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    named = set(re.findall(r"\(`(\w+)`\)", page))
    assert named <= set(json.loads((ROOT / "docs" / "openapi.json").read_text())["components"]["schemas"])


# -- MQTT


def test_the_topics_are_those_that_the_program_knows() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    scan = document["channels"]["scan"]["address"].format(site="dc07", device="hh-7")
    ack = document["channels"]["ack"]["address"].format(site="dc07", device="hh-7")
    route = Routes("dc07").route(scan)
    assert route is not None
    assert (route.device, route.ack_topic) == ("hh-7", ack)
    assert Routes("{site}").filters == [document["channels"]["scan"]["address"].replace("{device}", "+")]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(item) for item in node)) if isinstance(node, list) else set()


def at(document: Any, reference: str) -> Any:
    for key in reference.removeprefix("#/").split("/"):
        document = document[key]
    return document


def test_the_description_of_the_topics_holds_together() -> None:
    """AsyncAPI 3.0: every reference leads somewhere, and every operation names messages of its own channel."""
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    for reference in references(document):
        at(document, reference)
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in {"send", "receive"}
        assert all(one["$ref"].startswith(f"{channel}/messages/") for one in operation["messages"])


def test_the_examples_of_messages_fit_their_schemas() -> None:
    document = asyncapi()
    for message in document["components"]["messages"].values():
        for shown in message.get("examples", ()):
            schema = {**message["payload"], "components": document["components"]}
            jsonschema.Draft202012Validator(schema).validate(shown["payload"])


def test_what_is_delivered_and_answered_fits_the_description() -> None:
    """The examples of the page about deliveries, and a batch with an event of each type and a gap."""
    document = asyncapi()
    batch = {**document["components"]["messages"]["batch"]["payload"], "components": document["components"]}
    jsonschema.Draft202012Validator(batch).validate([example(name) for name in DATA])
    answer = jsonschema.Draft202012Validator(document["components"]["schemas"]["answer"])
    page = (ROOT / "docs" / "delivery.md").read_text()
    shown = [json.loads(line) for line in re.findall(r"^\{.*\}$", page, re.MULTILINE)]
    assert len(shown) >= 2
    for one in shown:
        answer.validate(one)
    assert not answer.is_valid({"status": "ok"}), "the answer of a portal"


def test_the_headers_of_a_delivery_are_those_that_are_sent() -> None:
    told = {name.lower() for name in headers_schema()["properties"]}
    sent = "".join(
        (ROOT / "sync" / name).read_text().lower() for name in ("batch.py", "http_events.py", "signature.py")
    )
    assert {name for name in told if f'"{name}"' not in sent} == set()


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "1.5"}, {"quantity": 0.1}, {"quantity": -1}, {"quantity": "1e400"}, {"id": ""}, {"id": "x" * 129},
        {"code": 7}, {"code": ""}, {"operator": "x" * 257}, {"unit": "KGM"}, {"document": 1}, {"quantity": "12 pieces"},
    ],
    ids=str,
)  # fmt: skip
def test_the_schema_of_a_scan_and_its_parser_agree(change: dict[str, object]) -> None:
    scan = {**EXAMPLE_SCAN, **change}
    fits = jsonschema.Draft202012Validator(scan_schema()).is_valid(scan)
    (reading,) = parse_scans("hh-7", json.dumps(scan).encode()).readings
    assert fits == (reading.kind == "scan")


def test_what_is_shown_of_scans_is_the_whole_vocabulary() -> None:
    from drivers import scan_message

    assert set(scan_schema()["properties"]) == scan_message._KEYS - {"device"}
    assert EXAMPLE_ACKNOWLEDGEMENT["id"] == EXAMPLE_SCAN["id"]


def test_every_profile_of_a_reader_is_described_and_its_own_messages_fit() -> None:
    mappings = reader_mappings(SHIPPED)
    assert {"zebra-iot-connector", "zebra-rfd-mqtt", "impinj-r700"} <= set(mappings)
    assert set(mappings) <= set(asyncapi()["channels"]["tags"]["messages"])
    for mapping in mappings.values():
        message = message_of(mapping)
        jsonschema.Draft202012Validator(message_schema(mapping)).validate(message)
        (reading,) = parse_report("portal-1", mapping, json.dumps(message).encode()).readings
        assert reading.kind == "tag"


def message_of(mapping: TagMapping) -> dict[str, Any]:
    """A message with one tag, laid out as the mapping says."""
    message: dict[str, Any] = {}
    record = message
    if mapping.records is not None:
        record = {}
        put(message, mapping.records, [record])
    values = {"epc_hex": "30340242201d8840000012d7", "antenna": 2, "rssi": -54, "seen_count": 3}
    for name, value in values.items():
        path = getattr(mapping, name)
        if path is not None:
            put(message if path.startswith("/") else record, path.removeprefix("/"), value)
    return message


def put(node: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
