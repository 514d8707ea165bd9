"""What may be settled, and when the centre is not to be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_events import entries, entry

from buffer.entry import Accepted, Outcome, Rejected, Released
from sync.guard import Guard, Settlement

A, N, R = Accepted(), Rejected("no"), Released()


def test_accepted_moves_the_cursor_and_takes_rejections_before_it_along() -> None:
    assert Guard(10).judge(entries(1, 4), [A, N, N, A]) == Settlement(4, ((2, "no"), (3, "no")), accepted=2)


def test_a_rejection_at_the_end_waits_for_what_follows() -> None:
    guard = Guard(10)
    assert guard.judge(entries(1, 2), [A, N]) == Settlement(1, accepted=1)
    assert guard.withheld_through == 2
    assert guard.is_wary
    assert guard.judge(entries(3, 3), [A]) == Settlement(3, ((2, "no"),), accepted=1)
    assert guard.withheld_through is None
    assert not guard.is_wary


def test_a_rejection_with_nothing_behind_it_is_settled() -> None:
    guard = Guard(10)
    guard.judge(entries(1, 1), [N])
    assert guard.nothing_behind() == Settlement(1, ((1, "no"),))
    assert guard.nothing_behind() == Settlement(None)


def test_the_cursor_never_passes_an_open_entry() -> None:
    settlement = Guard(10).judge(entries(1, 5), [A, R, A, N, A])
    assert settlement.through == 1
    assert settlement.rejected == ()
    assert settlement.released == R


def test_a_batch_of_rejections_only_is_a_broken_centre_and_one_of_one_is_not() -> None:
    guard = Guard(10)
    settlement = guard.judge(entries(1, 2), [N, N])
    assert settlement.broken is not None
    assert (settlement.through, settlement.rejected) == (None, ())
    assert not guard.is_wary
    assert guard.judge(entries(1, 1), [N]).broken is None


@pytest.mark.parametrize(("count", "is_broken"), [(3, False), (4, True)])
def test_more_than_reject_max_in_a_row_is_a_broken_centre(count: int, is_broken: bool) -> None:
    settlement = Guard(3).judge(entries(1, count + 2), [A, *[N] * count, A])
    assert (settlement.broken is not None) is is_broken
    assert settlement.through == (1 if is_broken else count + 2)
    assert len(settlement.rejected) == (0 if is_broken else count)


def test_the_row_counts_over_batches_and_over_what_is_settled() -> None:
    guard = Guard(2)
    for seq in (1, 2):
        assert guard.judge(entries(seq, seq), [N]).broken is None
        assert guard.nothing_behind().broken is None
    assert guard.judge(entries(3, 3), [N]).broken is not None
    assert guard.judge(entries(3, 3), [N]).broken is not None
    assert guard.judge(entries(3, 3), [A]).broken is None
    assert guard.judge(entries(4, 4), [N]).broken is None


def test_after_a_whole_batch_was_refused_rejections_need_an_acceptance() -> None:
    guard = Guard(10)
    guard.refused()
    for seq in (1, 2):
        assert guard.judge(entries(seq, seq), [N]) == Settlement(None)
    assert guard.nothing_behind().broken is not None
    assert guard.is_wary
    guard.judge(entries(1, 1), [N])
    assert guard.judge(entries(2, 2), [A]) == Settlement(2, ((1, "no"),), accepted=1)


def test_a_refused_batch_that_vanished_accuses_nobody() -> None:
    guard = Guard(10)
    guard.refused()
    assert guard.nothing_behind() == Settlement(None)
    assert not guard.is_wary


def test_a_refused_gap_record_is_passed_and_convicts_nobody() -> None:
    gap = entry(2, gap_reason="damaged")
    assert Guard(1).judge([entry(1), gap], [A, N]) == Settlement(2, accepted=1, unannounced=(2,))
    assert Guard(1).judge([gap], [N]) == Settlement(2, unannounced=(2,))
    guard = Guard(5)
    settlement = guard.judge([entry(1), gap, entry(3)], [N, N, A])
    assert (settlement.rejected, settlement.unannounced) == (((1, "no"),), (2,))


def test_a_refused_gap_record_behind_a_withheld_rejection_is_not_forgotten() -> None:
    guard = Guard(5)
    assert guard.judge([entry(1), entry(2, gap_reason="damaged")], [N, N]) == Settlement(None)
    assert guard.nothing_behind() == Settlement(2, ((1, "no"),), unannounced=(2,))
    assert guard.nothing_behind().unannounced == ()


@given(st.lists(st.sampled_from([A, N, R]), min_size=1, max_size=12), st.integers(1, 5))
def test_whatever_is_answered_nothing_open_is_passed_and_no_rejection_is_lost(
    outcomes: list[Outcome], reject_max: int
) -> None:
    rows = entries(1, len(outcomes))
    guard = Guard(reject_max)
    settlement = guard.judge(rows, outcomes)
    through = settlement.through or 0
    passed = outcomes[:through]
    assert R not in passed
    assert {seq for seq, _ in settlement.rejected} == {seq for seq, outcome in enumerate(passed, 1) if outcome == N}
    assert settlement.accepted == passed.count(A)
    withheld = guard.withheld_through
    assert withheld is None or set(outcomes[through:withheld]) == {N}


def test_an_outcome_too_few_or_too_many_settles_nothing() -> None:
    """What an upstream did not speak of would count as taken."""
    for count in (2, 4):
        with pytest.raises(ValueError, match="zip"):
            Guard(10).judge(entries(1, 3), [Accepted()] * count)
