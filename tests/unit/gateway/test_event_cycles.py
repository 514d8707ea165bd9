"""What ends the pass of a tag that stands in the gate."""

import pytest

from drivers.reading import Reading, ScanContext, TagRead
from gateway.capture.event_cycle import EventCycle
from gateway.capture.event_cycles import goes_on, meaning
from gateway.capture.station import Session


def told(document: str | None = None, location: str | None = None, activity: str | None = "receipt") -> str:
    return meaning(
        Reading("gate-1", "tag", b"\x01", tag=TagRead(b"\x01")), Session(document=document, location=location), activity
    )


@pytest.mark.parametrize(
    ("before", "now", "is_one_pass"),
    [
        (told("A1", "D1"), told("A1", "D1"), True),
        (told("A1", "D1"), told(None, "D1"), True),
        (told("A1", "D1"), told("A1", None), True),
        (told("A1", "D1"), told(), True),
        (told("A1"), told("A2"), False),
        (told("A1", "D1"), told(None, "D2"), False),
        (told(), told("A1"), False),
        (told("A1"), told(activity="pick"), False),
        (told("A1"), told(activity=None), False),
    ],
)
def test_a_pass_goes_on_while_nobody_says_something_else(before: str, now: str, *, is_one_pass: bool) -> None:
    assert goes_on(before, now) is is_one_pass


def test_what_a_reader_states_itself_goes_before_the_session() -> None:
    reading = Reading("gate-1", "tag", b"\x01", tag=TagRead(b"\x01"), context=ScanContext(document="A2"))
    assert meaning(reading, Session(document="A1"), "receipt") == told("A2")


def test_pallets_that_stand_in_the_gate_when_their_delivery_is_closed_came_once() -> None:
    """Closed, read again without a document, and then the next delivery is begun with one of them still there."""
    cycle = EventCycle("dock-3", goes_on=goes_on)
    kinds = []
    for at, document in enumerate(("A1", "A1", None, None, "A1", "A2", None)):
        admission = cycle.admits(b"\x01", told(document), float(at))
        if admission.is_first:
            cycle.cover(b"\x01", f"e{at}")
        kinds.append(admission.kind)
    assert kinds == ["first", "repeat", "repeat", "repeat", "repeat", "first", "repeat"]
