"""Bad days with expected documents and command labels: every exception once, tallies right, whatever struck."""

from collections.abc import Callable
from typing import Any

import pytest
from voyage import sail
from voyage_checks import CheckedVoyage, judge_checked
from voyage_fleet import processors, sail_checked, sail_many

from gateway.checks.docket import Docket
from gateway.checks.documents import Documents
from gateway.checks.found import Found
from gateway.checks.picks import Picks

SEEDS = range(1, 9)
"""A sample of those that `make long` sails."""
LONG = range(1, 501)
PLANTED_SEEDS_MAX = 20

Patch = pytest.MonkeyPatch


def test_every_exception_is_raised_once_and_tallies_are_right() -> None:
    failed = {one.seed: one.violations[:5] for one in sail_many(SEEDS, processors(), sail_checked) if one.violations}
    assert failed == {}


@pytest.mark.long
def test_so_it_is_on_many_more_days() -> None:
    failed = {one.seed: one.violations[:5] for one in sail_many(LONG, processors(), sail_checked) if one.violations}
    assert failed == {}


def forget_pieces(patch: Patch) -> None:
    """What a scan adds to a document is in memory only."""
    add = Documents.add

    def added(self: Documents, one: Any, piece: Any, item: str, found: Found) -> None:
        before = dict(found.state)
        add(self, one, piece, item, found)
        found.state.clear()
        found.state.update(before)

    patch.setattr(Documents, "add", added)


def forget_cases(patch: Patch) -> None:
    """An open exception is in memory only: after a kill it is opened again, or never resolved."""
    put = Docket._put

    def kept(self: Docket, case: Any, found: Found) -> None:
        before = dict(found.state)
        put(self, case, found)
        found.state.clear()
        found.state.update(before)

    patch.setattr(Docket, "_put", kept)


def leave_voided_pieces(patch: Patch) -> None:
    """An undone scan is void for everybody but the tally."""
    patch.setattr(Documents, "remove", lambda *_: None)


def pick_for_ever(patch: Patch) -> None:
    """An object that was picked is not remembered, and neither is its twin in the list."""
    patch.setattr(Picks, "taken", lambda *_: None)
    patch.setattr(
        "gateway.checks.book.Book._count_object",
        lambda self, key, pool, piece, unique: pool.count(piece, piece.quantity),
    )


@pytest.mark.parametrize("plant", [forget_pieces, forget_cases, leave_voided_pieces, pick_for_ever])
def test_a_planted_mistake_is_noticed(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    for seed in range(1, PLANTED_SEEDS_MAX + 1):
        if judge_checked(sail(seed, kind=CheckedVoyage)).violations:
            return
    pytest.fail(f"{PLANTED_SEEDS_MAX} voyages did not notice")
