"""Foreign tag messages become readings, or one unreadable reading; never an exception, never a silent loss."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reader_message import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    EPC_BYTES_MAX,
    RAW_BYTES_MAX,
    RECORDS_MAX,
    parse_report,
    parse_tags,
)
from drivers.reading import TagRead
from drivers.tag_mapping import TagMapping

PROFILES = Path(__file__).parents[3] / "config" / "profiles"


def profile(name: str) -> TagMapping:
    return TagMapping.model_validate(tomllib.loads((PROFILES / f"{name}.toml").read_text())["device"]["tags"])


ZEBRA = profile("zebra-iot-connector")
SLED = profile("zebra-rfd-mqtt")
IMPINJ = profile("impinj-r700")
EPC = "3074257bf7194e4000001a85"


def zebra(epc: object = EPC, **data: object) -> dict[str, Any]:
    """An FX9600 in INVENTORY mode."""
    return {
        "data": {"antenna": 2, "eventNum": 7, "format": "epc", "idHex": epc, "peakRssi": -54, "reads": 9, **data},
        "timestamp": "2026-09-07T12:50:55.513+0000",
        "type": "INVENTORY",
    }


def encode(message: object) -> bytes:
    return json.dumps(message).encode()


def test_one_tag_of_a_zebra_reader() -> None:
    body = encode(zebra(TID="e2801190200079d3"))
    [reading] = parse_tags("dock-3", ZEBRA, body).readings
    assert (reading.device, reading.kind, reading.raw, reading.message_id) == ("dock-3", "tag", body, None)
    assert reading.at == "2026-09-07T12:50:55.513+00:00"
    assert reading.tag == TagRead(bytes.fromhex(EPC), 2, -54.0, "E2801190200079D3", 9)


def test_three_fields_are_enough() -> None:
    """SIMPLE and CUSTOM mode send no antenna and no signal strength unless asked."""
    body = b'{"data":{"eventNum":1,"format":"epc","idHex":"%s"},"timestamp":"now","type":"SIMPLE"}' % EPC.encode()
    [reading] = parse_tags("dock-3", ZEBRA, body).readings
    assert reading.tag == TagRead(bytes.fromhex(EPC))
    assert reading.at is None


def test_an_array_is_as_many_readings_each_with_its_own_bytes() -> None:
    epcs = [f"{number:024x}" for number in range(1, 60)]
    parsed = parse_tags("dock-3", ZEBRA, encode([zebra(epc) for epc in epcs]))
    assert [reading.tag.epc.hex() for reading in parsed.readings if reading.tag] == epcs
    assert [json.loads(reading.raw) for reading in parsed.readings] == [zebra(epc) for epc in epcs]
    assert parsed.problem is None


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n", b" "])
def test_messages_one_behind_the_other_are_understood(between: bytes) -> None:
    """Streams are cut where the network likes: several objects in one body."""
    body = between.join([encode(zebra("01")), encode([zebra("02"), zebra("03")]), encode(zebra("04"))]) + between
    parsed = parse_tags("dock-3", ZEBRA, body)
    assert [reading.tag.epc for reading in parsed.readings if reading.tag] == [b"\1", b"\2", b"\3", b"\4"]


def test_an_empty_array_is_no_complaint() -> None:
    assert parse_tags("dock-3", ZEBRA, b" [ ] ") == ([], None, False)


def test_a_heartbeat_on_the_same_topic_is_counted_and_not_kept() -> None:
    beat = {"component": "RG", "data": {"radio_control": {}}, "eventNum": 372, "type": "heartbeat"}
    report = parse_report("dock-3", ZEBRA, encode([beat, zebra(), beat]))
    assert ([reading.kind for reading in report.readings], report.ignored) == (["tag"], 2)


def test_what_the_reader_says_about_itself_goes_to_its_status() -> None:
    report = parse_report("dock-3", ZEBRA, encode({"type": "error", "data": {"message": "antenna 2\x1b[31m lost"}}))
    assert report.health == ("error: antenna 2?[31m lost",)
    assert (report.readings, report.ignored, report.problem) == ([], 1, None)


def test_a_sled_sends_a_list_in_an_envelope() -> None:
    body = encode(
        {
            "type": "BALANCED_PERFORMANCE",
            "timestamp": "2026-05-19T14:23:11Z",
            "data": {
                "tagData": [{"EPC": EPC, "peakRssi": -52, "seenCount": 14, "eventNum": 1}, {"EPC": "02", "eventNum": 2}]
            },
        }
    )
    first, second = parse_tags("rfd-1", SLED, body).readings
    assert (first.tag, first.at) == (TagRead(bytes.fromhex(EPC), None, -52.0, None, 14), "2026-05-19T14:23:11Z")
    assert json.loads(second.raw) == {"EPC": "02", "eventNum": 2}


@pytest.mark.parametrize("in_array", [True, False])
def test_an_impinj_event_with_base64_and_hundredths(in_array: bool) -> None:
    event = {
        "timestamp": "2026-05-08T11:36:02.123Z",
        "hostname": "impinj-01-23-45",
        "eventType": "tagInventory",
        "tagInventoryEvent": {
            "epc": "ftqQOAUQAnEAAsCu",
            "tid": "4oARcCAAFM2bWgjs",
            "antennaPort": 1,
            "peakRssiCdbm": -5234,
        },
    }
    [reading] = parse_tags("r700", IMPINJ, encode([event] if in_array else event)).readings
    assert reading.tag == TagRead(bytes.fromhex("7EDA9038051002710002C0AE"), 1, -52.34, "E2801170200014CD9B5A08EC", 1)


@pytest.mark.parametrize("text", ["MDQle/cZTk+/AABq", "MDQle_cZTk-_AABq"])
def test_base64_comes_in_two_alphabets(text: str) -> None:
    [reading] = parse_tags("r700", IMPINJ, encode({"tagInventoryEvent": {"epc": text}})).readings
    assert reading.tag == TagRead(bytes.fromhex("3034257bf7194e4fbf00006a"))


def test_hex_is_preferred_to_base64() -> None:
    event = {"tagInventoryEvent": {"epc": "AAAA", "epcHex": "0102"}}
    [reading] = parse_tags("r700", IMPINJ, encode(event)).readings
    assert reading.tag == TagRead(b"\1\2")


@pytest.mark.parametrize("text", ["ftqQ!OAUQAnEAAsCu", "ftqQOAUQAnEAAsC", "ftqQ OAU"])
def test_what_is_nearly_base64_is_no_epc(text: str) -> None:
    parsed = parse_tags("r700", IMPINJ, encode({"tagInventoryEvent": {"epc": text}}))
    assert [reading.kind for reading in parsed.readings] == ["unreadable"]


def test_an_antenna_that_went_missing_is_health() -> None:
    report = parse_report("r700", IMPINJ, b'[{"eventType":"antennaDisconnected"},{"eventType":"inventoryStatus"}]')
    assert (report.health, report.ignored, report.readings) == (("antennaDisconnected",), 2, [])


def test_a_reader_that_numbers_its_messages_for_good() -> None:
    mapping = TagMapping(epc_hex="epc", message_id="/n", time="/t", time_unit="ms")
    [reading] = parse_tags("x", mapping, b'{"epc":"01","n":17,"t":1795000000123}').readings
    assert (reading.message_id, reading.at) == ("17", "2026-11-18T11:06:40.123000+00:00")


@pytest.mark.parametrize(
    "data",
    [
        {"antenna": "two"},
        {"antenna": -1},
        {"antenna": 1.5},
        {"antenna": True},
        {"peakRssi": None},
        {"peakRssi": "NaN"},
        {"peakRssi": float("-inf")},
        {"antenna": float("nan")},
        {"peakRssi": 1e300},
        {"peakRssi": {}},
        {"reads": 0},
        {"reads": 10**30},
        {"reads": []},
        {"TID": "xyz"},
        {"TID": 5},
    ],
)
def test_a_tag_is_seen_even_when_what_comes_with_it_is_nonsense(data: dict[str, object]) -> None:
    [reading] = parse_tags("dock-3", ZEBRA, encode(zebra(**data))).readings
    assert reading.tag is not None
    assert reading.tag.epc == bytes.fromhex(EPC)
    assert reading.tag.antenna in (2, None)
    assert reading.tag.seen_count >= 1
    assert reading.tag.rssi_dbm in (-54.0, None)


@pytest.mark.parametrize(("antenna", "rssi"), [("3", "-61.5"), (3.0, -61.5)])
def test_numbers_written_as_text_count(antenna: object, rssi: object) -> None:
    [reading] = parse_tags("dock-3", ZEBRA, encode(zebra(antenna=antenna, peakRssi=rssi))).readings
    assert reading.tag is not None
    assert (reading.tag.antenna, reading.tag.rssi_dbm) == (3, -61.5)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\xff\xfe{", "not UTF-8 at byte 0"),
        (b"hello", "not JSON at character 0"),
        (b'{"data":', "not JSON"),
        (b'[{"data":{"idHex":"01"}}', "array does not go on"),
        (b'[{"data":{"idHex":"01"}},]', "not JSON"),
        (b"[1] 2 x", "not JSON at character 6"),
        (b"5", "no EPC"),
        (b"null", "no EPC"),
        (b'{"foo":1}', "no EPC"),
        (b'{"data":{"idHex":""}}', "an EPC of 0 bytes"),
        (b'{"data":{"idHex":"123"}}', "not whole bytes"),
        (b'{"data":{"idHex":"zz"}}', "not whole bytes"),
        ('{"data":{"idHex":"０１"}}'.encode(), "not whole bytes"),
        (b'{"data":{"idHex":12}}', "no EPC"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", "nested deeper"),
        (b'{"data":{"idHex":"01","reads":' + b"9" * 5000 + b"}}", "not JSON"),
    ],
)
def test_what_is_not_understood_is_one_unreadable_reading(body: bytes, told: str) -> None:
    parsed = parse_tags("dock-3", ZEBRA, body)
    [reading] = parsed.readings
    assert (reading.kind, reading.raw) == ("unreadable", body)
    assert reading.reason == parsed.problem
    assert told in (parsed.problem or "")


def test_strangers_in_a_batch_are_kept_beside_its_tags() -> None:
    batch = [zebra("01"), {"foo": 1}, zebra("02"), {"foo": 2}]
    parsed = parse_tags("dock-3", ZEBRA, encode(batch))
    assert [reading.kind for reading in parsed.readings] == ["tag", "tag", "unreadable"]
    assert json.loads(parsed.readings[2].raw) == [{"foo": 1}, {"foo": 2}]
    assert parsed.problem is not None
    assert "2 messages not understood" in parsed.problem


def test_brackets_inside_texts_are_not_nesting() -> None:
    batch = [zebra(f"{number:02x}", userDefined="[" * 30) for number in range(20)]
    assert len(parse_tags("dock-3", ZEBRA, encode(batch)).readings) == 20


@pytest.mark.parametrize(("depth", "kind"), [(DEPTH_MAX, "tag"), (DEPTH_MAX + 1, "unreadable")])
def test_nesting_is_bounded(depth: int, kind: str) -> None:
    body = b'{"data":{"idHex":"01","user":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"
    assert [reading.kind for reading in parse_tags("dock-3", ZEBRA, body).readings] == [kind]


@pytest.mark.parametrize(("count", "kinds"), [(RECORDS_MAX, {"tag"}), (RECORDS_MAX + 1, {"unreadable"})])
@pytest.mark.parametrize("mapping", [ZEBRA, SLED], ids=["array", "list"])
def test_the_number_of_tags_in_a_message_is_bounded(mapping: TagMapping, count: int, kinds: set[str]) -> None:
    if mapping is ZEBRA:
        body = b"[" + b",".join([b'{"data":{"idHex":"01"}}'] * count) + b"]"
    else:
        body = b'{"data":{"tagData":[' + b",".join([b'{"EPC":"01"}'] * count) + b"]}}"
    assert {reading.kind for reading in parse_tags("dock-3", mapping, body).readings} == kinds


def test_the_length_of_a_body_is_bounded_and_part_of_it_kept() -> None:
    tag = encode(zebra())
    assert [reading.kind for reading in parse_tags("d", ZEBRA, tag.ljust(BODY_BYTES_MAX)).readings] == ["tag"]
    [reading] = parse_tags("d", ZEBRA, tag.ljust(BODY_BYTES_MAX + 1)).readings
    assert (reading.kind, len(reading.raw)) == ("unreadable", RAW_BYTES_MAX)


@pytest.mark.parametrize(("length", "kind"), [(EPC_BYTES_MAX, "tag"), (EPC_BYTES_MAX + 1, "unreadable")])
def test_an_epc_is_no_longer_than_its_memory(length: int, kind: str) -> None:
    assert [reading.kind for reading in parse_tags("d", ZEBRA, encode(zebra("ab" * length))).readings] == [kind]


def test_a_byte_order_mark_is_no_matter() -> None:
    assert [reading.kind for reading in parse_tags("d", ZEBRA, b"\xef\xbb\xbf" + encode(zebra())).readings] == ["tag"]


@pytest.mark.parametrize(
    ("time", "unit", "at"),
    [
        ("2026-09-07T12:50:55.513-0600", "rfc3339", "2026-09-07T12:50:55.513-06:00"),
        ("2026-09-07T12:50:55Z", "rfc3339", "2026-09-07T12:50:55Z"),
        ("2026-09-07T12:50:55Z" * 3, "rfc3339", None),
        (1795000000, "rfc3339", None),
        (1795000000, "s", "2026-11-18T11:06:40+00:00"),
        (1795000000500000, "us", "2026-11-18T11:06:40.500000+00:00"),
        (1e30, "s", None),
        (float("nan"), "s", None),
        ("soon", "s", None),
    ],
)
def test_times_are_told_as_rfc_3339_or_not_at_all(time: object, unit: str, at: str | None) -> None:
    mapping = TagMapping.model_validate({"epc_hex": "epc", "time": "t", "time_unit": unit})
    [reading] = parse_tags("d", mapping, encode({"epc": "01", "t": time})).readings
    assert reading.at == at


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([EPC, "INVENTORY", "error"]),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "idHex", "type", "tagData", "EPC", "timestamp", "TID", "reads", "message", "x"]),
            children,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from([ZEBRA, SLED, IMPINJ]))
def test_no_json_raises_and_every_reading_can_be_stored(value: object, mapping: TagMapping) -> None:
    parsed = parse_tags("d", mapping, json.dumps(value).encode())
    assert all(reading.kind in ("tag", "unreadable") for reading in parsed.readings)
    assert (parsed.problem is not None) == any(reading.kind == "unreadable" for reading in parsed.readings)
    for reading in parsed.readings:
        for text in (reading.at, reading.reason, reading.message_id):
            (text or "").encode()


@given(st.binary(max_size=300), st.sampled_from([ZEBRA, SLED, IMPINJ]))
def test_no_bytes_raise(body: bytes, mapping: TagMapping) -> None:
    parsed = parse_tags("d", mapping, body)
    assert parsed.readings or parsed.problem is None


@given(st.data())
def test_a_body_cut_anywhere_is_never_taken_for_a_whole_one(data: st.DataObject) -> None:
    """Half a message must not become fewer tags."""
    body = encode([zebra(f"{number:02x}") for number in range(5)])
    cut = data.draw(st.integers(1, len(body) - 1))
    parsed = parse_tags("d", ZEBRA, body[:cut])
    assert [(reading.kind, reading.raw) for reading in parsed.readings] == [("unreadable", body[:cut])]
