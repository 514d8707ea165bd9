"""Units of measure: exact factors, one dimension at a time."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.decimal_text import is_unit
from gateway.events.unit import MEASURES, PIECES, converted, shown_decimals


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "expected"),
    [
        ("1.250", "KGM", "GRM", "1250"),
        ("250", "GRM", "KGM", "0.25"),
        ("0.5", "TNE", "KGM", "500"),
        ("1", "LBR", "KGM", "0.45359237"),
        ("1", "LBR", "ONZ", "16"),
        ("1", "STN", "LBR", "2000"),
        ("1", "LTN", "LBR", "2240"),
        ("1", "STI", "LBR", "14"),
        ("7000", "GRN", "LBR", "1"),
        ("1", "KGM", "LBR", "2.204622621848775807"),
        ("1", "MTQ", "LTR", "1000"),
        ("1", "GLL", "INQ", "231"),
        ("1", "GLL", "OZA", "128"),
        ("1", "GLI", "OZI", "160"),
        ("1", "YDQ", "FTQ", "27"),
        ("1", "YRD", "INH", "36"),
        ("1", "SMI", "YRD", "1760"),
        ("1", "YDK", "FTK", "9"),
        ("1", "FTK", "INK", "144"),
        ("1", "HAR", "MTK", "10000"),
        ("3", "EA", "C62", "3"),
        ("3", "CS", "CS", "3"),
    ],
)
def test_a_quantity_in_another_unit(value: str, unit: str, wanted: str, expected: str) -> None:
    """Rows that tie two factors of the table to each other by a whole number nobody computed from the table."""
    assert converted(Decimal(value), unit, wanted) == Decimal(expected)


@pytest.mark.parametrize(
    ("unit", "wanted"), [("KGM", "LTR"), ("KGM", "EA"), ("EA", "KGM"), ("CS", "EA"), ("MTR", "MTK"), ("DZN", "EA")]
)
def test_what_has_no_common_dimension_is_no_quantity_of_the_other(unit: str, wanted: str) -> None:
    assert converted(Decimal(1), unit, wanted) is None


def test_codes_have_the_form_of_recommendation_20_and_pieces_measure_nothing() -> None:
    assert all(is_unit(code) for code in MEASURES | PIECES)
    assert not MEASURES & PIECES


@given(st.decimals(0, 10**6, places=6), st.sampled_from(sorted(product(sorted(MEASURES), repeat=2))))
def test_there_and_back_is_the_same_to_the_last_decimal_of_an_event(value: Decimal, units: tuple[str, str]) -> None:
    there = converted(value, *units)
    if there is None:
        return
    back = converted(there, units[1], units[0])
    assert back is not None
    # A huge unit holds few of the digits of a tiny one: eighteen decimals of miles are picometres.
    one = converted(Decimal(1), units[1], units[0])
    assert one is not None
    assert abs(back - value) <= one * Decimal("1e-18") + Decimal("1e-17")


def test_a_sum_is_shown_with_nine_decimals() -> None:
    assert shown_decimals(Decimal("1.0000000005")) == Decimal("1")
    assert shown_decimals(Decimal("1.0000000015")) == Decimal("1.000000002")
    assert shown_decimals(Decimal("1.25")) == Decimal("1.25")
