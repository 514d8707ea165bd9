"""Answers are found as if the file were always asked, and mostly without asking it."""

from __future__ import annotations

import sqlite3
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from buffer import answers, redelivery
from buffer.answers import Answers
from buffer.entry import Redelivery
from buffer.migrate import migrate

NUMBERS = st.text(alphabet="0189az\u00e9\u4e2d\U0001f600-", min_size=1, max_size=4)
KEYS = st.tuples(st.sampled_from(["hh-1", "hh-2", "hh-3"]), NUMBERS)


def made() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


@settings(max_examples=200, deadline=None)
@given(
    st.lists(KEYS, max_size=12),
    st.lists(st.tuples(KEYS, st.sampled_from(["ask", "queue", "commit", "fail"])), max_size=40),
    st.integers(0, 3),
)
def test_nothing_that_was_answered_is_missed(
    before: list[tuple[str, str]], steps: list[tuple[tuple[str, str], str]], devices_max: int
) -> None:
    """Whatever was committed before this run, whatever counts backwards, whatever commit failed."""
    connection = made()
    redelivery.remember(connection, [Redelivery(*key, b"f", b"v") for key in before], 5)
    queued: list[Redelivery] = []
    with patch.object(answers, "DEVICES_MAX", devices_max):
        known = Answers(connection)
        for key, step in steps:
            match step:
                case "ask":
                    assert known.recall([key], -1) == redelivery.recall(connection, [key], -1)
                case "queue":
                    one = Redelivery(*key, b"f", b"v")
                    known.queued([one])
                    queued.append(one)
                case "commit":
                    redelivery.remember(connection, queued, 5)
                    queued = []
                case "fail":
                    queued = []
    connection.close()


def test_a_device_that_counts_upwards_costs_no_lookup() -> None:
    connection = made()
    known = Answers(connection)
    statements: list[str] = []
    for number in range(10):
        key = ("hh-1", f"{number:06d}")
        if number == 1:
            connection.set_trace_callback(statements.append)
        assert known.recall([key], -1) == {}
        known.queued([Redelivery(*key, b"f", b"v")])
    assert statements == []
    connection.close()


def test_of_more_devices_than_are_kept_in_mind_the_file_is_asked() -> None:
    """Devices are named by patterns: nobody shall fill the memory with names."""
    connection = made()
    with patch.object(answers, "DEVICES_MAX", 2):
        known = Answers(connection)
        for number in range(5):
            known.recall([(f"hh-{number}", "1")], -1)
            known.queued([Redelivery(f"hh-{number}", "1", b"f", b"v")])
    assert len(known._greatest) == 2
    connection.close()
