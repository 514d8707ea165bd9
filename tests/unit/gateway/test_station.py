"""What a station remembers of what was scanned before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.label import Label
from gateway.capture.station import (
    EMPTY,
    UNDO_STEPS_MAX,
    Done,
    Session,
    decode_session,
    encode_session,
    followed,
    told,
    used,
)


def after(*labels: Label, session: Session = EMPTY) -> Session:
    for label in labels:
        session = told(session, label)
    return session


DOCUMENT = Label("document", "PL-1", document_type="pick", document_line="3")
LOCATION = Label("location", "A-01")
BADGE = Label("operator", "op7")
QUANTITY = Label("quantity", "12")


def test_context_gathers_until_an_item_comes() -> None:
    assert after(BADGE, DOCUMENT, LOCATION, QUANTITY) == Session(
        document="PL-1",
        document_type="pick",
        document_line="3",
        location="A-01",
        operator="op7",
        quantity="12",
    )


def test_a_quantity_and_damage_are_for_one_item() -> None:
    """A quantity label forgotten in the morning must not multiply the rest of the day."""
    before = replace(after(BADGE, DOCUMENT, QUANTITY), damaged=True, return_disposition="restock")
    following = used(before)
    assert (following.quantity, following.damaged, following.return_disposition) == (None, False, None)
    assert (following.document, following.operator) == ("PL-1", "op7")
    assert used(following) is following, "nothing changed, nothing to write"


def test_a_new_document_ends_the_place_and_what_was_pending_but_not_the_person() -> None:
    pending = replace(after(BADGE, DOCUMENT, LOCATION, QUANTITY), damaged=True, return_disposition="restock")
    assert told(pending, Label("document", "PL-2")) == Session(document="PL-2", operator="op7")


def test_a_session_is_not_changed_by_what_follows() -> None:
    before = after(DOCUMENT)
    told(before, LOCATION)
    assert before.location is None


def test_what_can_be_undone_is_bounded_for_each_device() -> None:
    session = followed(EMPTY, Done("other", "first"))
    for number in range(UNDO_STEPS_MAX + 3):
        session = followed(session, Done("s-1", str(number)))
    assert [done.event for done in session.trail] == ["first", *map(str, range(3, UNDO_STEPS_MAX + 3))]


_TEXT = st.none() | st.text(min_size=1)
_TRAIL = st.lists(st.builds(Done, st.text(min_size=1), st.text(min_size=1), _TEXT, _TEXT), max_size=3).map(tuple)


@given(st.builds(Session, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, st.booleans(), _TEXT, _TRAIL))
def test_a_row_holds_all_of_a_session(session: Session) -> None:
    assert decode_session(encode_session(session, 1000), 1000, 900) == session


def test_a_row_is_compact() -> None:
    assert encode_session(EMPTY, 0) == b'{"used_at":0}'


@pytest.mark.parametrize(("later_s", "holds"), [(0, True), (900, True), (901, False), (-(10**9), True)])
def test_over_a_restart_a_session_idle_too_long_is_empty_and_a_clock_set_back_forgets_nothing(
    later_s: int, holds: bool
) -> None:
    row = encode_session(after(DOCUMENT), 10**12)
    session = decode_session(row, 10**12 + later_s * 1000, 900)
    assert (session == after(DOCUMENT)) is holds
    assert holds or session == EMPTY


@pytest.mark.parametrize("row", [b"", b"[]", b"{", b"\xff", b'{"trail":5}', b'{"trail":[["a"]]}', b'{"trail":[5]}'])
def test_a_row_of_another_form_is_an_error_of_value(row: bytes) -> None:
    with pytest.raises(ValueError):
        decode_session(row, 0, 900)


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert decode_session(b'{"document":"PL-1","shelf":"x","used_at":0}', 0, 900).document == "PL-1"


@pytest.mark.parametrize(("then_ms", "now_ms"), [(None, 10**12), (10**12, None), (None, None)])
def test_a_clock_that_was_set_makes_nobody_forget_a_document(then_ms: int | None, now_ms: int | None) -> None:
    """The clock jumps forward by 30 days and the gateway is restarted; the delivery note was acknowledged before."""
    session = Session(document="ASN-1")
    assert decode_session(encode_session(session, then_ms), now_ms, 900) == session
