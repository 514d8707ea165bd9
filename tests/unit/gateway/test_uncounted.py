"""What was scanned before the gateway counted anything is found again in the journal, whatever breaks in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from checks_rig import Site, codes, document, label, line
from desk_rig import settled

from buffer.errors import OutboxError, OutboxFull
from drivers import StorageUnavailable
from gateway.checks.policy import Policy

NAME = "ASN-1"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A gateway with nothing to check by: it counts nothing yet. Few events are counted in one step."""
    monkeypatch.setattr("gateway.checks.uncounted.AT_ONCE_MAX", 2)
    return Site(Policy())


def asn(quantity: int = 2) -> dict[str, Any]:
    return document(NAME, "asn", line(1, quantity), line(2, 1))


async def scan(site: Site, number: int) -> None:
    assert (await site.scan("s-1", label(number), document=NAME)).result == "stored"


def observed(site: Site) -> dict[str, int]:
    (one,) = site.checker.documents.known(NAME)
    return {name: int(has) for name, has in one.book.observed().items()}


def raised(site: Site) -> list[str]:
    return sorted(case.key for case in site.checker.docket.open_cases())


async def test_it_is_counted_and_checked_by_the_first_document(site: Site) -> None:
    for number in (1, 1, 1, 2, 7):
        await scan(site, number)
    assert not site.checker.is_on
    await site.arrives(asn())
    assert observed(site) == {"1": 3, "2": 1}
    assert raised(site) == [f"receiving_variance|{NAME}|receipt|over|1", f"unexpected_item|{NAME}|receipt|{gtin_of(7)}"]
    assert codes(await site.scan("s-1", label(2), document=NAME)) == ["receiving_variance"]


def gtin_of(number: int) -> str:
    return f"gtin:{label(number)[5:19]}"


async def test_what_was_undone_before_it_came_is_not_counted(site: Site) -> None:
    """The void stands in the journal behind what it undoes, maybe in another step of the count: nothing is left of
    either, and what was too much only with it is no exception."""
    for number in (1, 1, 1, 7, 2):
        await scan(site, number)
    for _ in range(3):  # item 2, item 7, the third of item 1
        assert (await site.scan("s-1", "DL:undo", document=NAME)).result == "stored"
    await scan(site, 2)
    await site.arrives(asn())
    assert observed(site) == {"1": 2, "2": 1}
    assert raised(site) == []
    site.restart()
    assert observed(site) == {"1": 2, "2": 1}, "and so it is on disk"


async def test_what_is_undone_while_it_is_counted_is_not_counted(site: Site) -> None:
    """Its operator undoes it in the middle of the count: what was raised is over, what was not raised is not begun."""
    for number in (7, 1, 1, 1, 7):
        await scan(site, number)

    steps = 0

    def meanwhile(call: str) -> None:
        nonlocal steps
        steps += call == "entries"

    site.keeper.fails = meanwhile
    record = site.intake.record
    undone = 0

    async def slowly(do: Callable[..., Any]) -> None:
        nonlocal undone
        await record(do)
        if steps >= 3 and undone < 2 and site.checker.documents.recalled:
            undone += 1
            assert (await site.scan("s-1", "DL:undo", document=NAME)).result == "stored"

    site.desk._uncounted._record = slowly
    await site.arrives(asn())
    assert undone == 2
    assert observed(site) == {"1": 2}
    assert raised(site) == [f"unexpected_item|{NAME}|receipt|{gtin_of(7)}"]


async def test_a_void_in_the_journal_takes_back_what_was_too_much_only_with_it(site: Site) -> None:
    """Somebody scans on while the journal is read, so the document is checked from there on, piece by piece."""
    for number in (1, 1, 1):
        await scan(site, number)
    await site.scan("s-1", "DL:undo", document=NAME)
    mark = site.desk._uncounted.mark

    async def and_scan() -> None:
        await mark()
        await scan(site, 2)

    site.desk._uncounted.mark = and_scan  # type: ignore[method-assign]
    await site.arrives(asn())
    assert observed(site) == {"1": 2, "2": 1}
    assert raised(site) == []
    assert [one["state"] for one in site.exceptions()] == ["open", "resolved"], "raised in one step, over in the next"


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("then", ["the same document again", "a restart"])
async def test_a_disk_that_fails_in_the_middle_is_asked_again(site: Site, fails_at: int, then: str) -> None:
    """The header is on the shelf already. Whoever sends the same document again, or starts the gateway again, has the
    rest counted."""
    for number in (1, 1, 1, 2, 7):
        await scan(site, number)
    calls = 0

    def fails(call: str) -> Exception | None:
        nonlocal calls
        calls += call == "entries"
        return OutboxError("the disk does not answer") if calls == fails_at and call == "entries" else None

    site.keeper.fails = fails
    try:
        await site.arrives(asn())
        is_failed = False
    except OutboxError:
        is_failed = True
    assert is_failed == (fails_at <= 5), "the journal is read that often"
    site.keeper.fails = lambda _: None
    if then == "a restart":
        site.restart()
        await site.desk.finish()
        await settled(site.checker, site.intake.record)
    else:
        await site.arrives(asn())
    assert observed(site) == {"1": 3, "2": 1}
    assert raised(site) == [f"receiving_variance|{NAME}|receipt|over|1", f"unexpected_item|{NAME}|receipt|{gtin_of(7)}"]
    assert not site.outbox.annex_under("expectation-unfinished")


@pytest.mark.parametrize("fails_at", range(1, 6))
async def test_a_full_disk_in_the_middle_is_asked_again(site: Site, fails_at: int) -> None:
    for number in (1, 1, 1, 2, 7):
        await scan(site, number)
    record = site.intake.record
    steps = 0

    async def fails(do: Callable[..., Any]) -> None:
        nonlocal steps
        steps += 1
        site.outbox.refuse = OutboxFull("full") if steps == fails_at else None
        try:
            await record(do)
        finally:
            site.outbox.refuse = None

    site.desk._record = site.desk._uncounted._record = fails
    with pytest.raises(StorageUnavailable):
        await site.arrives(asn())
    await site.arrives(asn())
    assert observed(site) == {"1": 3, "2": 1}
    assert len(raised(site)) == 2


async def test_closed_while_it_is_counted_it_is_closed_when_all_of_it_is(site: Site) -> None:
    """A tally of the half that was counted so far would call the other half short."""
    for number in (1, 1, 2):
        await scan(site, number)
    record = site.intake.record
    heard: list[str] = []

    async def slowly(do: Callable[..., Any]) -> None:
        await record(do)
        if site.checker.documents.recalled and site.checker.documents.known(NAME) and not heard:
            heard.extend(codes(await site.scan("s-1", "DL:close", document=NAME)))

    site.desk._uncounted._record = slowly
    await site.arrives(asn())
    assert heard == ["closing"]
    (tally,) = site.tallies()
    assert [one["result"] for one in tally["lines"]] == ["matched", "matched"]
    assert raised(site) == []


async def test_a_document_that_is_withdrawn_is_not_waited_for(site: Site) -> None:
    await scan(site, 1)
    site.keeper.fails = lambda call: OutboxError("the disk does not answer") if call == "entries" else None
    with pytest.raises(OutboxError):
        await site.arrives(asn())
    site.keeper.fails = lambda _: None
    await site.desk.remove(NAME, actor="jane")
    assert not site.outbox.annex_under("expectation-unfinished")
