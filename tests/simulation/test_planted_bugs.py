"""The judge is judged: a gateway with one mistake in it does not get through its voyages."""

import pytest
from voyage import sail
from voyage_bugs import BUGS
from voyage_judge import judge

SEEDS = range(1, 61)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught_by_some_voyage(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    assert any(not judge(sail(seed)).holds for seed in SEEDS)
