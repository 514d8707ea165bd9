"""Goods that are sold by what they weigh: a line in a unit that measures is filled by what the labels measure, whatever
the order of scans, what is undone, when the document comes, and whether anybody counted at the time."""

from decimal import Decimal
from typing import Any

import pytest
from checks_rig import Site, codes, document
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import ScanContext
from gateway.capture.label import parse_label
from gateway.capture.quantity import captured_quantity
from gateway.capture.station import Session
from gateway.checks.amount import UNFIT, UNTOLD, Amount, amount_of
from gateway.checks.book import Book
from gateway.checks.piece import Piece, decode_piece, encode_piece
from gateway.checks.policy import Policy
from gateway.checks.rule import Rule, RuleBook, Tolerance
from gateway.events.epcis import decode, encode
from gateway.events.unit import converted

MEAT = "99521000004446"
GS = "\x1d"


def weighed(kilograms: str, *, gtin: str = MEAT, ai: str = "310", serial: str = "", count: int | None = None) -> str:
    """Return the label of one piece: its weight with three decimals."""
    digits = f"{Decimal(kilograms) * 1000:06.0f}"
    counted = "" if count is None else f"30{count}{GS}"
    return f"]C101{gtin}{counted}{ai}3{digits}" + (f"21{serial}" if serial else "")


def by_weight(quantity: str, unit: str = "KGM", line: str = "1", **more: Any) -> dict[str, Any]:
    return {"line": line, "item": {"gtin": MEAT}, "quantity": quantity, "unit": unit, **more}


def piece(code: str, said: str | None = None, **context: Any) -> Piece:
    label = parse_label(code)
    assert label.item is not None
    found = captured_quantity(ScanContext(**context), Session(quantity=said), label)
    return Piece("1", label.item, Decimal(found.value), found.unit, basis=found.basis, measures=found.measures)


@pytest.mark.parametrize(
    ("code", "said", "context", "unit", "expected"),
    [
        (weighed("1.25"), None, {}, "KGM", "1.25"),
        (weighed("1.25"), None, {}, "GRM", "1250"),
        (weighed("1.25"), None, {}, "TNE", "0.00125"),
        (weighed("1.25"), None, {}, "EA", "1"),
        (weighed("1.25"), None, {}, "C62", "1"),
        (weighed("1.25"), None, {}, "CS", "1"),
        (weighed("1.25"), None, {}, "LTR", UNTOLD),
        (weighed("1.25", ai="320"), None, {}, "KGM", "0.5669904625"),
        (weighed("1.25", ai="330"), None, {}, "KGM", UNTOLD),
        (weighed("1.25", ai="330"), None, {}, "EA", "1"),
        (weighed("1.25", ai="315"), None, {}, "MLT", "1250"),
        (weighed("1.25", ai="311"), None, {}, "CMT", "125"),
        (weighed("1.25", ai="314"), None, {}, "MTK", "1.25"),
        (weighed("6", count=12), None, {}, "KGM", "6"),
        (weighed("6", count=12), None, {}, "EA", "12"),
        (weighed("6", count=12), "11", {}, "EA", "11"),
        (weighed("6", count=12), "11", {}, "KGM", UNTOLD),
        (weighed("1.25"), "3", {}, "KGM", "3.75"),
        (weighed("1.25"), "3", {}, "EA", "3"),
        (weighed("1.25"), None, {"quantity": "1.3", "unit": "KGM"}, "KGM", "1.3"),
        (weighed("1.25"), None, {"quantity": "1300", "unit": "GRM"}, "KGM", "1.3"),
        (weighed("1.25"), None, {"quantity": "1.3", "unit": "KGM"}, "EA", UNFIT),
        (weighed("1.25"), None, {"quantity": "2", "unit": "C62"}, "KGM", "2.5"),
        (weighed("1.25"), None, {"quantity": "2", "unit": "C62"}, "EA", "2"),
        (weighed("1.25"), None, {"quantity": "2", "unit": "CS"}, "EA", UNFIT),
        (weighed("1.25"), None, {"quantity": "1", "unit": "LTR"}, "KGM", UNFIT),
        (f"]C101{MEAT}", None, {}, "KGM", UNTOLD),
        (f"]C101{MEAT}", "12.5", {}, "KGM", "12.5"),
        (f"]C101{MEAT}", "1", {}, "KGM", "1"),
        (f"]C101{MEAT}3012", None, {}, "KGM", UNTOLD),
        (f"]C101{MEAT}3012", None, {}, "EA", "12"),
        (f"]C102{MEAT}3103060000" + f"3712{GS}", None, {}, "KGM", "60"),
        (f"]C102{MEAT}3103060000" + f"3712{GS}", None, {}, "EA", "12"),
        ("BOLT-M8", "12.5", {}, "KGM", "12.5"),
        ("BOLT-M8", None, {}, "KGM", UNTOLD),
    ],
)
def test_how_much_of_a_line_a_label_is(
    code: str, said: str | None, context: dict[str, Any], unit: str, expected: str
) -> None:
    """What a receiving clerk would write on the delivery note, label by label."""
    wanted: Amount = UNTOLD if expected == UNTOLD else UNFIT if expected == UNFIT else Decimal(expected)
    assert amount_of(piece(code, said, **context), unit) == wanted


def test_the_measure_in_the_unit_of_the_line_goes_before_one_that_has_to_be_converted() -> None:
    both = piece(f"]C101{MEAT}3103001250" + "3202000276")
    assert (amount_of(both, "KGM"), amount_of(both, "LBR")) == (Decimal("1.250"), Decimal("2.76"))
    assert amount_of(both, "GRM") == Decimal(1250), "the first one that can be converted"


def test_a_row_of_a_piece_keeps_what_it_measures_and_one_of_an_older_program_is_read() -> None:
    found = piece(weighed("1.25"), "3")
    assert decode_piece("1", encode_piece(found, f'{{"gtin":"{MEAT}"}}')) == found
    old = decode_piece("1", f'[{{"gtin":"{MEAT}"}},"12.5"]'.encode())
    assert amount_of(old, "KGM") == Decimal("12.5"), "it was counted so then"
    assert amount_of(old._replace(quantity=Decimal(1)), "KGM") == UNTOLD


async def test_a_delivery_by_weight_is_received_undone_and_closed() -> None:
    """Three pieces of meat for a line of 4 kg: 1.250, 1.300 and, undone and weighed again, 1.450."""
    site = Site()
    site.expect(document("ASN-1", "asn", by_weight("4", price="9.90"), supplier="S"))
    assert [codes(one) for one in await site.scans("s-1", "ASN-1", weighed("1.25"), weighed("1.3"))] == [[], [], []]
    assert codes(await site.scan("s-1", weighed("1.6"))) == ["receiving_variance"]
    (over,) = site.exceptions("receiving_variance")
    assert over["message"] == f"line 1: 4.15 KGM of {MEAT}, 4 expected"
    assert over["variance"] == {
        "direction": "over", "expected": "4", "observed": "4.15", "difference": "0.15", "unit": "KGM",
        "percent": "3.75", "value": "1.485",
    }  # fmt: skip
    assert codes(await site.scan("s-1", "DL:undo")) == []
    assert [one["state"] for one in site.exceptions("receiving_variance")] == ["open", "resolved"]
    assert [codes(one) for one in await site.scans("s-1", weighed("1.45"), "DL:close")] == [[], []]
    (tally,) = site.tallies()
    (line,) = tally["lines"]
    assert (line["observed"], line["expected"], line["unit"], line["result"]) == ("4", "4", "KGM", "matched")
    assert (tally["observed_total"], tally["expected_total"], tally["total_unit"]) == ("4", "4", "KGM")


async def test_the_event_says_pieces_and_measures_and_epcis_the_measure_of_its_class() -> None:
    """EPCIS 2.0, section 7.3.3.3: a class of variable measure is given in a unit of measure, and nothing is lost."""
    site = Site()
    await site.scans("s-1", weighed("1.25"), "DL:quantity 3", weighed("1.25"), weighed("1.25", serial="S1"))
    one, three, serial = [{**event, "sequence": f"{n:020d}"} for n, event in enumerate(site.events("receipt"), 1)]
    assert one["data"]["quantity"] == {"value": "1", "unit": "EA"}
    assert one["data"]["measures"] == [{"value": "1.250", "unit": "KGM"}]
    assert three["data"]["quantity"] == {"value": "3", "unit": "EA", "basis": "stated"}
    assert three["data"]["measures"] == [{"value": "3.750", "unit": "KGM"}]
    assert three["data"]["net_weight_kg"] == "1.250", "of one label"
    uri = f"https://id.gs1.org/01/{MEAT}"
    assert encode(one)["quantityList"] == [{"epcClass": uri, "quantity": 1.25, "uom": "KGM"}]
    assert encode(three)["quantityList"] == [{"epcClass": uri, "quantity": 3.75, "uom": "KGM"}]
    assert encode(serial)["epcList"] == [f"{uri}/21/S1"]
    assert [decode(encode(event)) for event in (one, three, serial)] == [one, three, serial]


async def test_a_label_without_a_measure_is_not_one_kilogram() -> None:
    site = Site()
    site.expect(document("ASN-1", "asn", by_weight("4", line="7")))
    first = await site.scan("s-1", "ASN-1")
    bare = await site.scan("s-1", f"]C101{MEAT}")
    assert codes(first) == []
    assert codes(bare)[-1] == "barcode_mismatch"
    (told,) = site.exceptions("barcode_mismatch")
    assert told["message"] == (
        f"line 7 is in KGM, which the label of {MEAT} does not say: not counted; "
        "undo it, state the quantity and scan it again"
    )
    about = {"id": "ASN-1", "type": "asn", "line": "7"}
    assert (told["document"], told["owner"], len(told["events"])) == (about, "quality", 1)
    await site.scan("s-1", "DL:undo")
    assert [one["state"] for one in site.exceptions("barcode_mismatch")] == ["open", "resolved"]
    await site.scans("s-1", "DL:quantity 4", f"]C101{MEAT}", "DL:close")
    (line,) = site.tallies()[0]["lines"]
    assert (line["observed"], line["result"]) == ("4", "matched")


async def test_what_nobody_measured_is_missing_at_close() -> None:
    site = Site()
    site.expect(document("ASN-1", "asn", by_weight("4")))
    await site.scans("s-1", "ASN-1", weighed("3"), f"]C101{MEAT}", "DL:close")
    (line,) = site.tallies()[0]["lines"]
    assert (line["observed"], line["result"], line["events"]) == ("3", "short", 2)


@pytest.mark.parametrize(
    ("tolerance", "heard"),
    [(Tolerance(percent=Decimal("2.5")), []), (Tolerance(absolute=Decimal("0.09")), ["receiving_variance"])],
)
async def test_a_tolerance_of_an_item_holds_for_what_it_weighs(tolerance: Tolerance, heard: list[str]) -> None:
    rule = Rule("meat", 1, "jane", "receiving_variance", items=(MEAT,), tolerance=tolerance)
    site = Site(Policy(is_asked_for=True, rules=RuleBook([rule])))
    site.expect(document("ASN-1", "asn", by_weight("4")))
    await site.scan("s-1", "ASN-1")
    assert codes(await site.scan("s-1", weighed("4.1"))) == heard
    await site.scan("s-1", "DL:close")
    assert site.tallies()[0]["lines"][0]["result"] == ("over" if heard else "within_tolerance")


async def test_a_count_sheet_by_weight_is_counted_again_by_somebody_else() -> None:
    site = Site()
    site.expect(document("CS-1", "count_sheet", by_weight("10")))
    await site.scans("count-1", "CS-1", "OP-1", weighed("4"), weighed("5"), "DL:close")
    assert site.tallies()[0]["lines"][0]["result"] == "recount"
    await site.scans("count-1", "CS-1", "OP-2", weighed("4"), weighed("6"), "DL:close")
    (line,) = site.tallies()[1]["lines"]
    assert (line["observed"], line["unit"], line["result"]) == ("10", "KGM", "matched")
    assert [one["state"] for one in site.exceptions("count_variance")] == ["open", "resolved"]


async def test_pieces_and_weights_on_one_document_have_no_sum() -> None:
    """A total of kilograms and pieces is a number about nothing: nobody is told one."""
    site = Site()
    other = {"line": "2", "item": {"sku": "BOX"}, "quantity": 5}
    site.expect(document("ASN-1", "asn", by_weight("4"), other))
    await site.scans("s-1", "ASN-1", weighed("3"), "DL:quantity 4", "BOX", "DL:close")
    (tally,), (told,) = site.tallies(), site.exceptions("receiving_variance")
    assert "expected_total" not in tally
    assert "total_unit" not in tally
    assert told["message"] == "ASN-1: some missing on 2 of 2 lines"
    assert "variance" not in told
    assert [(one["line"], one["difference"], one["unit"]) for one in told["lines"]] == [
        ("1", "-1", "KGM"), ("2", "-1", "EA"),
    ]  # fmt: skip


async def test_a_label_goes_to_the_line_that_counts_as_it_does() -> None:
    """The same item by the piece and by weight: a weighed label fills the line that weighs, another the one that
    counts; lines in kilograms and in pounds are filled together."""
    site = Site()
    site.expect(
        document("ASN-1", "asn", by_weight("2", "EA", "1"), by_weight("3", "KGM", "2"), by_weight("2", "LBR", "3"))
    )
    await site.scans("s-1", "ASN-1", weighed("3.5"), f"]C101{MEAT}", "DL:close")
    lines = {one["line"]: (one["observed"], one["unit"]) for one in site.tallies()[0]["lines"]}
    assert lines == {"1": ("1", "EA"), "2": ("3", "KGM"), "3": ("1.102311311", "LBR")}


async def test_a_pallet_that_is_expected_by_weight_is_weighed_by_its_contents_and_once() -> None:
    site = Site()
    sscc = "395210000012345672"
    pallet = {"line": "1", "item": {"sscc": sscc}, "quantity": "60", "unit": "KGM"}
    site.expect(document("ASN-1", "asn", pallet))
    label = f"]C100{sscc}02{MEAT}3103060000" + "3712"
    assert [codes(one) for one in await site.scans("s-1", "ASN-1", label, label)] == [[], [], ["duplicate_scan"]]
    bare = await site.scan("s-1", "DL:close")
    assert codes(bare) == []
    assert site.tallies()[0]["lines"][0]["observed"] == "60"


drawn = st.lists(
    st.tuples(
        st.sampled_from(["weighed", "bare", "typed", "pieces", "pounds", "kilograms said", "serial"]),
        st.integers(1, 999_999),
        st.booleans(),
    ),
    max_size=8,
)


def scan_of(kind: str, grams: int, number: int) -> tuple[list[str], dict[str, str]]:
    """Return what is scanned, and what the message says beside it."""
    kilograms = str(Decimal(grams) / 1000)
    match kind:
        case "weighed":
            return [weighed(kilograms)], {}
        case "bare":
            return [f"]C101{MEAT}"], {}
        case "typed":
            return ["DL:quantity 3", weighed(kilograms)], {}
        case "pieces":
            return [weighed(kilograms, count=12)], {}
        case "pounds":
            return [weighed(kilograms, ai="320")], {}
        case "serial":
            return [weighed(kilograms, serial=f"S{number % 2}")], {}
        case _:
            return [weighed("1")], {"quantity": kilograms, "unit": "KGM"}


def kilograms_of(kind: str, grams: int) -> Decimal:
    """Return what a person with a pencil would add up."""
    weight = Decimal(grams) / 1000
    return {"bare": Decimal(0), "typed": weight * 3, "pounds": weight * Decimal("0.45359237")}.get(kind, weight)


@settings(max_examples=40, deadline=None, database=None)
@given(drawn, st.sampled_from(["first", "late", "journal"]))
async def test_the_weight_is_the_same_whenever_the_document_comes(
    found: list[tuple[str, int, bool]], when: str
) -> None:
    """The sum of what stands, by pencil: with the document there from the start, after the scans, and counted from the
    journal of a gateway that counted nothing. Some scans are undone."""
    site = Site(None if when != "journal" else Policy())
    expected = document("ASN-1", "asn", by_weight("1000000"))
    if when == "first":
        site.expect(expected)
    await site.scan("s-1", "ASN-1")
    total, seen = Decimal(0), set[int]()
    for number, (kind, grams, is_undone) in enumerate(found):
        labels, context = scan_of(kind, grams, number)
        for code in labels:
            await site.scan("s-1", code, **(context if code[0] == "]" else {}))
        if is_undone:
            await site.scan("s-1", "DL:undo")
        elif kind != "serial" or number % 2 not in seen:
            total += kilograms_of(kind, grams)
            seen |= {number % 2} if kind == "serial" else set()
    if when != "first":
        await site.arrives(expected)
    (one,) = site.checker.documents.known("ASN-1") or [None]
    observed = Decimal(0) if one is None else one.book.observed().get("1", Decimal(0))
    assert observed == round(total, 9)


LINES = [
    by_weight("2", "KGM", "1", lots=["A"]),
    by_weight("500", "GRM", "2"),
    by_weight("3", "LBR", "3"),
    by_weight("4", "EA", "4", lots=["B"]),
    by_weight("1", "KGM", "5", lots=["B"]),
]
some_lines = st.lists(st.sampled_from(LINES), min_size=1, max_size=4, unique_by=lambda one: one["line"])
some_pieces = st.lists(
    st.tuples(
        st.sampled_from(["310", "320", "bare"]),
        st.integers(1, 9_999),
        st.sampled_from(["", "A", "B", "C"]),
        st.sampled_from(["", "S1", "S2"]),
        st.sampled_from([None, None, "2"]),
    ),
    max_size=8,
)


def book_of(lines: list[dict[str, Any]]) -> Book:
    site = Site()
    site.expect(document("D-1", "asn", *lines))
    header = site.checker.shelf.newest("D-1")
    return Book("receipt", header, site.checker.shelf)


def drawn_piece(number: int, drawn: tuple[str, int, str, str, str | None]) -> Piece:
    ai, grams, lot, serial, said = drawn
    code = f"]C101{MEAT}" if ai == "bare" else weighed(str(Decimal(grams) / 1000), ai=ai)
    code += f"10{lot}{GS}" * bool(lot) + f"21{serial}" * bool(serial)
    return piece(code, said)._replace(event=f"{number:03d}")


def figures(book: Book) -> list[tuple[Any, ...]]:
    return sorted((key, pool.observed, pool.events) for key, pool in book.pools.items() if pool.events)


@settings(max_examples=150, deadline=None, database=None)
@given(some_lines, some_pieces, st.randoms(use_true_random=False), st.integers(0, 8))
def test_a_book_of_weights_is_a_function_of_its_pieces(
    lines: list[dict[str, Any]], drawn: list[tuple[str, int, str, str, str | None]], chance: Any, gone: int
) -> None:
    """In any order, with some taken out again; and no gram is lost or made on the way to the lines."""
    pieces = [drawn_piece(number, one) for number, one in enumerate(drawn)]
    plain = book_of(lines)
    plain.fill(pieces[gone:])
    shuffled = book_of(lines)
    mixed = list(pieces)
    chance.shuffle(mixed)
    shuffled.fill(mixed)
    for one in pieces[:gone]:
        shuffled.remove(one)
    assert figures(shuffled) == figures(plain)
    assert shuffled.observed() == plain.observed()
    by_line = plain.observed()
    units = {one["line"]: one["unit"] for one in lines}
    weights = [converted(has, units[name], "KGM") for name, has in by_line.items() if units[name] != "EA"]
    pools = [converted(pool.observed, pool.unit, "KGM") for pool in plain.pools.values() if pool.unit != "EA"]
    whole, parts = sum(one for one in pools if one), sum(one for one in weights if one)
    assert abs(whole - parts) < Decimal("1e-8"), "nine decimals of each line"
