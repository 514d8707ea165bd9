"""What a device says about when it happened."""

import pytest

from drivers.reading import Reading, Verdict
from drivers.scan_message import encode_acks
from drivers.stated_time import stated_time


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-21T07:59:58Z", "2026-11-21T07:59:58Z"),
        ("2026-11-21t07:59:58.123456789z", "2026-11-21T07:59:58.123456789Z"),
        ("2024-02-29T23:59:59+14:30", "2024-02-29T23:59:59+14:30"),
        ("2026-02-29T00:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("2026-11-21T24:00:00Z", None),
        ("2016-12-31T23:59:60Z", None),
        ("2026-11-21T07:59:58.1234567890Z", None),
        ("2026-11-21T07:59:58", None),
        ("2026-11-21 07:59:58Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_is_of_rfc_3339_and_exists(text: str, told: str | None) -> None:
    assert stated_time(text) == told


@pytest.mark.parametrize(
    ("at", "reason", "notice"),
    [
        (None, None, None),
        ("2026-11-21T07:59:58Z", None, None),
        ("yesterday", None, '"yesterday" is no time of RFC 3339; the time of capture stands for it'),
        ("x", "no key", 'no key; "x" is no time of RFC 3339; the time of capture stands for it'),
    ],
)  # fmt: skip
def test_whoever_wrote_the_app_hears_of_a_time_that_is_none(
    at: str | None, reason: str | None, notice: str | None
) -> None:
    reading = Reading("hh-7", "scan", b"{}", "X", message_id="1", at=at, reason=reason)
    ack = encode_acks([reading], [Verdict("stored", ("e1",))])
    assert (b'"notice"' in ack) is (notice is not None)
    if notice is not None:
        assert notice.replace('"', '\\"').encode() in ack
