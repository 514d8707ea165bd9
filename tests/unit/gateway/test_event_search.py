"""Looking for events by what is in them, a bounded number at a time."""

from dataclasses import dataclass, field

import pytest

from buffer import Entry, EntryFilter
from gateway.web import event_search
from gateway.web.event_search import document_needle, needle, search

SIZE = 100
"""Of one payload."""


@dataclass
class Journal:
    """Entries 1 to `newest`, every `step`th of which fits; remembers what it was asked."""

    newest: int
    step: int
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def entries(self, wanted: EntryFilter) -> list[Entry]:
        self.asked.append((wanted.seq_from, wanted.seq_to))
        last = min(wanted.seq_to, self.newest)
        fits = [seq for seq in range(last, wanted.seq_from - 1, -1) if wanted.contains is None or seq % self.step == 0]
        if wanted.bytes_max is not None:
            fits = fits[: max(-(-wanted.bytes_max // SIZE), 1)]
        return [Entry(seq, "", "", "", "", 0, b"x" * SIZE, b"", b"") for seq in fits[: wanted.limit]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_search, "CHUNK", 10)
    monkeypatch.setattr(event_search, "CHUNKS_MAX", 3)


async def found(journal: Journal, before: int | None = None, limit: int = 100) -> tuple[list[int], int | None]:
    entries, go_on = await search(journal, EntryFilter(contains=b"x", limit=limit), before)  # type: ignore[arg-type]
    return [entry.seq for entry in entries], go_on


async def test_the_newest_come_first_and_the_end_is_said() -> None:
    assert await found(Journal(25, 5)) == ([25, 20, 15, 10, 5], None)


async def test_a_long_search_stops_and_says_where_to_go_on() -> None:
    """A search over a million events must not keep the deliveries from reading theirs."""
    journal = Journal(100, 50)
    assert await found(journal) == ([100], 71)
    assert journal.asked == [(91, 100), (81, 90), (71, 80)]
    assert await found(journal, 71) == ([50], 41)
    assert await found(journal, 41) == ([], 11)
    assert await found(journal, 11) == ([], None)


async def test_a_page_that_is_full_goes_on_behind_its_last() -> None:
    journal = Journal(30, 2)
    assert await found(journal, limit=3) == ([30, 28, 26], 26)
    assert await found(journal, 26, limit=3) == ([24, 22, 20], 20)


@pytest.mark.parametrize("contains", [None, b"x"])
async def test_an_answer_that_is_large_enough_goes_on_behind_its_last(
    contains: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_search, "ANSWER_BYTES_MAX", 12 * SIZE)
    seqs: list[int] = []
    before: int | None = None
    answers = 0
    while before is not None or not answers:
        wanted = EntryFilter(contains=contains, limit=100)
        entries, before = await search(Journal(50, 2), wanted, before)  # type: ignore[arg-type]
        assert len(entries) <= 12
        seqs += [entry.seq for entry in entries]
        answers += 1
    assert seqs == list(range(50, 0, -1 if contains is None else -2))


async def test_nothing_asked_for_is_nothing() -> None:
    for contains in (None, b"x"):
        assert await search(Journal(50, 2), EntryFilter(contains=contains, limit=0), None) == ([], None)  # type: ignore[arg-type]


async def test_without_a_text_the_index_does_the_work_in_one_go() -> None:
    journal = Journal(1000, 1)
    entries, go_on = await search(journal, EntryFilter(limit=2), 500)  # type: ignore[arg-type]
    assert ([entry.seq for entry in entries], go_on, journal.asked) == ([499, 498], 498, [(1, 499)])


def test_a_needle_is_what_an_event_holds() -> None:
    assert needle('a "b" \x1d ü <script>') == 'a \\"b\\" \\u001d ü <script>'.encode()
    assert document_needle("PL-1") == b'"document":{"id":"PL-1"'
