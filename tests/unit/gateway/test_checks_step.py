"""Checks inside the step of intake: refused appends, failed commits, and what the gateway does by itself."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from checks_rig import Site, codes, document, label, line

from buffer.errors import CommitUnknown, OutboxFull
from drivers.contract import StorageUnavailable
from gateway.checks import clearance, documents
from gateway.checks.found import Found
from gateway.checks.policy import Policy
from gateway.checks.watch import Delivery, Watch
from gateway.events.model import ClockQuality


@pytest.fixture
async def site() -> Site:
    site = Site()
    site.expect(document("PL-1", "pick_list", line(1, 2)))
    return site


async def turn() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def snapshot(site: Site) -> object:
    """What the checks have in memory."""
    one = site.checker.documents.open("PL-1", "pick")
    pools = {key: (pool.observed, pool.events) for key, pool in one.book.pools.items()}
    return pools, one.progress, one.flying, dict(one.pieces), [case.id for case in site.checker.docket.open_cases()]


async def test_a_scan_that_was_refused_counts_nowhere(site: Site) -> None:
    """The disk is full for one scan: a wrong one, of a serial number, that begins a document."""
    before = snapshot(site)
    site.outbox.refuse = OutboxFull("the disk is full")
    with pytest.raises(StorageUnavailable):
        await site.scan("hh-1", label(2, serial="S1"), document="PL-1")
    assert snapshot(site) == before
    assert site.checker.picks.taken("serial:anything") is None
    site.outbox.refuse = None
    verdict = await site.scan("hh-1", label(2, serial="S1"), document="PL-1")
    assert (verdict.result, codes(verdict)) == ("stored_with_exception", ["wrong_item"])
    assert len(site.exceptions()) == 1


async def test_whoever_counts_a_document_anew_hears_that_a_scan_was_refused(site: Site) -> None:
    one = site.checker.documents.open("PL-1", "pick")
    one.since = []
    site.outbox.refuse = OutboxFull("the disk is full")
    with pytest.raises(StorageUnavailable):
        await site.scan("hh-1", label(1), document="PL-1")
    assert [is_added for _, is_added in one.since] == [True, False]


async def test_a_scan_refused_behind_one_in_flight_leaves_that_one_alone(site: Site) -> None:
    site.outbox.hold = True
    first = asyncio.create_task(site.scan("hh-1", label(1), document="PL-1"))
    await turn()
    before = snapshot(site)
    site.outbox.refuse = OutboxFull("the disk is full")
    with pytest.raises(StorageUnavailable):
        await site.scan("hh-1", label(2), document="PL-1")
    assert snapshot(site) == before
    site.outbox.refuse = None
    site.outbox.commit()
    assert (await first).result == "stored"
    assert codes(await _scan_now(site, label(1))) == []
    assert codes(await _scan_now(site, label(1))) == ["duplicate_pick"]


async def _scan_now(site: Site, code: str) -> Any:
    site.outbox.hold = False
    return await site.scan("hh-1", code, document="PL-1")


async def test_after_a_failed_commit_only_what_is_committed_counts(site: Site) -> None:
    await site.scan("hh-1", label(1), document="PL-1")
    site.outbox.hold = True
    lost = asyncio.create_task(site.scan("hh-1", label(1), document="PL-1"))
    wrong = asyncio.create_task(site.scan("hh-1", label(3), document="PL-1"))
    await turn()
    site.outbox.fail(CommitUnknown("the disk failed"))
    for task in (lost, wrong):
        with pytest.raises(StorageUnavailable):
            await task
    assert codes(await _scan_now(site, label(1))) == [], "two of two: the lost one does not count"
    assert codes(await _scan_now(site, label(3))) == ["wrong_item"]
    assert len(site.exceptions()) == 1, "the exception of the lost scan is not in the way"


async def test_many_scans_of_one_array_see_each_other(site: Site) -> None:
    from drivers.reading import Reading, ScanContext

    context = ScanContext(document="PL-1")
    readings = [Reading("hh-1", "scan", b"", label(1), None, f"n{number}", None, context) for number in range(3)]
    verdicts = await site.intake.take(readings)
    assert [codes(one) for one in verdicts] == [[], [], ["duplicate_pick"]]


async def test_a_message_that_comes_twice_in_one_array_hears_the_same_both_times(site: Site) -> None:
    """Of three picks the third is one too many; said twice in the array it is still one pick, and one exception. The
    same number with something else behind it is another pick."""
    from drivers.reading import Reading, ScanContext

    context = ScanContext(document="PL-1")
    said = [(label(1), "n1"), (label(1), "n2"), (label(1), "n3"), (label(1), "n3"), (label(2), "n3"), (label(2), "n3")]
    readings = [Reading("hh-1", "scan", b"", code, None, number, None, context) for code, number in said]
    verdicts = await site.intake.take(readings)
    assert [codes(one) for one in verdicts] == [
        [],
        [],
        ["duplicate_pick"],
        ["duplicate_pick"],
        ["message_id_reused", "wrong_item"],
        ["message_id_reused", "wrong_item"],
    ]
    assert [one.redelivered for one in verdicts] == [False, False, False, True, False, True]
    assert verdicts[2].events == verdicts[3].events
    assert verdicts[4].events == verdicts[5].events
    assert sorted(one["code"] for one in site.exceptions()) == ["duplicate_pick", "wrong_item"]
    assert [codes(one) for one in await site.intake.take(readings[2:3])] == [["message_id_reused", "duplicate_pick"]]


async def test_of_many_documents_those_used_last_are_in_memory_and_the_others_are_right_when_they_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Room for four books, or for five objects: a document with many serial numbers counts for more than its name."""
    monkeypatch.setattr(documents, "BOOKS_MAX", 4)
    monkeypatch.setattr(documents, "OBJECTS_MAX", 5)
    site = Site()
    for number in range(1, 7):
        site.expect(document(f"PL-{number}", "pick_list", line(1, 3)))

    def known() -> list[str]:
        return [f"PL-{number}" for number in range(1, 7) if site.checker.documents.peek(f"PL-{number}", "pick")]

    for number in (1, 2, 3, 4, 1, 5):
        await site.scan("hh-1", label(1), document=f"PL-{number}")
    assert known() == ["PL-1", "PL-3", "PL-4", "PL-5"]
    for serial in range(6):
        await site.scan("hh-1", label(1, serial=f"S{serial}"), document="PL-5")
    await site.scan("hh-1", label(1), document="PL-6")
    assert known() == ["PL-6"], "PL-5 has more objects than there is room for, and left last"
    verdict = await site.scan("hh-1", label(1, serial="S5"), document="PL-5")
    assert codes(verdict) == ["duplicate_pick"]
    assert "S5 was picked before" in verdict.exceptions[0].message
    assert site.checker.documents.open("PL-1", "pick").book.events == 2


async def test_memory_holds_nothing_of_what_is_on_disk_but_the_totals(site: Site) -> None:
    for _ in range(5):
        await site.scan("hh-1", label(1, serial=""), document="PL-1")
    await turn()
    one = site.checker.documents.open("PL-1", "pick")
    assert (one.flying, one.pieces, one.gone) == (0, {}, set())


# -- what time brings


class Time:
    """A watch over a site, with deliveries and a clock that are set by hand."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.deliveries: list[Delivery] = []
        self.clock: ClockQuality = "synchronised"
        self.watch = Watch(
            site.checker,
            deliveries=lambda: self.deliveries,
            clock_quality=lambda: self.clock,
            monotonic=lambda: site.seconds,
            operating_ms=lambda: site.outbox.operating_ms,
        )

    async def look(self) -> bool:
        """Look once, when everything is settled; return whether anything was due."""
        await turn()
        if not self.watch.due():
            return False
        await self.site.intake.record(self.site.checker.own(self.watch.step))
        return True

    async def looks(self) -> int:
        """Look until nothing is due; return how often something was."""
        for number in range(50):
            if not await self.look():
                return number
        raise AssertionError("there is no end of it")


async def test_an_exception_escalates_on_the_operating_clock_and_not_on_the_wall(site: Site) -> None:
    """Somebody sets the clock a month on; nothing is overdue. Two hours of work later it is."""
    time = Time(site)
    await time.look()
    await site.scan("hh-1", label(3), document="PL-1")
    site.ms += 30 * 86_400_000
    assert not await time.look()
    site.ms -= 60 * 86_400_000
    site.passes(2 * 3600)
    await time.look()
    last = site.exceptions()[-1]
    assert (last["state"], last["owner"], last["escalations"]) == ("escalated", "operations", 1)
    assert not await time.look() or len(site.exceptions()) == 2, "once, and not at every look"
    site.passes(2 * 3600)
    await time.look()
    assert site.exceptions()[-1]["escalations"] == 2


async def test_what_was_acknowledged_escalates_too_and_what_is_resolved_does_not(site: Site) -> None:
    time = Time(site)
    await site.scan("hh-1", label(3), document="PL-1")
    (case,) = site.checker.docket.open_cases()

    def acknowledge(found: Found) -> None:
        site.checker.docket.acknowledge(case, "jane", found)

    await site.intake.record(site.checker.own(acknowledge))
    site.restart()
    time = Time(site)
    site.passes(2 * 3600)
    await time.look()
    assert [one["state"] for one in site.exceptions()] == ["open", "acknowledged", "escalated"]

    def resolve(found: Found) -> None:
        site.checker.docket.resolve(site.checker.docket.open_cases()[0], "jane", "put back", found)

    await site.intake.record(site.checker.own(resolve))
    site.passes(48 * 3600)
    await time.look()
    assert site.exceptions()[-1]["state"] == "resolved"


async def test_an_upstream_that_stays_away_is_an_exception_until_it_answers(site: Site) -> None:
    time = Time(site)
    time.deliveries = [Delivery("centre", True, None, "no connection")]
    await time.look()
    assert site.exceptions() == []
    site.passes(900)
    await time.look()
    await time.look()
    (found,) = site.exceptions("sync_failure")
    assert found["owner"] == "technician"
    assert "no connection" in found["message"]
    time.deliveries = [Delivery("centre", True, site.seconds)]
    await time.look()
    assert site.exceptions("sync_failure")[-1]["state"] == "resolved"
    time.deliveries = [Delivery("centre", False, None)]
    site.passes(9000)
    await time.look()
    assert len(site.exceptions("sync_failure")) == 2, "a quiet week-end is no failure"


async def test_a_computer_that_just_started_has_heard_of_no_upstream(site: Site) -> None:
    """Its monotonic clock begins at 0, and a minute ago was before that: the power came back, the centre did not."""
    time = Time(site)
    time.deliveries = [Delivery("centre", True, None, "no connection")]
    site.passes(900)
    await time.look()
    site.restart()
    site.seconds = 20.0
    time = Time(site)
    time.deliveries = [Delivery("centre", True, None, "no connection")]
    await time.look()
    assert [one["state"] for one in site.exceptions("sync_failure")] == ["open"]


async def test_a_clock_nobody_vouches_for_is_an_exception_until_somebody_does(site: Site) -> None:
    time = Time(site)
    time.clock = "unsynchronised"
    await time.look()
    site.passes(3600)
    await time.look()
    assert [one["state"] for one in site.exceptions("clock_unsynchronised")] == ["open"]
    time.clock = "synchronised"
    await time.look()
    assert [one["state"] for one in site.exceptions("clock_unsynchronised")] == ["open", "resolved"]


async def test_a_device_that_is_down_is_an_exception_until_it_is_up(site: Site) -> None:
    await site.intake.device_event("s-1", "down", "unplugged")
    await site.intake.device_event("s-1", "degraded", "half of it")
    await site.intake.device_event("s-1", "up")
    assert [(one["state"], one["owner"]) for one in site.exceptions("device_outage")] == [
        ("open", "technician"),
        ("resolved", "technician"),
    ]


async def test_old_rows_go_when_nobody_needs_them(site: Site) -> None:
    time = Time(site)
    await site.scan("hh-1", label(1, serial="S1"), document="PL-1")
    await site.scan("hh-1", label(3), document="PL-1")
    await site.scan("hh-1", "DL:close", document="PL-1")
    for case in site.checker.docket.open_cases():

        def resolve(found: Found, case: Any = case) -> None:
            site.checker.docket.resolve(case, "jane", "done", found)

        await site.intake.record(site.checker.own(resolve))
    kept = ("piece/", "document/", "exception/", "picked/")
    site.passes(29 * 86_400)
    await time.look()
    assert {key.partition("/")[0] + "/" for key in site.outbox.rows if key.startswith(kept)} == set(kept)
    site.passes(2 * 86_400)
    assert await time.looks() <= 3
    assert [key for key in site.outbox.rows if key.startswith(kept)] == []
    assert codes(await site.scan("hh-1", label(1, serial="S1"), document="PL-1")) == []


async def test_many_old_rows_go_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of serial numbers is a million rows: read at once, that is as many values, and seconds without a scan."""
    monkeypatch.setattr(clearance, "LOOKED_AT_MAX", 7)
    monkeypatch.setattr(clearance, "GONE_MAX", 5)
    monkeypatch.setattr(clearance, "PAGE_ROWS", 3)
    site = Site()
    await worked(site, 30)
    await site.scan("hh-1", label(1, serial="KEPT"), document="PL-2")
    time = Time(site)
    site.passes(31 * 86_400)
    seen = [len(site.outbox.rows)]
    while await time.look():
        seen.append(len(site.outbox.rows))
    went = [before - after for before, after in pairwise(seen)]
    assert sum(went) == 62, "thirty pieces, the document, and all picks"
    assert max(went) <= 5
    assert not time.watch.is_cleaning
    assert [key for key in site.outbox.rows if "PL-1" in key] == []
    assert len([key for key in site.outbox.rows if "PL-2" in key]) == 2


async def test_a_document_that_is_scanned_for_again_while_its_rows_go_keeps_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clearance, "GONE_MAX", 2)
    site = Site()
    await worked(site, 10)
    time = Time(site)
    site.passes(31 * 86_400)
    await time.look()
    left = [key for key in site.outbox.rows if key.startswith("piece/")]
    assert len(left) == 8
    await site.scan("hh-1", label(1, serial="AGAIN"), document="PL-1")
    await time.looks()
    assert set(left) <= set(site.outbox.rows)
    assert site.checker.documents.open("PL-1", "pick").book.events == 9


async def test_what_could_not_go_because_the_disk_was_full_goes_later(site: Site) -> None:
    await worked(site, 3)
    time = Time(site)
    site.passes(31 * 86_400)
    site.outbox.refuse = OutboxFull("the disk is full")
    with pytest.raises(StorageUnavailable):
        await time.look()
    site.outbox.refuse = None
    assert not time.watch.is_cleaning, "it begins anew"
    await time.looks()
    assert [key for key in site.outbox.rows if key.startswith(("piece/", "picked/", "document/"))] == []


async def worked(site: Site, scans: int) -> None:
    """A closed document with so many serial numbers."""
    site.expect(document("PL-1", "pick_list", line(1, scans)))
    for number in range(scans):
        await site.scan("hh-1", label(1, serial=f"S{number}"), document="PL-1")
    await site.scan("hh-1", "DL:close", document="PL-1")


async def test_open_work_and_open_exceptions_stay_however_old(site: Site) -> None:
    time = Time(site)
    await site.scan("hh-1", label(3), document="PL-1")
    rows = set(site.outbox.rows)
    site.passes(400 * 86_400)
    await time.look()
    assert rows <= set(site.outbox.rows)


async def test_switched_off_nothing_is_watched() -> None:
    site = Site(Policy(is_asked_for=False))
    site.expect(document("PL-1", "pick_list", line(1, 2)))
    time = Time(site)
    assert codes(await site.scan("hh-1", label(3), document="PL-1")) == []
    site.passes(90_000)
    assert not await time.look()
