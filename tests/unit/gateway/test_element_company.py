"""Which Application Identifiers may stand beside each other (General Specifications, section 4.13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture.application_identifiers import IDENTIFIERS
from gateway.capture.element_company import company


def said(*identifiers: str) -> tuple[str | None, str | None]:
    found = company(frozenset(identifiers))
    return found.problem, found.remark


@pytest.mark.parametrize(
    "identifiers",
    [
        ("01", "02", "37"),
        ("01", "37"),
        ("01", "255"),
        ("01", "03"),
        ("01", "21", "235"),
        ("01", "8006"),
        ("02", "8026", "37"),
        ("8006", "37"),
        ("01", "3100", "3103"),
        ("01", "30", "3920", "3922"),
        ("01", "30", "3922", "3932"),
        ("420", "421"),
        ("421", "4307"),
        ("01", "422", "426"),
        ("00", "4330", "4331"),
        ("8017", "8018"),
        ("255", "3900", "3940"),
    ],
)
def test_these_exclude_each_other(identifiers: tuple[str, ...]) -> None:
    problem, remark = said(*identifiers)
    assert problem is not None
    assert "exclude each other" in problem
    assert remark is None


@pytest.mark.parametrize("identifiers", [("02",), ("37",), ("00", "37"), ("00", "02"), ("8026",), ("253", "37")])
def test_what_is_counted_must_be_known(identifiers: tuple[str, ...]) -> None:
    problem, _ = said(*identifiers)
    assert problem is not None
    assert "without" in problem


@pytest.mark.parametrize(
    ("identifiers", "remark"),
    [
        (("00", "10"), "AI 10 belongs to AI 01 or 02 or 03 or 8006 or 8026, which is not in this symbol"),
        (("8004", "21"), "AI 21 belongs to AI 01 or 03 or 8006, which is not in this symbol"),
        (("01", "250"), "AI 250 belongs to AI 01 and 21 or 03 and 21 or 21 and 8006, which is not in this symbol"),
        (("01", "3922"), "AI 3922 belongs to AI 01 and 30 or 01 and 31nn or 01 and 32nn"),
        (("01", "8011"), "AI 8011 belongs to AI 8010"),
        (("01", "7004"), "AI 7004 belongs to AI 01 and 10 or 03 and 10"),
    ],
)
def test_what_another_symbol_may_hold_is_remarked(identifiers: tuple[str, ...], remark: str) -> None:
    problem, found = said(*identifiers)
    assert problem is None
    assert found is not None
    assert found.startswith(remark)


@pytest.mark.parametrize(
    "identifiers",
    [
        ("01",),
        ("00",),
        ("01", "10", "17", "21"),
        ("00", "02", "37", "10", "15"),
        ("02", "37"),
        ("01", "3103", "3922"),
        ("01", "30", "3932"),
        ("01", "8005", "3103"),
        ("01", "21", "250"),
        ("403",),
        ("3302", "01"),
        ("3302",),
        ("414", "254"),
        ("415", "8020", "3900"),
        ("8010", "8011"),
        ("253",),
        ("91", "92"),
        ("01", "8030", "21"),
    ],
)
def test_good_company(identifiers: tuple[str, ...]) -> None:
    """A count of contents without an SSCC is good: the SSCC mostly stands in a symbol of its own."""
    assert said(*identifiers) == (None, None)


@given(st.frozensets(st.sampled_from(sorted(IDENTIFIERS)), min_size=1, max_size=6))
def test_exclusion_is_mutual_and_more_company_never_mends_it(identifiers: frozenset[str]) -> None:
    found = company(identifiers)
    assert found.problem is None or found.remark is None
    for ai in identifiers:
        less = company(identifiers - {ai}) if len(identifiers) > 1 else None
        if less is not None and less.problem and "exclude" in less.problem:
            assert found.problem is not None
