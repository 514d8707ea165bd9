"""Pieces of warehouse work against the real program, judged by what devices and centre remember."""

import json
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from site_under_test import json_in, output_of
from typer.testing import CliRunner

from gateway.cli import build_app
from gateway.demo import stage as stages
from gateway.demo.scenario import judged
from gateway.demo.scenarios import SCENARIOS
from gateway.demo.stage import Stage

ORDER = ["eight-percent-under", "cycle-count", "picking", "returns", "transfer", "undo", "rfid-portal"]
CHECKED = ("receipt", "pick", "count", "shipment", "return", "exception", "tally", "void")
"""Events of a scenario that its verdict has to miss when one is not there."""


@dataclass
class Played:
    """Every stage that a command made, to be looked at afterwards."""

    stages: list[Stage] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return self.stages[-1]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    kept = Played()

    class Remembered(Stage):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            kept.stages.append(self)

    monkeypatch.setattr(stages, "Stage", Remembered)
    return kept


def demo(*words: str) -> tuple[int, str]:
    """Run `dockline demo` in this process; return its exit code and what it printed."""
    result = CliRunner().invoke(build_app(), ["demo", *words])
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ORDER)
def test_every_scenario_ends_as_it_should_and_would_miss_any_event(name: str, played: Played) -> None:
    """The verdict holds; and it holds no more when the centre's record lacks any one event, or has one of another."""
    code, said = demo("--scenario", name, "--json", "--speed", "10")
    verdict = json_in(said)
    assert [claim for claim in verdict["claims"] if claim["expected"] != claim["found"]] == []
    assert (code, verdict["holds"]) == (0, True)
    scenario, record = SCENARIOS[name], played.stage.centre.ledger
    assert judged(scenario, played.stage).holds
    whole = list(record.events)
    for event in _one_of_each_kind(whole):
        record.events = [other for other in whole if other.id != event.id]
        assert not judged(scenario, played.stage).holds, f"nobody misses {event.body}"
        record.events = [replace(other, body=_altered(other.body)) if other is event else other for other in whole]
        assert not judged(scenario, played.stage).holds, f"nobody sees that it was altered: {event.body}"


def _one_of_each_kind(events: list[Any]) -> list[Any]:
    found: dict[tuple[str, str, str], Any] = {}
    for event in events:
        body = json.loads(event.body)
        kind, data = body["type"].split(".")[1], body["data"]
        if kind in CHECKED:
            found[kind, str(data.get("code")), str(data.get("state"))] = event
    return list(found.values())


def _altered(body: str) -> str:
    """Return an event about another item, or about nothing anybody knows."""
    event = json.loads(body)
    data = event["data"]
    if "item" in data:
        data["item"]["gtin"] = "09521230009997"
    for line in data.get("lines", ()):
        line["observed"] = "77"
    if "voids" in data:
        data["voids"] = "01900000-0000-7000-8000-000000000000"
    return json.dumps(event, sort_keys=True, separators=(",", ":"))


def test_a_difference_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work at a gateway whose checks are switched off."""
    scenario = SCENARIOS["returns"]
    (post,) = scenario.posts
    blind = replace(post, stations=post.stations + "\n[checks]\nenabled = false\n")
    monkeypatch.setitem(SCENARIOS, "returns", replace(scenario, posts=(blind,)))
    code, said = demo("--scenario", "returns", "--json")
    verdict = json_in(said)
    wrong = {claim["what"] for claim in verdict["claims"] if claim["expected"] != claim["found"]}
    assert (code, verdict["holds"]) == (1, False)
    assert {"exceptions, and no more", "what shall become of each line", "not on the RMA"} <= wrong
    assert "scans that carry a token and are at the centre" not in wrong


@pytest.mark.long
def test_400_cartons_pass_in_thirty_seconds() -> None:
    code, said = demo("--scenario", "rfid-portal", "--json")
    assert (code, json_in(said)["holds"]) == (0, True)


async def test_an_unknown_scenario_is_named() -> None:
    code, said = await output_of(sys.executable, "-m", "gateway", "demo", "--scenario", "eight-percent")
    assert (code, "eight-percent-under" in said) == (1, True)
    code, said = demo("--scenario", "list")
    assert [line.split(":")[0] for line in said.splitlines()] == ORDER
