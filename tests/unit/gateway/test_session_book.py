"""Sessions in memory and on disk."""

from buffer.entry import StateRow
from gateway.capture.session_book import SessionBook, session_rows
from gateway.capture.station import EMPTY, Session, encode_session

PICKING = Session(document="PL-1")


def idle_s(key: str) -> float | None:
    return 100.0 if key.startswith("dock") else None


def test_a_session_holds_until_it_was_idle_too_long() -> None:
    book = SessionBook()
    book.adopt({"dock": PICKING}, 1000.0)
    assert book.session("dock", 1100.0, 100.0) == PICKING
    assert book.session("dock", 1100.1, 100.0) is EMPTY


def test_use_keeps_a_session_and_refreshes_its_row_now_and_then() -> None:
    """An operator scans three hours under one document; after a restart it must still hold."""
    book = SessionBook()
    book.adopt({"dock": PICKING}, 0.0)
    due = [book.is_due("dock", float(now), 100.0) for now in (10, 25, 26)]
    assert due == [False, False, True]
    assert book.session("dock", 120.0, 100.0) == PICKING


def test_an_empty_session_has_no_row() -> None:
    assert session_rows({"dock": PICKING, "other": EMPTY}, 5) == [
        StateRow("session/dock", encode_session(PICKING, 5)),
        StateRow("session/other", None),
    ]


def test_load_replaces_everything_by_what_is_committed() -> None:
    book = SessionBook()
    book.adopt({"dock-1": PICKING, "dock-2": PICKING}, 0.0)
    rows = [
        StateRow("session/dock-1", encode_session(Session(operator="op7"), 1000)),
        StateRow("session/dock-3", b"not a session"),
        StateRow("session/gone", encode_session(PICKING, 1000)),
    ]
    book.load(rows, idle_s, 50.0, 2000)
    assert book.session("dock-1", 50.0, 100.0) == Session(operator="op7")
    assert [book.session(key, 50.0, 100.0) for key in ("dock-2", "dock-3", "gone")] == [EMPTY] * 3


def test_a_reload_after_a_failed_commit_does_not_prolong_an_idle_session() -> None:
    book = SessionBook()
    book.adopt({"dock": PICKING}, 0.0)
    book.load([StateRow("session/dock", encode_session(PICKING, 1000))], idle_s, 90.0, 1000)
    assert book.session("dock", 101.0, 100.0) is EMPTY


def test_a_session_in_use_survives_a_clock_that_jumps_and_a_commit_that_fails() -> None:
    book = SessionBook()
    book.adopt({"dock": PICKING}, 50.0)
    book.load([StateRow("session/dock", encode_session(PICKING, 1000))], lambda _: 900.0, 60.0, 1000 + 30 * 86_400_000)
    assert book.session("dock", 61.0, 900.0) == PICKING
