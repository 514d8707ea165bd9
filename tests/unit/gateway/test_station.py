"""What a station remembers of what was scanned before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.label import Label
from gateway.capture.station import (
    EMPTY,
    CommandUnknown,
    Session,
    decode_session,
    encode_session,
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
DAMAGED = Label("command", "damaged")


def test_context_gathers_until_an_item_comes() -> None:
    assert after(BADGE, DOCUMENT, LOCATION, QUANTITY, DAMAGED) == Session(
        document="PL-1",
        document_type="pick",
        document_line="3",
        location="A-01",
        operator="op7",
        quantity="12",
        damaged=True,
    )


def test_a_quantity_and_damage_are_for_one_item() -> None:
    """A quantity label forgotten in the morning must not multiply the rest of the day."""
    before = after(BADGE, DOCUMENT, QUANTITY, DAMAGED)
    following = used(before)
    assert (following.quantity, following.damaged) == (None, False)
    assert (following.document, following.operator) == ("PL-1", "op7")
    assert used(following) is following, "nothing changed, nothing to write"


def test_a_new_document_ends_the_place_and_what_was_pending_but_not_the_person() -> None:
    assert after(BADGE, DOCUMENT, LOCATION, QUANTITY, DAMAGED, Label("document", "PL-2")) == Session(
        document="PL-2", operator="op7"
    )


def test_an_activity_label_changes_what_scans_mean_and_ends_the_document() -> None:
    assert after(BADGE, DOCUMENT, Label("command", "Putaway")) == Session(activity="putaway", operator="op7")


def test_close_ends_the_document() -> None:
    assert after(Label("command", "count"), BADGE, DOCUMENT, Label("command", "close")) == Session(
        activity="count", operator="op7"
    )


def test_a_command_may_state_a_quantity() -> None:
    assert after(Label("command", "quantity 012")).quantity == "12"


@pytest.mark.parametrize(
    "words", ["", "open", "quantity", "quantity x", "quantity -1", "damaged 3", "pick now", "x" * 99]
)
def test_an_unknown_command_changes_nothing_and_is_named(words: str) -> None:
    with pytest.raises(CommandUnknown) as caught:
        told(EMPTY, Label("command", words))
    assert len(str(caught.value)) < 80


def test_a_session_is_not_changed_by_what_follows() -> None:
    before = after(DOCUMENT)
    told(before, LOCATION)
    assert before.location is None


_TEXT = st.none() | st.text(min_size=1)


@given(st.builds(Session, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, st.booleans()))
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


@pytest.mark.parametrize("row", [b"", b"[]", b"{", b"\xff"])
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
