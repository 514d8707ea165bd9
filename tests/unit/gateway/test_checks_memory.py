"""What the checks remember of objects and events, how much of it, and until when."""

from __future__ import annotations

import pytest
from checks_rig import Site, codes, document, gtin, label, line
from desk_rig import settled

from drivers.reading import Reading, ScanContext, TagRead
from gateway.checks import watch
from gateway.checks.exception import EVIDENCE_MAX, with_evidence
from gateway.checks.found import Found
from gateway.checks.picks import STANDING_MAX
from gateway.checks.piece import Piece
from simulators.epc import sgtin_96

PALLET = "095212300000000017"


@pytest.fixture
async def site() -> Site:
    site = Site()
    site.expect(document("PL-1", "pick_list", line(1, 20)))
    return site


@pytest.mark.parametrize("activity", ["receipt", "return"])
async def test_an_object_that_came_back_can_be_picked_again(site: Site, activity: str) -> None:
    one = label(1, serial="S1")
    assert codes(await site.scan("hh-1", one, document="PL-1")) == []
    site.expect(document("PL-2", "pick_list", line(1, 20)))
    assert codes(await site.scan("hh-1", one, document="PL-2")) == ["duplicate_pick"]
    assert codes(await site.scan("hh-1", one, activity=activity)) == []
    site.expect(document("PL-3", "pick_list", line(1, 20)))
    assert codes(await site.scan("hh-1", one, document="PL-3")) == []


async def test_an_object_that_is_picked_without_end_has_a_short_row(site: Site) -> None:
    for _ in range(STANDING_MAX + 3):
        await site.scan("hh-1", label(1, serial="S1"), document="PL-1")
    assert len(site.checker.picks._picks(f"serial:{gtin(1)}:S1")) == STANDING_MAX


async def test_goods_are_counted_in_one_pallet_more_than_once(site: Site) -> None:
    """Its label stands on it for as long as something is in it."""
    site.expect(document("CS-1", "count_sheet", line(1, 10)))
    for quantity in ("6", "4"):
        scan = await site.scan("count-1", f"]C100{PALLET}02{gtin(1)}3724", document="CS-1", quantity=quantity)
        assert codes(scan) == []
    assert (await site.scan("count-1", "DL:close", document="CS-1")).exceptions == ()


async def test_what_is_taken_out_twice_in_one_step_was_there_once(site: Site) -> None:
    await site.scan("hh-1", label(1), document="PL-1")
    await site.scan("hh-1", label(1), document="PL-1")
    one = site.checker.documents.open("PL-1", "pick")
    event = site.events("pick")[0]["id"]
    taken: list[Piece | None] = []

    def take_out(found: Found) -> None:
        taken.extend(site.checker.documents.remove(one, event, found) for _ in range(2))

    await site.intake.record(site.checker.own(take_out))
    assert [piece is not None for piece in taken] == [True, False]
    assert one.book.events == 1


async def test_an_exception_names_its_first_thousand_events_and_counts_the_others(site: Site) -> None:
    await site.scan("hh-1", label(2), document="PL-1")
    (case,) = site.checker.docket.open_cases()
    for number in range(EVIDENCE_MAX + 5):
        case = with_evidence(case, f"event-{number}")
    assert len(case.data.events) == EVIDENCE_MAX
    assert case.data.events_total == EVIDENCE_MAX + 6


async def test_a_crowd_of_overdue_exceptions_escalates_a_part_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long week-end hundreds are overdue at once, and a scan must not wait for all of them."""
    monkeypatch.setattr(watch, "STEPS_MAX", 2)
    for number in range(2, 5):
        await site.scan("hh-1", label(number), document="PL-1")
    looker = watch.Watch(
        site.checker,
        deliveries=lambda: (),
        clock_quality=lambda: "synchronised",
        monotonic=lambda: site.seconds,
        operating_ms=lambda: site.outbox.operating_ms,
    )
    site.passes(3 * 3600)
    for escalated in (2, 3):
        await site.intake.record(site.checker.own(looker.step))
        await settled(site.checker, site.intake.record)
        assert sum(one["state"] == "escalated" for one in site.exceptions()) == escalated


async def test_a_tag_that_passes_twice_is_no_double_scan(site: Site) -> None:
    """Nobody meant anything by it: a pallet is moved through the gate and back."""
    site.expect(document("ASN-1", "asn", line(1, 2)))
    prefix = gtin(1)[1:8]
    epc = sgtin_96(prefix, gtin(1)[0] + gtin(1)[8:13], 7)
    context = ScanContext(document="ASN-1")
    for _ in range(2):
        (verdict,) = await site.intake.take([Reading("gate-1", "tag", epc, tag=TagRead(epc), context=context)])
        assert (verdict.result, codes(verdict)) == ("stored", [])
        site.passes(3600)
    assert len(site.events("receipt")) == 2


async def test_events_name_the_epoch_of_their_time(site: Site) -> None:
    """A centre was ahead of this disk: from the next scan on another source counts."""
    await site.scan("hh-1", label(1), document="PL-1")
    site.outbox.source = "//dc07/dock-pc-1/e2"
    await site.scan("hh-1", label(1), document="PL-1")
    await site.scan("hh-1", label(2), document="PL-1")
    assert [one["source"][-2:] for one in site.events()] == ["e1", "e2", "e2", "e2"]
