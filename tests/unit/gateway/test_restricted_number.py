"""In-store numbers and coupons look like a GTIN and are none; the site's own documents find them all the same."""

import pytest
from checks_rig import Site, codes, document
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.label import LabelItem, parse_label
from gateway.capture.label_pattern import LabelPattern
from gateway.checks.expectation import identities
from gateway.events.check_digit import check_digit
from gateway.events.epcis import decode, encode
from gateway.events.restricted_number import restricted_names, restricted_number


def closed(digits: str) -> str:
    return f"{digits}{check_digit(digits)}"


@pytest.mark.parametrize(
    ("digits", "kept"),
    [
        ("200123456789", "13"), ("299999999999", "13"), ("020000000001", "13"), ("029999999999", "13"),
        ("040000000001", "13"), ("049999999999", "13"), ("050000000001", "13"), ("059999999999", "13"),
        ("980123456789", "13"), ("981123456789", "13"), ("984123456789", "13"), ("990123456789", "13"),
        ("999999999999", "13"),
        ("001234567890", None), ("019999999999", None), ("030000000001", None), ("039999999999", None),
        ("060000000001", None), ("139999999999", None), ("300000000001", None), ("400638133393", None),
        ("952123456789", None), ("977123456789", None), ("978030640615", None), ("979123456789", None),
    ],
)  # fmt: skip
def test_the_prefix_says_which_numbers_in_thirteen_digits_are_gtins(digits: str, kept: str | None) -> None:
    """General Specifications, section 1.4: GS1 Prefixes. ISBN (978, 979) and ISSN (977) are GTINs."""
    number = closed(digits)
    assert restricted_number(number) == (number if kept else None)
    assert restricted_number(number.zfill(14)) == (number if kept else None)
    if number[0] == "0":
        assert restricted_number(number[1:]) == (number if kept else None), "the same number in twelve digits"


@pytest.mark.parametrize(
    ("digits", "is_kept"),
    [("0012345", True), ("0999999", True), ("2000001", True), ("2999999", True),
     ("1000000", False), ("3000000", False), ("9521234", False), ("9771234", False), ("9999999", False)],
)  # fmt: skip
def test_the_prefix_says_which_numbers_in_eight_digits_are_gtins(digits: str, is_kept: bool) -> None:
    """Section 1.4: GS1-8 Prefixes 000-099 and 200-299 are for use inside a company."""
    number = closed(digits)
    assert restricted_number(number) == (number if is_kept else None)
    assert restricted_number(number.zfill(14)) == (number if is_kept else None)


def test_a_case_of_trade_items_may_begin_with_any_indicator() -> None:
    for indicator in "123456789":
        assert restricted_number(closed(f"{indicator}952123454321")) is None


STORE = closed("200001234567")


@pytest.mark.parametrize(
    ("text", "symbology", "code"),
    [
        (STORE, "]E0", STORE),
        (STORE, None, STORE),
        (closed("40000000001"), "]E0", closed("040000000001")),
        (closed("040000000001"), "]E0", closed("040000000001")),
        (closed("2000001"), "]E4", closed("2000001")),
        (f"{STORE}12", "]E3", STORE),
        (closed("981123456789"), "]E0", closed("981123456789")),
    ],
)
def test_it_is_kept_as_a_code(text: str, symbology: str | None, code: str) -> None:
    label = parse_label(text, symbology)
    assert (label.item, label.remark) == (LabelItem(code=code), None)


def test_in_element_strings_it_is_remarked_on() -> None:
    """Section 2.1.13: such numbers are for EAN/UPC symbols alone."""
    label = parse_label(f"010{STORE}10LOT1", "]C1")
    assert label.item == LabelItem(code=STORE, lot="LOT1")
    assert label.remark == f"{STORE} is for use inside one company or region and is no GTIN"


def test_a_pattern_of_the_site_takes_item_and_weight_out_of_its_digits() -> None:
    """By a national rule: 28, five digits of the item, five of grams, the check digit."""
    pattern = LabelPattern("item", r"28(?P<sku>[0-9]{5})(?P<grams>[0-9]{5})[0-9]")
    label = parse_label(closed("280123401250"), "]E0", [pattern])
    assert label.item == LabelItem(sku="01234")
    assert (label.net_weight_kg, label.measures) == ("1.25", (("1.25", "KGM"),))
    bare = parse_label("ARTX", None, [LabelPattern("item", r"ART(?P<grams>.)")])
    assert (bare.kind, bare.text) == ("problem", "X is not a weight")


def test_a_pattern_that_calls_it_a_gtin_does_not_make_it_one() -> None:
    pattern = LabelPattern("item", r"S(?P<gtin>[0-9]{13})")
    assert parse_label(f"S{STORE}", None, [pattern]).item == LabelItem(code=STORE)


@given(st.from_regex(r"(2|02|04)[0-9]{9}", fullmatch=True).map(lambda found: closed(found[:12].rjust(12, "0"))))
def test_every_form_of_it_is_found_by_every_other(number: str) -> None:
    if restricted_number(number) is None:
        return
    forms = restricted_names(number)
    assert all(set(restricted_names(form)) == set(forms) for form in forms)
    assert f"gtin:{number.zfill(14)}" in identities(LabelItem(code=number))


@pytest.mark.parametrize("named", [{"gtin": STORE}, {"gtin": STORE.zfill(14)}, {"code": STORE}, {"sku": STORE}])
async def test_a_document_of_the_site_finds_it_whatever_it_calls_it(named: dict[str, str]) -> None:
    site = Site()
    site.expect(document("ASN-1", "asn", {"line": "1", "item": named, "quantity": 2}))
    heard = await site.scans("s-1", "ASN-1", f"]E0{STORE}", f"]E0{STORE}", f"]E0{STORE}")
    assert [codes(one) for one in heard] == [[], [], [], ["receiving_variance"]]


async def test_a_serial_number_of_an_in_store_item_is_one_object() -> None:
    site = Site()
    line = {"line": "1", "item": {"gtin": STORE}, "quantity": 2, "serials": ["A", "B"]}
    site.expect(document("ASN-1", "asn", line))
    label = f"]C1010{STORE}21A"
    heard = await site.scans("s-1", "ASN-1", label, label, "DL:close")
    assert [codes(one)[-1:] for one in heard] == [[], ["barcode_mismatch"], ["duplicate_scan"], ["receiving_variance"]]
    (told,) = site.exceptions("receiving_variance")
    assert told["lines"][0]["missing_serials"] == ["B"]


async def test_epcis_gets_a_name_of_the_site_and_no_gtin() -> None:
    """Elsewhere that number is another thing: a global identifier would be a lie."""
    site = Site()
    await site.scans("s-1", f"]E0{STORE}")
    (event,) = [{**one, "sequence": f"{1:020d}"} for one in site.events("receipt")]
    assert event["data"]["item"] == {"code": STORE}
    assert encode(event)["quantityList"] == [{"epcClass": f"urn:dockline:code:dc07:{STORE}", "quantity": 1}]
    assert decode(encode(event)) == event
