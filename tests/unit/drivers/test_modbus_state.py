"""The row that remembers a point."""

from typing import Any

import pytest

from drivers.modbus_map import Point
from drivers.modbus_state import Remembered, definition_of, remembered


def definition(unit_id: int = 1, **more: Any) -> str:
    return definition_of(Point.model_validate({"name": "p", "address": 0, "type": "uint32", **more}), unit_id)


def test_what_was_stored_comes_back() -> None:
    assert remembered(Remembered("4711").encode(definition()), definition()) == Remembered("4711")


@pytest.mark.parametrize(
    "changed",
    [{"address": 2}, {"type": "int32"}, {"table": "input"}, {"word_order": "little"}, {"byte_order": "little"},
     {"means": "count"}, {"unit_id": 7}],
)  # fmt: skip
def test_a_point_that_was_moved_has_never_been_seen(changed: dict[str, Any]) -> None:
    """The technician corrects an address: the difference between two registers is not a number of parts."""
    unit_id = changed.pop("unit_id", 1)
    assert remembered(Remembered("4711").encode(definition()), definition(unit_id, **changed)) is None


def test_a_changed_limit_forgets_nothing() -> None:
    row = Remembered("4711").encode(definition(means="count"))
    assert remembered(row, definition(means="count", delta_max=7, rollover=100000, unit="C62")) is not None


@pytest.mark.parametrize("row", [None, b"", b"7", b"{}", b"\xff", b'{"definition":"x","raw":1}', b"[]"])
def test_a_row_that_cannot_be_understood_is_no_memory(row: bytes | None) -> None:
    assert remembered(row, "x") is None
