"""Alert rules and dashboard ask for metrics that exist, in expressions that Prometheus reads; names keep its rules."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from buffer import incident

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "dockline.rules.yml"
DASHBOARD = ROOT / "config" / "grafana" / "dockline.json"
PAGE = (ROOT / "docs" / "metrics.md").read_text()
METRICS = dict(re.findall(r"^\| `(dockline_\w+)` \| (gauge|counter|histogram) \|", PAGE, re.MULTILINE))
"""The page has exactly the metrics of a running gateway: tests/system/test_api.py."""
FUNCTIONS = {
    "abs", "and", "by", "deriv", "histogram_quantile", "increase", "label_values", "max", "min", "on", "or", "rate",
    "sum", "unless", "vector",
}  # fmt: skip
LABELS = {"code", "driver", "fate", "instance", "job", "le", "link", "reason", "station", "upstream", "what"}
DERIVED = {"histogram": ("_bucket", "_sum", "_count")}
FOREIGN = {"up"}
"""Prometheus makes it for every target."""
NOT_BASE = re.compile(
    r"_(milli|micro)?(ms|minutes|hours|days|percent|kilobytes|megabytes|kb|mb|mib|celsius_degrees)(_|$)"
)
"""Units that are no base units: Prometheus, "metric and label naming"."""


def series() -> set[str]:
    """Return every series name there can be."""
    found = set(FOREIGN)
    for name, kind in METRICS.items():
        found |= {name + suffix for suffix in DERIVED.get(kind, ("",))}
    return found


def problems(expression: str) -> list[str]:
    """Return what is wrong with an expression, as far as that can be seen without a parser of the language."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    pairs = {")": "(", "}": "{", "]": "["}
    open_ones: list[str] = []
    for character in bare:
        if character in pairs.values():
            open_ones.append(character)
        elif character in pairs and (not open_ones or open_ones.pop() != pairs[character]):
            return [f"{character} closes nothing"]
    wrong = [f"{character} is not closed" for character in open_ones]
    without_labels = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", " ", bare)
    words = set(re.findall(r"[a-zA-Z_]\w*", without_labels)) - FUNCTIONS - LABELS
    return wrong + sorted(words - series())


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query")


def test_every_alert_asks_for_metrics_that_exist() -> None:
    assert {rule["alert"]: found for rule in rules() if (found := problems(rule["expr"]))} == {}


def test_every_panel_asks_for_metrics_that_exist() -> None:
    assert [(one, found) for one in dashboard_expressions() if (found := problems(one))] == []


@pytest.mark.parametrize(
    "wrong", ["dockline_gone > 0", "rate(dockline_events_accepted_total[5m]", "dockline_take_seconds > 1", "sum up)"]
)
def test_an_expression_that_asks_for_nothing_would_be_noticed(wrong: str) -> None:
    assert problems(wrong) != []


def test_labels_that_are_asked_for_are_told_on_the_page() -> None:
    asked = {
        label
        for expression in (*dashboard_expressions(), *(rule["expr"] for rule in rules()))
        for group in re.findall(r"\{([^}]*)\}|\bby \(([^)]*)\)", expression)
        for label in re.findall(r"(\w+)(?=\s*(?:=|!=|,|$))", re.sub(r'"[^"]*"', "", ",".join(group)))
    }
    assert asked - {"instance", "job", "le"} - set(re.findall(r"`(\w+)`", PAGE)) == set()


def test_alerts_on_damage_name_incidents_that_there_are() -> None:
    kinds = {value for name, value in vars(incident).items() if name.isupper() and isinstance(value, str)}
    named = {
        kind
        for rule in rules()
        for codes in re.findall(r'dockline_alarms\{code=~"([^"]+)"', rule["expr"])
        for kind in codes.split("|")
    }
    assert named == kinds - {incident.ACKNOWLEDGED}


def test_every_alert_says_what_it_is_and_where_to_read_on() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert (ROOT / rule["annotations"]["runbook"]).exists(), rule["alert"]


def test_the_page_lists_the_alerts_as_they_are() -> None:
    shown = {
        name: (severity, text.replace("\\|", "|"))
        for name, severity, text in re.findall(r"^\| `(Dockline\w+)` \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    }
    told = {
        rule["alert"]: (
            rule["labels"]["severity"],
            f"`{rule['expr']}` for {rule['for']}" if "for" in rule else f"`{rule['expr']}`, at once",
        )
        for rule in rules()
    }
    assert shown == told


def test_names_of_metrics_follow_the_customs_of_prometheus() -> None:
    for name, kind in METRICS.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not NOT_BASE.search(name), f"{name}: seconds and bytes are the base units"
        assert kind != "histogram" or name.endswith(("_seconds", "_bytes")), name


def test_the_custom_of_base_units_would_be_noticed() -> None:
    assert NOT_BASE.search("dockline_autonomy_hours")
    assert NOT_BASE.search("dockline_take_ms")
    assert not NOT_BASE.search("dockline_scans_last_hour")


def test_prometheus_itself_takes_rules_and_panels_where_it_is_installed(tmp_path: Path) -> None:
    """Its own checker is a large package that no test of ours needs otherwise: asked where somebody has it."""
    panels = [
        {"record": f"panel:{n}", "expr": one} for n, one in enumerate(dashboard_expressions()) if "label_" not in one
    ]
    as_rules = tmp_path / "panels.yml"
    as_rules.write_text(json.dumps({"groups": [{"name": "panels", "rules": panels}]}))
    promtool = shutil.which("promtool")
    if promtool is not None:
        done = subprocess.run(
            [promtool, "check", "rules", RULES, as_rules], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
