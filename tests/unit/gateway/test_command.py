"""What a command label does to a session, and what it asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.command import CommandUnknown, CommandVain, Obeyed, obey
from gateway.capture.station import ACTIVITIES, EMPTY, Done, Session


def said(session: Session, words: str, **more: str) -> Session:
    obeyed = obey(session, words, "s-1", more.get("activity", "receipt"), more.get("document"))
    assert (obeyed.undone, obeyed.closes) == (None, None)
    return obeyed.session


OPEN = Session(document="PL-1", document_type="pick", document_line="3", location="A-01", operator="op7")


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_an_activity_changes_what_scans_mean_and_ends_the_document(activity: str) -> None:
    assert said(OPEN, activity) == Session(activity=activity, operator="op7")
    assert said(OPEN, f" {activity.upper()} ") == Session(activity=activity, operator="op7")


@pytest.mark.parametrize(("words", "value"), [("quantity 012", "12"), ("Quantity  1.5", "1.5"), ("quantity 0", "0")])
def test_a_quantity_is_for_the_next_item(words: str, value: str) -> None:
    assert said(EMPTY, words) == Session(quantity=value)


@pytest.mark.parametrize(
    ("words", "in_event"),
    [("restock", "restock"), ("refurbish", "refurbish"), ("vendor-return", "vendor_return"), ("disposal", "disposal")],
)
def test_what_shall_become_of_a_return_is_said_of_returns_only(words: str, in_event: str) -> None:
    assert said(EMPTY, words, activity="return") == Session(return_disposition=in_event)
    with pytest.raises(CommandVain) as caught:
        obey(EMPTY, words, "s-1", "pick")
    assert caught.value.code == "out_of_place"
    assert str(caught.value) == f"{words} is said of returns, and this is pick"


def test_damaged_and_cancel() -> None:
    damaged = said(OPEN, "damaged")
    assert damaged.damaged
    pending = said(said(damaged, "quantity 3"), "disposal", activity="return")
    assert said(pending, "cancel") == OPEN


def test_clear_forgets_everything() -> None:
    assert said(OPEN, "clear") is EMPTY


@pytest.mark.parametrize(
    "words",
    ["", "open", "quantity", "quantity x", "quantity -1", "damaged 3", "pick now", "undo 3", "close PL-1", "x" * 99],
)
def test_an_unknown_command_is_named(words: str) -> None:
    with pytest.raises(CommandUnknown) as caught:
        obey(EMPTY, words, "s-1", "pick")
    assert len(str(caught.value)) < 80


TRAIL = (
    Done("s-1", "e1", "receipt", "A"),
    Done("s-1", "e2", "receipt", "A"),
    Done("s-2", "e3", "receipt", "A"),
    Done("s-1", "e4", "receipt", "B"),
)


def test_undo_reaches_back_over_the_events_of_this_device_in_the_open_document() -> None:
    """Two scanners share a station: each takes back what it said itself, one event at a time."""
    session = Session(document="A", trail=TRAIL)
    first = obey(session, "undo", "s-1", "receipt")
    assert (first.undone, first.closes) == (TRAIL[1], None)
    second = obey(first.session, "undo", "s-1", "receipt")
    assert second.undone == TRAIL[0]
    with pytest.raises(CommandVain) as caught:
        obey(second.session, "undo", "s-1", "receipt")
    assert (caught.value.code, str(caught.value)) == (
        "nothing_to_undo",
        "nothing to undo: s-1 has no event left here for document A",
    )
    assert obey(second.session, "undo", "s-2", "receipt").undone == TRAIL[2]


def test_the_document_that_a_message_states_is_the_one_meant() -> None:
    assert obey(Session(document="A", trail=TRAIL), "undo", "s-1", None, "B").undone == TRAIL[3]
    assert obey(Session(trail=TRAIL), "undo", "s-1", None).undone == TRAIL[3], "without any, the last of all"


def test_close_names_the_document_and_nothing_of_it_can_be_undone_any_more() -> None:
    session = Session("receipt", document="A", location="D-1", operator="op7", trail=TRAIL)
    assert obey(session, "close", "s-1", "receipt") == Obeyed(Session("receipt", operator="op7"), closes="A")


def test_a_handheld_closes_the_document_it_states_and_leaves_the_others() -> None:
    obeyed = obey(Session(document="A", trail=TRAIL), "close", "s-1", None, "B")
    assert obeyed == Obeyed(Session(document="A", trail=TRAIL[:3]), closes="B")


def test_close_of_nothing_is_named() -> None:
    with pytest.raises(CommandVain) as caught:
        obey(Session(operator="op7"), "close", "s-1", None)
    assert caught.value.code == "nothing_to_close"


_WORDS = st.sampled_from(["undo", "close", "clear", "cancel", "pick", "quantity 2", "restock", "damaged"]) | st.text()
_DOCUMENTS = st.none() | st.sampled_from(["A", "B", "C"])
_TRAILS = st.lists(st.sampled_from(TRAIL), unique=True)
_ACTIVITIES = st.none() | st.sampled_from(ACTIVITIES)


@given(
    _WORDS,
    _DOCUMENTS,
    _DOCUMENTS,
    st.lists(st.sampled_from(TRAIL), unique=True),
    st.none() | st.sampled_from(ACTIVITIES),
)
def test_a_command_undoes_at_most_one_event_and_never_one_of_another_device(
    words: str, open_document: str | None, stated: str | None, trail: list[Done], activity: str | None
) -> None:
    session = Session(document=open_document, trail=tuple(trail))
    try:
        obeyed = obey(session, words, "s-1", activity, stated)
    except (CommandUnknown, CommandVain):
        return
    if obeyed.undone is not None:
        assert obeyed.undone.device == "s-1"
        assert {*session.trail} - {*obeyed.session.trail} == {obeyed.undone}
    assert {*obeyed.session.trail} <= {*session.trail}
