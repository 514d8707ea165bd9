"""The canonical events and their published schemas."""

import json
from pathlib import Path
from typing import Any

import pytest
from event_check import validator
from jsonschema import Draft202012Validator, ValidationError
from pydantic import ValidationError as ModelError

from gateway.events.catalogue import DATA
from gateway.events.json_schema import FOLDER, schema_text, schemas, write_schemas
from gateway.events.model import Item, Quantity, event_type, schema_urn

COMMON = {
    "site": "dc07",
    "station": "dock-3",
    "occurred_at": "2026-11-21T08:00:00Z",
    "captured_at": "2026-11-21T08:00:00.123Z",
    "clock": "synchronised",
    "device": {"id": "hh-7"},
}
WORK = {"item": {"gtin": "09521234543213"}, "quantity": {"value": "2", "unit": "EA"}}
EXAMPLES: dict[str, dict[str, Any]] = {
    "receipt": {**WORK, "activity": "receipt", "biz_step": "receiving", "to_location": "D3"},
    "putaway": {**WORK, "activity": "putaway", "biz_step": "storing"},
    "pick": {**WORK, "activity": "pick", "biz_step": "picking", "document": {"id": "PL-1", "type": "pick"}},
    "count": {**WORK, "activity": "count", "kind": "absolute", "biz_step": "cycle_counting"},
    "shipment": {**WORK, "activity": "shipment", "biz_step": "shipping"},
    "return": {**WORK, "activity": "return", "biz_step": "receiving", "disposition": "returned"},
    "transfer": {**WORK, "activity": "transfer", "biz_step": "storing"},
    "observation": {"item": {"epc": "urn:epc:raw:96.x30"}, "tag_read": {"antenna": 1, "rssi_dbm": -51.5}},
    "condition": {"measurement": {"name": "door", "value": "true"}, "biz_step": "sensor_reporting"},
    "device": {"state": "down", "reason": "unplugged"},
    "unrecognised": {"reason": "not a label", "evidence": {"raw": "?"}},
    "void": {"voids": "0193c0de-0000-7000-8000-000000000000"},
    "tally": {
        "activity": "receipt",
        "document": {"id": "ASN-1", "type": "asn"},
        "number": 1,
        "checked": True,
        "coverage": "complete",
        "lines_total": 1,
        "observed_total": "23",
        "expected_total": "25",
        "expectation": {"id": "ASN-1", "type": "asn", "version": "1", "digest": "00"},
        "lines": [
            {
                "line": "1",
                "item": {"gtin": "09521234543213"},
                "expected": "25",
                "observed": "23",
                "unit": "EA",
                "difference": "-2",
                "result": "short",
                "events": 23,
            },
        ],
    },
    "exception": {
        "exception": "0193c0de-0000-7000-8000-000000000000",
        "state": "open",
        "code": "receiving_variance",
        "message": "2 of 25 are missing",
        "severity": "major",
        "owner": "procurement",
        "raised_at": "2026-11-21T08:00:00Z",
        "rule": {"id": "asn", "version": 1, "author": "jane"},
        "variance": {"direction": "short", "expected": "25", "observed": "23", "difference": "-2", "unit": "EA"},
        "disposition": "mismatch_quantity",
    },
}


def event(name: str, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "0193c0de-0000-7000-8000-000000000000",
        "source": "//dc07/dock-pc-1/e1",
        "type": event_type(name),
        "subject": "dock-3",
        "time": COMMON["occurred_at"],
        "datacontenttype": "application/json",
        "dataschema": schema_urn(name),
        "data": {**COMMON, **EXAMPLES[name], **data},
    }


def test_published_schemas_are_those_of_the_models(tmp_path: Path) -> None:
    """Somebody changes a model and forgets the product's schema: a consumer would refuse our events."""
    write_schemas(tmp_path)
    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    published = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert generated == published, "run write_schemas(FOLDER), and think of the consumers"


def test_every_schema_is_a_schema_and_has_its_urn() -> None:
    for name, schema in schemas().items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == schema_urn(name)
        assert schema_text(schema).endswith("}\n")


@pytest.mark.parametrize("name", DATA)
def test_an_example_of_each_event_validates(name: str) -> None:
    validator().validate(event(name))
    DATA[name].model_validate_json(json.dumps(event(name)["data"]))


@pytest.mark.parametrize("name", DATA)
def test_a_joined_sequence_validates_and_sorts_as_text(name: str) -> None:
    validator().validate({"sequence": f"{7:020d}", **event(name)})
    with pytest.raises(ValidationError):
        validator().validate({"sequence": "7", **event(name)})


def test_the_schema_of_a_type_is_applied_to_its_data() -> None:
    with pytest.raises(ValidationError):
        validator().validate(event("pick", quantity={"value": 2, "unit": "EA"}))
    with pytest.raises(ValidationError):
        validator().validate({**event("pick"), "dataschema": schema_urn("receipt")})


def test_later_versions_may_add_fields_but_this_program_may_not() -> None:
    validator().validate(event("pick", novelty="1"))
    with pytest.raises(ModelError):
        DATA["pick"].model_validate({**COMMON, **EXAMPLES["pick"], "novelty": "1"})


def test_a_model_knows_a_wrong_check_digit() -> None:
    with pytest.raises(ModelError):
        Item(gtin="09521234543214")
    with pytest.raises(ModelError):
        Item(sscc="095212340000000014")


@pytest.mark.parametrize("value", ["", "-1", "1e3", "01", "1.", ".5", "NaN", "٣", "1" * 19])
def test_a_quantity_is_a_plain_decimal(value: str) -> None:
    with pytest.raises(ModelError):
        Quantity(value=value, unit="EA")


def test_events_are_frozen() -> None:
    quantity = Quantity(value="1", unit="EA")
    with pytest.raises(ModelError):
        quantity.value = "2"  # type: ignore[misc]
