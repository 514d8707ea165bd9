"""Long documents: their closing is worked out between the scans, and ends in one commit like every other."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from checks_rig import Site, codes, document, label, line

from buffer.errors import OutboxFull
from drivers import StorageUnavailable
from gateway.checks.clerk import SLICE_S, Clerk
from gateway.checks.piece import piece_key

LINES = 120


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Long begins early here, and what is done in one go is little."""
    monkeypatch.setattr("gateway.checks.closing.LINES_AT_ONCE_MAX", LINES - 1)
    monkeypatch.setattr("gateway.checks.shelf.LINES_A_PAGE", 7)
    monkeypatch.setattr("gateway.checks.tally.STEP", 5)
    site = Site()
    site.expect(document("PL-1", "pick_list", *[line(number, 1) for number in range(LINES)]))
    return site


class Slices:
    """The turns that others get, and what they do with them."""

    def __init__(self) -> None:
        self.turns = 0
        self.now = 0.0
        self.on_turn: Any = None

    def monotonic(self) -> float:
        self.now += SLICE_S / 4
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.turns += seconds == 0
        await asyncio.sleep(0)
        if self.on_turn is not None:
            await self.on_turn()


def closing_of(site: Site, slices: Slices) -> Clerk:
    return Clerk(site.checker, site.intake.record, monotonic=slices.monotonic, sleep=slices.sleep)


async def pick(site: Site, count: int, *, first: int = 0) -> None:
    for number in range(first, first + count):
        assert (await site.scan("hh-1", label(number), document="PL-1")).result == "stored"


async def test_a_long_document_says_that_its_tally_follows_and_gets_it_in_slices(site: Site) -> None:
    await pick(site, 3)
    closed = await site.scan("hh-1", "DL:close", document="PL-1", operator="OP-1")
    assert (closed.result, codes(closed)) == ("stored_with_exception", ["closing"])
    assert site.tallies() == site.exceptions() == []
    slices = Slices()
    await closing_of(site, slices).close()
    (tally,), (short,) = site.tallies(), site.exceptions("short_pick")
    assert slices.turns > 10, "others had their turn"
    assert (tally["observed_total"], tally["expected_total"], tally["lines_total"]) == ("3", str(LINES), LINES)
    assert (short["variance"]["difference"], short["operator"]) == (str(3 - LINES), "OP-1")
    assert f"{LINES - 3} missing on {LINES - 3} of {LINES} lines" in short["message"]
    assert (len(short["lines"]), short["events_total"], len(short["events"])) == (LINES - 3, 3, 3)
    assert [one.progress.is_closed for one in site.checker.documents.known("PL-1")] == [True]
    await closing_of(site, slices).close()
    assert len(site.tallies()) == 1, "once"


async def test_it_comes_to_what_it_would_have_come_to_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await pick(site, 70)
    await site.scan("hh-1", label(1, lot="L1"), document="PL-1", quantity="3")
    await site.scan("hh-1", label(LINES + 5), document="PL-1")
    await site.scan("hh-1", "DL:close", document="PL-1")
    await closing_of(site, Slices()).close()
    monkeypatch.setattr("gateway.checks.closing.LINES_AT_ONCE_MAX", LINES)
    await site.scan("hh-1", "DL:close", document="PL-1")
    first, second = site.tallies()
    assert {**first, "number": 0, "occurred_at": "", "captured_at": ""} == {
        **second, "number": 0, "occurred_at": "", "captured_at": "",
    }  # fmt: skip
    sums = [Decimal(one["observed"]) for one in first["lines"]]
    assert sum(sums) == Decimal(first["observed_total"]) == 74


async def test_a_scan_in_between_is_in_the_tally(site: Site) -> None:
    """The document changed while it was added up: what was added up is thrown away."""
    await pick(site, 2)
    await site.scan("hh-1", "DL:close", document="PL-1")
    slices = Slices()
    left = iter([5])

    async def scan_once() -> None:
        for number in left:
            await pick(site, 1, first=number)

    slices.on_turn = scan_once
    await closing_of(site, slices).close()
    (tally,) = site.tallies()
    assert tally["observed_total"] == "3"


async def test_somebody_who_goes_on_scanning_keeps_no_document_open_for_ever(site: Site) -> None:
    await site.scan("hh-1", "DL:close", document="PL-1")
    slices = Slices()

    async def scan_on() -> None:
        await site.scan("hh-1", label(slices.turns % LINES), document="PL-1")

    slices.on_turn = scan_on
    await closing_of(site, slices).close()
    assert len(site.tallies()) == 1


async def test_a_power_cut_in_between_forgets_no_closing(site: Site) -> None:
    await pick(site, 1)
    await site.scan("hh-1", "DL:close", document="PL-1", operator="OP-7")
    site.restart()
    await closing_of(site, Slices()).close()
    assert [(one["observed_total"], one["operator"]) for one in site.tallies()] == [("1", "OP-7")]


async def test_a_commit_that_fails_leaves_it_closing(site: Site) -> None:
    await pick(site, 1)
    await site.scan("hh-1", "DL:close", document="PL-1")
    site.outbox.hold = True
    running = asyncio.create_task(closing_of(site, Slices()).close())
    while not site.outbox.queue:
        await asyncio.sleep(0)
    site.outbox.fail(OutboxFull("the disk is full"))
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await running
    site.outbox.hold = False
    assert site.tallies() == []
    await closing_of(site, Slices()).close()
    assert len(site.tallies()) == 1


async def test_evidence_is_the_first_events_and_none_that_was_undone(site: Site) -> None:
    events = [(await site.scan("hh-1", label(number), document="PL-1")).events[0] for number in range(5)]
    (one,) = site.checker.documents.known("PL-1")
    assert site.checker.documents.evidence(one, 3) == tuple(events[:3])
    await site.scan("hh-1", "DL:undo", document="PL-1")
    assert site.checker.documents.evidence(one, 9) == tuple(events[:4])
    assert len(site.outbox.states(piece_key("PL-1", "pick"))) == 4
