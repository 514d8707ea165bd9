"""The answers numbered messages were given."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_rig import redelivery

from buffer import Redelivery
from buffer.migrate import migrate
from buffer.redelivery import Sweep, recall, remember


def made() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = made()
    yield connection
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 65, 256, 257, 600])
def test_any_number_of_keys_is_looked_up(connection: sqlite3.Connection, count: int) -> None:
    """Statements exist for a few sizes only; the rest is filled up."""
    remember(connection, [redelivery(number) for number in range(0, 1000, 2)], 5)
    keys = [("hh-7", f"hh-7-{number:06d}") for number in range(count)]
    found = recall(connection, keys, -1)
    assert found == {("hh-7", f"hh-7-{number:06d}"): redelivery(number) for number in range(0, count, 2)}


def test_the_same_number_of_another_device_is_another_message(connection: sqlite3.Connection) -> None:
    remember(connection, [Redelivery("hh-7", "1", b"f", b"v")], 0)
    assert recall(connection, [("hh-8", "1"), ("hh-7", "2")], -1) == {}


def test_a_number_used_again_has_the_newest_answer(connection: sqlite3.Connection) -> None:
    """A handheld was reset and counts from one again."""
    remember(connection, [Redelivery("hh-7", "1", b"old", b"v1")], 0)
    remember(connection, [Redelivery("hh-7", "1", b"new", b"v2")], 9)
    assert recall(connection, [("hh-7", "1")], 5)["hh-7", "1"].fingerprint == b"new"


def test_every_lookup_seeks(connection: sqlite3.Connection) -> None:
    """A lookup that scans the table costs a second with a million rows: the plan must search by the primary key."""
    from buffer.redelivery import _HAND, _LOOKUPS, _SWEEP

    queries = [(sql, size * 2) for size, sql in _LOOKUPS.items()] + [(_HAND, 3), (_SWEEP, 5)]
    for sql, parameters in queries:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["x"] * parameters)]
        assert any(step.startswith("SEARCH redelivery USING PRIMARY KEY") for step in plan), plan
        assert not any(step.startswith("SCAN redelivery") for step in plan), plan


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 300), st.integers(0, 100), max_size=60), st.integers(1, 70))
def test_the_hand_goes_all_round_and_takes_what_is_expired(ages: dict[int, int], rows: int) -> None:
    connection = made()
    for number, age in ages.items():
        remember(connection, [redelivery(number)], age)
    sweep = Sweep()
    removed = sum(sweep.advance(connection, rows, 50) for _ in range(len(ages) // rows + 2))
    left = {message for (message,) in connection.execute("SELECT message_id FROM redelivery")}
    assert left == {redelivery(number).message_id for number, age in ages.items() if age > 50}
    assert removed == len(ages) - len(left)
    connection.close()


def test_the_hand_goes_round_again(connection: sqlite3.Connection) -> None:
    """What was too young the first time is old the next; a hand that stays at the end would sweep nothing more."""
    remember(connection, [redelivery(number) for number in range(10)], 60)
    sweep = Sweep()
    assert [sweep.advance(connection, 4, 50) for _ in range(3)] == [0, 0, 0]
    assert sum(sweep.advance(connection, 4, 60) for _ in range(3)) == 10


def test_nothing_is_swept_before_a_whole_window_has_passed(connection: sqlite3.Connection) -> None:
    remember(connection, [redelivery(1)], 0)
    assert Sweep().advance(connection, 100, -1) == 0
