"""Every canonical event as EPCIS 2.0: nothing lost, valid by the published schema, the standard's words."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from any_event import event_of
from epcis_events import receipt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker

from gateway.events.catalogue import DATA
from gateway.events.epcis import CONTEXT, decode, document, encode
from gateway.events.epcis_vocabulary import (
    BIZ_STEPS,
    DISPOSITIONS,
    MEASUREMENT_TYPES,
    PLAIN_TRANSACTION_TYPES,
    TRANSACTION_TYPES,
)
from gateway.events.gap import GapRecord

PUBLISHED = Path(__file__).parents[2] / "data" / "epcis" / "epcis-2.0.schema.json"
SCHEMA = json.loads(PUBLISHED.read_text())
FORMATS = FormatChecker(())
VALIDATOR = Draft7Validator(SCHEMA, format_checker=FORMATS)
ANY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@FORMATS.checks("uri")
def is_uri(value: object) -> bool:
    """An absolute URI of RFC 3986; the schema tells standard event types from others by it."""
    return (
        not isinstance(value, str)
        or re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!#$%&-;=?-Z\[\]_a-z~]*", value) is not None
    )


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def check_document(*events: dict[str, Any]) -> None:
    """Raise when a repository that validates would refuse the events."""
    body = document([json.dumps(event).encode() for event in events], "2026-11-21T08:00:00Z")
    whole = json.loads(body)
    VALIDATOR.validate(whole)
    assert whole["@context"] == CONTEXT
    for event in events:
        unknown = {name for name in event if ":" not in name} - known_names(event["type"])
        assert not unknown, f"a {event['type']} has no {unknown}"


def known_names(event_type: str) -> set[str]:
    """Member names the standard has for an event type; others must be URIs or compact URIs."""
    schemas = SCHEMA["components"]["schemas"]
    own = schemas[event_type]["allOf"][1]["properties"]
    return {*own, *schemas["Event"]["properties"], "type"}


def test_our_vocabulary_is_that_of_the_published_schema() -> None:
    """A bare word that the standard does not have would make a document invalid."""
    schemas = SCHEMA["components"]["schemas"]
    assert words_of(schemas["ObjectEvent"]["allOf"][1]["properties"]["bizStep"]) == BIZ_STEPS
    assert words_of(schemas["disposition"]) == DISPOSITIONS
    assert words_of(schemas["bizTransaction-type"]) == PLAIN_TRANSACTION_TYPES >= set(TRANSACTION_TYPES.values())
    assert words_of(schemas["measurementType"]) >= set(MEASUREMENT_TYPES.values())


def words_of(schema: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        return words_of(SCHEMA["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    found = set(schema.get("enum", ()))
    return found.union(*(words_of(one) for kind in ("anyOf", "oneOf") for one in schema.get(kind, ())))


@pytest.mark.parametrize("name", DATA)
def test_every_event_comes_back_as_it_was(name: str) -> None:
    @ANY
    @given(event_of(name, DATA[name]), st.booleans())
    def check(event: dict[str, Any], hash_ids: bool) -> None:
        encoded = encode(event, hash_ids=hash_ids)
        check_document(encoded)
        # Through JSON text, as a consumer gets it.
        assert decode(json.loads(json.dumps(encoded))) == event

    check()


@ANY
@given(event_of("void", DATA["void"]), event_of("pick", DATA["pick"]), st.booleans())
def test_a_void_is_the_voided_event_again_with_an_error_declaration(
    void: dict[str, Any], pick: dict[str, Any], hash_ids: bool
) -> None:
    """A repository knows the correction by the id of what it corrects; nothing else may differ."""
    original, corrected = encode(pick, hash_ids=hash_ids), encode(void, voided=pick, hash_ids=hash_ids)
    check_document(original, corrected)
    declaration = corrected.pop("errorDeclaration")
    assert corrected == original
    assert declaration["reason"] == "did_not_occur"
    assert declaration["declarationTime"] == void["time"]
    assert decode({**corrected, "errorDeclaration": declaration}) == void


@pytest.mark.parametrize("time", [{"time": "2026-11-21T08:00:00.000Z", "subject": "dock-3"}, {}])
def test_a_gap_record_is_told_too(time: dict[str, str]) -> None:
    """A consumer of EPCIS must be able to tell late from lost as well, also when the row was too damaged to date."""
    gap = {
        "specversion": "1.0",
        "id": "gap-00000000000000000007-1a2b3c4d",
        "source": "//dc07/dock-pc-1/0a1b2c3d4e5f",
        "type": "dockline.gap.v1",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "data": {"sequence": "00000000000000000007", "digest": "00ff", "reason": "damaged"},
        **time,
    }
    GapRecord.model_validate(gap)
    encoded = encode(gap)
    check_document(encoded)
    assert decode(encoded) == gap
    assert encoded["eventID"] == "urn:dockline:event:gap-00000000000000000007-1a2b3c4d"
    report = encoded["sensorElementList"][0]["sensorReport"][0]
    assert (report["stringValue"], report["exception"]) == ("damaged", "ERROR_CONDITION")


def test_members_nobody_knows_yet_are_carried() -> None:
    event = receipt()
    event["data"]["colour"] = {"name": "red", "shades": [{"of": "dawn"}, 3, None, True, 1.5]}
    event["data"]["quantity"]["per"] = "pallet"
    event["partitionkey"] = "x"
    assert decode(encode(event)) == event


def test_a_receipt_is_told_in_the_words_of_the_standard() -> None:
    encoded = encode(receipt())
    words = {name: value for name, value in encoded.items() if not name.startswith("dockline:")}
    assert words == {
        "eventID": "urn:uuid:019aa5b0-1c00-7abc-8def-0123456789ab",
        "type": "ObjectEvent",
        "eventTime": "2026-11-21T09:00:00.250+01:00",
        "eventTimeZoneOffset": "+01:00",
        "action": "OBSERVE",
        "bizStep": "receiving",
        "readPoint": {"id": "urn:epc:id:sgln:9521321.00003.0"},
        "bizLocation": {"id": "urn:epc:id:sgln:9521321.00000.0"},
        "quantityList": [{"epcClass": "https://id.gs1.org/01/09521234543213/10/L%2F7", "quantity": 12.5, "uom": "KGM"}],
        "bizTransactionList": [{"type": "desadv", "bizTransaction": "urn:dockline:document:dc07:ASN%201001"}],
        "destinationList": [{"type": "location", "destination": "urn:dockline:location:dc07:A-01-03"}],
    }
    assert encoded["dockline:event"]["dockline:sequence"] == "00000000000000000042"
    assert encoded["dockline:device"] == {"dockline:id": "dock-3-scanner"}
    # What the words tell is not told twice.
    assert not encoded.keys() & {"dockline:item", "dockline:quantity", "dockline:document", "dockline:to_location"}


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"sscc": "095213210000000018"}, {"epcList": ["https://id.gs1.org/00/095213210000000018"]}),
        ({"gtin": "09521234543213", "serial": "a/1"}, {"epcList": ["https://id.gs1.org/01/09521234543213/21/a%2F1"]}),
        ({"epc": "urn:epc:id:sgtin:9521321.012345.7", "gtin": "09521321123450", "serial": "7"},
         {"epcList": ["urn:epc:id:sgtin:9521321.012345.7"]}),
        ({"sku": "4711 A"}, {"quantityList": [{"epcClass": "urn:dockline:sku:dc07:4711%20A", "quantity": 1}]}),
        ({"code": "hello"}, {"quantityList": [{"epcClass": "urn:dockline:code:dc07:hello", "quantity": 1}]}),
        # GS1 keys of assets, documents, coupons, components, people and shipments, as labels give them.
        ({"code": "(8003)09521321123458SER1"}, {"epcList": ["https://id.gs1.org/8003/09521321123458SER1"]}),
        ({"code": "(8003)09521321123458"},
         {"quantityList": [{"epcClass": "https://id.gs1.org/8003/09521321123458", "quantity": 1}]}),
        ({"code": "(8004)9521321A/C"}, {"epcList": ["https://id.gs1.org/8004/9521321A%2FC"]}),
        ({"code": "(253)9521321123458DOC7"}, {"epcList": ["https://id.gs1.org/253/9521321123458DOC7"]}),
        ({"code": "(255)952132112345855"}, {"epcList": ["https://id.gs1.org/255/952132112345855"]}),
        ({"code": "(8010)9521321CPI1(8011)77"}, {"epcList": ["https://id.gs1.org/8010/9521321CPI1/8011/77"]}),
        ({"code": "(8010)9521321CPI1"},
         {"quantityList": [{"epcClass": "https://id.gs1.org/8010/9521321CPI1", "quantity": 1}]}),
        ({"code": "(8018)952132100000000120"}, {"epcList": ["https://id.gs1.org/8018/952132100000000120"]}),
        ({"code": "(402)95213210000000018"}, {"epcList": ["https://id.gs1.org/402/95213210000000018"]}),
        ({"code": "(401)9521321CONS"}, {"epcList": ["https://id.gs1.org/401/9521321CONS"]}),
        # Internal to a company, and what could be read in two ways: the site's.
        ({"code": "(91)X"}, {"quantityList": [{"epcClass": "urn:dockline:code:dc07:%2891%29X", "quantity": 1}]}),
        ({"code": "(8004)9521321A(21)7"},
         {"quantityList": [{"epcClass": "urn:dockline:code:dc07:%288004%299521321A%2821%297", "quantity": 1}]}),
    ],
)  # fmt: skip
def test_an_item_is_an_instance_or_a_class(item: dict[str, str], what: dict[str, Any]) -> None:
    event = receipt(item=item, quantity={"value": "1", "unit": "EA"})
    encoded = encode(event)
    assert {name: encoded[name] for name in ("epcList", "quantityList") if name in encoded} == what
    assert decode(encoded) == event


def test_a_pallet_label_that_states_its_contents_is_an_aggregation() -> None:
    """AI 00 with 02 and 37: the unit and what is in it."""
    event = receipt(
        item={"sscc": "095213210000000018", "gtin": "09521234543213"}, quantity={"value": "48", "unit": "EA"}
    )
    encoded = encode(event)
    check_document(encoded)
    assert encoded["type"] == "AggregationEvent"
    assert encoded["parentID"] == "https://id.gs1.org/00/095213210000000018"
    assert encoded["childQuantityList"] == [{"epcClass": "https://id.gs1.org/01/09521234543213", "quantity": 48}]
    assert isinstance(encoded["childQuantityList"][0]["quantity"], int)
    assert "dockline:quantity" not in encoded
    assert decode(encoded) == event


def test_a_condition_is_a_sensor_report() -> None:
    event = receipt(measurement={"name": "cold room", "value": "-18.50", "unit": "CEL"}, biz_step="sensor_reporting")
    event["type"], event["dataschema"] = "dockline.condition.v1", "urn:dockline:schema:condition:v1"
    for name in ("item", "quantity", "document", "to_location", "activity"):
        del event["data"][name]
    encoded = encode(event)
    check_document(encoded)
    element = encoded["sensorElementList"][0]
    assert element["sensorMetadata"]["deviceID"] == "urn:dockline:device:dc07:dock-3-scanner"
    report = {name: value for name, value in element["sensorReport"][0].items() if ":" not in name}
    assert report == {"type": "Temperature", "value": -18.5, "uom": "CEL"}
    assert encoded["dockline:measurement"] == {"dockline:value": "-18.50"}
    assert decode(encoded) == event


@pytest.mark.parametrize(("state", "change"), [("open", "set"), ("resolved", "unset")])
def test_a_mismatch_lasts_until_the_exception_is_resolved(state: str, change: str) -> None:
    event = receipt(state=state, disposition="mismatch_quantity", code="receiving_variance", exception="e1")
    event["type"], event["dataschema"] = "dockline.exception.v1", "urn:dockline:schema:exception:v1"
    encoded = encode(event)
    check_document(encoded)
    assert encoded["persistentDisposition"] == {change: ["mismatch_quantity"]}
    assert "disposition" not in encoded
    assert decode(encoded) == event


def test_a_closed_document_is_a_transaction() -> None:
    lines = [
        {"item": {"gtin": "09521234543213"}, "observed": "230", "unit": "EA", "expected": "250"},
        {"item": {"sscc": "095213210000000018"}, "observed": "1", "unit": "EA"},
    ]
    event = receipt(number=1, lines=lines, observed_total="231")
    event["type"], event["dataschema"] = "dockline.tally.v1", "urn:dockline:schema:tally:v1"
    for name in ("item", "quantity", "to_location"):
        del event["data"][name]
    encoded = encode(event)
    check_document(encoded)
    assert (encoded["type"], encoded["action"]) == ("TransactionEvent", "ADD")
    assert encoded["quantityList"] == [{"epcClass": "https://id.gs1.org/01/09521234543213", "quantity": 230}]
    assert encoded["epcList"] == ["https://id.gs1.org/00/095213210000000018"]
    assert decode(encoded) == event


def exception_of(**members: Any) -> dict[str, Any]:
    event = receipt(code="receiving_variance", exception="e1", disposition="mismatch_quantity", **members)
    event["type"], event["dataschema"] = "dockline.exception.v1", "urn:dockline:schema:exception:v1"
    for name in ("quantity", "to_location"):
        del event["data"][name]
    return event


@pytest.mark.parametrize(
    ("unit", "value", "report"),
    [
        ("EA", "0", {"type": "Count", "value": 0}),
        ("C62", "0.00", {"type": "Count", "value": 0}),
        ("KGM", "0", {"type": "Mass", "value": 0, "uom": "KGM"}),
        ("BX", "0", {"type": "urn:dockline:epcis/Measurement", "value": 0, "uom": "BX"}),
    ],
)
@pytest.mark.parametrize("item", [{"gtin": "09521234543213"}, {"gtin": "09521234543213", "serial": "77"}])
def test_where_nothing_was_counted_nothing_is_said_to_have_been_seen(
    unit: str, value: str, report: dict[str, Any], item: dict[str, str]
) -> None:
    """EPCIS 2.0, 7.3.3.3: a quantity is positive, and one that is left out is unknown; neither is an empty shelf."""
    event = receipt(item=item, quantity={"value": value, "unit": unit})
    encoded = encode(event)
    check_document(encoded)
    assert not encoded.keys() & {"epcList", "quantityList", "parentID"}
    (element,) = encoded["sensorElementList"]
    assert element["sensorReport"] == [report]
    assert encoded.keys() >= {"dockline:item", "dockline:quantity"}
    assert decode(encoded) == event


def test_a_pallet_with_nothing_on_it_is_a_pallet() -> None:
    item = {"sscc": "095213210000000018", "gtin": "09521234543213"}
    event = receipt(item=item, quantity={"value": "0", "unit": "EA"})
    encoded = encode(event)
    check_document(encoded)
    assert encoded["epcList"] == ["https://id.gs1.org/00/095213210000000018"]
    assert not encoded.keys() & {"quantityList", "childQuantityList", "sensorElementList"}
    assert decode(encoded) == event


PALLET_LINE = {"item": {"sscc": "095213210000000018"}, "expected": "1", "unit": "EA"}
GOODS_LINE = {"item": {"gtin": "09521234543213"}, "expected": "10", "unit": "EA"}


def test_a_closed_document_takes_in_nothing_that_nobody_saw() -> None:
    """A TransactionEvent with a pallet that did not come would declare that it belongs to the delivery."""
    missing = {"observed": "0", "result": "short"}
    event = receipt(number=1, lines=[PALLET_LINE | missing, GOODS_LINE | missing], observed_total="0")
    event["type"], event["dataschema"] = "dockline.tally.v1", "urn:dockline:schema:tally:v1"
    for name in ("item", "quantity", "to_location"):
        del event["data"][name]
    encoded = encode(event)
    check_document(encoded)
    assert (encoded["type"], encoded["epcList"]) == ("TransactionEvent", [])
    assert "quantityList" not in encoded
    assert decode(encoded) == event


def test_an_object_on_two_lines_is_named_once() -> None:
    """An epcList that names it twice makes the document invalid."""
    seen = {"observed": "1", "unit": "EA"}
    event = receipt(number=1, lines=[PALLET_LINE | seen, PALLET_LINE | seen, GOODS_LINE | seen], observed_total="3")
    event["type"], event["dataschema"] = "dockline.tally.v1", "urn:dockline:schema:tally:v1"
    for name in ("item", "quantity", "to_location"):
        del event["data"][name]
    encoded = encode(event)
    check_document(encoded)
    assert encoded["epcList"] == ["https://id.gs1.org/00/095213210000000018"]
    assert decode(encoded) == event


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"sscc": "095213210000000018"}, {"epcList": ["https://id.gs1.org/00/095213210000000018"]}),
        ({"gtin": "09521234543213"}, {"quantityList": [{"epcClass": "https://id.gs1.org/01/09521234543213"}]}),
    ],
)
@pytest.mark.parametrize("in_lines", [False, True])
def test_what_is_missing_is_named_and_is_nowhere(item: dict[str, str], what: dict[str, Any], *, in_lines: bool) -> None:
    """Its name, so that it can be found; no place, because EPCIS takes a bizLocation for where it is from now on."""
    variance = {"direction": "short", "expected": "1", "observed": "0", "difference": "-1", "unit": "EA"}
    about = {"item": None, "lines": [variance | {"line": "1", "item": item}]} if in_lines else {"item": item}
    event = exception_of(state="open", variance=variance, **about)
    if in_lines:
        del event["data"]["item"]
    encoded = encode(event)
    check_document(encoded)
    assert {name: encoded[name] for name in ("epcList", "quantityList") if name in encoded} == what
    assert encoded["persistentDisposition"] == {"set": ["mismatch_quantity"]}
    assert "bizLocation" not in encoded
    assert decode(encoded) == event


@pytest.mark.parametrize(("state", "is_here"), [("open", True), ("acknowledged", False), ("resolved", False)])
def test_goods_are_where_they_were_seen_and_not_where_somebody_decides_about_them(state: str, *, is_here: bool) -> None:
    variance = {"direction": "over", "expected": "10", "observed": "12", "difference": "2", "unit": "EA"}
    event = exception_of(state=state, item={"gtin": "09521234543213"}, variance=variance)
    encoded = encode(event)
    check_document(encoded)
    assert encoded["quantityList"] == [{"epcClass": "https://id.gs1.org/01/09521234543213", "quantity": 12}]
    assert ("bizLocation" in encoded) is is_here
    assert decode(encoded) == event


@pytest.mark.parametrize(("state", "told"), [("open", "damaged"), ("acknowledged", None), ("resolved", None)])
def test_goods_are_damaged_when_somebody_sees_it_and_not_when_it_is_decided(state: str, told: str | None) -> None:
    """A disposition holds from its event on; "repacked" resolves the exception and does not damage them again."""
    event = exception_of(state=state, item={"gtin": "09521234543213"})
    event["data"] |= {"code": "damaged", "disposition": "damaged"}
    encoded = encode(event)
    check_document(encoded)
    assert encoded.get("disposition") == told
    assert "persistentDisposition" not in encoded
    assert decode(encoded) == event


@pytest.mark.parametrize("unit", ["EA", "C62", "H87", "NAR", "PCE"])
def test_pieces_have_no_unit_of_measure(unit: str) -> None:
    """EPCIS 2.0, 7.3.3.3: with `uom` a quantity is a physical measure, without it a count."""
    event = receipt(item={"gtin": "09521234543213"}, quantity={"value": "2", "unit": unit})
    encoded = encode(event)
    assert encoded["quantityList"] == [{"epcClass": "https://id.gs1.org/01/09521234543213", "quantity": 2}]
    assert decode(encoded) == event


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("asn", "desadv"),
        ("ASN", "desadv"),
        ("PO", "po"),
        ("po", "po"),
        ("purchase_order", "po"),
        ("RMA", "rma"),
        ("recadv", "recadv"),
        ("pick_list", "urn:dockline:epcis/document-type/pick_list"),
        ("PL", "urn:dockline:epcis/document-type/PL"),
    ],
)
def test_a_document_has_the_type_of_the_vocabulary_however_a_label_spells_it(stated: str, told: str) -> None:
    """AI 400 is the customer's purchase order number; the patterns of docs/labels.md have ASN and PO."""
    event = receipt(document={"id": "4711", "type": stated})
    encoded = encode(event)
    check_document(encoded)
    assert encoded["bizTransactionList"] == [{"type": told, "bizTransaction": "urn:dockline:document:dc07:4711"}]
    assert decode(encoded) == event


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("2026-11-21T09:00:00+14:30", "2026-11-20T18:30:00Z"),
        ("2026-11-21T09:00:00.5-23:59", "2026-11-22T08:59:00.500000Z"),
        ("0001-01-01T00:00:00+14:30", "0001-01-01T00:00:00+14:30"),
    ],
)
def test_a_time_zone_that_xml_does_not_have_is_told_in_utc(stated: str, told: str) -> None:
    """RFC 3339 has +14:30 and -23:59; EPCIS and xsd:dateTime end at 14:00. Of the first day there is no UTC."""
    event = receipt(occurred_at=stated)
    event["time"] = stated
    encoded = encode(event)
    check_document(encoded)
    assert (encoded["eventTime"], encoded["eventTimeZoneOffset"]) == (told, "+00:00")
    assert decode(encoded) == event


def test_what_is_no_event_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="not a CloudEvent"):
        encode({"id": "x"})
    with pytest.raises(ValueError, match="none of ours"):
        decode({"type": "ObjectEvent", "eventTime": "2026-11-21T08:00:00Z"})
