"""Hand-laid EPC bits against the worked examples of the Tag Data Standard."""

import pytest

from simulators.epc import check_digit, sgtin_96, sgtin_198, sscc_96


def test_sgtin_96_of_the_standard() -> None:
    """TDS 1.13, E.3: SGTIN 0614141.812345.6789 with filter 3 is 3074257BF7194E4000001A85."""
    assert sgtin_96("0614141", "812345", 6789, filter_value=3).hex() == "3074257bf7194e4000001a85"


def test_sscc_96_of_the_standard() -> None:
    """TDS 1.13, E.3: SSCC 0614141.1234567890 with filter 3 is 3174257BF4499602D2000000."""
    assert sscc_96("0614141", "1234567890", filter_value=3).hex() == "3174257bf4499602d2000000"


def test_sgtin_198_of_the_standard() -> None:
    """TDS 1.13, E.3: SGTIN 0614141.712345.32a/b with filter 3; the last word is filled with zeros."""
    assert sgtin_198("0614141", "712345", "32a/b", filter_value=3).hex() == (
        "3674257bf6b7a659b2c2bf100000000000000000000000000000"
    )


@pytest.mark.parametrize(("prefix", "item"), [("0614141", "81234"), ("06141", "81234567")])
def test_a_gtin_of_another_length_is_refused(prefix: str, item: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        sgtin_96(prefix, item, 1)


def test_a_serial_that_does_not_fit_is_refused() -> None:
    assert sgtin_96("0614141", "812345", 2**38 - 1)
    with pytest.raises(ValueError, match="does not fit"):
        sgtin_96("0614141", "812345", 2**38)


@pytest.mark.parametrize(
    ("digits", "check"), [("8061414112345", "8"), ("10614141234567890", "8"), ("061414112345", "2")]
)
def test_check_digits_of_the_standards_examples(digits: str, check: str) -> None:
    assert check_digit(digits) == check
