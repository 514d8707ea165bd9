"""What keeps the checks right over time: rules that change, documents that come in parts, and who may decide."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checks_rig import document, gtin, label, line
from daemon_process import CONFIG, GatewayProcess, gateway, reload, until
from document_centre import DocumentCentre, document_centre

from gateway.web.auth import new_token

PULL = '\n[expectations]\nurl = "{url}"\ninterval_s = 1\n'
RULE = """
[[checks.rules]]
id = "near-enough"
version = {version}
author = "{author}"
code = "receiving_variance"
tolerance_absolute = {near}
"""


def audited(daemon: GatewayProcess) -> list[tuple[str, str, str]]:
    records = json.loads(daemon.command("audit", "list", "--json").stdout)
    return [(one["action"], one["actor"], one["detail"]) for one in records if one["action"].startswith("rule_")]


def raised(daemon: GatewayProcess) -> list[dict[str, Any]]:
    found = daemon.ask("GET", "/v1/events?type=exception&limit=100").json["events"]
    return [one["event"]["data"] for one in reversed(found)]


def receive(daemon: GatewayProcess, number: int, quantity: int, name: str) -> None:
    scan = {"device": "hh-1", "id": f"n-{name}", "code": label(number), "quantity": quantity}
    assert daemon.ask("POST", "/v1/scans", {**scan, "document": name, "activity": "receipt"}).status == 200


def test_a_rule_that_changes_on_reload_is_audited_and_counts_from_the_next_scan_on(tmp_path: Path) -> None:
    with gateway(tmp_path, CONFIG + RULE.format(version=1, author="jane", near=2)) as daemon:
        daemon.start()
        for name in ("ASN-1", "ASN-2", "ASN-3"):
            wanted = document(name, "asn", line(1, 10))
            assert daemon.ask("PUT", f"/v1/expectations/{name}", wanted).status == 201
        receive(daemon, 1, 12, "ASN-1")
        assert raised(daemon) == []
        reload(daemon, CONFIG + RULE.format(version=2, author="omar", near=1))
        receive(daemon, 1, 12, "ASN-2")
        assert [one["rule"] for one in raised(daemon)] == [{"id": "near-enough", "version": 2, "author": "omar"}]
        reload(daemon, CONFIG + RULE.format(version=2, author="omar", near=5))
        receive(daemon, 1, 12, "ASN-3")
        assert len(raised(daemon)) == 1
        reload(daemon, CONFIG)
        assert daemon.stop() == 0
        daemon.start()
        assert audited(daemon) == [
            ("rule_added", "jane", "rule/near-enough version 1"),
            ("rule_changed", "omar", "rule/near-enough version 1 to 2"),
            ("rule_changed", "omar", "rule/near-enough version 2, though its content is another one"),
            ("rule_removed", "omar", "rule/near-enough version 2"),
        ]


def versions(daemon: GatewayProcess) -> dict[str, str]:
    return {one["id"]: one["version"] for one in daemon.ask("GET", "/v1/expectations").json["expectations"]}


def in_parts(centre: DocumentCentre, version: str) -> None:
    """Have the centre answer with three documents in three parts."""
    parts = [{**document(f"PL-{number}", "pick_list", line(number, 1)), "version": version} for number in (1, 2, 3)]
    centre.parts |= {f"/v1/expectations?page={number}": {"expectations": [parts[number - 1]]} for number in (2, 3)}
    second = centre.parts["/v1/expectations?page=2"]
    assert isinstance(second, dict)
    second["next"] = "/v1/expectations?page=3"
    centre.answer = {"expectations": [parts[0]], "next": f"{centre.url}?page=2"}


@pytest.fixture
def centre() -> Iterator[DocumentCentre]:
    with document_centre() as made:
        in_parts(made, "1")
        yield made


def test_documents_in_parts_are_fetched_whole_and_then_not_again(tmp_path: Path, centre: DocumentCentre) -> None:
    with gateway(tmp_path, CONFIG + PULL.format(url=centre.url)) as daemon:
        daemon.start()
        until(lambda: centre.asked and centre.asked[-1][1] == 304, "nothing is new")
        assert versions(daemon) == {"PL-1": "1", "PL-2": "1", "PL-3": "1"}
        first, *others = [path for path, _ in centre.paths[:3]]
        assert (first, others) == ("/v1/expectations", ["/v1/expectations?page=2", "/v1/expectations?page=3"])
        asked_with = {path for path, known in centre.paths if known is not None}
        assert asked_with == {"/v1/expectations"}, "the ETag of the first part speaks for all of them"


def test_a_part_that_fails_keeps_nothing_from_counting_and_all_is_asked_for_again(
    tmp_path: Path, centre: DocumentCentre
) -> None:
    with gateway(tmp_path, CONFIG + PULL.format(url=centre.url)) as daemon:
        daemon.start()
        until(lambda: centre.asked and centre.asked[-1][1] == 304, "the first version is here")
        in_parts(centre, "2")
        third, centre.parts["/v1/expectations?page=3"] = centre.parts["/v1/expectations?page=3"], 503
        until(lambda: centre.asked[-1][1] == 503, "the third part fails")
        until(lambda: versions(daemon) == {"PL-1": "2", "PL-2": "2", "PL-3": "1"}, "the other two count")
        codes = lambda: [one["code"] for one in daemon.ask("GET", "/v1/status").json["alarms"]]  # noqa: E731
        until(lambda: any("expectations" in code for code in codes()), "the status names it")
        centre.parts["/v1/expectations?page=3"] = third
        until(lambda: versions(daemon)["PL-3"] == "2", "what was missing comes")
        until(lambda: centre.asked[-1][1] == 304, "and then it is whole")


def test_a_part_elsewhere_is_not_asked_for(tmp_path: Path, centre: DocumentCentre) -> None:
    """Our token would go to whoever the answer names."""
    with document_centre() as stranger, gateway(tmp_path, CONFIG + PULL.format(url=centre.url)) as daemon:
        centre.answer["next"] = stranger.url
        daemon.start()
        until(lambda: len(centre.paths) >= 2, "it asks again")
        alarms = daemon.ask("GET", "/v1/status").json["alarms"]
        assert any("leads to another server" in one["message"] for one in alarms), alarms
        assert (stranger.paths, versions(daemon)) == ([], {"PL-1": "1"})
        centre.answer["next"] = "http://[nowhere"
        told = lambda: [one["message"] for one in daemon.ask("GET", "/v1/status").json["alarms"]]  # noqa: E731
        until(lambda: any('"next" is no address' in one for one in told()), "the status says what is wrong")


ROLES = ("viewer", "operator", "technician", "admin")
STRICT = CONFIG.replace('[api]\nbind = "127.0.0.1:0"\nunauthenticated = "accept-in-lab"', '[api]\nbind = "127.0.0.1:0"')


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, dict[str, str]]]:
    """A gateway with a token for each role, and one for a device."""
    folder = tmp_path_factory.mktemp("roles")
    file, tokens = folder / "tokens.toml", {role: new_token() for role in (*ROLES, "device")}
    lines = [
        f'[[token]]\nname = "{role}"\nsha256 = "{digest}"\nrole = "{role}"\n' for role, (_, digest) in tokens.items()
    ]
    file.write_text("".join(lines) + 'device = "hh-1"\n')
    file.chmod(0o600)
    with gateway(folder, f'{STRICT}tokens_file = "{file}"\n') as daemon:
        daemon.start()
        yield daemon, {role: token for role, (token, _) in tokens.items()}


@pytest.mark.parametrize("role", [*ROLES, "device", "nobody"])
def test_who_may_look_at_expectations_and_exceptions_and_who_may_decide(
    strict: tuple[GatewayProcess, dict[str, str]], role: str
) -> None:
    daemon, tokens = strict
    token = tokens.get(role)
    may_look = 403 if role == "device" else 200  # on loopback looking is free
    name = f"PL-{role}"
    wanted = document(name, "pick_list", line(1, 1))
    assert daemon.ask("PUT", f"/v1/expectations/{name}", wanted, token=tokens["operator"]).status == 201
    scan = {"id": f"n-{role}", "code": label(2), "document": name}
    assert daemon.ask("POST", "/v1/scans", scan, token=tokens["device"]).status == 200
    found = daemon.ask("GET", f"/v1/exceptions?document={name}", token=tokens["viewer"]).json["exceptions"]
    case, newer = found[0]["exception"], {**wanted, "version": "2", "lines": [line(1, 1), line(2, 1)]}
    for path in ("/v1/expectations", f"/v1/expectations/{name}", "/v1/exceptions", f"/v1/exceptions/{case}"):
        assert daemon.ask("GET", path, token=token).status == may_look, path
    may_act = role in ROLES[1:]
    acts = [
        ("PUT", f"/v1/expectations/{name}", newer, 200),
        ("POST", f"/v1/exceptions/{case}/acknowledge", {"reason": "I look"}, 200),
        ("POST", f"/v1/expectations/{name}/switch", {"reason": "by telephone"}, 200),
        ("DELETE", f"/v1/expectations/{name}", None, 200),
    ]
    for method, path, body, good in acts:
        refused = 403 if token else 401
        assert daemon.ask(method, path, body, token=token).status == (good if may_act else refused), (method, path)
    left = daemon.ask("GET", f"/v1/exceptions/{case}", token=tokens["viewer"]).json
    assert left["state"] == ("resolved" if may_act else "open"), "what was refused changed nothing"
    resolve = ("POST", f"/v1/exceptions/{case}/resolve", {"resolution": "put back"})
    expected = (409 if may_act else 403) if token else 401
    assert daemon.ask(*resolve, token=token).status == expected
    still = daemon.ask("GET", f"/v1/expectations/{name}", token=tokens["viewer"])
    assert (still.status, gtin(1) in str(still.json)) == ((404, False) if may_act else (200, True))
