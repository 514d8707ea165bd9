"""The judge is judged: a gateway with one mistake in it does not get through its voyages."""

import pytest
from voyage import sail
from voyage_bugs import BUGS
from voyage_judge import judge

SEEDS = range(1, 61)
NOTICED_BY = {
    "acknowledge_first": 5,
    "any_200_is_an_acknowledgement": 19,
    "cursor_past_a_gap": 45,
    "drop_on_client_error": 5,
    "forgotten_quarantine": 7,
    "no_new_epoch": 24,
    "no_rewind": 3,
    "refusal_taken_for_success": 6,
    "repeat_not_flagged": 5,
    "restored_centre_not_asked": 3,
    "source_kept_in_a_new_epoch": 5,
    "state_kept_after_failed_commit": 5,
    "unordered_pump": 2,
}
"""A voyage that noticed it, to begin with: a bug that one in forty notices would cost thirty that say nothing. When
voyages are drawn otherwise it may say nothing either, and then the others are sailed as ever."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught_by_some_voyage(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    seeds = sorted(SEEDS, key=lambda seed: seed != NOTICED_BY.get(bug))
    assert any(not judge(sail(seed)).holds for seed in seeds)


def test_what_is_sailed_first_is_one_of_the_bugs_and_one_of_the_voyages() -> None:
    assert set(NOTICED_BY) <= set(BUGS)
    assert set(NOTICED_BY.values()) <= set(SEEDS)
