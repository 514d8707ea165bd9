"""Checks in a real daemon: the answer to a handheld, the line down, restarts, a kill in the middle of a document."""

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checks_rig import document, gtin, label, line
from daemon_process import CONFIG, GatewayProcess, gateway, until
from document_centre import document_centre
from event_check import checked

LABELS = '\n[labels]\ncommand_prefix = "DL:"\n'
NUMBERS = itertools.count(1)
PULL = '\n[expectations]\nurl = "{url}"\ninterval_s = 1\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[GatewayProcess]:
    """Its centre does not answer, all day."""
    with gateway(tmp_path / "site", CONFIG + LABELS) as made:
        yield made.start()


def say(daemon: GatewayProcess, code: str, **context: Any) -> dict[str, Any]:
    """Scan with a handheld; return what it hears."""
    body = {"id": f"n-{next(NUMBERS)}", "code": code, "device": "hh-1", **context}
    answer = daemon.ask("POST", "/v1/scans", body)
    assert answer.status == 200, answer.body
    heard: dict[str, Any] = answer.json
    return heard


def heard_codes(heard: dict[str, Any]) -> list[str]:
    return [one["code"] for one in heard.get("exceptions", [])]


def put(daemon: GatewayProcess, value: dict[str, Any]) -> dict[str, Any]:
    answer = daemon.ask("PUT", f"/v1/expectations/{value['id']}", value)
    assert answer.status in (200, 201), answer.body
    found: dict[str, Any] = answer.json
    return found


def events(daemon: GatewayProcess, name: str) -> list[dict[str, Any]]:
    """Return the data of the stored events of a name, oldest first, each checked against the published schema."""
    found = [one["event"] for one in daemon.ask("GET", f"/v1/events?type={name}&limit=1000").json["events"]]
    for one in found:
        body = {key: value for key, value in one.items() if key != "sequence"}
        checked(json.dumps(body).encode())
    return [one["data"] for one in reversed(found)]


def test_a_handheld_hears_what_is_wrong_while_the_line_is_down(daemon: GatewayProcess) -> None:
    put(daemon, document("PL-1", "pick_list", line(1, 2, lots=["L1"]), line(2, 1)))
    good = say(daemon, label(1, lot="L1"), document="PL-1")
    assert (good["result"], heard_codes(good)) == ("stored", [])
    bad = say(daemon, label(1, lot="L2"), document="PL-1")
    assert (bad["result"], heard_codes(bad)) == ("stored_with_exception", ["lot_mismatch"])
    assert "L1" in bad["exceptions"][0]["message"]
    assert heard_codes(say(daemon, label(3), document="PL-1")) == ["wrong_item"]
    again = [say(daemon, label(2, serial="S1"), document="PL-1") for _ in range(2)][1]
    assert (again["result"], heard_codes(again)) == ("duplicate", ["duplicate_pick"])
    closed = say(daemon, "DL:close", document="PL-1")
    assert closed["result"] == "stored"
    assert [one["code"] for one in events(daemon, "exception")] == ["lot_mismatch", "wrong_item", "duplicate_pick"]
    (tally,) = events(daemon, "tally")
    assert [one["result"] for one in tally["lines"]] == ["matched", "matched", "unexpected"]


def test_a_kill_in_the_middle_of_a_document_costs_nothing(daemon: GatewayProcess) -> None:
    put(daemon, document("PL-1", "pick_list", line(1, 5)))
    for _ in range(3):
        say(daemon, label(1), document="PL-1")
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start()
    say(daemon, label(1), document="PL-1")
    (found,) = [daemon.ask("GET", "/v1/expectations/PL-1").json]
    assert found["progress"] == [{"activity": "pick", "version": "1", "state": "open", "closed": 0}]
    assert heard_codes(say(daemon, "DL:close", document="PL-1")) == ["short_pick"]
    (tally,) = events(daemon, "tally")
    assert (tally["lines"][0]["observed"], tally["lines"][0]["result"]) == ("4", "short")
    (case,) = events(daemon, "exception")
    assert case["events_total"] == 4
    assert daemon.stop() == 0


def test_expected_documents_over_the_api(daemon: GatewayProcess) -> None:
    wanted = document("PO/7 a", "purchase_order", line(1, "1.5", unit="KGM"), supplier="4012345000009")
    path = "/v1/expectations/PO%2F7%20a"
    made = daemon.ask("PUT", path, wanted)
    assert (made.status, made.json["changed"]) == (201, True)
    assert daemon.ask("PUT", path, wanted).json["changed"] is False
    found = daemon.ask("GET", path)
    assert found.headers["etag"] == made.headers["etag"]
    assert found.json["lines"] == [{"line": "1", "item": {"gtin": gtin(1)}, "quantity": "1.5", "unit": "KGM"}]
    assert [one["id"] for one in daemon.ask("GET", "/v1/expectations").json["expectations"]] == ["PO/7 a"]
    wrong = daemon.ask("PUT", path, {**wanted, "type": "invoice"})
    assert wrong.status == 422
    assert "type" in wrong.json["error"]["message"]
    assert daemon.ask("PUT", "/v1/expectations/other", wanted).status == 422
    assert daemon.ask("DELETE", path).status == 200
    assert daemon.ask("DELETE", path).status == 404
    assert daemon.ask("GET", path).status == 404
    actions = [one["action"] for one in json.loads(daemon.command("audit", "list", "--json").stdout)]
    assert [one for one in actions if one.startswith("expectation")] == ["expectation_added", "expectation_removed"]


def test_work_under_way_keeps_its_version_until_a_person_switches(daemon: GatewayProcess) -> None:
    put(daemon, document("PL-1", "pick_list", line(1, 1)))
    assert heard_codes(say(daemon, label(2), document="PL-1")) == ["wrong_item"]
    newer = put(daemon, {**document("PL-1", "pick_list", line(1, 1), line(2, 5)), "version": "2"})
    assert (newer["version"], newer["progress"][0]["version"]) == ("2", "1")
    assert heard_codes(say(daemon, label(2), document="PL-1")) == ["wrong_item"]
    ended = daemon.command("expectations", "switch", "PL-1", "--reason", "two more lines")
    assert (ended.returncode, ended.stdout) == (0, "PL-1: pick goes by version 2 now\n")
    assert heard_codes(say(daemon, label(2), document="PL-1")) == []
    assert [one["state"] for one in events(daemon, "exception")] == ["open", "resolved"]
    again = daemon.command("expectations", "switch", "PL-1", "--reason", "once more")
    assert again.returncode == 1
    assert "goes by another version" in again.stderr


def test_what_was_unchecked_is_checked_when_the_document_comes(daemon: GatewayProcess) -> None:
    first = say(daemon, label(1), document="PL-1")
    second = say(daemon, label(2), document="PL-1")
    assert (first["result"], second["result"]) == ("stored", "stored")
    put(daemon, document("PL-1", "pick_list", line(1, 1)))
    (found,) = events(daemon, "exception")
    assert (found["code"], found["events"]) == ("wrong_item", second["events"])
    assert heard_codes(say(daemon, label(1), document="PL-1")) == ["duplicate_pick"], "the first one counts"


def test_what_came_before_the_first_document_of_all_counts_too(tmp_path: Path) -> None:
    """A gateway with no rule and no address, where nothing was ever expected; then the lists come after the picks."""
    with gateway(tmp_path / "site", CONFIG) as daemon:
        daemon.start()
        say(daemon, label(1), document="PL-1", quantity="3")
        stranger = say(daemon, label(2, serial="S1"), document="PL-1")
        say(daemon, label(2, serial="S1"), document="PL-1")
        other = say(daemon, label(1), document="PL-2")
        put(daemon, document("PL-1", "pick_list", line(1, 4), line(3, 1)))
        found = events(daemon, "exception")
        assert ("wrong_item", stranger["events"]) in [(one["code"], one["events"][:1]) for one in found]
        assert heard_codes(say(daemon, label(1), document="PL-1")) == [], "the fourth of four"
        assert heard_codes(say(daemon, label(1), document="PL-1")) == ["duplicate_pick"], "three came before"
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.start()
        put(daemon, document("PL-2", "pick_list", line(2, 1)))
        (late,) = [one for one in events(daemon, "exception") if one["document"]["id"] == "PL-2"]
        assert (late["code"], late["events"]) == ("wrong_item", other["events"])
        put(daemon, document("PL-2", "pick_list", line(1, 2), version="2"))
        before = len(events(daemon, "exception"))
        put(daemon, document("PL-1", "pick_list", line(1, 9), line(3, 1), version="2"))
        assert len(events(daemon, "exception")) == before, "nothing is counted a second time"


def test_people_decide_about_exceptions(daemon: GatewayProcess) -> None:
    put(daemon, document("PL-1", "pick_list", line(1, 1)))
    say(daemon, label(2), document="PL-1")
    (listed,) = json.loads(daemon.command("exceptions", "list", "--json").stdout)
    case = listed["exception"]
    assert (listed["code"], listed["overdue"], "events" in listed) == ("wrong_item", False, False)
    assert daemon.command("exceptions", "acknowledge", case, "--reason", "on my way").returncode == 0
    ended = daemon.command("exceptions", "resolve", case, "--resolution", "put back")
    assert (ended.returncode, ended.stdout) == (0, "wrong_item is resolved: put back\n")
    assert json.loads(daemon.command("exceptions", "list", "--json").stdout) == []
    twice = daemon.command("exceptions", "resolve", case, "--resolution", "again")
    assert (twice.returncode, "put back" in twice.stderr) == (1, True)
    unknown = daemon.command("exceptions", "show", "no-such-thing")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (1, False)
    told = events(daemon, "exception")
    assert [one["state"] for one in told] == ["open", "acknowledged", "resolved"]
    assert len({one["exception"] for one in told}) == 1
    assert told[-1]["resolution"] == "put back"


def test_a_file_of_documents_is_imported_whole_or_not_at_all(daemon: GatewayProcess, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    good, bad = document("PL-1", "pick_list", line(1, 1)), document("PL-2", "pick_list", line(1, -1))
    file.write_text(json.dumps({"expectations": [good, bad]}))
    ended = daemon.command("expectations", "import", str(file))
    assert ended.returncode == 1
    assert 'number 2: document "PL-2": lines.0.quantity' in ended.stderr
    assert json.loads(daemon.command("expectations", "list", "--json").stdout) == []
    file.write_text(json.dumps([good]))
    assert daemon.command("expectations", "import", str(file)).stdout == "1 of 1 documents are new here or newer\n"
    assert daemon.command("expectations", "remove", "PL-1").returncode == 0


def test_documents_and_decisions_are_fetched_and_the_gateway_is_never_called(tmp_path: Path) -> None:
    with document_centre() as centre, gateway(tmp_path / "site", CONFIG + PULL.format(url=centre.url)) as daemon:
        centre.answer = {"expectations": [document("PL-1", "pick_list", line(1, 1)), {"id": "PL-2"}]}
        daemon.start()
        until(lambda: daemon.ask("GET", "/v1/expectations").json["expectations"], "PL-1 comes")
        assert [one["code"] for one in daemon.ask("GET", "/v1/status").json["alarms"] if "expect" in one["code"]]
        assert heard_codes(say(daemon, label(2), document="PL-1")) == ["wrong_item"]
        (found,) = events(daemon, "exception")
        decision = {"exception": found["exception"], "actor": "jane", "resolution": "put back"}
        centre.answer = {"expectations": [document("PL-1", "pick_list", line(1, 1))], "resolutions": [decision]}
        until(lambda: len(events(daemon, "exception")) == 2, "the decision comes")
        assert events(daemon, "exception")[-1]["actor"] == "jane"
        until(lambda: centre.asked[-1][1] == 304, "nothing is new")
        assert daemon.stop() == 0
        daemon.start()
        before = len(centre.asked)
        until(lambda: len(centre.asked) > before, "it asks after a restart")
        assert centre.asked[before][1] == 304, "what it has it does not fetch again"
        centre.status = 500
        until(lambda: centre.asked[-1][1] == 500, "the centre breaks")
        assert heard_codes(say(daemon, label(3), document="PL-1")) == ["wrong_item"], "checks go on without it"


def test_exceptions_are_measured_by_supplier(daemon: GatewayProcess) -> None:
    for name, supplier in (("ASN-1", "4012345000009"), ("ASN-2", "Müller"), ("PL-1", None)):
        said = {} if supplier is None else {"supplier": supplier}
        put(daemon, document(name, "asn", line(1, 1), **said))
        say(daemon, label(2), document=name, activity="receipt")
    say(daemon, "DL:close", document="ASN-1", activity="receipt")
    status = daemon.ask("GET", "/v1/status").json
    assert [(one["supplier"], one["code"], one["open"]) for one in status["checks"]["suppliers"]] == [
        ("4012345000009", "receiving_variance", 1),
        ("4012345000009", "unexpected_item", 1),
        ("Müller", "unexpected_item", 1),
    ]
    assert {one["code"]: one["ages"] for one in status["checks"]["exceptions"]}["unexpected_item"] == [3, 0, 0, 0]
    first = status["measures"]["suppliers"][0]
    assert (first["supplier"], first["documents_closed"], first["per_document"]) == ("4012345000009", 1, 2.0)
    metrics = daemon.ask("GET", "/metrics").body
    text = metrics.decode() if isinstance(metrics, bytes) else str(metrics)
    assert 'dockline_supplier_exceptions_opened_total{code="unexpected_item",supplier="Müller"} 1.0' in text
    assert 'dockline_supplier_exceptions_open{code="receiving_variance",supplier="4012345000009"} 1.0' in text
    assert 'dockline_exceptions_by_age{age="4h",code="unexpected_item"} 3.0' in text
    told = daemon.command("status").stdout
    assert "Exceptions by supplier" in told and "Müller" in told


def test_a_long_document_is_closed_while_others_scan(daemon: GatewayProcess) -> None:
    """1,500 lines, one handheld closes, another one picks from its own list and is not held up."""
    put(daemon, document("PL-1", "pick_list", *[line(number, 1) for number in range(1_500)]))
    put(daemon, document("PL-2", "pick_list", line(1, 1)))
    say(daemon, label(7), document="PL-1")
    assert heard_codes(say(daemon, "DL:close", document="PL-1", operator="OP-1")) == ["closing"]
    assert heard_codes(say(daemon, label(1), document="PL-2")) == []
    until(lambda: events(daemon, "tally"), "the tally follows")
    (tally,), (short,) = events(daemon, "tally"), events(daemon, "exception")
    assert (tally["lines_total"], tally["operator"], tally["station"]) == (1_500, "OP-1", "floor")
    assert (short["code"], short["variance"]["observed"], tally["exceptions"]) == (
        "short_pick", "1", [short["exception"]],
    )  # fmt: skip
    progress = daemon.ask("GET", "/v1/expectations/PL-1").json["progress"]
    assert [(one["state"], one["closed"]) for one in progress] == [("closed", 1)]


def test_many_scans_are_counted_by_another_version_while_others_scan(daemon: GatewayProcess) -> None:
    """600 picks of goods that weigh a kilogram each; a person switches to a version that wants 599 of them."""
    meat = "99521000004446"
    by_weight = {"line": "1", "item": {"gtin": meat}, "quantity": 600, "unit": "KGM"}
    put(daemon, document("PL-1", "pick_list", by_weight))
    scans = [
        {"id": f"m-{number}", "code": f"]C101{meat}3103001000", "device": "hh-1", "document": "PL-1"}
        for number in range(600)
    ]
    for part in range(0, len(scans), 100):
        assert daemon.ask("POST", "/v1/scans", scans[part : part + 100]).status == 200
    assert events(daemon, "exception") == []
    put(daemon, {**document("PL-1", "pick_list", {**by_weight, "quantity": 599}), "version": "2"})
    told = daemon.command("expectations", "switch", "PL-1", "--reason", "one is not wanted")
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "PL-1: pick goes by version 2 now")
    assert heard_codes(say(daemon, label(1), document="PL-2")) == []

    def work() -> dict[str, Any]:
        return daemon.ask("GET", "/v1/expectations/PL-1").json["progress"][0]

    until(lambda: (work()["version"], work()["state"]) == ("2", "open"), "it is counted by version 2")
    (over,) = events(daemon, "exception")
    assert (over["code"], over["variance"]["observed"], over["variance"]["unit"]) == ("duplicate_pick", "600", "KGM")
