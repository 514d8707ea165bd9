"""How much to send at once; the search for a bad event, without a pump around it."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_events import entries

from buffer.entry import Entry
from sync.window import BYTES_CAP_HELD_S, Window

ROWS = entries(1, 300)


def window(count_max: int = 1000, bytes_max: int = 10**6, now: list[float] | None = None) -> Window:
    clock = now or [0.0]
    return Window(count_max=count_max, bytes_max=bytes_max, monotonic=lambda: clock[0])


def search(count: int, bad: set[int]) -> tuple[list[int], list[int], int]:
    """Play a centre that refuses batches with bad events; return delivered, rejected and the number of requests."""
    found = window(count)
    at, requests = 0, 0
    delivered: list[int] = []
    rejected: list[int] = []
    while at < count:
        part: list[Entry] = list(found.cut(ROWS[at : min(at + found.count, count)]))
        requests += 1
        if bad & {row.seq for row in part}:
            if len(part) > 1:
                found.refused(part)
                continue
            found.isolated()
            rejected.append(part[0].seq)
        else:
            found.passed(part)
            delivered += [row.seq for row in part]
        at += len(part)
    return delivered, rejected, requests


@pytest.mark.parametrize("count", range(1, 130))
def test_one_bad_event_is_found_in_twice_log_two_plus_two_requests(count: int) -> None:
    """Fault matrix 29, for every place it can be in."""
    for place in range(1, count + 1):
        delivered, rejected, requests = search(count, {place})
        assert rejected == [place]
        assert len(delivered) == count - 1
        assert requests <= 2 * log2(count) + 2


@given(st.integers(1, 300), st.sets(st.integers(1, 300), max_size=40))
def test_any_set_of_bad_events_is_found_exactly(count: int, bad: set[int]) -> None:
    delivered, rejected, requests = search(count, bad)
    assert rejected == sorted(seq for seq in bad if seq <= count)
    assert delivered == [seq for seq in range(1, count + 1) if seq not in bad]
    assert requests <= 2 + len(bad) * (2 * log2(count) + 4)


def test_a_refusal_that_was_a_mood_costs_a_few_requests_and_no_event() -> None:
    found = window(64)
    found.refused(ROWS[:64])
    at, requests = 0, 0
    while at < 300:
        part = found.cut(ROWS[at : at + found.count])
        found.passed(part)
        at += len(part)
        requests += 1
    assert requests <= 16
    assert found.is_open


def test_a_suspect_range_that_was_read_in_part_is_halved_by_its_own_length() -> None:
    found = window(100)
    found.refused(ROWS[:100])
    assert len(found.cut(ROWS[:60])) == 50


def test_too_large_halves_events_and_bytes_and_is_forgotten_after_a_while() -> None:
    now = [0.0]
    found = window(100, 100_000, now)
    found.too_large(ROWS[:100], 40_000)
    assert (found.count, found.bytes) == (50, 20_000)
    found.too_large(ROWS[:50], 20_000)
    assert (found.count, found.bytes) == (25, 10_000)
    found.passed(ROWS[:25])
    assert found.bytes == 10_000
    now[0] = BYTES_CAP_HELD_S - 1
    assert found.bytes == 10_000
    now[0] = BYTES_CAP_HELD_S
    assert found.bytes == 100_000


def test_what_got_no_answer_is_halved_and_grows_no_further_than_time_allows() -> None:
    """A line that carries twelve events a second, and twenty seconds for a request: half of that time is dared."""
    found = window(1000)
    at, times = 0, []
    for _ in range(12):
        part = ROWS[at : at + found.count]
        took_s = len(part) / 12
        if took_s > 20:
            found.unanswered(part, 20.0)
            continue
        found.passed(part, took_s)
        at += len(part)
        times.append(took_s)
    assert at == 300
    assert 5 <= max(times[:3]) <= 12.5


def test_a_window_that_met_a_dead_line_opens_as_soon_as_it_is_well() -> None:
    found = window(1000)
    for _ in range(12):
        found.unanswered(ROWS[: found.count], 20.0)
    assert found.count == 1
    passed = 0
    while not found.is_open:
        found.passed(ROWS[: found.count], 0.1)
        passed += 1
    assert passed <= 5
    found.passed(ROWS, 19.0)
    assert found.is_open


def test_a_connection_that_broke_at_once_was_not_too_much() -> None:
    found = window(1000)
    found.unanswered(ROWS, 0.2)
    assert found.is_open


def test_a_part_answered_for_is_what_is_sent_next() -> None:
    found = window(100)
    found.partly_passed(7)
    assert found.count == 7
    found.partly_passed(0)
    assert found.count == 1
    assert not found.is_open


def test_a_line_that_is_well_again_is_trusted_again() -> None:
    """What took too long over a bad line says nothing once a full window was answered."""
    found = window(64)
    found.unanswered(ROWS[:64], 10.0)
    assert found.count == 32
    found.passed(ROWS[:32], 0.1)
    assert found.count == 64
    found.isolated()
    found.passed(ROWS[:1], 6.0)
    assert found.count == 8, "an answer that takes seconds is no reason any more to send one event at a time"
