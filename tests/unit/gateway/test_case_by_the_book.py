"""What a consumer has to be able to rely on: an exception says by itself what it is about, and ends when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from checks_rig import Site, codes, document, gtin, label, line


def open_codes(site: Site) -> list[str]:
    return sorted(case.data.code for case in site.checker.docket.open_cases())


async def closed_with_the_wrong_version(site: Site) -> None:
    """Four of item 1 came where three were announced, and one of item 9 that was not: closed."""
    site.expect(document("ASN-1", "asn", line(1, 3)))
    await site.scans("s-1", "ASN-1", *[label(1)] * 4, label(9), "DL:close")
    assert open_codes(site) == ["receiving_variance", "receiving_variance", "unexpected_item"]


async def test_an_exception_is_never_told_with_evidence_that_is_void() -> None:
    """A third carton too many is scanned and undone: what the centre hears of the difference names no voided scan."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scans("s-1", "ASN-1", *[label(1)] * 4, "DL:undo")
    (void,) = site.events("void")
    told = site.exceptions("receiving_variance")
    assert [one["variance"]["observed"] for one in told] == ["3", "4", "3"]
    assert void["data"]["voids"] not in told[-1]["events"]
    assert told[-1]["events_total"] == len(told[-1]["events"]) == 1


async def test_a_line_with_too_much_is_named_as_the_line_and_not_as_what_was_scanned_last() -> None:
    """Two lots of one line: no message says that all of it was the last one, not after an undo either."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scans("s-1", "ASN-1", label(1, lot="A"), label(1, lot="A"), label(1, lot="B"), label(1, lot="C"))
    await site.scans("s-1", "DL:undo")
    for data in site.exceptions("receiving_variance"):
        assert data["item"] == {"gtin": gtin(1)}
        assert data["document"] == {"id": "ASN-1", "type": "asn", "line": "1"}
        assert "lot" not in data["message"]


async def test_an_exception_about_one_line_names_it() -> None:
    """The same item stands on two lines: which of them it is about is no guess from the message."""
    site = Site()
    lines = [line(1, 2, lots=["A"]), {**line(1, 2, locations=["B-01-01"]), "line": "2"}, line(3, 1, lots=["C"])]
    site.expect(document("PL-1", "pick_list", *lines))
    await site.scan("hh-1", label(1, lot="A"), document="PL-1", quantity="5")
    await site.scan("hh-1", label(3, lot="Z"), document="PL-1")
    await site.scan("hh-1", label(4), document="PL-1")
    found = {data["code"]: data["document"].get("line") for data in site.exceptions()}
    assert found == {"duplicate_pick": "1", "lot_mismatch": "3", "wrong_item": None}


async def test_work_that_goes_on_by_a_newer_version_ends_what_only_the_old_one_called_wrong() -> None:
    """The supplier corrects the advice after the dock was closed, and one more carton comes."""
    site = Site()
    await closed_with_the_wrong_version(site)
    await site.arrives(document("ASN-1", "asn", line(1, 5), line(9, 1), version="2"))
    assert len(open_codes(site)) == 3  # a newer version waits for the next beginning
    await site.scans("s-1", "ASN-1", label(1))
    assert open_codes(site) == ["receiving_variance"]  # of the closing; the next one decides about it
    await site.scans("s-1", "DL:close")
    assert open_codes(site) == []
    assert [one["result"] for one in site.tallies()[-1]["lines"]] == ["matched", "matched"]
    over = [data for data in site.exceptions("unexpected_item") if data["state"] == "resolved"]
    assert [data["resolution"] for data in over] == ["not so by version 2 of the document"]


@pytest.mark.parametrize("restarts", [False, True])
async def test_closed_again_by_a_newer_version_all_of_it_is_compared(restarts: bool) -> None:
    """Nobody scans in between: the tally has the lines of the newer version, and says what is missing by it."""
    site = Site()
    await closed_with_the_wrong_version(site)
    await site.arrives(document("ASN-1", "asn", line(1, 7), line(9, 1), version="2"))
    if restarts:
        site.restart()
    await site.scans("s-1", "ASN-1", "DL:close")
    tally = site.tallies()[-1]
    seen = [(one["line"], one["expected"], one["observed"], one["result"]) for one in tally["lines"]]
    assert seen == [("1", "7", "4", "short"), ("9", "1", "1", "matched")]
    assert tally["expectation"]["version"] == "2"
    (case,) = site.checker.docket.open_cases()
    assert (case.data.code, case.data.message) == ("receiving_variance", "ASN-1: 5 of 8, 3 missing on 1 of 2 lines")


async def test_a_long_document_that_goes_on_by_a_newer_version_is_compared_by_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too many scans to look at them all within one: the same outcome, a moment later."""
    site = Site()
    await closed_with_the_wrong_version(site)
    await site.arrives(document("ASN-1", "asn", line(1, 5), line(9, 1), version="2"))
    monkeypatch.setattr("gateway.checks.arrival.PIECES_AT_ONCE_MAX", 2)
    await site.scans("s-1", "ASN-1", label(1), "DL:close")
    await site.arrives(document("ASN-2", "asn", line(1, 1)))  # what was left to do by steps is done
    assert open_codes(site) == []
    assert [one["result"] for one in site.tallies()[-1]["lines"]] == ["matched", "matched"]


async def test_a_closed_document_that_was_withdrawn_settles_nothing_when_it_is_closed_again() -> None:
    """There is nothing to compare with any more: what an earlier closing found is as open as it was."""
    site = Site()
    await closed_with_the_wrong_version(site)
    await site.desk.remove("ASN-1", actor="test")
    await site.scans("s-1", "ASN-1", "DL:close")
    assert site.tallies()[-1]["checked"] is False
    assert open_codes(site) == ["receiving_variance", "receiving_variance", "unexpected_item"]


async def test_what_another_device_undoes_after_the_closing_closes_it_anew() -> None:
    """The tally was sent, and then one of its scans is void: the centre is told what it comes to now."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scan("hh-1", label(1), document="ASN-1", activity="receipt")
    await site.scan("hh-2", label(1), document="ASN-1", activity="receipt")
    await site.scan("hh-2", "DL:close", document="ASN-1", activity="receipt")
    verdict = await site.scan("hh-1", "DL:undo", document="ASN-1")
    assert codes(verdict) == ["receiving_variance"]
    seen = [(one["number"], one["observed_total"], one["final"]) for one in site.tallies()]
    assert seen == [(1, "2", True), (2, "1", True)]
    types = [one["type"] for one in site.events()]
    assert types[-3:] == ["dockline.void.v1", "dockline.exception.v1", "dockline.tally.v1"]


async def test_figures_by_another_version_name_it_and_are_told() -> None:
    """Four of three are one too many, and so are six of five: the centre hears that it is another sum."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 3)))
    await site.scans("s-1", "ASN-1", *[label(1)] * 4)
    await site.arrives(document("ASN-1", "asn", line(1, 5), version="2"))
    await site.scans("s-1", label(1), label(1))
    await site.desk.switch("ASN-1", actor="jane", reason="by telephone")
    last: dict[str, Any] = site.exceptions("receiving_variance")[-1]
    assert last["expectation"]["version"] == "2"
    assert (last["variance"]["expected"], last["variance"]["observed"]) == ("5", "6")


async def test_an_exception_of_a_closing_keeps_no_sum_that_is_not_one_any_more() -> None:
    """One missing at the first close; at the second one too many of another line. The sum is right and the lines are
    not: the exception does not go on to say that one is missing in all."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 2), line(2, 1)))
    await site.scans("s-1", "ASN-1", label(1), label(2), "DL:close")
    (first,) = site.exceptions("receiving_variance")
    assert first["variance"]["difference"] == "-1"
    await site.scans("s-1", "ASN-1", label(2), "DL:close")
    last = site.exceptions("receiving_variance")[-1]
    assert last["exception"] == first["exception"]
    assert [one["difference"] for one in last["lines"]] == ["-1", "1"]
    assert "variance" not in last


async def test_evidence_stays_oldest_first_when_another_version_calls_earlier_scans_too_much() -> None:
    """Three cartons of two; the corrected document wants one, and the second carton is evidence behind the third."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 2)))
    await site.scans("s-1", "ASN-1", *[label(1)] * 3)
    await site.arrives(document("ASN-1", "asn", line(1, 1), version="2"))
    await site.desk.switch("ASN-1", actor="jane", reason="by telephone")
    last = site.exceptions("receiving_variance")[-1]
    assert last["events"] == [one["id"] for one in site.events("receipt")][1:]


async def test_what_is_on_no_line_is_tallied_by_its_kind_and_not_by_the_object_that_came_first() -> None:
    """Three serial numbers of an item that nobody announced: the tally does not say three of the first one."""
    site = Site()
    site.expect(document("ASN-1", "asn", line(1, 1)))
    await site.scans("s-1", "ASN-1", label(1), *[label(9, serial=one, expiry="290101") for one in "ABC"], "DL:close")
    (tally,) = site.tallies()
    (stranger,) = [one for one in tally["lines"] if one["result"] == "unexpected"]
    assert (stranger["item"], stranger["observed"]) == ({"gtin": gtin(9)}, "3")
    serials = {data["item"]["serial"] for data in site.exceptions("unexpected_item")}
    assert serials == {"A", "B", "C"}  # which ones they were


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("scanned", [(), (label(1),)])
async def test_a_document_that_was_withdrawn_and_came_again_is_another_version(
    restarts: bool, scanned: tuple[str, ...]
) -> None:
    """The sender takes a closed document back and sends it anew: it may get the place of the old one on the shelf."""
    site = Site()
    await closed_with_the_wrong_version(site)
    await site.desk.remove("ASN-1", actor="test")
    await site.arrives(document("ASN-1", "asn", line(1, 4 + len(scanned)), line(9, 1), version="2"))
    if restarts:
        site.restart()
    await site.scans("s-1", "ASN-1", *scanned, "DL:close")
    assert open_codes(site) == []
    assert [one["result"] for one in site.tallies()[-1]["lines"]] == ["matched", "matched"]
