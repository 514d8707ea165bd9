"""Conditions: once, then when something happens."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus_change import Condition, Notice, Report
from drivers.modbus_map import Point


def condition(last: str | None = None, **more: Any) -> Condition:
    point = Point.model_validate({"name": "c", "address": 0, "type": "int16", **more})
    return Condition(point, last, since_s=0.0)


def door(last: str | None = None, edges: str = "both") -> Condition:
    return condition(last, type="bool", edges=edges)


def test_the_first_value_is_reported() -> None:
    assert condition().see("20", 0) == Report("20", None)


def test_an_unchanged_value_is_not_reported_again_after_a_restart() -> None:
    assert condition("20").see("20", 0) is None


def test_a_change_that_fell_into_a_restart_is_reported_with_what_was_before() -> None:
    assert door("false").see("true", 0) == Report("true", "false")


@pytest.mark.parametrize(("now", "is_report"), [("25", False), ("26", True), ("15", False), ("14", True)])
def test_a_value_is_reported_beyond_its_deadband_and_not_at_it(now: str, is_report: bool) -> None:
    assert (condition("20", deadband=5).see(now, 0) is not None) is is_report


def test_the_deadband_is_in_the_unit_of_the_event_not_of_the_register() -> None:
    watched = condition("200", deadband=0.5, scale=0.1)
    assert watched.see("205", 0) is None
    assert watched.see("206", 0) == Report("206", "200")


def test_a_value_that_creeps_is_measured_from_the_last_report() -> None:
    watched = condition("0", deadband=5)
    reports = [shown for shown in range(1, 13) if _settled(watched, str(shown))]
    assert reports == [6, 12]


def _settled(watched: Condition, raw: str, now: float = 0.0) -> bool:
    change = watched.see(raw, now)
    if change is not None:
        watched.settle(change, now)
    return isinstance(change, Report)


def test_an_edge_nobody_asked_for_is_remembered_and_not_reported() -> None:
    watched = door("true", "rising")
    assert watched.see("false", 0) == Notice("false")


def test_a_rising_edge_after_a_restart_is_seen_because_the_falling_one_was_remembered() -> None:
    watched = door("true", "rising")
    assert not _settled(watched, "false")
    again = door(watched.last, "rising")
    assert again.see("true", 0) == Report("true", "false")


@pytest.mark.parametrize(("edges", "count"), [("rising", 3), ("falling", 2), ("both", 5)])
def test_each_edge_is_reported_once(edges: str, count: int) -> None:
    watched = door("false", edges)
    assert sum(_settled(watched, raw) for raw in ["true", "true", "false", "true", "false", "false", "true"]) == count


def test_silence_is_broken_when_it_lasted_long_enough() -> None:
    watched = condition("20", silence_max_s=60)
    assert watched.see("20", 59.9) is None
    assert watched.see("20", 60) == Report("20", "20")


def test_a_report_begins_a_new_silence() -> None:
    watched = condition("20", silence_max_s=60)
    assert _settled(watched, "21", 50)
    assert watched.see("21", 109) is None
    assert watched.see("21", 110) is not None


def test_what_could_not_be_stored_is_said_again() -> None:
    watched = door("false")
    assert watched.see("true", 0) == watched.see("true", 1) == Report("true", "false")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=60))
def test_reports_are_the_changes_of_what_was_stored_whatever_fails_or_restarts(steps: list[Any]) -> None:
    """Reports on disk never show the same state twice in a row, and the last one is the truth once a commit works."""
    disk: list[str] = []
    watched = door()
    for is_open, commit_works, restarts in [*steps, (True, True, False)]:
        if restarts:
            watched = door(disk[-1] if disk else None)
        raw = "true" if is_open else "false"
        change = watched.see(raw, 0)
        if change is not None and commit_works:
            disk.append(raw)
            watched.settle(change, 0)
        if commit_works:
            assert disk[-1] == raw
    assert all(a != b for a, b in itertools.pairwise(disk))
