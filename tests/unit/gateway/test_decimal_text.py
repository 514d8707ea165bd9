"""Decimal numbers as events carry them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.decimal_text import decimal_text, is_unit
from gateway.events.model import Quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("0", "0"),
        ("007", "7"),
        ("0.5", "0.5"),
        ("2.50", "2.50"),
        ("1E+2", "100"),
        ("+5", "5"),
        ("1e-3", "0.001"),
        ("9" * 18, "9" * 18),
    ],
)
def test_a_number_is_brought_into_form_and_keeps_its_value(text: str, expected: str) -> None:
    assert decimal_text(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "-0", "NaN", "Infinity", "1e30", "9" * 19, "1_000", "٣", "1,5", "0x10", "1e-20", "a", "9" * 60]
)
def test_anything_else_is_no_quantity(text: str) -> None:
    assert decimal_text(text) is None


@given(st.text())
def test_what_is_returned_is_what_the_model_accepts(text: str) -> None:
    value = decimal_text(text)
    if value is not None:
        assert Quantity(value=value, unit="EA").value == value
        assert Decimal(value) == Decimal(text)


def test_a_unit_has_the_form_of_recommendation_20() -> None:
    assert [is_unit(text) for text in ("EA", "KGM", "H87", "", "ea", "E", "EACH", "E A")] == [True] * 3 + [False] * 5
