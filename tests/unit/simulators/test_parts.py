"""Parts that a PLC made against parts that the centre heard of."""

import json

import pytest

from simulators.ledger import CentreEvent
from simulators.parts import count_parts, is_watched

JOURNAL = [
    {"what": "started", "signal": "good", "total": 0},
    {"what": "counted", "signal": "good", "total": 2},
    {"what": "first_read", "signal": "good", "total": 2},
    {"what": "counted", "signal": "good", "total": 5},
    {"what": "counted", "signal": "bad", "total": 9},
]


def event(name: str, noun: str, **data: object) -> CentreEvent:
    body = json.dumps({"type": f"dockline.{noun}.v1", "data": data}, separators=(",", ":"))
    return CentreEvent(name, "//site/gateway/1", 1, body)


def increment(name: str, parts: int, signal: str = "good", kind: str = "increment") -> CentreEvent:
    return event(name, "count", kind=kind, measurement={"name": signal}, quantity={"value": str(parts)})


@pytest.mark.parametrize(
    ("events", "missing"),
    [
        ([increment("a", 2), increment("b", 3)], 0),
        ([increment("a", 2), increment("b", 3), increment("a", 2)], 0),
        ([increment("b", 3)], 2),
        ([increment("a", 2)], 3),
        ([increment("a", 2), increment("b", 4)], -1),
        ([increment("a", 2), increment("b", 3), increment("c", 9, "bad")], 0),
        ([increment("a", 2), increment("b", 3), increment("c", 9, kind="stock")], 0),
        ([], 5),
    ],
    ids=["all", "said again", "first lost", "last lost", "invented", "another counter", "no increment", "none"],
)
def test_every_part_that_was_made_is_asked_for(events: list[CentreEvent], missing: int) -> None:
    """Those before the first read too: an answer may leave and come too late, and then it is nobody's beginning."""
    found = count_parts(JOURNAL, events, "good")
    assert (found.counted, found.missing) == (5, missing)


def test_a_plc_is_watched_when_the_centre_hears_that_it_is_up() -> None:
    def device(name: str, state: str) -> CentreEvent:
        return event(name, "device", device={"id": name}, state=state)

    assert not is_watched([device("press", "gap"), device("scanner", "up"), increment("a", 2)], "press")
    assert is_watched([device("press", "gap"), device("press", "up")], "press")
