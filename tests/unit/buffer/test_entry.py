"""The values the outbox hands on."""

from __future__ import annotations

import pytest

from buffer import Accepted, Draft, Entry, Outcome, Redelivery, Rejected, Released, StateRow


def test_an_entry_is_not_a_gap_unless_it_says_so() -> None:
    entry = Entry(1, "id", "type", "station", "device", 0, b"", b"", b"")
    assert (entry.gap_reason, entry.gap_first) == (None, None)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Draft("id", "type", "station", "device", 0, b""), "payload"),
        (Entry(1, "id", "type", "station", "device", 0, b"", b"", b""), "seq"),
        (StateRow("key", None), "value"),
        (Redelivery("device", "1", b"", b""), "verdict"),
        (Rejected("no"), "reason"),
        (Released(), "retry_after_s"),
    ],
)
def test_nobody_changes_what_was_handed_on(value: object, field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, field, None)


def test_outcomes_are_three() -> None:
    """A pump that matches on all three needs no default branch."""
    outcomes: list[Outcome] = [Accepted(), Rejected("no"), Released(1.5)]
    assert [type(one).__name__ for one in outcomes] == ["Accepted", "Rejected", "Released"]
