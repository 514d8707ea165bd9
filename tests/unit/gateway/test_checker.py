"""What is wrong about a scan, in the same step."""

from decimal import Decimal

import pytest
from checks_rig import Site, codes, document, gtin, label, line

from gateway.capture.label import LabelItem
from gateway.checks.piece import unique_of
from gateway.checks.policy import Policy
from gateway.checks.rule import LocationRule, Rule, RuleBook, Tolerance
from gateway.checks.summary import summarise, summarise_suppliers

PALLET = "095212340000000013"


@pytest.fixture
async def site() -> Site:
    return Site()


async def test_eight_per_cent_under_is_one_exception_for_procurement(site: Site) -> None:
    """250 cartons on six lines are announced, 230 arrive."""
    announced, arrived = (50, 50, 50, 40, 40, 20), (50, 44, 50, 36, 40, 10)
    lines = [line(number, many, price="10.00") for number, many in enumerate(announced, 1)]
    site.expect(document("ASN-1", "asn", *lines, supplier="4012345000009", currency="EUR"))
    assert (await site.scan("s-1", "ASN-1")).result == "stored"
    for number, many in enumerate(arrived, 1):
        for _ in range(many):
            assert (await site.scan("s-1", label(number))).result == "stored"
    verdict = await site.scan("s-1", "DL:close")
    assert verdict.result == "stored_with_exception"
    assert codes(verdict) == ["receiving_variance"]
    (found,) = site.exceptions()
    assert found["owner"] == "procurement"
    assert found["invoice_relevant"] is True
    assert found["disposition"] == "mismatch_quantity"
    assert found["document"] == {"id": "ASN-1", "type": "asn"}
    assert found["variance"] == {
        "direction": "short", "expected": "250", "observed": "230", "difference": "-20", "unit": "EA",
        "percent": "-8", "value": "-200", "currency": "EUR",
    }  # fmt: skip
    assert [(one["line"], one["difference"]) for one in found["lines"]] == [("2", "-6"), ("4", "-4"), ("6", "-10")]
    assert found["events_total"] == len(found["events"]) == 230
    assert set(found["events"]) == {one["id"] for one in site.events("receipt")}
    assert found["expectation"]["version"] == "1"
    (tally,) = site.tallies()
    assert tally["coverage"] == "complete"
    assert [one["result"] for one in tally["lines"]] == ["matched", "short", "matched", "short", "matched", "short"]
    assert tally["exceptions"] == [found["exception"]]
    assert (await site.scan("s-2", "ASN-2")).result == "stored", "the rest of the inbound flow is not held up"


async def test_nothing_is_called_short_where_others_may_have_the_rest(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 10), scope="site"))
    await site.scans("s-1", "ASN-1", label(1))
    assert (await site.scan("s-1", "DL:close")).result == "stored"
    assert site.exceptions() == []
    assert site.tallies()[0]["coverage"] == "partial"
    assert site.tallies()[0]["lines"][0]["observed"] == "1"


async def test_too_much_is_said_with_the_scan_that_is_too_much(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scan("s-1", "ASN-1")
    assert [one.result for one in await site.scans("s-1", label(1), label(1))] == ["stored", "stored"]
    third, fourth = await site.scans("s-1", label(1), label(1))
    assert codes(third) == codes(fourth) == ["receiving_variance"]
    found, again = site.exceptions()
    assert found["variance"]["direction"] == "over"
    assert found["events"] == [third.events[0]]
    (case,) = site.checker.docket.open_cases()
    assert case.id == found["exception"] == again["exception"], "the same trouble is one exception"
    assert case.data.events == tuple(again["events"]) == (third.events[0], fourth.events[0])


async def test_how_much_is_too_much_is_kept_up_to_date(site: Site) -> None:
    """Two are expected and nine come, one by one. Whoever looks sees how many there are; the centre is told when the
    difference has doubled, and exactly when the document is closed."""
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scan("s-1", "ASN-1")
    for observed in range(1, 10):
        await site.scan("s-1", label(1))
        open_ = [case.data for case in site.checker.docket.open_cases()]
        assert [one.variance and one.variance.observed for one in open_] == [str(observed)] * (observed > 2)
        assert [one.message.split(" EA")[0] for one in open_] == [f"line 1: {observed}"] * (observed > 2)
    told = [one["variance"]["observed"] for one in site.exceptions()]
    assert told == ["3", "4", "6"]
    await site.scan("s-1", "DL:close")
    over, closed = site.exceptions()[3:]
    assert (over["exception"], over["state"], over["variance"]["observed"]) == (
        site.exceptions()[0]["exception"], "open", "9",
    )  # fmt: skip
    assert over["events_total"] == len(over["events"]) == 7
    assert closed["variance"]["observed"] == "9"


async def test_what_a_rule_allows_after_an_undo_is_over() -> None:
    """Ten are expected, five more are allowed. Seven more come, and two of them are taken back."""
    site = Site(
        Policy(True, RuleBook([Rule("five", 1, "qa", "receiving_variance", tolerance=Tolerance(absolute=Decimal(5)))]))
    )
    site.expect(document("ASN-1", "asn", line(1, 10)))
    await site.scan("s-1", "ASN-1")
    await site.scans("s-1", "DL:quantity 14", label(1))
    assert codes((await site.scans("s-1", "DL:quantity 2", label(1)))[1]) == ["receiving_variance"]
    assert codes((await site.scans("s-1", label(1)))[0]) == ["receiving_variance"]
    await site.scan("s-1", "DL:undo")
    (still,) = site.checker.docket.open_cases()
    assert still.data.variance is not None
    assert (still.data.variance.observed, still.data.message) == ("16", f"line 1: 16 EA of {gtin(1)}, 10 expected")
    await site.scan("s-1", "DL:undo")
    assert site.checker.docket.open_cases() == [], "fourteen are allowed"
    assert site.exceptions()[-1]["state"] == "resolved"


async def test_what_is_on_no_line_is_unexpected_at_the_dock_and_wrong_in_a_pick(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2)))
    site.expect(document("PL-1", "pick_list", line(1, 2)))
    assert codes(await site.scan("hh-1", label(2), document="ASN-1", activity="receipt")) == ["unexpected_item"]
    assert codes(await site.scan("hh-1", label(2), document="PL-1")) == ["wrong_item"]
    assert [one["disposition"] for one in site.exceptions()] == ["mismatch_class", "mismatch_class"]


async def test_lots_serials_and_places_are_those_of_the_line(site: Site) -> None:
    site.expect(document("PL-1", "pick_list", line(1, 9, lots=["L1"], serials=["S1", "S2"], locations=["A-01-*"])))
    good = await site.scan("hh-1", label(1, lot="L1", serial="S1"), document="PL-1", location="A-01-03")
    assert good.result == "stored"
    bad = await site.scan("hh-1", label(1, lot="L2", serial="S9"), document="PL-1", location="B-02-01")
    assert codes(bad) == ["lot_mismatch", "serial_mismatch", "wrong_location"]
    found = {one["code"]: one for one in site.exceptions()}
    assert found["wrong_location"]["location"] == "B-02-01"
    assert found["wrong_location"]["expected_locations"] == ["A-01-*"]
    assert found["serial_mismatch"]["disposition"] == "mismatch_instance"
    assert "L1" in found["lot_mismatch"]["message"]


async def test_an_expired_item_is_said_whatever_the_document(site: Site) -> None:
    assert codes(await site.scan("hh-1", label(1, lot="L1", expiry="261120"))) == ["expired"]
    assert codes(await site.scan("hh-1", label(1, lot="L1", expiry="261121"))) == []
    assert site.exceptions()[0]["severity"] == "critical"


async def test_goods_need_some_days_left_where_a_rule_says_so() -> None:
    rule = Rule("fresh", 4, "quality@site", "expired", shelf_life_days_min=10)
    site = Site(Policy(True, RuleBook([rule])))
    assert codes(await site.scan("hh-1", label(1, expiry="261130"))) == ["expired"]
    assert codes(await site.scan("hh-1", label(2, expiry="261201"))) == []
    assert site.exceptions()[0]["rule"] == {"id": "fresh", "version": 4, "author": "quality@site"}


async def test_the_same_serial_picked_on_two_handhelds_at_once(site: Site) -> None:
    """Two pickers in one aisle; the second one's scan is in the air while the first one's commit is."""
    site.expect(document("PL-1", "pick_list", line(1, 5)))
    site.expect(document("PL-2", "pick_list", line(1, 5)))
    site.outbox.hold = True
    import asyncio

    first = asyncio.create_task(site.scan("hh-1", label(1, serial="S1"), document="PL-1"))
    second = asyncio.create_task(site.scan("hh-2", label(1, serial="S1"), document="PL-2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    site.outbox.commit()
    assert (await first).result == "stored"
    verdict = await second
    assert (verdict.result, codes(verdict)) == ("duplicate", ["duplicate_pick"])
    assert verdict.events, "it is stored all the same"
    assert site.exceptions()[0]["events"] == [(await first).events[0], verdict.events[0]]


async def test_the_same_object_twice_is_a_duplicate_and_counts_once(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scan("s-1", "ASN-1")
    again = (await site.scans("s-1", label(1, serial="S1"), label(1, serial="S1")))[1]
    assert (again.result, codes(again)) == ("duplicate", ["duplicate_scan"])
    await site.scan("s-1", "DL:close")
    assert site.tallies()[0]["lines"][0]["observed"] == "1"


async def test_what_was_undone_is_not_counted(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 1)))
    await site.scans("s-1", "ASN-1", label(1))
    assert codes(await site.scan("s-1", label(1))) == ["receiving_variance"]
    await site.scan("s-1", "DL:undo")
    assert [one["state"] for one in site.exceptions()] == ["open", "resolved"]
    assert site.checker.docket.open_cases() == []
    assert (await site.scan("s-1", "DL:close")).result == "stored"
    assert site.tallies()[0]["lines"][0]["result"] == "matched"


async def test_a_short_pick_is_said_at_close(site: Site) -> None:
    site.expect(document("PL-1", "pick_list", line(1, 3), line(2, 1)))
    await site.scan("hh-1", label(1), document="PL-1")
    verdict = await site.scan("hh-1", "DL:close", document="PL-1")
    assert codes(verdict) == ["short_pick"]
    assert [one["line"] for one in site.exceptions()[0]["lines"]] == ["1", "2"]


async def test_a_count_beyond_tolerance_is_counted_again_by_somebody_else(site: Site) -> None:
    site.expect(document("CS-1", "count_sheet", line(1, 10, locations=["A-01-01"]), line(2, 5, locations=["A-01-02"])))
    await site.scans("count-1", "CS-1", "OP-1", "A-01-01", label(1, count=7), "A-01-02", label(2, count=5))
    verdict = await site.scan("count-1", "DL:close")
    assert codes(verdict) == ["count_variance"]
    assert "7" not in verdict.exceptions[0].message.replace("OP-7", ""), "the recount is blind"
    assert "10" not in verdict.exceptions[0].message
    assert site.tallies()[0]["final"] is False
    assert [one["result"] for one in site.tallies()[0]["lines"]] == ["recount", "matched"]
    assert site.exceptions()[0]["final"] is False
    await site.scans("count-1", "CS-1", "OP-1", "A-01-01")
    assert codes(await site.scan("count-1", label(1, count=9))) == ["recount_same_person"]
    assert codes(await site.scan("count-1", "DL:close")) == ["recount_same_person"]
    await site.scans("count-1", "CS-1", "OP-2", "A-01-01", label(1, count=8))
    assert codes(await site.scan("count-1", "DL:close")) == ["count_variance"]
    tally = site.tallies()[-1]
    assert tally["final"] is True
    assert [(one["observed"], one["result"]) for one in tally["lines"]] == [("8", "short"), ("5", "matched")]
    last = site.exceptions()[-1]
    assert (last["state"], last["final"], last["lines"][0]["observed"]) == ("open", True, "8")
    assert len({one["exception"] for one in site.exceptions()}) == 1


async def test_a_recount_that_agrees_ends_the_exception(site: Site) -> None:
    site.expect(document("CS-1", "count_sheet", line(1, 10)))
    await site.scans("count-1", "CS-1", "OP-1", label(1, count=7), "DL:close")
    await site.scans("count-1", "CS-1", "OP-2", label(1, count=10))
    assert codes(await site.scan("count-1", "DL:close")) == []
    assert site.exceptions()[-1]["state"] == "resolved"
    assert site.tallies()[-1]["lines"][0]["result"] == "matched"


async def test_a_recount_stays_decided_when_it_is_closed_again(site: Site) -> None:
    site.expect(document("CS-1", "count_sheet", line(1, 10), line(2, 4)))
    await site.scans("count-1", "CS-1", "OP-1", label(1, count=7), label(2, count=3), "DL:close")
    await site.scans("count-1", "CS-1", "OP-2", label(1, count=10), label(2, count=3), "DL:close")
    for _ in range(2):
        await site.scan("count-1", "CS-1")
        assert codes(await site.scan("count-1", "DL:close")) == ["count_variance"]
    last = ("10", "matched"), ("3", "short")
    assert [one["final"] for one in site.tallies()] == [False, True, True, True]
    assert all([(one["observed"], one["result"]) for one in told["lines"]] == [*last] for told in site.tallies()[1:])


async def test_a_third_count_is_not_added_to_the_second(site: Site) -> None:
    """Nine, nine, and the third person finds the tenth: ten are there, and at no time nineteen."""
    site.expect(document("CS-1", "count_sheet", line(1, 10), line(2, 4)))
    await site.scans("count-1", "CS-1", "OP-1", label(1, count=9), "DL:close")
    await site.scans("count-1", "CS-1", "OP-2", label(1, count=9), label(2, count=4), "DL:close")
    assert [one["observed"] for one in site.tallies()[-1]["lines"]] == ["9", "4"]
    await site.scans("count-1", "CS-1", "OP-2")
    assert codes(await site.scan("count-1", label(1, count=1))) == ["recount_same_person"]
    await site.scans("count-1", "OP-3", label(1, count=6), label(1, count=4))
    site.restart()
    assert codes(await site.scan("count-1", "DL:close")) == []
    tally = site.tallies()[-1]
    assert (tally["final"], tally["observed_total"]) == (True, "14")
    assert [(one["observed"], one["result"]) for one in tally["lines"]] == [("10", "matched"), ("4", "matched")]
    assert site.exceptions()[-1]["state"] == "resolved"


async def test_an_object_counts_once_in_every_round(site: Site) -> None:
    site.expect(document("CS-1", "count_sheet", line(1, 2, serials=["A", "B"])))
    for person, serials in (("OP-1", "A"), ("OP-2", "A"), ("OP-3", "BAB")):
        await site.scans("count-1", "CS-1", person, *[label(1, serial=serial) for serial in serials], "DL:close")
    assert [one["lines"][0]["observed"] for one in site.tallies()] == ["1", "1", "2"]
    assert site.exceptions("count_variance")[-1]["state"] == "resolved"


async def test_what_others_count_after_a_recount_is_counted_as_ever(site: Site) -> None:
    """Two stations share a count sheet; the line of one was counted twice, then the other comes with its own."""
    sheet = document("CS-1", "count_sheet", line(1, 10), line(2, 4), scope="site")
    site.expect(sheet)
    await site.scans("count-1", "CS-1", "OP-1", label(1, count=11), "DL:close")
    await site.scans("count-1", "CS-1", "OP-2", label(1, count=11), "DL:close")
    await site.scans("count-1", "CS-1", "OP-1", label(2, count=4), "DL:close")
    assert [one["observed"] for one in site.tallies()[-1]["lines"]] == ["11", "4"]


async def test_what_a_recount_finds_at_another_place_is_in_the_tally(site: Site) -> None:
    """The second person finds the pallet two aisles away. It is not on its line, and it is not nowhere."""
    site.expect(document("CS-1", "count_sheet", line(1, 10, locations=["A-01-01"]), line(2, 5, locations=["A-01-02"])))
    await site.scans("count-1", "CS-1", "OP-1", "A-01-01", label(1, count=9), "A-01-02", label(2, count=5), "DL:close")
    await site.scans("count-1", "CS-1", "OP-2", "A-09-09", label(1, count=10), "DL:close")
    tally = site.tallies()[-1]
    assert [(one.get("line"), one.get("location"), one["observed"], one["result"]) for one in tally["lines"]] == [
        ("1", "A-01-01", "0", "short"), ("2", "A-01-02", "5", "matched"), (None, "A-09-09", "10", "unexpected"),
    ]  # fmt: skip
    assert tally["observed_total"] == "15"


async def test_a_place_that_the_document_or_its_rule_forbids_is_a_putaway_failure() -> None:
    cold = LocationRule("cold-store", 2, "quality", ("C-*",), forbid_items=(gtin(2),))
    site = Site(Policy(True, location_rules=[cold]))
    site.expect(document("ASN-1", "asn", line(1, 5, locations=["B-01-*"]), line(2, 5), forbidden_locations=["D-*"]))
    wrong = {"document": "ASN-1", "activity": "putaway"}
    assert codes(await site.scan("hh-1", label(1), location="B-01-02", **wrong)) == []
    assert codes(await site.scan("hh-1", label(1), location="B-02-02", **wrong)) == ["putaway_failure"]
    assert codes(await site.scan("hh-1", label(2), location="C-01-01", **wrong)) == ["putaway_failure"]
    assert codes(await site.scan("hh-1", label(2), location="D-01-01", **wrong)) == ["putaway_failure"]
    assert codes(await site.scan("hh-1", label(2), location="C-01-02", activity="putaway")) == ["putaway_failure"]
    assert site.exceptions()[1]["rule"] == {"id": "cold-store", "version": 2, "author": "quality"}


async def test_a_damaged_return_says_what_should_become_of_it(site: Site) -> None:
    site.expect(document("RMA-1", "rma", line(1, 2), line(2, 1, return_disposition="restock")))
    await site.scans("ret-1", "RMA-1", "DL:damaged")
    assert codes(await site.scan("ret-1", label(1))) == ["damaged"]
    await site.scans("ret-1", "DL:disposal", "DL:damaged")
    await site.scan("ret-1", label(1))
    await site.scan("ret-1", label(2))
    assert codes(await site.scan("ret-1", "DL:close")) == []
    assert site.exceptions()[0]["return_disposition"] == "refurbish"
    first, second = site.tallies()[0]["lines"]
    assert (first["damaged"], second["return_disposition"]) == ("2", "restock")


async def test_a_rule_can_hold_what_it_is_about() -> None:
    site = Site(Policy(True, RuleBook([Rule("hold", 1, "qa", "lot_mismatch", hold="item")])))
    site.expect(document("PL-1", "pick_list", line(1, 9, lots=["L1"]), line(2, 9)))
    assert codes(await site.scan("hh-1", label(1, lot="L2"), document="PL-1")) == ["lot_mismatch"]
    held = await site.scan("hh-1", label(1, lot="L1"), document="PL-1")
    assert (held.result, codes(held)) == ("stored_with_exception", ["hold"])
    assert codes(await site.scan("hh-1", label(2), document="PL-1")) == []


async def test_what_is_on_hold_is_said_also_by_the_scan_that_brings_another_hold() -> None:
    rules = [
        Rule("lot", 1, "qa", "lot_mismatch", hold="item"),
        Rule("over", 1, "qa", "receiving_variance", hold="document"),
    ]
    site = Site(Policy(True, RuleBook(rules)))
    site.expect(document("ASN-1", "asn", line(1, 1, lots=["L1"])))
    assert codes(await site.scan("hh-1", label(1, lot="L2"), document="ASN-1", activity="receipt")) == ["lot_mismatch"]
    second = await site.scan("hh-1", label(1, lot="L1"), document="ASN-1", activity="receipt")
    assert codes(second) == ["receiving_variance", "hold"]


ONE = f"]C101{gtin(1)}21S1"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (ONE, f"{gtin(1)} serial S1"),
        (f"]C100{PALLET}", PALLET),
        ("]C180049521321ABC", "(8004)9521321ABC"),
        ("]C1800309521321123458SER1", "(8003)09521321123458SER1"),
        ("]C12539521321123458D7", "(253)9521321123458D7"),
    ],
)
async def test_one_thing_is_received_once_whatever_key_it_has(site: Site, code: str, name: str) -> None:
    """A serial number, a pallet, an asset, a crate, a document: GS1 gives each of these keys to one thing."""
    site.expect(document("ASN-1", "asn", line(1, 1)))
    await site.scan("s-1", "ASN-1")
    await site.scan("s-1", code)
    again = await site.scan("s-1", code)
    (told,) = site.exceptions("duplicate_scan")
    assert told["message"] == f"{name} was scanned before"
    assert "duplicate_scan" in codes(again)


@pytest.mark.parametrize(
    ("epc", "is_known"),
    [
        ("urn:epc:id:grai:9521321.12345.7", True),
        ("https://id.gs1.org/8003/095213211234587", True),
        ("urn:epc:raw:96.xE28011606000020528F904FA", False),
    ],
)
def test_a_tag_that_was_decoded_names_one_thing(epc: str, *, is_known: bool) -> None:
    assert unique_of(LabelItem(epc=epc), "receipt") == (epc if is_known else None)


async def test_a_kind_of_crate_is_received_as_often_as_it_comes(site: Site) -> None:
    site.expect(document("ASN-1", "asn", {"line": "1", "item": {"code": "(8003)09521321123458"}, "quantity": 2}))
    verdicts = await site.scans("s-1", "ASN-1", "]C1800309521321123458", "]C1800309521321123458", "DL:close")
    assert [codes(one) for one in verdicts] == [[], [], [], []]


async def test_a_torn_label_is_one_exception_however_often_it_is_scanned(site: Site) -> None:
    for _ in range(3):
        assert codes(await site.scan("s-1", "]C10109521234543214")) == ["barcode_mismatch"]
    assert len(site.exceptions()) == 1
    assert site.checker.docket.open_cases()[0].data.events_total == 3


async def test_without_anything_to_compare_with_a_scan_is_what_it_was() -> None:
    site = Site(Policy())
    assert not site.checker.is_on
    assert (await site.scan("hh-1", label(1, expiry="200101"), document="PL-1")).result == "stored"
    assert not [key for key in site.outbox.rows if key.startswith(("piece/", "document/", "exception/"))]
    site.expect(document("PL-1", "pick_list", line(1, 1)))
    assert codes(await site.scan("hh-1", label(2), document="PL-1")) == ["wrong_item"]


async def test_a_restart_keeps_totals_and_exceptions(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scans("s-1", "ASN-1", label(1), label(1))
    site.restart()
    assert codes(await site.scan("s-1", label(1))) == ["receiving_variance"]
    site.restart()
    assert codes(await site.scan("s-1", label(1))) == ["receiving_variance"]
    assert len({one["exception"] for one in site.exceptions()}) == 1
    await site.scan("s-1", "DL:close")
    assert site.tallies()[0]["lines"][0]["observed"] == "4"


async def test_a_bug_in_a_check_does_not_cost_a_scan(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scan("s-1", "ASN-1")

    def broken(*_: object, **__: object) -> None:
        raise KeyError("line 7")

    monkeypatch.setattr(site.checker.comparer, "check", broken)
    assert (await site.scan("s-1", label(1))).result == "stored"
    assert site.checker.documents.open("ASN-1", "receipt").book.pools == {}, "half a check leaves nothing behind"


async def test_another_object_does_not_fill_the_place_of_the_one_that_is_missing(site: Site) -> None:
    """A carton of the neighbour's is read at the portal while one of ours is not on the pallet."""
    site.expect(document("ASN-1", "asn", line(1, 3, serials=["S1", "S2", "S3"])))
    await site.scan("s-1", "ASN-1")
    await site.scans("s-1", label(1, serial="S2"), label(1, serial="S1"))
    assert codes(await site.scan("s-1", label(1, serial="S9"))) == ["serial_mismatch"]
    assert codes(await site.scan("s-1", "DL:close")) == ["receiving_variance"]
    (short,) = site.exceptions("receiving_variance")
    assert [(one["observed"], one["missing_serials"]) for one in short["lines"]] == [("2", ["S3"])]
    (tally,) = site.tallies()
    assert [(one["observed"], one["result"]) for one in tally["lines"]] == [("2", "short"), ("1", "unexpected")]


async def test_missing_serials_are_limited_in_one_event(site: Site) -> None:
    serials = [f"S{number:04d}" for number in range(1_001)]
    site.expect(document("ASN-1", "asn", line(1, 1_001, serials=serials), line(2, 1, serials=["S1"])))
    await site.scans("s-1", "ASN-1", "DL:close")
    (short,) = site.exceptions("receiving_variance")
    assert [len(one.get("missing_serials", ())) for one in short["lines"]] == [1_000, 0]


async def test_an_exception_names_the_supplier_of_its_document(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2), supplier="4012345000009"))
    await site.scans("s-1", "ASN-1", label(2), "DL:close", label(3))
    assert [one.get("supplier") for one in site.exceptions()] == ["4012345000009", "4012345000009"]


async def test_a_line_that_came_back_in_two_states_says_both(site: Site) -> None:
    site.expect(document("RMA-1", "rma", line(1, 4, return_disposition="vendor_return"), line(2, 2)))
    await site.scans("ret-1", "RMA-1", "DL:restock", label(1), "DL:damaged", label(1), label(1), label(1))
    await site.scans("ret-1", "DL:disposal", label(2), label(2), "DL:close")
    first, second = site.tallies()[0]["lines"]
    shares = {one["return_disposition"]: one["quantity"] for one in first["return_dispositions"]}
    assert shares == {"restock": "1", "refurbish": "1", "vendor_return": "2"}
    assert "return_disposition" not in first
    assert second["return_dispositions"] == [{"return_disposition": "disposal", "quantity": "1"}], "one is undecided"


async def test_a_double_pick_that_is_undone_leaves_the_first_one_standing(site: Site) -> None:
    for name in ("PL-1", "PL-2", "PL-3", "PL-4"):
        site.expect(document(name, "pick_list", line(1, 5)))
    pick = label(1, serial="S1")
    first = await site.scan("hh-1", pick, document="PL-1")
    second = await site.scan("hh-2", pick, document="PL-2")
    assert codes(second) == ["duplicate_pick"]
    assert codes(await site.scan("hh-2", "DL:undo", document="PL-2")) == []
    third = await site.scan("hh-3", pick, document="PL-3")
    assert site.exceptions("duplicate_pick")[-1]["events"] == [first.events[0], third.events[0]]
    await site.scan("hh-1", "DL:undo", document="PL-1")
    site.restart()
    fourth = await site.scan("hh-4", pick, document="PL-4")
    assert site.exceptions("duplicate_pick")[-1]["events"] == [third.events[0], fourth.events[0]], "the next one stands"


async def test_open_exceptions_are_summed_up_by_supplier_and_by_age(site: Site) -> None:
    site.expect(document("ASN-1", "asn", line(1, 2), supplier="S1"))
    await site.scan("hh-1", label(2), document="ASN-1", activity="receipt")
    site.passes(5 * 3600)
    await site.scan("hh-1", label(3), document="ASN-1", activity="receipt")
    await site.scan("hh-1", label(1, expiry="200101"), document="ASN-1", activity="receipt")
    cases, now_ms = site.checker.docket.open_cases(), site.outbox.operating_ms
    assert [(one.code, one.ages) for one in summarise(cases, now_ms)] == [
        ("expired", (1, 0, 0, 0)),
        ("unexpected_item", (1, 1, 0, 0)),
    ]
    assert [(one.code, one.supplier, one.open, one.oldest_age_s) for one in summarise_suppliers(cases, now_ms)] == [
        ("unexpected_item", "S1", 2, 5 * 3600),
        ("expired", "S1", 1, 0),
    ]


async def test_a_pallet_is_one_whatever_its_label_says_is_in_it() -> None:
    """SSCC, contained GTIN and count in one symbol (AI 00, 02, 37), and a line about the pallet itself; twice."""
    site = Site()
    site.expect(document("ASN-1", "asn", {"line": "1", "item": {"sscc": PALLET}, "quantity": 1}))
    assert codes(await site.scan("s-1", f"]C100{PALLET}02{gtin(1)}3724", document="ASN-1")) == []
    assert codes(await site.scan("s-1", f"]C100{PALLET}", document="ASN-1")) == ["duplicate_scan"]
    assert (await site.scan("s-1", "DL:close", document="ASN-1")).exceptions == ()
    assert [case["code"] for case in site.exceptions()] == ["duplicate_scan"]


async def test_the_contents_of_a_pallet_count_once_and_each_kind_of_them() -> None:
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 24), line(2, 6)))
    first = f"]C100{PALLET}02{gtin(1)}3724"
    assert codes(await site.scan("s-1", first, document="ASN-1")) == []
    assert codes(await site.scan("s-1", first, document="ASN-1")) == ["duplicate_scan"]
    assert codes(await site.scan("s-1", f"]C100{PALLET}02{gtin(2)}376", document="ASN-1")) == []
    assert [case["code"] for case in site.exceptions()] == ["duplicate_scan"]


async def test_goods_are_picked_from_one_pallet_more_than_once() -> None:
    site = Site()
    site.expect(document("PL-1", "pick_list", line(1, 10)))
    for quantity in ("6", "4"):
        scan = await site.scan("hh-1", f"]C100{PALLET}02{gtin(1)}3724", document="PL-1", quantity=quantity)
        assert codes(scan) == []
    assert (await site.scan("hh-1", "DL:close", document="PL-1")).exceptions == ()
