"""Readings and their context become canonical events."""

import base64
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from event_check import checked
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import Measurement, Reading, ReadingKind, Remark, ScanContext, TagRead
from gateway.capture.captured import Captured, moment
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.label_reader import LabelReader
from gateway.capture.normalise import EVIDENCE_BYTES_MAX, Normaliser
from gateway.capture.site_map import DeviceEntry, Route, SiteMap, Station
from gateway.capture.station import EMPTY, Session
from gateway.events.cloudevents import EventIds

NOW_MS = 1_795_248_000_123
NOW = "2026-11-21T08:00:00.123Z"
AT = moment(NOW_MS, "synchronised")
SGTIN = bytes.fromhex("3074257bf7194e4000001a85")  # urn:epc:id:sgtin:0614141.812345.6789
SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [
        Station("dock-3", "receipt", "urn:epc:id:sgln:9521321.00003.0", "urn:epc:id:sgln:9521321.00001.0"),
        Station("gate"),
        Station("rack", "putaway", location="A-01"),
        *(Station(f"at-{name}", name) for name in ("pick", "count", "shipment", "return", "transfer")),
    ],
    [
        DeviceEntry("s-1", "dock-3", "serial-scanner", "zebra-ds3608"),
        DeviceEntry("gate-1", "gate", "rfid-reader"),
        DeviceEntry("rack-1", "rack", "tcp-scanner"),
        DeviceEntry("hh-*", "gate", "handheld"),
        *(DeviceEntry(f"d-{name}", f"at-{name}", "tcp-scanner") for name in ("pick", "count", "shipment")),
        *(DeviceEntry(f"d-{name}", f"at-{name}", "tcp-scanner") for name in ("return", "transfer")),
    ],
    [LabelPattern("document", r"PL-\d+", document_type="pick-list"), LabelPattern("location", r"[A-Z]-\d\d")],
    "DL:",
)


def normaliser() -> Normaliser:
    labels = LabelReader(SITE.label_patterns, SITE.command_prefix, year=lambda: 2026)
    return Normaliser(SITE, "//dc07/dock-pc-1/e1", EventIds(lambda: NOW_MS, random.Random(7)), labels)


def route(device: str) -> Route:
    found = SITE.route(device)
    assert found is not None
    return found


def capture(reading: Reading, session: Session = EMPTY, *, is_repeat: bool = False) -> Captured:
    return normaliser().capture(route(reading.device), reading, session, AT, is_repeat=is_repeat)


def event(captured: Captured) -> dict[str, Any]:
    assert captured.draft is not None
    found = checked(captured.draft.payload)
    draft = captured.draft
    assert (draft.id, draft.type, draft.station) == (found["id"], found["type"], found["subject"])
    assert (draft.device, draft.captured_at) == (found["data"]["device"]["id"], NOW_MS)
    return found


def data(captured: Captured) -> dict[str, Any]:
    found: dict[str, Any] = event(captured)["data"]
    return found


def scan(device: str, code: str, symbology: str | None = None, **more: Any) -> Reading:
    return Reading(device, "scan", code.encode("utf-8", "replace"), code=code, symbology=symbology, **more)


def untrailed(session: Session) -> Session:
    """The session but for what can be undone."""
    return replace(session, trail=())


def test_without_command_labels_nothing_is_kept_for_undo() -> None:
    site = SiteMap("dc07", "dock-pc-1", SITE.stations, SITE.devices)
    labels = LabelReader(year=lambda: 2026)
    made = Normaliser(site, "//dc07/dock-pc-1/e1", EventIds(lambda: NOW_MS, random.Random(7)), labels)
    session = Session(document="ASN-9")
    assert made.capture(route("s-1"), scan("s-1", "X"), session, AT, is_repeat=False).session is session


def test_a_scan_at_a_dock_is_a_receipt() -> None:
    session = Session(document="ASN-9", document_line="2", operator="op7", location="D-03")
    captured = capture(scan("s-1", "010952123454321310L1", "]C1"), session)
    assert event(captured)["type"] == "dockline.receipt.v1"
    assert data(captured) == {
        "activity": "receipt",
        "site": "dc07",
        "station": "dock-3",
        "read_point": "urn:epc:id:sgln:9521321.00003.0",
        "business_location": "urn:epc:id:sgln:9521321.00001.0",
        "biz_step": "receiving",
        "operator": "op7",
        "document": {"id": "ASN-9", "line": "2"},
        "item": {"gtin": "09521234543213", "lot": "L1"},
        "quantity": {"value": "1", "unit": "EA"},
        "to_location": "D-03",
        "occurred_at": NOW,
        "captured_at": NOW,
        "clock": "synchronised",
        "device": {"id": "s-1", "profile": "zebra-ds3608"},
        "evidence": {"raw": "010952123454321310L1", "symbology": "]C1"},
    }
    assert untrailed(captured.session) == session
    assert captured.remarks == ()


@pytest.mark.parametrize(
    ("device", "name", "biz_step", "member"),
    [
        ("s-1", "receipt", "receiving", "to_location"),
        ("rack-1", "putaway", "storing", "to_location"),
        ("d-pick", "pick", "picking", "from_location"),
        ("d-count", "count", "cycle_counting", "business_location"),
        ("d-shipment", "shipment", "shipping", "from_location"),
        ("d-return", "return", "receiving", "to_location"),
        ("d-transfer", "transfer", "storing", "to_location"),
        ("gate-1", "observation", None, "business_location"),
    ],
)
def test_the_activity_decides_the_event_and_what_a_location_is(
    device: str, name: str, biz_step: str | None, member: str
) -> None:
    captured = capture(scan(device, "SKU-1"), Session(location="B-02"))
    assert event(captured)["type"] == f"dockline.{name}.v1"
    found = data(captured)
    assert found.get("biz_step") == biz_step
    assert [key for key, value in found.items() if value == "B-02"] == [member]
    assert ("quantity" in found) is (name != "observation")
    assert found.get("disposition") == ("returned" if name == "return" else None)
    assert found.get("kind") == ("absolute" if name == "count" else None)
    assert found.get("activity") == (None if name == "observation" else name)


def test_a_station_may_have_a_location_of_its_own() -> None:
    assert data(capture(scan("rack-1", "X")))["to_location"] == "A-01"
    assert data(capture(scan("rack-1", "X"), Session(location="B-02")))["to_location"] == "B-02"


def test_a_session_activity_goes_before_the_role_of_the_station() -> None:
    assert data(capture(scan("s-1", "X"), Session(activity="return")))["activity"] == "return"


def test_what_a_handheld_states_goes_before_the_session_and_leaves_it() -> None:
    session = Session(activity="receipt", document="ASN-9", document_type="asn", location="D-03", operator="op1")
    context = ScanContext("pick", "PL-1", "A-01-03", "2.5", "KGM", "op7")
    captured = capture(scan("hh-7", "X", message_id="hh7-1", context=context, at="2026-11-21T09:00:00+01:00"), session)
    found = data(captured)
    assert found["document"] == {"id": "PL-1"}
    assert found["quantity"] == {"value": "2.5", "unit": "KGM", "basis": "stated_with_unit"}
    assert (found["from_location"], found["operator"], found["activity"]) == ("A-01-03", "op7", "pick")
    assert (found["occurred_at"], found["captured_at"]) == ("2026-11-21T09:00:00+01:00", NOW)
    assert found["device"] == {"id": "hh-7", "message_id": "hh7-1"}
    assert untrailed(captured.session) == session


@pytest.mark.parametrize(
    ("context", "session", "code", "expected", "basis"),
    [
        (ScanContext(quantity="5"), Session(quantity="3"), "0109521234543213307", "5", "stated"),
        (None, Session(quantity="3"), "0109521234543213307", "3", "stated"),
        (None, EMPTY, "0109521234543213307", "7", "label"),
        (None, EMPTY, "02095212345432133724", "24", "label"),
        (None, EMPTY, "0109521234543213", "1", None),
        (ScanContext(quantity="0"), EMPTY, "0109521234543213", "0", "stated"),
        (ScanContext(unit="EA"), EMPTY, "0109521234543213", "1", "stated_with_unit"),
        (ScanContext(unit="KGM"), EMPTY, "0109521234543213307", "7", "label"),
    ],
)
def test_a_quantity_is_what_the_person_says_then_the_label_then_one(
    context: ScanContext | None, session: Session, code: str, expected: str, basis: str | None
) -> None:
    """A unit that measures says nothing about what the label counts: nobody weighed that."""
    captured = capture(scan("d-pick", code, "]C1", context=context), session)
    said = {} if basis is None else {"basis": basis}
    assert data(captured)["quantity"] == {"value": expected, "unit": "EA", **said}
    assert captured.session.quantity is None


def test_damage_is_said_of_one_item() -> None:
    captured = capture(scan("d-return", "X"), Session(damaged=True))
    assert data(captured)["disposition"] == "damaged"
    assert captured.session.damaged is False


def test_what_shall_become_of_a_return_is_told_with_it() -> None:
    captured = capture(scan("d-return", "X"), Session(return_disposition="restock"))
    assert (data(captured)["return_disposition"], data(captured)["disposition"]) == ("restock", "returned")
    assert captured.session.return_disposition is None
    assert "return_disposition" not in data(capture(scan("d-pick", "X"), Session(return_disposition="restock")))


def test_undo_makes_a_void_of_the_last_event() -> None:
    made = capture(scan("s-1", "X"), Session(document="ASN-9", document_type="asn"))
    assert made.draft is not None
    captured = capture(scan("s-1", "DL:undo", "]C0"), made.session)
    assert event(captured)["type"] == "dockline.void.v1"
    found = data(captured)
    assert (found["voids"], captured.voids) == (made.draft.id, made.draft.id)
    assert (found["activity"], found["document"]) == ("receipt", {"id": "ASN-9", "type": "asn"})
    assert found["evidence"] == {"raw": "DL:undo", "symbology": "]C0"}
    again = capture(scan("s-1", "DL:undo"), captured.session)
    assert again.draft is None
    assert again.remarks == (
        Remark("nothing_to_undo", "nothing to undo: s-1 has no event left here for document ASN-9"),
    )


def test_a_handheld_undoes_in_the_document_it_states() -> None:
    first = capture(scan("hh-7", "X", context=ScanContext("pick", "PL-1")))
    second = capture(scan("hh-7", "Y", context=ScanContext("pick", "PL-2")), first.session)
    captured = capture(scan("hh-7", "DL:undo", context=ScanContext(document="PL-1", operator="op7")), second.session)
    assert first.draft is not None
    found = data(captured)
    assert (found["voids"], found["document"], found["activity"]) == (first.draft.id, {"id": "PL-1"}, "pick")
    assert found["operator"] == "op7"


def test_a_handheld_that_replaces_the_separator_is_repaired_where_the_site_says_so() -> None:
    handheld = replace(route("hh-7"), group_separator="\u241d")
    for code in ("]C1010952123454321310L1\u241d21S1", "010952123454321310L1\u241d21S1"):
        found = data(normaliser().capture(handheld, scan("hh-7", code), EMPTY, AT, is_repeat=False))
        assert (found["item"]["lot"], found["item"]["serial"]) == ("L1", "S1")
        assert found["evidence"]["raw"] == code.removeprefix("]C1"), "evidence is what arrived"
        assert event(capture(scan("hh-7", code)))["type"] == "dockline.unrecognised.v1"
    plain = data(normaliser().capture(handheld, scan("hh-7", "SKU\u241d1", "]C0"), EMPTY, AT, is_repeat=False))
    assert plain["item"] == {"code": "SKU\u241d1"}


def test_close_names_the_document_and_makes_no_event() -> None:
    captured = capture(scan("s-1", "DL:close"), Session(document="ASN-9"))
    assert (captured.draft, captured.closes, captured.remarks) == (None, "ASN-9", ())
    vain = capture(scan("s-1", "DL:close"))
    assert (vain.closes, vain.remarks[0].code) == (None, "nothing_to_close")


def test_an_undo_that_may_be_said_again_is_flagged() -> None:
    session = capture(scan("s-1", "X")).session
    assert data(capture(scan("s-1", "DL:undo"), session, is_repeat=True))["possible_redelivery"] is True


def test_a_field_of_another_symbol_is_remarked_beside_the_event() -> None:
    """A pallet label with SSCC and lot: the pallet counts, and the operator hears what is odd about its label."""
    captured = capture(scan("s-1", "0037610425002123456910LOT1", "]C1"))
    assert event(captured)["type"] == "dockline.receipt.v1"
    assert data(captured)["item"] == {"sscc": "376104250021234569", "lot": "LOT1"}
    (remark,) = captured.remarks
    assert (remark.code, remark.message[:23]) == ("barcode_mismatch", "AI 10 belongs to AI 01 ")


def test_a_net_weight_is_told_in_kilograms() -> None:
    assert data(capture(scan("s-1", "01095212345432133103001250", "]C1")))["net_weight_kg"] == "1.250"


def test_a_context_label_is_no_event() -> None:
    captured = capture(scan("s-1", "PL-1001"), Session(operator="op7"))
    assert captured.draft is None
    assert captured.session == Session(document="PL-1001", document_type="pick-list", operator="op7")
    assert data(capture(scan("s-1", "X"), captured.session))["document"] == {"id": "PL-1001", "type": "pick-list"}


@pytest.mark.parametrize(
    ("code", "symbology", "remark"),
    [
        ("9521234543210", "]E0", "barcode_mismatch"),
        ("", None, "unreadable"),
        ("DL:fly", "]C0", "unreadable"),
        ("10ABC", "]C1", "unreadable"),
    ],
)
def test_a_label_with_a_problem_is_kept_with_its_evidence(code: str, symbology: str | None, remark: str) -> None:
    session = Session(document="ASN-9", quantity="3")
    captured = capture(scan("s-1", code, symbology), session)
    assert event(captured)["type"] == "dockline.unrecognised.v1"
    found = data(captured)
    assert found["evidence"]["raw"] == code
    assert (found["activity"], found["document"]) == ("receipt", {"id": "ASN-9"})
    assert captured.remarks == (Remark(remark, found["reason"]),)
    assert captured.session is session, "a quantity waits for the item that can be read"


@pytest.mark.parametrize(
    "context",
    [
        ScanContext(activity="steal"),
        ScanContext(quantity="two"),
        ScanContext(quantity="-1"),
        ScanContext(quantity=""),
        ScanContext(unit="pieces"),
    ],
)
def test_a_context_nobody_understands_is_not_guessed(context: ScanContext) -> None:
    captured = capture(scan("hh-7", "X", context=context))
    assert event(captured)["type"] == "dockline.unrecognised.v1"
    assert captured.remarks[0].code == "unreadable"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-21T07:59:58Z", "2026-11-21T07:59:58Z"),
        ("2026-11-21t07:59:58.5z", "2026-11-21T07:59:58.5Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2026-11-21T07:59:58-05:30", "2026-11-21T07:59:58-05:30"),
        ("2026-02-30T00:00:00Z", NOW),
        ("2026-11-21T07:59:60Z", NOW),
        ("2026-11-21 07:59:58", NOW),
        ("20261121T075958Z", NOW),
        ("yesterday", NOW),
        ("", NOW),
    ],
)
def test_the_time_of_the_device_is_told_when_it_is_one(at: str, expected: str) -> None:
    found = data(capture(scan("s-1", "X", at=at)))
    assert (found["occurred_at"], found["captured_at"]) == (expected, NOW)


def test_a_possible_redelivery_is_flagged() -> None:
    assert data(capture(scan("s-1", "X"), is_repeat=True))["possible_redelivery"] is True
    assert data(capture(Reading("s-1", "unreadable", b"?"), is_repeat=True))["possible_redelivery"] is True


def test_a_tag_at_a_gate_is_an_observation() -> None:
    tag = TagRead(SGTIN, antenna=2, rssi_dbm=-51.5, tid="E280", seen_count=3)
    found = data(capture(Reading("gate-1", "tag", b"{}", tag=tag)))
    assert found["item"] == {
        "gtin": "80614141123458",
        "epc": "urn:epc:id:sgtin:0614141.812345.6789",
        "serial": "6789",
    }
    assert found["tag_read"] == {"antenna": 2, "rssi_dbm": -51.5, "tid": "E280", "seen_count": 3}
    assert found["evidence"] == {"raw": SGTIN.hex()}
    assert "quantity" not in found


def test_a_tag_at_a_dock_is_a_receipt_of_one() -> None:
    found = data(capture(Reading("s-1", "tag", b"", tag=TagRead(SGTIN)), Session(document="ASN-9")))
    assert (found["activity"], found["quantity"]) == ("receipt", {"value": "1", "unit": "EA"})
    assert found["document"] == {"id": "ASN-9"}


def test_a_tag_nobody_encoded_keeps_its_bits() -> None:
    found = data(capture(Reading("gate-1", "tag", b"", tag=TagRead(b"\xe2\x00"))))
    assert found["item"] == {"epc": "urn:epc:raw:16.xE200"}


def test_a_signal_strength_that_is_no_number_is_not_told() -> None:
    found = data(capture(Reading("gate-1", "tag", b"", tag=TagRead(SGTIN, rssi_dbm=float("nan")))))
    assert found["tag_read"] == {"seen_count": 1}


def test_a_counter_adds_an_increment_without_business_step() -> None:
    measurement = Measurement("good_parts", "12", None, "100", "112")
    found = data(capture(Reading("s-1", "count", b"", measurement=measurement), Session(document="WO-1", quantity="9")))
    assert (found["kind"], found["quantity"]) == ("increment", {"value": "12", "unit": "EA"})
    assert found["measurement"] == {"name": "good_parts", "value": "12", "previous": "100", "raw": "112"}
    assert found["activity"] == "count"
    assert found["document"] == {"id": "WO-1"}
    assert not {"biz_step", "item"} & found.keys()


def test_an_increment_that_is_no_number_is_not_counted() -> None:
    captured = capture(Reading("s-1", "count", b"\x00\xff", measurement=Measurement("good_parts", "-3")))
    assert event(captured)["type"] == "dockline.unrecognised.v1"
    assert data(captured)["evidence"] == {"raw_base64": base64.b64encode(b"\x00\xff").decode()}


def test_a_sensor_reports_a_condition() -> None:
    found = data(capture(Reading("s-1", "condition", b"", measurement=Measurement("door", "true", previous="false"))))
    assert found["measurement"] == {"name": "door", "value": "true", "previous": "false"}
    assert found["biz_step"] == "sensor_reporting"


def test_a_counter_that_fell_is_a_condition_with_a_remark() -> None:
    reading = Reading("s-1", "counter_reset", b"", measurement=Measurement("good_parts", "0"), reason="fell to 3")
    captured = capture(reading)
    assert data(captured)["reason"] == "fell to 3"
    assert captured.remarks == (Remark("counter_reset", "fell to 3"),)


def test_values_that_did_not_arrive_leave_a_gap() -> None:
    captured = capture(Reading("s-1", "gap", b"", reason="no answer since 08:00"))
    assert event(captured)["type"] == "dockline.device.v1"
    assert (data(captured)["state"], data(captured)["reason"]) == ("gap", "no answer since 08:00")


def test_a_baseline_is_no_event() -> None:
    assert capture(Reading("s-1", "baseline", b"", state_key="k", state=b"1")).draft is None


@pytest.mark.parametrize(
    ("raw", "evidence"),
    [
        (b"plain", {"raw": "plain"}),
        (b"\x02\x00", {"raw": "\x02\x00"}),
        ("ä".encode(), {"raw": "ä"}),
        (b"\xff\xfe", {"raw_base64": "//4="}),
        (b"", {"raw": ""}),
        (b"x" * (EVIDENCE_BYTES_MAX + 1), {"raw": "x" * EVIDENCE_BYTES_MAX}),
    ],
)
def test_what_a_driver_cannot_read_is_kept_as_it_came(raw: bytes, evidence: dict[str, str]) -> None:
    captured = capture(Reading("s-1", "unreadable", raw, reason="no terminator"))
    assert data(captured)["evidence"] == evidence
    assert captured.remarks == (Remark("unreadable", "no terminator"),)


def test_half_a_character_in_a_code_is_kept_as_bytes() -> None:
    """JSON may hold a lone surrogate, which no UTF-8 can carry."""
    raw = b'{"code": "\\ud800"}'
    found = data(capture(Reading("hh-7", "scan", raw, code="\ud800")))
    assert found["evidence"] == {"raw": raw.decode()}


def test_a_device_event() -> None:
    draft = normaliser().device(route("s-1"), "down", "unplugged", AT)
    found = checked(draft.payload)
    assert found["type"] == "dockline.device.v1"
    assert (found["data"]["state"], found["data"]["reason"]) == ("down", "unplugged")


def test_ids_differ_and_the_payload_is_compact() -> None:
    made = normaliser()
    drafts = [made.capture(route("s-1"), scan("s-1", "X"), EMPTY, AT, is_repeat=False).draft for _ in range(3)]
    assert len({draft.id for draft in drafts if draft}) == 3
    payload = drafts[0].payload if drafts[0] else b""
    assert json.dumps(json.loads(payload), separators=(",", ":")).encode() == payload


_ANY = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(["\ud83d", '"\\\x00', "ä\u2028"])
_MAYBE = st.none() | _ANY
_ACTIVITY = st.none() | st.sampled_from(["pick", "count", "return", "x", ""]) | _ANY
_CONTEXT = st.none() | st.builds(
    ScanContext, _ACTIVITY, _MAYBE, _MAYBE, st.none() | st.sampled_from(["1", "2.5", "0", "x"]) | _ANY, _MAYBE, _MAYBE
)
_SESSION = st.builds(
    Session,
    st.none() | st.sampled_from(["pick", "count", "return", "transfer"]),
    *([st.none() | _ANY.filter(bool)] * 5),
    st.none() | st.sampled_from(["2", "0.5"]),
    st.booleans(),
)
_CODE = _ANY | st.sampled_from(["0109521234543213", "9521234543213", "PL-1", "A-01", "DL:pick", "]C10109521234543213"])
_NUMBER = st.floats() | st.none()
_TAG = st.builds(TagRead, st.binary(max_size=70), st.none() | st.integers(0, 99), _NUMBER, _MAYBE, st.integers(1, 99))
_MEASUREMENT = st.builds(
    Measurement, _ANY.filter(bool), st.sampled_from(["1", "12.5", "true", "-3"]) | _ANY, _MAYBE, _MAYBE, _MAYBE
)
_KINDS: list[ReadingKind] = ["scan", "tag", "count", "condition", "counter_reset", "gap", "unreadable", "baseline"]


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from(["s-1", "hh-7", "rack-1", "gate-1", "d-count", "d-return"]),
    st.sampled_from(_KINDS),
    st.binary(max_size=20),
    _CODE,
    st.none() | st.sampled_from(["]C1", "]E0", "]C0", ""]) | _ANY,
    _MAYBE,
    st.none()
    | st.sampled_from(["2026-11-21T07:59:58Z", "2026-11-21T07:59:58.123456789+14:00"])
    | st.datetimes().map(str),
    _CONTEXT,
    _TAG,
    _MEASUREMENT,
    _MAYBE,
    _SESSION,
    st.booleans(),
)
def test_every_event_validates_whatever_arrived(
    device: str,
    kind: ReadingKind,
    raw: bytes,
    code: str,
    symbology: str | None,
    message_id: str | None,
    at: str | None,
    context: ScanContext | None,
    tag: TagRead,
    measurement: Measurement,
    reason: str | None,
    session: Session,
    is_repeat: bool,
) -> None:
    """The hot path joins text; this holds it to the models and the published schemas."""
    reading = Reading(
        device,
        kind,
        raw,
        code=code,
        symbology=symbology,
        message_id=message_id,
        at=at,
        context=context,
        tag=tag,
        measurement=measurement,
        reason=reason,
    )
    captured = capture(reading, session, is_repeat=is_repeat)
    if captured.draft is not None:
        event(captured)
