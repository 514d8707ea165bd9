"""How much a scan is about: what people state, what the label counts and measures, and the same read from an event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import ScanContext
from gateway.capture.label import parse_label
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.quantity import ONE, CapturedQuantity, captured_quantity, quantity_part, told_quantity
from gateway.capture.station import Session

WEIGHED = "01995212345432163103001250"
CONTENTS = "0299521234543216" + "3103060000" + "3712"
GS = "\x1d"
NOTHING = ScanContext()


def quantity(code: str, context: ScanContext = NOTHING, said: str | None = None) -> CapturedQuantity:
    label = parse_label(code, "]C1")
    assert label.kind == "item", label.text
    return captured_quantity(context, Session(quantity=said), label)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("3103001250", ("1.250", "KGM")),
        ("3100000012", ("12", "KGM")),
        ("3105000001", ("0.00001", "KGM")),
        ("3112000150", ("1.50", "MTR")),
        ("3142000150", ("1.50", "MTK")),
        ("3152000150", ("1.50", "LTR")),
        ("3162000150", ("1.50", "MTQ")),
        ("3202000150", ("1.50", "LBR")),
        ("3212000150", ("1.50", "INH")),
        ("3222000150", ("1.50", "FOT")),
        ("3232000150", ("1.50", "YRD")),
        ("3502000150", ("1.50", "INK")),
        ("3512000150", ("1.50", "FTK")),
        ("3522000150", ("1.50", "YDK")),
        ("3562000150", ("1.50", "APZ")),
        ("3602000150", ("1.50", "QT")),
        ("3612000150", ("1.50", "GLL")),
        ("3642000150", ("1.50", "INQ")),
        ("3652000150", ("1.50", "FTQ")),
        ("3662000150", ("1.50", "YDQ")),
        ("800101500025007611", ("250", "MTR")),
    ],
)
def test_a_trade_measure_has_its_unit(measure: str, expected: tuple[str, str]) -> None:
    """General Specifications, sections 3.6.2 and 3.9.1."""
    assert quantity(f"0199521234543216{measure}").measures == (expected,)


@pytest.mark.parametrize(
    "ai", ["312", "313", "324", "327", "330", "331", "333", "335", "336", "337", "340", "353", "357"]
)
def test_width_depth_ounces_and_what_includes_the_packaging_are_no_quantity(ai: str) -> None:
    """Section 3.6.3: logistic measures are of the unit with everything around it. 357n does not say which ounces."""
    assert quantity(f"0199521234543216{ai}2000150") == ONE


def test_a_label_in_kilograms_and_pounds_says_both() -> None:
    found = quantity("019952123454321631030012503202000276")
    assert found.measures == (("1.250", "KGM"), ("2.76", "LBR"))


@pytest.mark.parametrize(
    ("code", "context", "said", "expected"),
    [
        (WEIGHED, NOTHING, None, CapturedQuantity(measures=(("1.250", "KGM"),))),
        (WEIGHED, NOTHING, "3", CapturedQuantity("3", None, "stated", (("3.750", "KGM"),))),
        (WEIGHED, NOTHING, "0", CapturedQuantity("0", None, "stated", (("0.000", "KGM"),))),
        (WEIGHED, ScanContext(quantity="2"), "3", CapturedQuantity("2", None, "stated", (("2.500", "KGM"),))),
        (WEIGHED, ScanContext(quantity="2", unit="EA"), None,
         CapturedQuantity("2", "EA", "stated_with_unit", (("2.500", "KGM"),))),
        (WEIGHED, ScanContext(quantity="1.3", unit="KGM"), None, CapturedQuantity("1.3", "KGM", "stated_with_unit")),
        (WEIGHED, ScanContext(unit="KGM"), None, CapturedQuantity(measures=(("1.250", "KGM"),))),
        (CONTENTS, NOTHING, None, CapturedQuantity("12", None, "label", (("60.000", "KGM"),))),
        (CONTENTS, NOTHING, "12", CapturedQuantity("12", None, "label", (("60.000", "KGM"),))),
        (CONTENTS, NOTHING, "11", CapturedQuantity("11", None, "label")),
        ("0199521234543216" + "3012" + GS + "3102000600", NOTHING, None,
         CapturedQuantity("12", None, "label", (("6.00", "KGM"),))),
        ("0109521234543213", NOTHING, "12.5", CapturedQuantity("12.5", None, "stated")),
    ],
)  # fmt: skip
def test_a_number_that_somebody_states_is_of_labels_and_a_unit_is_a_measurement(
    code: str, context: ScanContext, said: str | None, expected: CapturedQuantity
) -> None:
    """A weight is of all that the label is about: of twelve pieces that it counts it is not the weight of each. Where
    somebody corrects that count, nobody knows what is left weighs."""
    assert quantity(code, context, said) == expected


def test_the_sites_own_label_states_a_number_in_the_unit_that_the_site_means() -> None:
    pattern = LabelPattern("item", r"ART(?P<sku>\d+)Q(?P<quantity>[0-9.]+)")
    found = captured_quantity(NOTHING, Session(), parse_label("ART7Q12.5", None, [pattern]))
    assert found == CapturedQuantity("12.5", None, "stated")


@given(
    st.sampled_from([WEIGHED, CONTENTS, "0109521234543213", "0109521234543213307"]),
    st.sampled_from([None, "1", "2", "0.5", "12"]),
    st.sampled_from([None, "1", "3"]),
    st.sampled_from([None, "EA", "KGM", "CS", "C62"]),
)
def test_what_an_event_says_is_read_back(code: str, stated: str | None, said: str | None, unit: str | None) -> None:
    """Work that is counted later from the journal has to be counted as the scan would have been."""
    found = quantity(code, ScanContext(quantity=stated, unit=unit), said)
    assert told_quantity(json.loads(f"{{{quantity_part(found)[1:]}}}")) == found


def test_an_event_of_an_older_program_has_the_weight_of_its_one_label() -> None:
    one = {"quantity": {"value": "1", "unit": "EA"}, "net_weight_kg": "1.250"}
    assert told_quantity(one).measures == (("1.250", "KGM"),)
    assert told_quantity({**one, "quantity": {"value": "12", "unit": "EA"}}).measures == ()
