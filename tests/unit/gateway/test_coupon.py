"""The digits of coupons: every field that may be wrong, and where the standard leaves a choice."""

import pytest

from gateway.capture.coupon import coupon, paperless_coupon

HEAD = "0" + "952123" + "000042" + "3075" + "12" + "0" + "105"
"""Company 952123, offer 42, 75 cents off, when two pieces of family 105 are bought."""


@pytest.mark.parametrize(
    "options",
    [
        "",
        "1" + "0" + "11" + "0" + "200" + "9",
        "1" + "3" + "205" + "9" + "200" + "1" + "9521234",
        "2" + "11" + "4" + "200" + "0" + "952123",
        "3" + "270131",
        "4" + "261201",
        "3" + "270131" + "4" + "261201",
        "3" + "270131" + "4" + "270131",
        "5" + "0" + "123456",
        "5" + "9" + "123456789012345",
        "6" + "7" + "9521234500001",
        "9" + "5" + "0" + "7" + "1",
        "1" + "0" + "11" + "0" + "200" + "9" + "2" + "11" + "0" + "300" + "9" + "3270131" + "50123456" + "90000",
    ],
)
def test_a_coupon_of_the_guideline_is_taken(options: str) -> None:
    assert coupon(HEAD + options, 2026) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7" + HEAD[1:], "company prefix 7, which is none of 0, 1"),
        ("0952", "company prefix is cut off"),
        (HEAD[:10], "offer code is cut off"),
        (HEAD[:13], "save value is cut off"),
        (HEAD[:13] + "0" + HEAD[14:], "save value 0, which is none of"),
        (HEAD[:17] + "6" + HEAD[18:], "first purchase requirement 6"),
        (HEAD[:19] + "5" + HEAD[20:], "first purchase requirement code 5"),
        (HEAD[:-1], "first purchase family code is cut off"),
        (HEAD + "0", "0 is no part that may stand there"),
        (HEAD + "7", "7 is no part that may stand there"),
        (HEAD + "4261201" + "3270131", "3270131 is no part"),
        (HEAD + "3270131" + "3270131", "3270131 is no part"),
        (HEAD + "1" + "4", "additional purchase rules 4"),
        (HEAD + "1" + "0" + "11" + "0" + "200" + "7", "second company prefix 7"),
        (HEAD + "1" + "0" + "11" + "0" + "200" + "0" + "95212", "second company prefix is cut off"),
        (HEAD + "3" + "270230", "expiry 270230 is not a date"),
        (HEAD + "3" + "270200", "expiry 270200 is not a date"),
        (HEAD + "3" + "2702", "expiry is cut off"),
        (HEAD + "3270131" + "4270201", "expires on 2027-01-31, before it starts on 2027-02-01"),
        (HEAD + "5", "serial number is cut off"),
        (HEAD + "6" + "0" + "952123", "retailer 0"),
        (HEAD + "9" + "3000", "save value code 3"),
        (HEAD + "9" + "0300", "item the save value applies to 3"),
        (HEAD + "9" + "0002", "do not multiply flag 2"),
        (HEAD + "9" + "00", "store coupon flag is cut off"),
        ("A" + HEAD, "is not a number"),
    ],
)
def test_what_is_wrong_with_a_coupon_is_said(text: str, said: str) -> None:
    assert said in (coupon(text, 2026) or "nothing")


def test_a_paperless_coupon_is_read_to_its_end() -> None:
    """Format 0, funder 9521234, offer 42, serial number of seven digits."""
    text = "0" + "1" + "9521234" + "000042" + "1" + "1234567"
    assert paperless_coupon(text, 2026) is None
    assert "8 stands behind its end" in (paperless_coupon(text + "8", 2026) or "")
    assert "serial number is cut off" in (paperless_coupon(text[:-1], 2026) or "")
    assert "format 2" in (paperless_coupon("2" + text[1:], 2026) or "")
    assert "funder 7" in (paperless_coupon("07" + text[2:], 2026) or "")
    assert "is not a number" in (paperless_coupon(text + "X", 2026) or "")
