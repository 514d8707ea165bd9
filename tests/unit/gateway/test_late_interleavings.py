"""A document that comes late, counted between scans, undoing, closing and newer versions of it: what it comes to is
what it would have come to if the document had been there from the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from checks_rig import Site, document, label, line
from desk_rig import settled
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.checks import arrival, documents
from gateway.checks.expectation import read_expectation

Op = tuple[str, int]
NAME = "ASN-1"
LABELS = (
    label(1),
    label(1, count=3),
    label(1, lot="L9"),
    label(2, lot="L1"),
    label(2, serial="S1"),
    label(2, serial="S1"),
    label(3),
    label(7),
)
ops = st.lists(
    st.one_of(
        st.tuples(st.just("scan"), st.integers(0, len(LABELS) * 2 - 1)),
        st.tuples(st.just("undo"), st.integers(0, 1)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=9,
)


ASN, PICK_LIST = ("asn", "receipt", "s"), ("pick_list", "pick", "hh")
Work = tuple[str, str, str]
"""Kind of document, activity, devices."""


def version(number: int, work: Work) -> dict[str, Any]:
    """Version 2 allows what version 1 does not, and the other way round."""
    one = line(1, (4, 2)[number - 1], lots=(["L1"], ["L9"])[number - 1])
    two = line(2, (1, 3)[number - 1])
    more = [line(3, 1)] if number == 1 else [line(7, 1)]
    return document(NAME, work[0], one, two, *more) | {"version": str(number)}


@contextmanager
def many_begins_early(count: int) -> Iterator[None]:
    """From so many scans on a document is counted by steps, of few scans each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrival, "PIECES_AT_ONCE_MAX", count)
        patch.setattr(documents, "PIECES_A_PAGE", 2)
        yield


async def do(site: Site, op: Op, work: Work) -> None:
    what, number = op
    device = f"{work[2]}-{1 + number % 2}"
    if what == "scan":
        await site.scan(device, LABELS[number // 2], document=NAME)
    elif what == "undo":
        await site.scan(device, "DL:undo", document=NAME)
    else:
        await site.scan(device, "DL:close", document=NAME)


@dataclass
class Comes:
    """What a document came to."""

    open: set[str]
    lines: list[tuple[Any, ...]]
    version: str | None
    is_closed: bool


async def end(site: Site, work: Work) -> Comes:
    await do(site, ("close", 0), work)
    await settled(site.checker, site.intake.record)
    (one,) = site.checker.documents.known(NAME)
    tally = site.tallies()[-1]
    lines = [(x.get("line"), x["item"], x["observed"], x["result"], x["events"]) for x in tally["lines"]]
    cases = {case.key for case in site.checker.docket.open_cases()}
    return Comes(cases, lines, one.progress.version, one.progress.is_closed)


async def from_the_start(number: int, work: Work, *parts: list[Op]) -> Comes:
    site = Site()
    site.expect(version(number, work))
    for op in [op for part in parts for op in part]:
        await do(site, op, work)
    return await end(site, work)


first = st.lists(st.tuples(st.just("scan"), st.integers(0, len(LABELS) * 2 - 1)), min_size=4, max_size=10)


class PowerCut(Exception):
    """The machine goes dark between two slices."""


@settings(max_examples=50, deadline=None, database=None, derandomize=True)
@given(
    first,
    ops,
    ops,
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from(["late", "power cut", "switch"]),
    st.sampled_from([ASN, PICK_LIST]),
)
async def test_what_happens_while_it_is_counted_changes_nothing(
    before: list[Op], meanwhile: list[Op], after: list[Op], pieces: int, newer_at: int, how: str, work: Work
) -> None:
    """`newer_at`: after how many slices version 2 comes, if the work goes on for so long. Of a switch it is there
    before."""
    left = list(meanwhile)
    turns = 0
    with many_begins_early(3):
        site = Site()
        if how == "switch":
            site.expect(version(1, work))
        for op in before:
            await do(site, op, work)
        await put(site, 2 if how == "switch" else 1, work)
        if how == "switch":
            await site.desk.switch(NAME, actor="jane", reason="a test")

        async def turn() -> None:
            nonlocal turns
            turns += 1
            is_counted = site.checker.documents.open(NAME, work[1]).progress.copy is None
            if turns == newer_at and is_counted and how != "switch":
                await put(site, 2, work)
            if left:
                await do(site, left.pop(0), work)
            if how == "power cut" and turns == 3:
                site.restart()
                raise PowerCut

        try:
            await settled(site.checker, site.intake.record, pieces=pieces, on_turn=turn)
        except PowerCut:
            await settled(site.checker, site.intake.record, pieces=pieces, on_turn=turn)
        for op in left + after:
            await do(site, op, work)
        came = await end(site, work)
        assert came == await from_the_start(int(came.version or 0), work, before, meanwhile, after)
        if how == "switch":
            assert came.version == "2"


async def put(site: Site, number: int, work: Work) -> None:
    await site.desk.put(read_expectation(version(number, work)), origin="test", actor="test")
