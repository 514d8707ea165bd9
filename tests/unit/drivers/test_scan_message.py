"""What a handheld says, to readings; what became of it, back to the handheld."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers import Reading, Remark, ScanContext, Verdict
from drivers.scan_message import (
    BODY_BYTES_MAX,
    CODE_CHARACTERS_MAX,
    DEPTH_MAX,
    ID_CHARACTERS_MAX,
    SCANS_MAX,
    TEXT_CHARACTERS_MAX,
    _parse_carefully,
    encode_acks,
    parse_scans,
)

FULL = (
    b'{"id": "hh7-000123", "code": "]C10109521234543213", "at": "2026-11-21T08:00:00Z", "activity": "pick", '
    b'"document": "PL-1001", "location": "A-01-03", "quantity": 2, "unit": "C62", "operator": "op7"}'
)


def one(body: bytes) -> Reading:
    [reading] = parse_scans("hh-7", body).readings
    return reading


def test_every_key_finds_its_place() -> None:
    assert one(FULL) == Reading(
        "hh-7",
        "scan",
        FULL,
        code="0109521234543213",
        symbology="]C1",
        message_id="hh7-000123",
        at="2026-11-21T08:00:00Z",
        context=ScanContext("pick", "PL-1001", "A-01-03", "2", "C62", "op7"),
    )


def test_id_and_code_are_enough() -> None:
    body = b'{"id":"a-1","code":"12345678"}'
    assert one(body) == Reading("hh-7", "scan", body, code="12345678", message_id="a-1")


@pytest.mark.parametrize("code", ["]C1\\u001d0109521234543213", "gr\\u00fcn \\u00e4", 'say \\"hi\\"', "\\\\", "grün ä"])
def test_a_code_is_data_whatever_characters_it_has(code: str) -> None:
    """GS between element strings, quotation marks, umlauts, escaped or not."""
    body = f'{{"id":"a-1","code":"{code}"}}'.encode()
    text = json.loads(body)["code"]
    assert one(body).code == text.removeprefix("]C1")
    assert one(body).symbology == ("]C1" if text.startswith("]C1") else None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2", "2"),
        ("0", "0"),
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("123456789012345.123456789", "123456789012345.123456789"),
        ("1e3", "1000"),
        ("25e-1", "2.5"),
        ('"2.50"', "2.50"),
        ('"7"', "7"),
        ("null", None),
    ],
)
def test_a_quantity_stays_what_was_written(written: str, meant: str | None) -> None:
    """0.1 kg of saffron is not 0.1000000000000000055511151231257827."""
    reading = one(f'{{"id":"a-1","code":"1234","quantity":{written},"unit":"KGM"}}'.encode())
    assert reading.kind == "scan"
    assert reading.context is not None
    assert reading.context.quantity == meant


@given(st.decimals(min_value=0, max_value=10**14, allow_nan=False, places=6))
def test_any_decimal_quantity_is_exact(quantity: Decimal) -> None:
    context = one(f'{{"id":"a-1","code":"1234","quantity":{quantity:f}}}'.encode()).context
    assert context is not None
    assert context.quantity == f"{quantity:f}"


@pytest.mark.parametrize(
    "quantity",
    [
        "-1",
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "[]",
        "{}",
        '"two"',
        '""',
        '"٣"',
        "1e400",
        "9" * 16,
        "9" * 5000,
        "0.1234567891",
        '" 1"',
        '"1_000"',
    ],
)
def test_a_quantity_that_is_no_exact_number_makes_the_message_unreadable(quantity: str) -> None:
    body = f'{{"id":"a-1","code":"1234","quantity":{quantity}}}'.encode()
    reading = one(body)
    assert (reading.kind, reading.raw) == ("unreadable", body)
    assert reading.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"]C10109521234543213", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ('{"id":"a-1","code":"x"}'.encode("utf-16"), "not JSON: it looks like UTF-16"),
        (b'\xef\xbb\xbf{"id":"a-1","code":"1234"}', "not JSON: it begins with a byte order mark"),
        (b'{"id":"a-1","code":"]C101\x1d10"}', "in JSON it is written \\u001d"),
        (b'{"id":"a-1","code":"1234"} x', "not JSON"),
        (b'{"id":"a-1","code":"\xff\xfe"}', "not JSON"),
        (b'{"id":"a-1","code":"\\ud800"}', "not JSON"),
        (b"null", "neither an object nor an array"),
        (b'"text"', "neither an object nor an array"),
        (b"[]", "an empty array"),
        (b"{}", 'required key "id" is missing'),
        (b'{"code":"1234"}', 'required key "id" is missing'),
        (b'{"id":"a-1"}', 'required key "code" is missing'),
        (b'{"id":null,"code":"1234"}', 'required key "id" is missing'),
        (b'{"id":"","code":"1234"}', '"id" is empty'),
        (b'{"id":"a-1","code":""}', '"code" is empty'),
        (b'{"id":"a-1","code":"]C1"}', "a symbology identifier and nothing else"),
        (b'{"id":7,"code":"1234"}', '"id" is not a string'),
        (b'{"id":"a-1","code":1234}', '"code" is not a string'),
        (b'{"id":"a-1","code":"1234","location":7}', '"location" is not a string'),
        (b'{"id":"a-1","code":"1234","operator":["op7"]}', '"operator" is not a string'),
        (b'{"id":"a-1","code":"1234","id":"a-2"}', 'key "id" appears twice'),
        (b'{"id":"a-1","code":"1234","code":"5678"}', 'key "code" appears twice'),
        (b'{"id":"a-1","code":"1234","quantity":1,"quantity":2}', 'key "quantity" appears twice'),
        (b'{"id":"a-1","code":"1234","x":{"y":1,"y":2},"x":1}', 'key "x" appears twice'),
    ],
)
def test_what_is_not_understood_is_kept_with_the_reason(body: bytes, reason: str) -> None:
    reading = one(body)
    assert (reading.kind, reading.raw) == ("unreadable", body)
    assert reason in (reading.reason or "")


@pytest.mark.parametrize(
    ("key", "limit"), [("id", ID_CHARACTERS_MAX), ("code", CODE_CHARACTERS_MAX), ("document", TEXT_CHARACTERS_MAX)]
)
def test_texts_have_limits(key: str, limit: int) -> None:
    for length, kind in ((limit, "scan"), (limit + 1, "unreadable")):
        scan = {"id": "a-1", "code": "1234", key: "x" * length}
        assert one(json.dumps(scan).encode()).kind == kind


def test_bodies_arrays_and_nesting_have_limits() -> None:
    scan = b'{"id":"a-1","code":"1234"}'
    for count, kind in ((SCANS_MAX, "scan"), (SCANS_MAX + 1, "unreadable")):
        assert parse_scans("hh-7", b"[" + b",".join([scan] * count) + b"]").readings[0].kind == kind
    for depth, kind in ((DEPTH_MAX - 1, "scan"), (DEPTH_MAX, "unreadable")):
        nested = b"[" * depth + b"]" * depth
        assert one(b'{"id":"a-1","code":"1234","x":' + nested + b"}").kind == kind
    for size, kind in ((BODY_BYTES_MAX, "scan"), (BODY_BYTES_MAX + 1, "unreadable")):
        reading = one(scan + b" " * (size - len(scan)))
        assert reading.kind == kind
        assert len(reading.raw) == BODY_BYTES_MAX
    assert one(b"[" * 100_000).kind == "unreadable"


def test_a_message_with_a_mistake_keeps_its_number_when_that_is_certain() -> None:
    """Its handheld must be told which of its scans it was, or it says it again for ever."""
    assert one(b'{"id":"a-1","code":"1234","quantity":-1}').message_id == "a-1"
    assert one(b'{"id":"a-1","code":"1234","code":"5"}').message_id == "a-1"
    assert one(b'{"id":"a-1","code":"1234","id":"a-2"}').message_id is None


def test_an_unknown_key_is_named_and_spoils_nothing() -> None:
    reading = one(b'{"id":"a-1","code":"1234","battery":{"percent":81.5},"wifi":-61}')
    assert (reading.kind, reading.code, reading.context) == ("scan", "1234", None)
    assert reading.reason == 'unknown key "battery", "wifi" ignored'


def test_an_array_keeps_its_order_and_each_member_its_own_bytes() -> None:
    body = b' [ {"id":"a-1","code":"1111"} ,\n{"id":"a-2","code":"2222","quantity":-1}, 7 , {"id":"a-3","code":"33"}]'
    parsed = parse_scans("hh-7", body)
    assert parsed.is_array
    assert parsed.problem is None
    assert [(one.kind, one.message_id, one.raw) for one in parsed.readings] == [
        ("scan", "a-1", b'{"id":"a-1","code":"1111"}'),
        ("unreadable", "a-2", b'{"id":"a-2","code":"2222","quantity":-1}'),
        ("unreadable", None, b"7"),
        ("scan", "a-3", b'{"id":"a-3","code":"33"}'),
    ]


def test_the_bytes_of_a_member_are_those_of_the_same_scan_sent_alone() -> None:
    """A handheld that sends a scan alone and, having heard nothing, again in an array must not seem to reuse its id."""
    alone = one(FULL)
    [member] = parse_scans("hh-7", b"[" + FULL + b"]").readings
    assert member == alone


SCANS = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=8),
        "code": st.text(min_size=1, max_size=3) | st.text(st.characters(codec="ascii"), min_size=4, max_size=12),
    },
    optional={
        "at": st.text(max_size=5),
        "activity": st.text(max_size=5) | st.none(),
        "quantity": st.integers(0, 10**15 - 1) | st.decimals(0, 10**6, places=3).map(float) | st.booleans(),
        "operator": st.text(max_size=5),
        "x": st.none() | st.lists(st.integers(), max_size=2),
    },
)


@settings(max_examples=400, deadline=None)
@given(scan=SCANS, is_ascii=st.booleans())
@example({"id": "a", "code": "12345", "at": "x"}, True)
@example({"id": "a", "code": "]C1"}, True)
@example({"id": "a", "code": 'quo"te'}, True)
def test_the_quick_path_agrees_with_the_careful_one(scan: dict[str, Any], is_ascii: bool) -> None:
    body = json.dumps(scan, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    assert parse_scans("hh-7", body) == _parse_carefully("hh-7", body)


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=60) | st.text(alphabet='[]{}",:0123456789.eE-idcoe \\u', max_size=60).map(str.encode))
def test_any_bytes_become_readings_that_can_be_acknowledged(body: bytes) -> None:
    parsed = parse_scans("hh-7", body)
    assert parsed.readings
    acks = json.loads(encode_acks(parsed.readings, [Verdict("stored") for _ in parsed.readings], is_array=True))
    assert len(acks) == len(parsed.readings)


def ack_of(reading: Reading, verdict: Verdict) -> dict[str, Any]:
    ack: dict[str, Any] = json.loads(encode_acks([reading], [verdict]))
    return ack


def test_an_acknowledgement_says_what_became_of_the_scan() -> None:
    verdict = Verdict("stored_with_exception", ("e-1", "e-2"), (Remark("expired", "best before 2026-11-01"),))
    assert ack_of(one(FULL), verdict) == {
        "id": "hh7-000123",
        "result": "stored_with_exception",
        "events": ["e-1", "e-2"],
        "exceptions": [{"code": "expired", "message": "best before 2026-11-01"}],
    }
    assert ack_of(one(FULL), Verdict("stored", redelivered=True))["redelivered"] is True
    refused = ack_of(one(FULL), Verdict("refused", reason="device is not configured"))
    assert (refused["result"], refused["reason"]) == ("refused", "device is not configured")


def test_the_acknowledgement_of_something_unreadable_never_sounds_good() -> None:
    """It is on disk as evidence. The operator must still scan again."""
    ack = ack_of(one(b'{"id":"a-1","code":"1234","quantity":-1}'), Verdict("stored", ("e-1",)))
    assert (ack["id"], ack["result"], ack["events"]) == ("a-1", "stored_with_exception", ["e-1"])
    assert ack["exceptions"][0]["code"] == "unreadable"
    assert "quantity" in ack["exceptions"][0]["message"]
    told = Verdict("stored_with_exception", ("e-1",), (Remark("unreadable", "said upstairs"),))
    assert [one["message"] for one in ack_of(one(b"x"), told)["exceptions"]] == ["said upstairs"]
    assert ack_of(one(b"x"), Verdict("refused"))["result"] == "refused"


def test_an_array_is_acknowledged_by_an_array_even_of_one() -> None:
    parsed = parse_scans("hh-7", b"[" + FULL + b"]")
    acks = json.loads(encode_acks(parsed.readings, [Verdict("stored")], is_array=parsed.is_array))
    assert [ack["id"] for ack in acks] == ["hh7-000123"]
    assert "notice" not in acks[0]


def test_a_handheld_hears_of_the_keys_that_were_ignored() -> None:
    assert (
        ack_of(one(b'{"id":"a-1","code":"1234","qty":2}'), Verdict("stored"))["notice"] == 'unknown key "qty" ignored'
    )


def test_a_scan_that_names_its_device_is_neither_believed_nor_scolded() -> None:
    """Over HTTP in a lab the key is needed; the answer must not call it unknown."""
    (reading,) = parse_scans("hh-1", b'{"id": "1", "code": "ABCD", "device": "hh-9"}').readings
    assert (reading.device, reading.kind, reading.reason) == ("hh-1", "scan", None)
