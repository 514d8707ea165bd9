"""Leaves of the EPCIS encoding: identifiers and extension fields, each with its inverse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.epcis_extension import difference, merged, prefixed, unprefixed
from gateway.events.epcis_number import number_of, text_of
from gateway.events.epcis_uri import is_uri, place_text, place_uri, private, private_parts, read_item
from gateway.events.epcis_vocabulary import DOCUMENT_TYPES, TRANSACTION_TYPES
from gateway.events.epcis_words import from_words, kind_of, site_of, to_words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_what_is_told_and_the_rest_make_the_whole(whole: dict[str, Any], told: dict[str, Any]) -> None:
    rest, absent = difference(whole, told)
    assert merged(told, rest, absent) == whole
    assert unprefixed(prefixed(rest)) == rest


def test_one_and_true_are_two_values() -> None:
    assert difference({"a": 1}, {"a": True}) == ({"a": 1}, [])


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_a_private_name_holds_any_text(site: str, name: str) -> None:
    uri = private("sku", site, name)
    assert is_uri(uri)
    assert private_parts(uri, "sku") == [site, name]
    assert private_parts(uri, "code") is None
    assert read_item(uri) == {"sku": name}


@pytest.mark.parametrize("text", ["A-01-03", "DOCK:3", "https://id.gs1.org/414/9521321000003", "urn:epc:id:sgln:1.2.3"])
def test_a_place_is_a_uri_and_comes_back(text: str) -> None:
    uri = place_uri("location", "dc07", text)
    assert is_uri(uri)
    assert place_text("location", uri) == text


def test_a_tag_tells_its_keys() -> None:
    assert read_item("urn:epc:id:sscc:9521321.0000000001") == {
        "epc": "urn:epc:id:sscc:9521321.0000000001",
        "sscc": "095213210000000018",
    }


def test_a_reading_has_the_time_of_its_event_also_when_that_is_told_in_utc() -> None:
    """xsd:dateTime ends at 14:00, in a sensor element too."""
    data = {"measurement": {"name": "room", "value": "-1.5", "unit": "CEL"}, "device": {"id": "plc"}}
    words = to_words({"type": "dockline.condition.v1", "time": "2026-11-21T09:00:00+14:30", "data": data})
    assert words["sensorElementList"][0]["sensorMetadata"]["time"] == words["eventTime"] == "2026-11-20T18:30:00Z"


def test_a_decimal_string_is_a_number_and_back() -> None:
    assert [number_of(text) for text in ("12", "12.50", "-0.000001", "007", "1e3", "")] == [
        12,
        12.5,
        -0.000001,
        None,
        None,
        None,
    ]
    assert [text_of(number) for number in (12, 12.5, -0.000001)] == ["12", "12.5", "-0.000001"]


def test_document_types_are_told_apart() -> None:
    assert {TRANSACTION_TYPES[ours] for ours in DOCUMENT_TYPES.values()} == set(DOCUMENT_TYPES)


def test_words_are_read_back() -> None:
    event = {"type": "dockline.observation.v1", "source": "//dc07/g/e", "subject": "s", "time": "2026-11-21T08:00:00Z"}
    words = to_words({**event, "data": {"station": "s", "item": {"sku": "7"}}})
    assert (kind_of(event), site_of(event)) == ("observation", "dc07")
    assert from_words(words, "observation")["data"] == {
        "occurred_at": "2026-11-21T08:00:00Z",
        "site": "dc07",
        "station": "s",
        "item": {"sku": "7"},
    }
