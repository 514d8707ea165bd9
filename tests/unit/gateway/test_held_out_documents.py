"""Documents and scans drawn by hand, and what a clerk with a pencil says they come to.

None of these was used to write the checks. What stands here was judged from the General Specifications, EPCIS/CBV and
docs/expectations.md first, and run afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from checks_rig import Site, document, gtin, label, line

from gateway.events.check_digit import check_digit

GS = "\x1d"
Scan = str | tuple[str, dict[str, str]]


def closed(digits: str) -> str:
    return f"{digits}{check_digit(digits)}"


def case_of(number: int) -> str:
    """Return the GTIN-14 of the case of the `number`th item: another trade item."""
    return closed(f"1{gtin(number)[1:13]}")


def about(item: dict[str, str], quantity: str | int, name: str = "1", **more: Any) -> dict[str, Any]:
    return {"line": name, "item": item, "quantity": quantity, **more}


SSCC = [closed(f"3952100000000{number:04d}") for number in range(10)]
MEAT, CABLE, OIL, FABRIC = (closed(f"995210000000{number}") for number in (1, 2, 3, 4))
STORE = closed("200001234567")
A, B, C = label(1, lot="A"), label(1, lot="B"), label(1, lot="C")


def pallet(unit: int, contents: str, count: int, more: str = "") -> str:
    return f"]C100{SSCC[unit]}02{contents}{more}37{count}"


def kg(grams: int, item: str = MEAT, ai: str = "310") -> str:
    return f"]C101{item}{ai}3{grams:06d}"


LOTS = [line(1, 2, lots=["A"]), line(1, 1, lots=["B"]) | {"line": "2"}]
SERIALS = [line(1, 3, serials=["S1", "S2", "S3"])]
EACH_AND_CASE = [line(1, 5), about({"gtin": case_of(1)}, 2, "2")]


@dataclass
class Case:
    """One document, what is scanned for it, and what that comes to."""

    name: str
    lines: list[dict[str, Any]]
    scans: Sequence[Scan]
    comes_to: dict[str, tuple[str, str]]
    """Observed and result by line; "+" is what is on no line."""
    codes: set[str] = field(default_factory=set)
    """Of the exceptions that are open in the end."""
    kind: str = "asn"
    device: str = "s-1"
    more: dict[str, Any] = field(default_factory=dict)


M, S, OVER = "matched", "short", "over"
VARIANCE = {"receiving_variance"}
CASES = [
    # pieces
    Case("as announced", [line(1, 3)], [label(1)] * 3, {"1": ("3", M)}),
    Case("one is missing", [line(1, 3)], [label(1)] * 2, {"1": ("2", S)}, VARIANCE),
    Case("one too many", [line(1, 3)], [label(1)] * 4, {"1": ("4", OVER)}, VARIANCE),
    Case("nothing came", [line(1, 3)], [label(2)], {"1": ("0", S), "+": ("1", "unexpected")},
         VARIANCE | {"unexpected_item"}),
    Case("announced as none", [line(1, 0)], [label(1)], {"1": ("1", OVER)}, VARIANCE),
    Case("none announced, none came", [line(1, 0), line(2, 1)], [label(2)], {"1": ("0", M), "2": ("1", M)}),
    Case("the label counts (30)", [line(1, 3)], [label(1, count=3)], {"1": ("3", M)}),
    Case("a person says three", [line(1, 3)], ["DL:quantity 3", label(1)], {"1": ("3", M)}),
    Case("a person corrects the label", [line(1, 3)], ["DL:quantity 2", label(1, count=3)], {"1": ("2", S)}, VARIANCE),
    Case("a handheld says three", [line(1, 3)], [(label(1), {"quantity": "3"})], {"1": ("3", M)}),
    Case("three pieces are three each", [line(1, 3)], [(label(1), {"quantity": "3", "unit": "C62"})], {"1": ("3", M)}),
    Case("each, said of pieces", [line(1, 3, unit="H87")], [(label(1), {"quantity": "3", "unit": "EA"})],
         {"1": ("3", M)}),
    Case("five cases, scanned", [line(1, 5, unit="CS")], [label(1)] * 5, {"1": ("5", M)}),
    Case("five cases, said", [line(1, 5, unit="CS")], [(label(1), {"quantity": "5", "unit": "CS"})], {"1": ("5", M)}),
    Case("sixty pieces are not five cases", [line(1, 5, unit="CS")], [(label(1), {"quantity": "60", "unit": "EA"})],
         {"1": ("0", S), "+": ("60", "unexpected")}, VARIANCE | {"unexpected_item"}),
    Case("undone and scanned again", [line(1, 1), line(2, 1)], [label(1), label(1), "DL:undo", label(2)],
         {"1": ("1", M), "2": ("1", M)}),
    Case("damaged goods came, too", [line(1, 2)], [label(1), "DL:damaged", label(1)], {"1": ("2", M)}, {"damaged"}),
    Case("past its date", [line(1, 1)], [label(1, expiry="260101")], {"1": ("1", M)}, {"expired"}),
    Case("two lines of one item, no lots", [line(1, 2), line(1, 3) | {"line": "2"}], [label(1)] * 4,
         {"1": ("2", M), "2": ("2", S)}, VARIANCE),
    Case("two lines of one item, one too many", [line(1, 2), line(1, 3) | {"line": "2"}], [label(1)] * 6,
         {"1": ("2", M), "2": ("4", OVER)}, VARIANCE),
    Case("others work on it, too", [line(1, 3)], [label(1)], {"1": ("1", "within_tolerance")}, more={"scope": "site"}),
    # lots
    Case("each lot on its line", LOTS, [A, A, B], {"1": ("2", M), "2": ("1", M)}),
    Case("one lot for another", LOTS, [A, B, B], {"1": ("1", S), "2": ("2", OVER)}, VARIANCE),
    Case("labels without a lot", LOTS, [label(1)] * 3, {"1": ("2", M), "2": ("1", M)}),
    Case("a lot and two without", LOTS, [B, label(1), label(1)], {"1": ("2", M), "2": ("1", M)}),
    Case("a lot that nobody announced", LOTS, [A, A, C], {"1": ("2", M), "2": ("1", M)}, {"lot_mismatch"}),
    Case("any lot, and one of a lot", [line(1, 1, lots=["A"]), line(1, 1) | {"line": "2"}], [C, A],
         {"1": ("1", M), "2": ("1", M)}),
    Case("the lot stands in the item", [about({"gtin": gtin(1), "lot": "A"}, 1)], [B],
         {"1": ("1", M)}, {"lot_mismatch"}),
    Case("lots on pallets", LOTS, [pallet(1, gtin(1), 2) + f"{GS}10A", pallet(2, gtin(1), 1) + f"{GS}10B"],
         {"1": ("2", M), "2": ("1", M)}),
    # serial numbers
    Case("all serial numbers", SERIALS, [label(1, serial=one) for one in ("S3", "S1", "S2")], {"1": ("3", M)}),
    Case("one serial number is missing", SERIALS, [label(1, serial=one) for one in ("S1", "S2")],
         {"1": ("2", S)}, VARIANCE),
    Case("another one in its place", SERIALS, [label(1, serial=one) for one in ("S1", "S2", "S9")],
         {"1": ("2", S), "+": ("1", "unexpected")},
         VARIANCE | {"serial_mismatch"}),
    Case("the same one twice", SERIALS, [label(1, serial=one) for one in ("S1", "S2", "S2", "S3")], {"1": ("3", M)},
         {"duplicate_scan"}),
    Case("serial numbers nobody asked for", [line(1, 2)], [label(1, serial="X"), label(1, serial="Y")],
         {"1": ("2", M)}),
    Case("the second scan of one is undone", SERIALS,
         [label(1, serial=one) for one in ("S1", "S2", "S3", "S3")] + ["DL:undo"], {"1": ("3", M)}),
    # logistic units
    Case("a pallet of three", [line(1, 3)], [pallet(1, gtin(1), 3)], {"1": ("3", M)}),
    Case("a pallet scanned twice", [line(1, 3)], [pallet(1, gtin(1), 3)] * 2, {"1": ("3", M)}, {"duplicate_scan"}),
    Case("two pallets of three", [line(1, 6)], [pallet(1, gtin(1), 3), pallet(2, gtin(1), 3)], {"1": ("6", M)}),
    Case("a pallet of two items", [line(1, 3), line(2, 4)], [pallet(1, gtin(1), 3), pallet(1, gtin(2), 4)],
         {"1": ("3", M), "2": ("4", M)}),
    Case("the pallet itself", [about({"sscc": SSCC[1]}, 1)], [f"]C100{SSCC[1]}"], {"1": ("1", M)}),
    Case("the pallet itself, its label says forty", [about({"sscc": SSCC[1]}, 1)], [pallet(1, gtin(1), 40)],
         {"1": ("1", M)}),
    Case("another pallet", [about({"sscc": SSCC[1]}, 1)], [f"]C100{SSCC[2]}"],
         {"1": ("0", S), "+": ("1", "unexpected")},
         VARIANCE | {"unexpected_item"}),
    Case("the goods of a pallet and a loose one", [line(1, 4)], [pallet(1, gtin(1), 3), label(1)], {"1": ("4", M)}),
    # levels of packaging: a case is another trade item than what is in it
    Case("a case is not an each", [line(1, 12)], [f"]C101{case_of(1)}"], {"1": ("0", S), "+": ("1", "unexpected")},
         VARIANCE | {"unexpected_item"}),
    Case("cases and eaches", EACH_AND_CASE, [label(1)] * 5 + [f"]I1{case_of(1)}"] * 2, {"1": ("5", M), "2": ("2", M)}),
    Case("a pallet of cases", [about({"gtin": case_of(1)}, 40)], [pallet(1, case_of(1), 40)], {"1": ("40", M)}),
    Case("a pallet of cases and two loose", [about({"gtin": case_of(1)}, 42)],
         [pallet(1, case_of(1), 40), f"]I1{case_of(1)}", f"]C101{case_of(1)}"], {"1": ("42", M)}),
    Case("one item in EAN-13 and in GS1-128", [line(1, 2)], [f"]E0{gtin(1)[1:]}", label(1)], {"1": ("2", M)}),
    Case("a document with thirteen digits", [about({"gtin": gtin(1)[1:]}, 1)], [label(1)], {"1": ("1", M)}),
    Case("a UPC-A on a document with fourteen", [about({"gtin": closed("0001234567890")}, 1)],
         [f"]E0{closed('01234567890')}"], {"1": ("1", M)}),
    # names of the site
    Case("an item number", [about({"sku": "BOLT-M8"}, 2)], ["BOLT-M8"] * 2, {"1": ("2", M)}),
    Case("an item number that is called a code", [about({"code": "BOLT-M8"}, 1)], ["BOLT-M8"], {"1": ("1", M)}),
    Case("an in-store number", [about({"gtin": STORE}, 2)], [f"]E0{STORE}"] * 2, {"1": ("2", M)}),
    # weights and measures
    Case("weighed, exactly", [about({"gtin": MEAT}, "2.500", unit="KGM")], [kg(1_200), kg(1_300)], {"1": ("2.5", M)}),
    Case("weighed, too much", [about({"gtin": MEAT}, "2.5", unit="KGM")], [kg(1_200), kg(1_301)],
         {"1": ("2.501", OVER)}, VARIANCE),
    Case("weighed, too little", [about({"gtin": MEAT}, "2.5", unit="KGM")], [kg(1_200), kg(1_299)], {"1": ("2.499", S)},
         VARIANCE),
    Case("announced in grams", [about({"gtin": MEAT}, 2_500, unit="GRM")], [kg(1_200), kg(1_300)], {"1": ("2500", M)}),
    Case("announced in tons", [about({"gtin": MEAT}, "0.0025", unit="TNE")], [kg(1_200), kg(1_300)],
         {"1": ("0.0025", M)}),
    Case("pounds on the label and the document", [about({"gtin": MEAT}, "5.5", unit="LBR")],
         [kg(2_250, ai="320"), kg(3_250, ai="320")], {"1": ("5.5", M)}),
    Case("pounds for kilograms", [about({"gtin": MEAT}, "0.907", unit="KGM")], [kg(2_000, ai="320")],
         {"1": ("0.90718474", OVER)}, VARIANCE),
    Case("weighed, announced by the piece", [about({"gtin": MEAT}, 2)], [kg(1_200), kg(1_300)], {"1": ("2", M)}),
    Case("no weight on the label", [about({"gtin": MEAT}, "1.2", unit="KGM")], [f"]C101{MEAT}"], {"1": ("0", S)},
         VARIANCE | {"barcode_mismatch"}),
    Case("gross weight is no weight of goods", [about({"gtin": MEAT}, "1.2", unit="KGM")], [kg(1_200, ai="330")],
         {"1": ("0", S)}, VARIANCE | {"barcode_mismatch"}),
    Case("no weight, undone, and said", [about({"gtin": MEAT}, "1.2", unit="KGM")],
         [f"]C101{MEAT}", "DL:undo", "DL:quantity 1.2", f"]C101{MEAT}"], {"1": ("1.2", M)}),
    Case("a pallet of meat", [about({"gtin": MEAT}, 60, unit="KGM")], [pallet(1, MEAT, 12, "3103060000")],
         {"1": ("60", M)}),
    Case("a pallet of meat, by the piece", [about({"gtin": MEAT}, 12)], [pallet(1, MEAT, 12, "3103060000")],
         {"1": ("12", M)}),
    Case("twelve fish that weigh six kilograms", [about({"gtin": MEAT}, 6, unit="KGM")],
         [f"]C101{MEAT}3012{GS}3103006000"], {"1": ("6", M)}),
    Case("four labels of one weight", [about({"gtin": MEAT}, 4, unit="KGM")], ["DL:quantity 4", kg(1_000)],
         {"1": ("4", M)}),
    Case("a person weighed it again", [about({"gtin": MEAT}, "1.3", unit="KGM")],
         [(kg(1_250), {"quantity": "1.3", "unit": "KGM"})], {"1": ("1.3", M)}),

           Case("lots by weight", [about({"gtin": MEAT}, 1, unit="KGM", lots=["A"]), about({"gtin": MEAT}, 2, "2",
         unit="KGM", lots=["B"])],
         [kg(1_000) + "10A", kg(2_000) + "10B"], {"1": ("1", M), "2": ("2", M)}),
    Case("one serial number by weight, twice", [about({"gtin": MEAT}, 1, unit="KGM")], [kg(1_000) + "21S"] * 2,
         {"1": ("1", M)}, {"duplicate_scan"}),
    Case("cable in metres", [about({"gtin": CABLE}, 75, unit="MTR")],
         [kg(50_000, CABLE, "311"), kg(25_000, CABLE, "311")],
         {"1": ("75", M)}),
    Case("cable in feet", [about({"gtin": CABLE}, 100, unit="FOT")], [kg(100_000, CABLE, "322")], {"1": ("100", M)}),
    Case("a roll", [about({"gtin": FABRIC}, 250, unit="MTR")], [f"]C101{FABRIC}80010150002500760" + "1"],
         {"1": ("250", M)}),
    Case("fabric by its area", [about({"gtin": FABRIC}, "37.5", unit="MTK")], [kg(37_500, FABRIC, "314")],
         {"1": ("37.5", M)}),
    Case("oil in litres, announced in hectolitres", [about({"gtin": OIL}, "0.5", unit="HLT")], [kg(50_000, OIL, "315")],
         {"1": ("0.5", M)}),
    Case("oil in gallons", [about({"gtin": OIL}, 2, unit="GLL")], [kg(2_000, OIL, "361")], {"1": ("2", M)}),
    Case("oil by weight, announced by volume", [about({"gtin": OIL}, 2, unit="LTR")], [kg(2_000, OIL)], {"1": ("0", S)},
         VARIANCE | {"barcode_mismatch"}),
    Case("screws by weight, said", [about({"sku": "BOLT-M8"}, "12.5", unit="KGM")], ["DL:quantity 12.5", "BOLT-M8"],
         {"1": ("12.5", M)}),
    Case("pieces and kilograms", [line(1, 2), about({"gtin": MEAT}, 1, "2", unit="KGM")],
         [label(1), label(1), kg(1_000)],
         {"1": ("2", M), "2": ("1", M)}),
    # picking
    Case("picked", [line(1, 2)], [label(1)] * 2, {"1": ("2", M)}, kind="pick_list", device="hh-1"),
    Case("picked too few", [line(1, 2)], [label(1)], {"1": ("1", S)}, {"short_pick"}, "pick_list", "hh-1"),
    Case("picked too many", [line(1, 2)], [label(1)] * 3, {"1": ("3", OVER)}, {"duplicate_pick"}, "pick_list", "hh-1"),
    Case("picked something else", [line(1, 1)], [label(1), label(2)], {"1": ("1", M), "+": ("1", "unexpected")},
         {"wrong_item"}, "pick_list", "hh-1"),
    Case("picked the same object twice", [line(1, 2)], [label(1, serial="X")] * 2, {"1": ("1", S)},
         {"short_pick", "duplicate_pick"}, "pick_list", "hh-1"),
    Case("picked twice from one pallet", [line(1, 5)],
         [(pallet(1, gtin(1), 40), {"quantity": "2"}), (pallet(1, gtin(1), 40), {"quantity": "3"})],
         {"1": ("5", M)}, set(), "pick_list", "hh-1"),
    Case("picked from another place", [line(1, 1, locations=["A-01-01"])], [(label(1), {"location": "B-01-01"})],
         {"1": ("1", M)}, {"wrong_location"}, "pick_list", "hh-1"),
    Case("picked by weight", [about({"gtin": MEAT}, 2, unit="KGM")], [kg(1_900)], {"1": ("1.9", S)}, {"short_pick"},
         "pick_list", "hh-1"),
    # counting
    Case("counted as expected", [line(1, 3, locations=["A-01-01"])], ["A-01-01", label(1, count=3)], {"1": ("3", M)},
         kind="count_sheet", device="count-1"),
    Case("counted one less", [line(1, 3, locations=["A-01-01"])], ["A-01-01", label(1, count=2)],
         {"1": ("2", "recount")},
         {"count_variance"}, "count_sheet", "count-1"),
    Case("an empty place", [line(1, 0, locations=["A-01-01"]), line(2, 1)], [label(2)], {"1": ("0", M), "2": ("1", M)},
         kind="count_sheet", device="count-1"),
    Case("it stands elsewhere", [line(1, 1, locations=["A-01-01"])], ["B-01-01", label(1)],
         {"1": ("0", "recount"), "+": ("1", "unexpected")}, {"count_variance", "wrong_location"}, "count_sheet",
         "count-1"),

           Case("one item in two places", [line(1, 2, locations=["A-01-01"]), line(1, 3,
         locations=["A-01-02"]) | {"line": "2"}],
         ["A-01-02", label(1, count=3), "A-01-01", label(1, count=2)], {"1": ("2", M), "2": ("3", M)},
         kind="count_sheet", device="count-1"),
    Case("counted by weight", [about({"gtin": MEAT}, 3, unit="KGM")], [kg(1_000), kg(2_000)], {"1": ("3", M)},
         kind="count_sheet", device="count-1"),
    # what comes back
    Case("came back", [line(1, 1)], [label(1)], {"1": ("1", M)}, kind="rma", device="ret-1"),
    Case("came back damaged", [line(1, 1)], ["DL:damaged", label(1)], {"1": ("1", M)}, {"damaged"}, "rma", "ret-1"),
    Case("came back, and nobody agreed to it", [line(1, 1)], [label(1), label(2)],
         {"1": ("1", M), "+": ("1", "unexpected")}, {"unexpected_item"}, "rma", "ret-1"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("comes", ["first", "late"])
async def test_it_comes_to_what_a_person_says(case: Case, comes: str) -> None:
    """With the document there from the start, and after the last scan: it is counted then."""
    site = Site()
    expected = document("ASN-1", case.kind, *case.lines, **case.more)
    if comes == "first":
        site.expect(expected)
    for one in case.scans:
        code, context = (one, {}) if isinstance(one, str) else one
        await site.scan(case.device, code, document="ASN-1", **context)
    if comes == "late":
        await site.arrives(expected)
    await site.scan(case.device, "DL:close", document="ASN-1")
    (tally,) = site.tallies()
    assert {one.get("line", "+"): (one["observed"], one["result"]) for one in tally["lines"]} == case.comes_to
    assert {one.data.code for one in site.checker.docket.open_cases()} == case.codes


async def test_a_list_that_is_closed_again_with_another_variance_leaves_one_exception() -> None:
    """First too few, then too many: what the first closing said is over."""
    site = Site()
    site.expect(document("PL-1", "pick_list", line(1, 2)))
    for code in (label(1), "DL:close", label(1), label(1), "DL:close"):
        await site.scan("hh-1", code, document="PL-1")
    told = [(one["code"], one["state"]) for one in site.exceptions() if "lines" in one]
    assert told == [("short_pick", "open"), ("short_pick", "resolved"), ("duplicate_pick", "open")]
