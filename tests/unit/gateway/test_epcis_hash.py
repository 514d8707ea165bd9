"""The event hash id against published vectors, an independent program's answers, and what it must not depend on."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.events.epcis import encode
from gateway.events.epcis_hash import event_hash_id, prehash
from gateway.events.epcis_link import canonical_link

DATA = Path(__file__).parents[2] / "data" / "epcis"
VECTORS = json.loads((DATA / "event-hash-vectors.json").read_text())
ORACLE = json.loads((DATA / "event-hash-oracle.json").read_text())["events"]
OBSERVED: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2026-11-21T08:00:00.1235+01:00",
    "eventTimeZoneOffset": "+01:00",
    "action": "OBSERVE",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.2", "https://id.gs1.org/01/04012345111118/21/1"],
    "x:b": "2",
    "x:a": {"x:c": 1.50},
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_published_event_has_its_published_hash(vector: dict[str, Any]) -> None:
    assert event_hash_id(vector["event"], vector["namespaces"]) == vector["hash"]


@pytest.mark.parametrize("answer", ORACLE, ids=lambda answer: answer["event"]["type"])
def test_another_program_finds_the_same_hash_for_our_events(answer: dict[str, Any]) -> None:
    """That program expands the JSON-LD, so it also shows that every extension field has a meaning there."""
    assert encode(answer["event"], hash_ids=True)["eventID"] == answer["hash"]


def test_the_text_that_is_hashed() -> None:
    assert prehash(OBSERVED, {"x": "urn:x/"}) == (
        "eventType=ObjectEventeventTime=2026-11-21T07:00:00.124ZeventTimeZoneOffset=+01:00"
        "epcListepc=https://id.gs1.org/01/04012345111118/21/1epc=https://id.gs1.org/01/04012345111118/21/2"
        "action=OBSERVE{urn:x/}a{urn:x/}c=1.5{urn:x/}b=2"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"eventID": "urn:uuid:1"},
        {"recordTime": "2026-11-21T09:00:00Z"},
        {"errorDeclaration": {"declarationTime": "2026-11-21T09:00:00Z"}},
        {"eventTime": "2026-11-21T07:00:00.124Z"},
        {"epcList": ["https://example.com/01/04012345111118/10/L1/21/2?x=1", "urn:epc:id:sgtin:4012345.011111.1"]},
        {"x:b": " 2.0 "},
    ],
)
def test_what_is_the_same_event_has_the_same_hash(change: dict[str, Any]) -> None:
    assert event_hash_id({**OBSERVED, **change}, {"x": "urn:x/"}) == event_hash_id(OBSERVED, {"x": "urn:x/"})


@pytest.mark.parametrize("change", [{"x:b": "3"}, {"action": "ADD"}, {"eventTimeZoneOffset": "+02:00"}, {"x:d": "new"}])
def test_another_event_has_another_hash(change: dict[str, Any]) -> None:
    assert event_hash_id({**OBSERVED, **change}, {"x": "urn:x/"}) != event_hash_id(OBSERVED, {"x": "urn:x/"})


def test_two_equal_scans_in_one_millisecond_are_two_events() -> None:
    """The sequence stands in an extension field, and extension fields are hashed."""
    first = ORACLE[0]["event"]
    second = {**first, "sequence": "00000000000000000043"}
    assert encode(first, hash_ids=True)["eventID"] != encode(second, hash_ids=True)["eventID"]


def test_a_number_is_spelled_exactly() -> None:
    """Eighteen digits do not pass through a float."""
    assert "{urn:x/}n=123456789012345678" in prehash({**OBSERVED, "x:n": "000123456789012345678.000"}, {"x": "urn:x/"})


@pytest.mark.parametrize(
    ("urn", "link"),
    [
        ("urn:epc:id:sgtin:0614141.812345.6789%2FA", "01/80614141123458/21/6789%2FA"),
        ("urn:epc:id:sscc:4012345.3111111111", "00/340123451111111111"),
        ("urn:epc:id:sgln:4012345.00005.0", "414/4012345000054"),
        ("urn:epc:id:sgln:4012345.00005.122", "414/4012345000054/254/122"),
        ("urn:epc:id:grai:4012345.00022.334455", "8003/04012345000221334455"),
        ("urn:epc:id:giai:4012345.ABC345", "8004/4012345ABC345"),
        ("urn:epc:class:lgtin:4012345.012345.Lot987", "01/04012345123456/10/Lot987"),
        ("urn:epc:idpat:sgtin:4012345.012345.*", "01/04012345123456"),
        ("https://shop.example/a/01/4012345111118/22/x/10/L1", "01/04012345111118/10/L1"),
    ],
)
def test_one_identifier_has_one_spelling(urn: str, link: str) -> None:
    assert canonical_link(urn) == f"https://id.gs1.org/{link}"


@pytest.mark.parametrize("text", ["urn:epc:id:sgtin:rubbish", "urn:epc:raw:96.x30", "https://a.example/x", "hello", ""])
def test_what_is_no_gs1_identifier_stays(text: str) -> None:
    assert canonical_link(text) == text
