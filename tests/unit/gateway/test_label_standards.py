"""A set of labels nobody here printed: what the standards say of each, and what the gateway makes of it.

Written from the General Specifications (release 26), ISO/IEC 15424 and the GS1 Digital Link URI Syntax, not from the
reader. Every key carries the example prefix 952; check digits are computed by `closed`.
"""

from typing import Final

import pytest

from gateway.capture.label import Label, LabelItem, parse_label

GS: Final = "\x1d"
YEAR: Final = 2026


def closed(digits: str) -> str:
    """Append the check digit: weights 3 and 1 from the right (General Specifications, section 7.9)."""
    total = sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(reversed(digits), 1))
    return digits + str(-total % 10)


GTIN: Final = closed("0952100000777")
WEIGHED: Final = closed("9952100000777")
SSCC: Final = closed("39521000001234567")
GLN: Final = closed("952100000111")
GSRN: Final = closed("95210000012345678")


def read(text: str, symbology: str | None = "]C1") -> Label:
    return parse_label(text, symbology, year=YEAR)


def refused(text: str, symbology: str | None = "]C1") -> str:
    label = read(text, symbology)
    assert label.kind == "problem", label
    assert label.item is None
    return label.text


@pytest.mark.parametrize(
    "symbology", ["]C1", "]e0", "]e1", "]e2", "]d2", "]d8", "]Q3", "]J1", "]d5", "]dB", "]Q4", "]J4"]
)
def test_fnc1_in_first_position_makes_element_strings(symbology: str) -> None:
    """ISO/IEC 15424: the second row is what a reader with ECI switched on sends for the same GS1 symbols."""
    assert read(f"01{GTIN}10A{GS}21B", symbology).item == LabelItem(gtin=GTIN, lot="A", serial="B")


@pytest.mark.parametrize("symbology", ["]d5", "]Q4", "]J4"])
def test_an_eci_inside_gs1_data_is_not_read_over(symbology: str) -> None:
    assert "cannot stand in an element string" in refused(f"01{GTIN}10\\000026A", symbology)


@pytest.mark.parametrize(
    "symbology", ["]C0", "]C2", "]d1", "]d3", "]d4", "]Q1", "]Q2", "]Q5", "]J0", "]J2", "]A0", "]L0", "]X0"]
)
def test_without_fnc1_in_first_position_the_text_is_the_sites_own(symbology: str) -> None:
    assert read(f"01{GTIN}", symbology).item == LabelItem(code=f"01{GTIN}")


def test_itf_14_with_and_without_its_last_digit() -> None:
    """ISO/IEC 15424: modifier 1 sends the verified check digit, 3 keeps it, 0 does not verify it."""
    for symbology in ("]I0", "]I1"):
        assert read(GTIN, symbology).item == LabelItem(gtin=GTIN)
    assert read(GTIN[:-1], "]I3").item == LabelItem(gtin=GTIN)
    assert read(GTIN[:-1], "]I1").item == LabelItem(code=GTIN[:-1]), "a digit is missing, and nobody verified one"
    assert "expected" in refused(GTIN[:-1] + str((int(GTIN[-1]) + 1) % 10), "]I1")


@pytest.mark.parametrize(
    ("ai", "yymmdd", "meant"),
    [
        ("17", "270228", "2027-02-28"),
        ("17", "280229", "2028-02-29"),
        ("17", "280200", "2028-02-29"),
        ("17", "270200", "2027-02-28"),
        ("17", "270400", "2027-04-30"),
        ("15", "760101", "2076-01-01"),
        ("15", "770101", "1977-01-01"),
        ("15", "000229", "2000-02-29"),
    ],
)
def test_dates_and_their_century(ai: str, yymmdd: str, meant: str) -> None:
    """Section 7.12: within 49 years back and 50 ahead; day 00 is the last of the month."""
    item = read(f"01{GTIN}{ai}{yymmdd}").item
    assert item is not None
    assert (item.expiry if ai == "17" else item.best_before) == meant


@pytest.mark.parametrize("ai", ["11", "13", "15", "16", "17"])
@pytest.mark.parametrize("yymmdd", ["270230", "270229", "270431", "271301", "270001", "270132", "270000", "770229"])
def test_days_that_never_were(ai: str, yymmdd: str) -> None:
    assert refused(f"01{GTIN}{ai}{yymmdd}") == f"AI {ai}: {yymmdd} is not a date"


@pytest.mark.parametrize(
    ("element", "is_right"),
    [
        ("7007270115", True),
        ("7007270115270131", True),
        ("7007270115270115", True),
        ("7007270131270115", False),
        ("7007991231000101", True),
        ("7007270115270230", False),
        ("7003" + "2701312359", True),
        ("7003" + "2701312400", False),
        ("7003" + "2701002359", False),
        ("7006270100", False),
        ("8008" + "270131" + "23" + "59" + "59", True),
        ("8008" + "270131" + "23" + "60", False),
        ("7011" + "270131" + "2360", False),
        ("7030" + "999" + "P", True),
        ("7030" + "276", False),
        ("7030" + "001P", False),
        ("423" + "276250826056040", True),
        ("423" + "27625", False),
        ("8005" + "001250", True),
        ("3949" + "1250", False),
        ("8001" + "1000" + "00500" + "076" + "2" + "0", False),
        ("8001" + "1000" + "00500" + "076" + "9" + "9", True),
    ],
)
def test_attributes_of_an_item(element: str, is_right: bool) -> None:
    label = read(f"01{GTIN}{element}")
    assert (label.kind == "item") is is_right, label


@pytest.mark.parametrize(
    ("element", "is_right"),
    [
        ("7041PX", True),
        ("7041201", True),
        ("70418", True),
        ("7041ZQX", False),
        ("7041px", False),
        ("4300ACME%20LTD", True),
        ("4300ACME%2", False),
        ("4307NO", True),
        ("4307XX", False),
        ("4309" + "1800000000" + "3600000000", True),
        ("4309" + "1800000001" + "0000000000", False),
        ("4321" + "2", False),
        ("4324" + "270100" + "0000", True),
        ("4324" + "270131" + "9999", False),
        ("4330" + "000180" + "-", True),
        ("4330" + "000180" + "+", False),
        ("4330" + "000180" + GS + "4331" + "000100", False),
        ("4330" + "000180" + GS + "4333" + "000100", True),
    ],
)
def test_attributes_of_a_logistic_unit(element: str, is_right: bool) -> None:
    label = read(f"00{SSCC}{element}")
    assert (label.kind == "item") is is_right, label
    assert label.item in (LabelItem(sscc=SSCC), None)


@pytest.mark.parametrize(
    "code",
    [
        f"(253){GLN}ABC",
        f"(255){GLN}000123456789",
        f"(8003)0{GLN}CRATE",
        "(8004)9521ASSET",
        f"(8017){GSRN}",
        f"(8018){GSRN}(8019)7",
        f"(415){GLN}(8020)INVOICE7",
        "(8010)952100#7-A/1(8011)12",
        "(401)9521CONSIGNMENT",
        "(402)" + closed("9521000001234567"),
        "(8110)" + "0952123" + "000042" + "3075" + "12" + "0" + "105",
        "(8112)" + "00952123" + "000042" + "0123456",
        "(91)INTERNAL",
    ],
)
def test_what_is_no_trade_item_is_named_by_its_own_key(code: str) -> None:
    parts = [part.split(")") for part in code.split("(")[1:]]
    ends = {"8017": "", "8018": GS, "415": ""}
    text = "".join(ai + value + ends.get(ai, GS) for ai, value in parts)
    label = read(text)
    assert label.item == LabelItem(code=code), label
    assert label.remark is None


@pytest.mark.parametrize(
    "text",
    [
        f"253{GLN[:-1]}{(int(GLN[-1]) + 1) % 10}",
        f"255{GLN}12A",
        f"255{GLN}{GS}02{GTIN}{GS}375",
        f"80031{GLN}",
        "8004ASSET",
        f"8006{GTIN}0302",
        f"8006{GTIN}0002",
        f"8026{GTIN}0102",
        f"8018{GSRN}{GS}8017{GSRN}",
        "8110" + "0952123" + "000042" + "0",
        "8112" + "2",
    ],
)
def test_a_key_that_contradicts_its_form_is_refused(text: str) -> None:
    refused(text)


def test_a_key_of_zeros_identifies_nothing() -> None:
    """Its check digit is right, which is why a scanner lets a blank field pass."""
    assert "zeros identify nothing" in refused(f"00{'0' * 18}10A")
    assert "zeros identify nothing" in refused("0" * 18, None)
    assert "zeros identify nothing" in refused(f"414{'0' * 13}")
    assert "zeros identify nothing" in refused(f"01{'0' * 14}")


def test_an_sscc_that_repeats_itself_is_no_doubled_scan() -> None:
    """Ten digits and the same ten again, the first two of them its Application Identifier."""
    half = next(
        f"00{number:08d}"
        for number in range(10, 99)
        if closed(f"{number:08d}00{number:08d}"[:-1])[-1] == str(number % 10)
    )
    assert read(half * 2).item == LabelItem(sscc=(half * 2)[2:])


@pytest.mark.parametrize(
    ("ai", "value", "kilograms"),
    [("3100", "000012", "12"), ("3101", "000012", "1.2"), ("3103", "001250", "1.250"), ("3105", "000001", "0.00001")],
)
def test_net_weight_by_its_decimals(ai: str, value: str, kilograms: str) -> None:
    assert read(f"01{WEIGHED}{ai}{value}").net_weight_kg == kilograms


def test_a_gtin_of_variable_measure_needs_its_measure() -> None:
    """Section 2.1.10: indicator digit 9; the measure may stand in another symbol, so the item counts all the same."""
    alone = read(f"01{WEIGHED}10A")
    assert alone.item == LabelItem(gtin=WEIGHED, lot="A")
    assert alone.remark == f"AI 01: {WEIGHED} is of variable measure, and its measure is not in this symbol"
    for measure in ("3103001250", "3202001250", "3600001250", "3012"):
        assert read(f"01{WEIGHED}{measure}").remark is None, measure
    assert read(WEIGHED, "]I1").remark is None, "an ITF-14 has no room for it"
    assert read(f"01{GTIN}10A").remark is None


@pytest.mark.parametrize(
    ("text", "quantity"),
    [("3712", "12"), ("37012", "12"), ("3700000012", "12"), ("37999999", "999999"), ("3700999999", "999999")],
)
def test_a_contained_count_may_be_padded(text: str, quantity: str) -> None:
    """Its format is N..8: zeros in front are its own affair; a million pieces are a missing separator."""
    assert read(f"00{SSCC}02{GTIN}{text}").quantity == quantity
    assert "separator" in refused(f"00{SSCC}02{GTIN}3701000000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"00{SSCC}02{GTIN}", "AI 02 without 37"),
        (f"00{SSCC}3712", "AI 37 without 02"),
        (f"00{SSCC}01{GTIN}3712", "AI 01 and AI 37 exclude each other"),
        (f"01{GTIN}02{GTIN}3712", "exclude each other"),
        (f"01{GTIN}21A{GS}235B", "AI 21 and AI 235 exclude each other"),
        (f"01{GTIN}422276{GS}426276", "AI 422 and AI 426 exclude each other"),
        (f"01{WEIGHED}3103001250{GS}3102000125", "exclude each other"),
        (f"01{WEIGHED}3103001250{GS}39221250{GS}3952001250", "exclude each other"),
        (f"01{GTIN}420D1{GS}421276D1", "AI 420 and AI 421 exclude each other"),
    ],
)
def test_company_that_is_not_allowed(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize(
    "tail",
    ["AQnYUc1gmiCNV4JGLo", "ARFKk4XB0CDKWcnpq", "01ABC", "p/AQnYUc1gmiCNV4JGLo?17=271231", "gtin/" + GTIN + "/lot/A"],
)
def test_a_compressed_or_early_link_is_never_guessed_at(tail: str) -> None:
    address = f"https://id.example.org/{tail}"
    assert read(address, "]Q1").item == LabelItem(code=address)
