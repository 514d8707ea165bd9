"""The table of Application Identifiers, held against another reader of the General Specifications (biip)."""

import re

import pytest
from biip.gs1_application_identifiers import _GS1_APPLICATION_IDENTIFIERS as THEIRS

from gateway.capture.application_identifiers import DIGITS, IDENTIFIERS, Identifier
from gateway.capture.element_value import CHECKS

YOUNGER = {"03", "717", "7041", "8014", "8040", "8041", "8042", "8043"}
"""In release 25 and 26 of the General Specifications, and not yet in the table of the other reader."""


def test_both_tables_know_the_same_identifiers() -> None:
    assert {*IDENTIFIERS} - YOUNGER == {*THEIRS} - YOUNGER


@pytest.mark.parametrize("ai", sorted(THEIRS))
def test_both_tables_agree_where_a_separator_is_needed(ai: str) -> None:
    assert IDENTIFIERS[ai].is_fixed is not THEIRS[ai].separator_required


def lengths(ai: str, *, take: str) -> list[int]:
    """Lengths of data that a table takes when it is all of one digit or letter."""
    if take == "ours":
        return [n for n in range(100) if any(IDENTIFIERS[ai].shape.fullmatch(one * n) for one in "0A")]
    return [n for n in range(100) if any(re.fullmatch(THEIRS[ai].pattern, ai + one * n) for one in "0A")]


WIDER_THERE = {"30", "423", "425", "7004", "7040", "7258", "8008", "8010", "8110", "8112"} | {
    f"433{n}" for n in range(4)
}
"""Written otherwise there: a count of no digits, any length within a list of countries, five characters at least."""


@pytest.mark.parametrize("ai", sorted({*THEIRS} - WIDER_THERE - YOUNGER))
def test_both_tables_agree_how_long_data_is(ai: str) -> None:
    assert lengths(ai, take="ours") == lengths(ai, take="theirs")


def test_the_first_two_digits_say_how_many_there_are() -> None:
    """General Specifications, section 7.8.5: else no message could be split."""
    assert all(DIGITS[ai[:2]] == len(ai) for ai in IDENTIFIERS)


def test_predefined_lengths_are_those_of_the_first_two_digits() -> None:
    """General Specifications, figure 7.8.5-2; the lengths there include the identifier."""
    table = {"00": 20, "01": 16, "02": 16, "03": 16, "20": 4, "41": 16}
    table |= {f"1{n}": 8 for n in range(1, 8)} | {f"3{n}": 10 for n in range(1, 7)}
    fixed = {ai: identifier for ai, identifier in IDENTIFIERS.items() if identifier.is_fixed}
    assert {ai[:2] for ai in fixed} == {prefix for prefix in table if any(ai[:2] == prefix for ai in IDENTIFIERS)}
    for ai, identifier in fixed.items():
        assert len(ai) + identifier.length_max == len(ai) + identifier.length_min == table[ai[:2]]


@pytest.mark.parametrize("identifier", IDENTIFIERS.values(), ids=lambda one: one.ai)
def test_every_line_of_the_table_means_something(identifier: Identifier) -> None:
    assert {check.name for check in identifier.checks} <= {*CHECKS, "digit"}
    named = {ai for one in identifier.needs for ai in one} | set(identifier.never)
    named |= {ai for row in identifier.qualifiers or () for ai in row}
    for pattern in named:
        fitting = [ai for ai in IDENTIFIERS if len(ai) == len(pattern) and _fits(ai, pattern)]
        assert fitting, pattern


def _fits(ai: str, pattern: str) -> bool:
    return all(want in ("n", have) for want, have in zip(pattern, ai, strict=True))


def test_the_keys_of_a_digital_link() -> None:
    """GS1 Digital Link Standard: URI Syntax, section 4: primary keys and their qualifiers."""
    keys = {ai: one.qualifiers for ai, one in IDENTIFIERS.items() if one.qualifiers is not None}
    assert keys == {
        "00": ((),),
        "01": (("22", "10", "21"), ("235",)),
        "253": ((),),
        "255": ((),),
        "401": ((),),
        "402": ((),),
        "414": (("254",), ("7040",)),
        "415": (("8020",),),
        "417": (("7040",),),
        "8003": ((),),
        "8004": (("7040",),),
        "8006": (("22", "10", "21"),),
        "8010": (("8011",),),
        "8013": ((),),
        "8017": (("8019",),),
        "8018": (("8019",),),
    }
