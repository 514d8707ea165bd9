"""Mappings say where things are, and say so when they say too little."""

import pytest
from pydantic import ValidationError

from drivers.tag_mapping import MISSING, TagMapping, keys_of, path_of, plan_of, walk


def test_a_mapping_without_an_epc_is_refused() -> None:
    with pytest.raises(ValidationError, match="where is the EPC"):
        TagMapping(antenna="data.antenna")


def test_a_key_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="epcHex"):
        TagMapping.model_validate({"epc_hex": "a", "epcHex": "b"})


def test_a_path_starts_at_the_record_or_with_a_slash_at_the_message() -> None:
    assert path_of("data.idHex") == (False, ("data", "idHex"))
    assert path_of("/timestamp") == (True, ("timestamp",))
    assert path_of(None) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": {"b": 1}}, 1),
        ({"a": {"b": None}}, None),
        ({"a": {}}, MISSING),
        ({"a": [1]}, MISSING),
        ("a", MISSING),
        (None, MISSING),
    ],
)
def test_walking_never_fails(value: object, found: object) -> None:
    assert walk(value, keys_of("a.b")) is found


def test_a_mapping_is_taken_apart_once() -> None:
    mapping = TagMapping(epc_hex="data.idHex", records="tags")
    assert plan_of(mapping) is plan_of(TagMapping(epc_hex="data.idHex", records="tags"))
    assert plan_of(mapping).records == ("tags",)
