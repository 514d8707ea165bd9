"""A silent unit costs little, and is recorded without drowning anybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus_outage import GAP_INTERVAL_S, GAP_OPEN_S, REST_MAX_S, Gap, Outage
from drivers.moment import Moment


def test_one_time_out_is_forgiven_and_the_second_in_a_row_earns_a_rest() -> None:
    outage = Outage(1)
    outage.struck(10, 1.0)
    assert not outage.rests(10)
    outage.struck(11, 1.0)
    assert outage.rests(14.9)
    assert not outage.rests(15)


def test_rests_grow_up_to_a_minute() -> None:
    outage, now, rests = Outage(1), 0.0, []
    for _ in range(12):
        outage.struck(now, 1.0)
        rests.append(next(r for r in range(200) if not outage.rests(now + r)))
    assert rests[:6] == [0, 4, 8, 16, 32, 60]
    assert rests[-1] == REST_MAX_S


def test_an_answer_ends_rest_and_forgives() -> None:
    outage = Outage(1)
    outage.struck(0, 1.0)
    outage.struck(1, 1.0)
    outage.spoke()
    assert not outage.rests(1)
    assert outage.strikes == 0


def test_a_missed_poll_is_recorded_when_the_unit_answers_again() -> None:
    outage = Outage(3)
    outage.missed(5.0, "no answer within 1 s")
    assert outage.due(6.0) is None
    outage.answered(7.5)
    gap = outage.due(7.5)
    assert gap == Gap(3, "no answer within 1 s", 1, 5.0, 2.5, is_over=True)
    assert gap.describe() == "unit 3: no answer within 1 s; 1 poll missed within 2.5 s"


def test_a_gap_stays_due_until_it_is_on_disk_and_no_longer() -> None:
    outage = Outage(1)
    outage.missed(0, "x")
    outage.answered(1)
    gap = outage.due(1)
    assert gap is not None
    assert outage.due(2) == gap
    outage.recorded(2, gap)
    assert outage.due(3) is None


def test_a_long_silence_is_recorded_once_while_it_lasts_and_once_at_its_end() -> None:
    outage, records = Outage(1), []
    for second in range(7200):
        if second < 3600:
            outage.missed(second, "no answer")
        else:
            outage.answered(second)
        gap = outage.due(second)
        if gap is not None:
            records.append((second, gap.is_over, gap.duration_s, gap.polls))
            outage.recorded(second, gap)
    assert records == [(GAP_OPEN_S, False, GAP_OPEN_S, 11), (3600, True, 3600, 3600)]


def test_the_reason_is_the_first_one() -> None:
    outage = Outage(1)
    outage.missed(0, "unplugged")
    outage.missed(1, "and then this")
    outage.answered(2)
    gap = outage.due(2)
    assert gap is not None
    assert gap.reason == "unplugged"


@given(st.lists(st.booleans(), min_size=1, max_size=400))
def test_every_missed_poll_is_in_exactly_one_record_and_there_are_two_a_minute_at_most(polls: list[bool]) -> None:
    outage = Outage(1)
    recorded: list[tuple[float, Gap]] = []
    good = [True] * 400
    for second, answers in enumerate([*polls, *good]):
        if answers:
            outage.answered(second)
        else:
            outage.missed(second, "no answer")
        gap = outage.due(second)
        if gap is not None:
            recorded.append((second, gap))
            outage.recorded(second, gap)
    assert sum(gap.polls for _, gap in recorded if gap.is_over) == polls.count(False)
    for begin in range(0, len(polls) + len(good), int(GAP_INTERVAL_S)):
        assert sum(begin <= at < begin + GAP_INTERVAL_S for at, _ in recorded) <= 3
    windows = [(gap.since_s, gap.since_s + gap.duration_s) for _, gap in recorded if gap.is_over]
    for second, answers in enumerate(polls):
        assert answers or any(since <= second < until for since, until in windows)


def test_what_is_missed_when_the_link_is_lost_is_recorded_at_once() -> None:
    outage = Outage(1)
    outage.missed(0, "closed")
    assert outage.due(0) is None
    gap = outage.due(0, is_ending=True)
    assert gap is not None
    assert not gap.is_over


def at(wall_ms: int, *, boot: str = "", elapsed_s: float = 0.0, is_vouched: bool = True) -> Moment:
    return Moment(boot, elapsed_s, wall_ms, is_vouched)


def test_a_new_driver_goes_on_with_the_gap_and_ends_it() -> None:
    """The link was lost at wall time 1 000 000 ms; the next driver connects 90 s later, by another monotonic clock."""
    first = Outage(1)
    first.missed(50.0, "closed the connection")
    gap = first.due(51.0, is_ending=True)
    assert gap is not None
    row = gap.encode(51.0, at(1_001_000))

    second = Outage(1)
    second.resume(row, 7.0, at(1_090_000))
    assert second.is_silent
    assert second.due(7.0, is_ending=True) is None, "it is already on disk as open"
    second.answered(7.0)
    over = second.due(7.0)
    assert over is not None
    assert (over.is_over, over.reason, over.polls) == (True, "closed the connection", 1)
    assert over.duration_s == pytest.approx(90.0)


def test_a_gap_that_is_over_is_not_gone_on_with() -> None:
    outage = Outage(1)
    outage.resume(Gap(1, "x", 1, 0, 1, is_over=True).encode(0, at(0)), 0, at(0))
    assert outage.due(100, is_ending=True) is None


def test_a_clock_that_was_set_back_makes_no_negative_gap() -> None:
    outage = Outage(1)
    outage.resume(Gap(1, "x", 1, 0, 1, is_over=False).encode(0, at(5_000_000)), 10, at(1_000))
    outage.answered(75)
    gap = outage.due(76)
    assert gap is not None
    assert gap.duration_s == 66, "a second was seen, and 65 more"
    assert "at least 66.0 s" in gap.describe()


def test_a_clock_that_was_set_while_nobody_polled_makes_no_gap_of_years() -> None:
    """The computer began in 1970, the PLC was not there, and by the next run the time service had set the clock."""
    first = Outage(1)
    first.missed(50.0, "no route to host")
    gap = first.due(62.0)
    assert gap is not None
    row = gap.encode(62.0, at(60_000, boot="1", elapsed_s=70.0, is_vouched=False))

    same_boot, next_boot = Outage(1), Outage(1)
    same_boot.resume(row, 7.0, at(1_790_000_000_000, boot="1", elapsed_s=148.0))
    next_boot.resume(row, 7.0, at(1_790_000_000_000, boot="2", elapsed_s=20.0))
    told = []
    for outage in (same_boot, next_boot):
        outage.answered(7.0)
        over = outage.due(100.0)
        assert over is not None
        told.append((over.duration_s, over.is_least))
    assert told == [(90.0, False), (12.0, True)]


def test_a_later_gap_is_exact_again() -> None:
    outage = Outage(1)
    outage.resume(b'{"since_ms":5,"polls":1,"reason":"as an earlier version wrote it"}', 0.0, at(9_000))
    outage.answered(1.0)
    first = outage.due(60.0)
    assert first is not None
    assert first.is_least
    outage.recorded(60.0, first)
    outage.missed(130.0, "silent")
    outage.answered(131.0)
    second = outage.due(200.0)
    assert second is not None
    assert not second.is_least


@pytest.mark.parametrize("row", [None, b"", b"7", b"{}", b"\xff", b"[]", b'{"since_ms":"x","polls":1,"reason":"r"}'])
def test_a_row_that_cannot_be_understood_is_no_gap(row: bytes | None) -> None:
    outage = Outage(1)
    outage.resume(row, 0, at(0))
    assert not outage.is_silent


def test_a_silence_is_complained_of_from_the_third_poll_on_and_until_an_answer() -> None:
    outage = Outage(3)
    complaints = []
    for number in range(4):
        outage.missed(float(number), "no answer" if number < 3 else "")
        complaints.append(outage.complaint)
    assert complaints == [None, None, "unit 3: no answer", "unit 3: no answer"]
    outage.answered(5.0)
    assert outage.complaint is None
    outage.missed(6.0, "exception code 6 (device busy) to holding 0-1")
    assert outage.complaint is None, "two polls and one are not three in a row"
