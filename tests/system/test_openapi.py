"""The description of the local API against a real daemon: what it answers is what the description says."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from daemon_process import CONFIG, GatewayProcess, gateway

from gateway.web.openapi import openapi

CODE = "]C10109521234543213"
READER = '[[device]]\nid = "portal-1"\nstation = "floor"\ndriver = "rfid-reader"\nprofile = "zebra-iot-connector"\n\n'
ORDER = {"id": "PL-1", "type": "pick_list", "lines": [{"line": "1", "item": {"gtin": "09521234543213"}, "quantity": 1}]}
TAG = {"data": {"idHex": "30340242201d8840000012d7", "antenna": 1}, "type": "INVENTORY"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with gateway(tmp_path_factory.mktemp("described"), CONFIG.replace("[mqtt", READER + "[mqtt")) as daemon:
        yield daemon.start()


DOCUMENT = openapi()


def closed(node: Any) -> Any:
    """Return a schema that no unknown member fits: the description must know them all, its readers need not."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        found.setdefault("additionalProperties", False)
    return found


COMPONENTS = closed(DOCUMENT["components"])
# Both halves of an "all of" are open to what the other names.
COMPONENTS["schemas"]["QuarantineCase"] = DOCUMENT["components"]["schemas"]["QuarantineCase"]


def ask(
    lab: GatewayProcess, method: str, path: str, body: object = None, *, place: str = "", status: int | None = None
) -> Any:
    """Ask, and hold the answer against the description; `place` is the path with its braces."""
    answer = lab.ask(method, path, body)
    operation = DOCUMENT["paths"][place or path.partition("?")[0]][method.lower()]
    told = operation["responses"].get(str(answer.status))
    assert told is not None, (method, path, answer.status, answer.body[:200])
    assert status in (None, answer.status), answer.body[:200]
    if "content" not in told:
        assert answer.body == b""
        return None
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told["content"], (path, kind)
    if kind != "application/json":
        return answer.body
    schema = closed(told["content"][kind].get("schema", {}))
    jsonschema.Draft202012Validator({**schema, "components": COMPONENTS}).validate(answer.json)
    return answer.json


def test_looking_answers_as_described(lab: GatewayProcess) -> None:
    ask(lab, "POST", "/v1/scans", {"id": "look-1", "code": CODE, "device": "hh-1"})
    for path in (
        "/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/status", "/v1/events?limit=5", "/v1/quarantine",
        "/v1/expectations", "/v1/exceptions", "/v1/replay", "/v1/upstreams", "/v1/session", "/v1/stations",
        "/v1/history?minutes=3", "/v1/devices", "/v1/events?text=look-1",
    ):  # fmt: skip
        ask(lab, "GET", path)


def test_a_station_and_what_is_typed_there_are_as_described(lab: GatewayProcess) -> None:
    place = "/v1/stations/{station}/scans"
    ask(lab, "POST", "/v1/stations/floor/scans?device=hh-1", {"id": "typed-1", "code": CODE}, place=place, status=200)
    ask(lab, "POST", "/v1/stations/floor/scans?device=portal-9", {"id": "typed-2", "code": CODE}, place=place)
    ask(lab, "POST", "/v1/stations/nowhere/scans", {"id": "typed-3", "code": CODE}, place=place, status=404)
    ask(lab, "POST", "/v1/scans", {"id": "knock-1", "code": CODE, "device": "stranger"}, status=403)
    ask(lab, "GET", "/v1/stations")
    ask(lab, "GET", "/v1/stations/floor", place="/v1/stations/{station}")
    ask(lab, "GET", "/v1/devices")
    ask(lab, "GET", "/v1/devices/hh-1", place="/v1/devices/{device}")
    ask(lab, "GET", "/v1/devices/nobody", place="/v1/devices/{device}", status=404)


def test_the_gateway_serves_its_own_description(lab: GatewayProcess) -> None:
    assert lab.ask("GET", "/v1/openapi.json").json == json.loads(json.dumps(DOCUMENT))


def test_a_scan_its_event_and_what_is_refused_are_as_described(lab: GatewayProcess) -> None:
    told = ask(lab, "POST", "/v1/scans", {"id": "one-1", "code": CODE, "device": "hh-1"})
    ask(lab, "POST", "/v1/scans", [{"id": "one-2", "code": CODE, "device": "hh-1"}, {"id": "one-3", "code": 7}])
    ask(lab, "POST", "/v1/scans", {"id": "one-4", "code": CODE, "device": "stranger"})
    ask(lab, "GET", f"/v1/events/{told['events'][0]}", place="/v1/events/{id}")
    ask(lab, "GET", "/v1/events/nowhere", place="/v1/events/{id}")
    ask(lab, "GET", "/v1/events?limit=x")
    ask(lab, "POST", "/v1/readers/portal-1/tags", TAG, place="/v1/readers/{device}/tags")
    ask(lab, "POST", "/v1/readers/nobody/tags", TAG, place="/v1/readers/{device}/tags")


def test_an_expected_document_and_its_exception_are_as_described(lab: GatewayProcess) -> None:
    place = "/v1/expectations/{id}"
    ask(lab, "PUT", "/v1/expectations/PL-1", ORDER, place=place, status=201)
    ask(lab, "PUT", "/v1/expectations/PL-1", {**ORDER, "lines": 7}, place=place, status=422)
    for number in ("over-1", "over-2"):
        scan = {"id": number, "code": CODE, "device": "hh-1", "activity": "pick", "document": "PL-1"}
        ask(lab, "POST", "/v1/scans", scan)
    ask(lab, "GET", "/v1/expectations/PL-1", place=place)
    ask(lab, "GET", "/v1/expectations/PL-2", place=place)
    (found,) = ask(lab, "GET", "/v1/exceptions?document=PL-1")["exceptions"]
    one = f"/v1/exceptions/{found['exception']}"
    ask(lab, "GET", one, place="/v1/exceptions/{id}")
    ask(lab, "POST", f"{one}/acknowledge", {"reason": "seen"}, place="/v1/exceptions/{id}/acknowledge")
    ask(lab, "POST", f"{one}/resolve", {"resolution": "kept"}, place="/v1/exceptions/{id}/resolve")
    ask(lab, "POST", "/v1/expectations/PL-1/switch", {"reason": "none"}, place=f"{place}/switch")
    ask(lab, "DELETE", "/v1/expectations/PL-1", place=place)


def test_decisions_about_deliveries_are_answered_as_described(lab: GatewayProcess) -> None:
    assert ask(lab, "POST", "/v1/replay", {"dry_run": True, "type": "pick"})["count"] >= 0
    ask(lab, "POST", "/v1/replay", {"upstream": "nowhere", "reason": "to see"})
    order = {"upstream": "centre", "reason": "to see", "events_per_s": 1}
    begun = ask(lab, "POST", "/v1/replay", order, status=202)
    ask(lab, "GET", f"/v1/replay/{begun['id']}", place="/v1/replay/{id}")
    cancel = "/v1/replay/{id}/cancel"
    ask(lab, "POST", f"/v1/replay/{begun['id']}/cancel", {"reason": "seen"}, place=cancel)
    ask(lab, "POST", "/v1/upstreams/centre/rewind", {"to": 0, "reason": "again"}, place="/v1/upstreams/{name}/rewind")
    ask(lab, "POST", "/v1/upstreams/centre/remove", {"reason": "no"}, place="/v1/upstreams/{name}/remove")
    renamed = {"name": "wms", "replace": False, "reason": "no"}
    ask(lab, "POST", "/v1/upstreams/centre/rename", renamed, place="/v1/upstreams/{name}/rename")
    retry, discard = "/v1/quarantine/{upstream}/retry", "/v1/quarantine/{upstream}/discard"
    ask(lab, "POST", "/v1/quarantine/centre/retry", {"seqs": [1], "reason": "no"}, place=retry)
    ask(lab, "POST", "/v1/quarantine/centre/discard", {"seqs": [1], "reason": "no"}, place=discard)
    ask(lab, "GET", "/v1/quarantine/centre/1", place="/v1/quarantine/{upstream}/{seq}")
    ask(lab, "POST", "/v1/incidents/1/acknowledge", {"reason": "no"}, place="/v1/incidents/{number}/acknowledge")
    assert ask(lab, "POST", "/v1/backup", {"reason": "to see"})[:6] == b"SQLite"
    ask(lab, "POST", "/v1/session", {"token": "nobody's"})
    ask(lab, "DELETE", "/v1/session", {})


def test_a_member_that_nobody_described_would_be_noticed() -> None:
    schema = COMPONENTS["schemas"]["Position"]
    books = dict.fromkeys(schema["required"], 0) | {"name": "centre", "configured": True, "required": True}
    with pytest.raises(jsonschema.ValidationError, match="unexpected"):
        jsonschema.Draft202012Validator(schema).validate({**books, "surprise": 1})
