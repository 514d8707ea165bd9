"""Command labels at a real daemon: what was done can be undone, also after a power cut."""

import signal
from pathlib import Path
from typing import Any

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway

LABELS = """
[labels]
command_prefix = "DKL:"

[[labels.patterns]]
kind = "document"
expression = "PL-[0-9]+"
"""
CODE = "]C10109521234543213"


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    with gateway(tmp_path / "gateway", CONFIG + LABELS) as running:
        yield running.start()


def say(daemon: GatewayProcess, number: int, code: str, **more: object) -> dict[str, Any]:
    """Send one scan of handheld hh-7 and return its acknowledgement."""
    answer = daemon.ask("POST", "/v1/scans", {"id": f"n-{number}", "code": code, "device": "hh-7", **more})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def events(daemon: GatewayProcess) -> list[dict[str, Any]]:
    return [one["event"] for one in daemon.ask("GET", "/v1/events?limit=100").json["events"]]


def killed_and_started(daemon: GatewayProcess) -> None:
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start()


def test_undo_after_a_power_cut_voids_the_last_event_once(daemon: GatewayProcess) -> None:
    assert say(daemon, 1, "PL-1001")["events"] == []
    first, second = (say(daemon, number, CODE)["events"][0] for number in (2, 3))
    killed_and_started(daemon)
    undone = say(daemon, 4, "DKL:undo")
    assert undone["result"] == "stored"
    killed_and_started(daemon)
    again = say(daemon, 4, "DKL:undo")
    assert (again["events"], again["redelivered"]) == (undone["events"], True), "heard no answer, said it again"
    before = say(daemon, 5, "DKL:undo")
    vain = say(daemon, 6, "DKL:undo")
    assert (vain["result"], vain["events"]) == ("stored_with_exception", [])
    assert vain["exceptions"][0]["code"] == "nothing_to_undo"
    told = {event["id"]: event["data"] for event in events(daemon) if event["type"] == "dockline.void.v1"}
    assert {key: data["voids"] for key, data in told.items()} == {
        undone["events"][0]: second,
        before["events"][0]: first,
    }
    assert all(data["document"] == {"id": "PL-1001"} and data["activity"] == "pick" for data in told.values())


def test_a_handheld_that_states_its_document_undoes_and_closes_there(daemon: GatewayProcess) -> None:
    one = say(daemon, 1, CODE, document="PL-1")["events"][0]
    say(daemon, 2, CODE, document="PL-2")
    say(daemon, 3, "DKL:undo", document="PL-1")
    (void,) = (event for event in events(daemon) if event["type"] == "dockline.void.v1")
    assert (void["data"]["voids"], void["data"]["document"]) == (one, {"id": "PL-1"})
    say(daemon, 4, "DKL:close", document="PL-2")
    assert say(daemon, 5, "DKL:undo", document="PL-2")["exceptions"][0]["code"] == "nothing_to_undo"


def test_a_prefix_that_comes_with_a_reload_is_obeyed_from_then_on(tmp_path: Path) -> None:
    with gateway(tmp_path / "gateway", CONFIG) as daemon:
        daemon.start()
        assert say(daemon, 1, "DKL:pick")["events"], "without a prefix of the site it is a label like any other"
        daemon.write(CONFIG + LABELS)
        daemon.signal(signal.SIGHUP)
        daemon.hear("READY=1")
        assert say(daemon, 2, "DKL:pick")["events"] == []
        assert say(daemon, 3, "DKL:undo")["exceptions"][0]["code"] == "nothing_to_undo"
