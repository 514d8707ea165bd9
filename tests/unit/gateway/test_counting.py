"""A document that comes after its scans: however many they are, they are counted between the scans of others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from checks_rig import Site, codes, document, label, line, rows_of

from buffer.errors import OutboxFull
from drivers import StorageUnavailable
from gateway.checks.clerk import SLICE_S, Clerk
from gateway.checks.expectation import read_expectation

PIECES = 40


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Many begins early here; three scans of each item, and of every third item one more than is announced."""
    monkeypatch.setattr("gateway.checks.arrival.PIECES_AT_ONCE_MAX", PIECES - 1)
    monkeypatch.setattr("gateway.checks.documents.PIECES_A_PAGE", 7)
    return Site()


class Turns:
    """The turns that others get, and what they do with them."""

    def __init__(self) -> None:
        self.count = 0
        self.now = 0.0
        self.on_turn: Callable[[int], Any] | None = None

    def monotonic(self) -> float:
        self.now += SLICE_S / 4
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds == 0
        self.count += 1
        await asyncio.sleep(0)
        if self.on_turn is not None:
            await self.on_turn(self.count)


def late_of(site: Site, turns: Turns) -> Clerk:
    return Clerk(site.checker, site.intake.record, monotonic=turns.monotonic, sleep=turns.sleep)


async def scan(site: Site, number: int, **more: str) -> Any:
    return await site.scan("s-1", label(number, **more), document="ASN-1")  # type: ignore[arg-type]


async def arrive(site: Site, value: dict[str, Any]) -> None:
    site.copies += 1
    lines, header = rows_of(read_expectation(value), site.copies, "test")
    site.outbox.put_annex(lines)
    site.outbox.put_annex(header)
    site.checker.shelf.forget()
    await site.intake.record(site.checker.own(lambda found: site.checker.arrival.arrived(value["id"], found)))


def asn(**more: Any) -> dict[str, Any]:
    return document("ASN-1", "asn", *[line(number, 4) for number in range(1, 10)], **more)


def progress(site: Site) -> tuple[int | None, dict[str, int]]:
    one = site.checker.documents.open("ASN-1", "receipt")
    return one.progress.copy, {name: int(has) for name, has in one.book.observed().items()}


def raised(site: Site) -> list[tuple[str, str]]:
    return [(case.data.code, case.data.message) for case in site.checker.docket.open_cases()]


async def test_many_scans_are_counted_in_slices_and_end_in_the_same_exceptions(site: Site) -> None:
    for number in range(PIECES):
        await scan(site, number % 10)
    calls: list[int] = []
    site.checker.on_long = lambda: calls.append(1)
    await arrive(site, asn())
    assert (calls, progress(site)) == ([1], (None, {})), "nothing is done in the step of its arrival"
    turns = Turns()
    await late_of(site, turns).count()
    assert turns.count > PIECES / 4
    copy, observed = progress(site)
    assert (copy, observed) == (1, {str(number): 4 for number in range(1, 10)})
    assert [code for code, _ in raised(site)] == ["unexpected_item"], "item 0 is on no line"
    assert codes(await scan(site, 3)) == ["receiving_variance"], "the fifth of four"


async def test_what_is_scanned_and_undone_meanwhile_is_in_it(site: Site) -> None:
    for number in range(PIECES):
        await scan(site, 1 + number % 9)
    await arrive(site, asn())
    turns = Turns()

    async def meanwhile(count: int) -> None:
        if count == 2:
            await scan(site, 9)
            assert (await site.scan("s-1", "DL:undo", document="ASN-1")).result == "stored"
            await scan(site, 8)

    turns.on_turn = meanwhile
    await late_of(site, turns).count()
    scanned = {str(number): sum(1 + one % 9 == number for one in range(PIECES)) for number in range(1, 10)}
    copy, observed = progress(site)
    assert copy == 1
    assert observed == scanned | {"8": scanned["8"] + 1}
    site.restart()
    assert progress(site) == (1, observed), "and so it is on disk"


async def test_a_newer_version_meanwhile_is_the_one_that_counts(site: Site) -> None:
    for number in range(PIECES):
        await scan(site, 1 + number % 9)
    await arrive(site, asn())
    turns = Turns()

    async def meanwhile(count: int) -> None:
        if count == 2:
            await arrive(site, asn(version="2"))

    turns.on_turn = meanwhile
    late = late_of(site, turns)
    await late.count()
    assert progress(site)[0] is None, "what was begun by the old version is dropped"
    await late.count()
    assert progress(site)[0] == 2


async def test_a_power_cut_or_a_full_disk_in_the_middle_begins_it_anew(site: Site) -> None:
    for number in range(PIECES):
        await scan(site, number % 10)
    await arrive(site, asn())
    turns = Turns()

    async def meanwhile(count: int) -> None:
        if count == 8:
            site.outbox.refuse = OutboxFull("full")

    turns.on_turn = meanwhile
    with pytest.raises(StorageUnavailable):
        await late_of(site, turns).count()
    before = raised(site)
    site.outbox.refuse = None
    site.restart()
    assert progress(site)[0] is None
    await late_of(site, Turns()).count()
    assert progress(site)[0] == 1
    assert raised(site)[: len(before)] == before
    assert [code for code, _ in raised(site)] == ["unexpected_item"], "raised once"


async def test_what_is_undone_before_its_turn_comes_is_not_counted_after_that(site: Site) -> None:
    """Its row is in the page that was read before it was undone."""
    for number in range(PIECES - 1):
        await scan(site, 1 + number % 9)
    await scan(site, 0)
    await arrive(site, asn())
    turns = Turns()

    async def meanwhile(count: int) -> None:
        if count == 1:
            await site.scan("s-1", "DL:undo", document="ASN-1")

    turns.on_turn = meanwhile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.checks.documents.PIECES_A_PAGE", PIECES)
        await late_of(site, turns).count()
    assert [code for code, _ in raised(site)] == ["receiving_variance"] * 3, "the fifth of four, and no item 0"


async def test_what_only_a_dropped_version_called_wrong_is_over(site: Site) -> None:
    for number in range(PIECES):
        await scan(site, 1 + number % 9)
    await arrive(site, document("ASN-1", "asn", *[line(number, 1) for number in range(1, 10)]))
    turns = Turns()

    async def meanwhile(count: int) -> None:
        if count == 8:
            assert raised(site) != []
            wanted = [line(number, 5) for number in range(1, 10)]
            await arrive(site, document("ASN-1", "asn", *wanted) | {"version": "2"})

    turns.on_turn = meanwhile
    late = late_of(site, turns)
    await late.count()
    await late.count()
    assert progress(site)[0] == 2
    assert raised(site) == []
    assert {one["resolution"] for one in site.exceptions() if one["state"] == "resolved"} == {
        "not so by version 2 of the document"
    }
