"""Check digits and check characters, against published examples and against another implementation (biip)."""

import pytest
from biip import ParseError
from biip.checksums import gs1_standard_check_digit
from biip.upc import Upc
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.check_digit import check_digit, check_digit_problem, check_pair, is_closed, is_iban, upc_a


@pytest.mark.parametrize(
    "key",
    [
        "6291041500213",  # GS1's own page on how to calculate a check digit: GTIN-13
        "376104250021234569",  # the same: SSCC
        "80614141123458",  # EPC Tag Data Standard, E.3: GTIN-14
        "106141412345678908",  # SSCC
        "0614141123452",  # GLN
        "96385074",
    ],
)
def test_published_keys_are_closed(key: str) -> None:
    assert is_closed(key)
    assert check_digit_problem("key", key) is None
    wrong = key[:-1] + str((int(key[-1]) + 5) % 10)
    assert check_digit_problem("key", wrong) == f"key {wrong}: check digit {wrong[-1]}, expected {key[-1]}"


@given(st.text("0123456789", min_size=1, max_size=30))
def test_both_implementations_agree(digits: str) -> None:
    assert check_digit(digits) == gs1_standard_check_digit(digits)


@given(st.text("0123456789", min_size=7, max_size=20), st.data())
def test_one_wrong_digit_is_always_found(body: str, data: st.DataObject) -> None:
    key = body + str(check_digit(body))
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != key[place]]))
    assert not is_closed(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("1987654Ad4X4bL5ttr2310c", "2K"),  # General Specifications, section 7.14: the example of the GMN
        ("12345678901234567890123", "NT"),
        ("12345_ABCDEFGHIJKLM", "CP"),
        ("12345_NOPQRSTUVWXYZ", "DN"),
        ("12345_abcdefghijklm", "N3"),
        ("12345_nopqrstuvwxyz", "P2"),
        ("12345_!\"%&'()*+,-./", "LC"),
    ],
)
def test_check_characters_of_a_model_number(text: str, pair: str) -> None:
    """The others exercise every character of set 82 (GS1 Barcode Syntax Resource, tests of the pair)."""
    assert check_pair(text) == pair


@pytest.mark.parametrize("iban", ["GB82WEST12345698765432", "DE89370400440532013000", "NO9386011117947"])
def test_an_iban_closes_itself(iban: str) -> None:
    """ISO 13616, examples of the registry."""
    assert is_iban(iban)
    assert not is_iban(iban[:-1] + str((int(iban[-1]) + 1) % 10))
    assert not is_iban(iban.lower())
    assert not is_iban(iban[:8])


@pytest.mark.parametrize(
    ("upc_e", "full"),
    [
        ("04252614", "042100005264"),
        ("01234505", "012000003455"),
        ("01234531", "012300000451"),
        ("01234543", "012340000053"),
        ("01234558", "012345000058"),
        ("11234562", "112345000062"),
    ],
)
def test_the_zeros_of_a_upc_e_come_back(upc_e: str, full: str) -> None:
    assert upc_a(upc_e) == full
    assert is_closed(full)


def test_a_upc_e_begins_with_0_or_1() -> None:
    assert upc_a("24252614") is None


@given(st.sampled_from("01"), st.text("0123456789", min_size=6, max_size=6))
def test_both_implementations_expand_alike(system: str, body: str) -> None:
    full = upc_a(f"{system}{body}0")
    assert full is not None
    digit = check_digit(full[:-1])
    try:
        theirs = Upc.parse(f"{system}{body}{digit}").as_upc_a()
    except ParseError:
        return  # a body that a shorter form of the same number would have been written with
    assert full[:-1] + str(digit) == theirs
