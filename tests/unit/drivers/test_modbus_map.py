"""Registers to values, and points to requests."""

import math
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.modbus_map import (
    BITS_MAX,
    FORMATS,
    INTEGERS,
    REGISTERS_MAX,
    Block,
    Point,
    decode,
    encode,
    plan_blocks,
    raw_text,
    scaled,
    wire_bytes,
)

ORDERS = st.sampled_from(["big", "little"])


def point(name: str = "p", address: int = 0, type: str = "uint16", **more: Any) -> Point:
    return Point.model_validate({"name": name, "address": address, "type": type, **more})


def as_the_maker_stores(data: bytes, word_order: str, byte_order: str) -> list[int]:
    """Independent of the code under test: swap bytes, then words, then read each register high byte first."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if byte_order == "little":
        words = [word[::-1] for word in words]
    if word_order == "little":
        words.reverse()
    return [struct.unpack(">H", word)[0] for word in words]


@given(st.sampled_from(sorted(FORMATS)), ORDERS, ORDERS, st.data())
def test_every_type_in_every_order_is_what_struct_says(kind: str, words: str, octets: str, data: st.DataObject) -> None:
    size = struct.calcsize(FORMATS[kind])  # type: ignore[index]
    raw = data.draw(st.binary(min_size=size, max_size=size))
    expected = struct.unpack(FORMATS[kind], raw)[0]  # type: ignore[index]
    value = decode(point(type=kind, word_order=words, byte_order=octets), as_the_maker_stores(raw, words, octets))
    assert value == expected or (math.isnan(value) and math.isnan(expected))


@given(st.sampled_from(sorted(INTEGERS)), ORDERS, ORDERS, st.data())
def test_an_integer_goes_back_into_the_registers_it_came_from(
    kind: str, words: str, octets: str, data: st.DataObject
) -> None:
    one = point(type=kind, word_order=words, byte_order=octets)
    registers = data.draw(st.lists(st.integers(0, 65535), min_size=one.size, max_size=one.size))
    assert encode(one, int(decode(one, registers))) == registers


@given(st.sampled_from([("float32", 2**-7), ("float64", 2**-4)]), st.data())
def test_a_float_read_halfway_through_a_write_is_near_the_old_value_or_the_new(
    kind: tuple[str, float], data: st.DataObject
) -> None:
    """Sign, exponent and the first digits lie in one register: whichever value it belongs to, the rest is small."""
    one = point(type=kind[0])
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
    whole = [list(struct.unpack(f">{one.size}H", struct.pack(FORMATS[one.type], data.draw(numbers)))) for _ in range(2)]
    fresh = data.draw(st.lists(st.booleans(), min_size=one.size, max_size=one.size))
    torn = decode(one, [whole[is_new][i] for i, is_new in enumerate(fresh)])
    assert math.isclose(torn, decode(one, whole[fresh[0]]), rel_tol=kind[1], abs_tol=1e-37)


@pytest.mark.parametrize(
    ("word_order", "byte_order", "registers"),
    [
        ("big", "big", [0x0102, 0x0304]),
        ("little", "big", [0x0304, 0x0102]),
        ("big", "little", [0x0201, 0x0403]),
        ("little", "little", [0x0403, 0x0201]),
    ],
)
def test_the_four_orders_of_the_docstring(word_order: str, byte_order: str, registers: list[int]) -> None:
    assert decode(point(type="uint32", word_order=word_order, byte_order=byte_order), registers) == 0x01020304


@pytest.mark.parametrize(("bit", "expected"), [(0, True), (1, False), (15, True), (None, True)])
def test_a_bool_may_be_one_bit_of_a_register(bit: int | None, expected: bool) -> None:
    assert decode(point(type="bool", bit=bit), [0x8001]) is expected


def test_a_bool_without_a_bit_is_false_only_for_zero() -> None:
    assert decode(point(type="bool"), [0]) is False
    assert decode(point(type="bool"), [2]) is True


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float32_is_short_and_exact(value: float) -> None:
    text = raw_text(point(type="float32"), value)
    assert text is not None
    assert "e" not in text.lower()
    assert struct.pack(">f", float(text)) == struct.pack(">f", value) or value == 0


def test_the_text_of_a_float32_is_what_the_sensor_shows() -> None:
    (value,) = struct.unpack(">f", struct.pack(">f", 21.3))
    assert raw_text(point(type="float32"), value) == "21.3"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float64_is_exact(value: float) -> None:
    text = raw_text(point(type="float64"), value)
    assert text is not None
    assert float(text) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_has_no_text(value: float) -> None:
    assert raw_text(point(type="float32"), value) is None


@given(st.integers(0, 2**64 - 1), st.decimals("-1000", "1000", places=6).filter(bool))
def test_scaling_is_exact_even_for_twenty_digits(raw: int, scale: Decimal) -> None:
    numerator, denominator = scale.as_integer_ratio()
    text = scaled(point(type="uint64", scale=str(scale)), raw)
    result_numerator, result_denominator = Decimal(text).as_integer_ratio()
    assert result_numerator * denominator == raw * numerator * result_denominator
    assert "E" not in text


def test_a_scale_of_a_tenth_in_a_toml_file_means_a_tenth() -> None:
    assert scaled(point(scale=0.1), 3) == "0.3"


# -- requests


def test_points_side_by_side_are_one_request() -> None:
    points = [point("a", 0, "uint32"), point("b", 2, "float64"), point("c", 6)]
    assert plan_blocks(points, unit_id=1) == (Block(1, "holding", 0, 7, tuple(points)),)


def test_registers_nobody_asked_for_are_read_only_when_allowed() -> None:
    points = [point("a", 0), point("b", 3)]
    assert [(b.address, b.count) for b in plan_blocks(points, unit_id=1, join_gap_max=1)] == [(0, 1), (3, 1)]
    assert [(b.address, b.count) for b in plan_blocks(points, unit_id=1, join_gap_max=2)] == [(0, 4)]


@pytest.mark.parametrize(("table", "kind", "limit"), [("holding", "uint16", REGISTERS_MAX), ("coil", "bool", BITS_MAX)])
def test_a_request_carries_what_the_standard_allows_and_not_one_more(table: str, kind: str, limit: int) -> None:
    points = [point(f"p{i}", i, kind, table=table) for i in range(limit + 1)]
    assert [b.count for b in plan_blocks(points[:limit], unit_id=1)] == [limit]
    assert [b.count for b in plan_blocks(points, unit_id=1)] == [limit, 1]


def test_units_and_tables_are_never_joined() -> None:
    points = [point("a", 0, unit_id=9), point("b", 1), point("c", 2, table="input"), point("d", 1, unit_id=9)]
    blocks = plan_blocks(points, unit_id=1)
    assert [(b.unit_id, b.table, b.address, b.count) for b in blocks] == [
        (9, "holding", 0, 2),
        (1, "holding", 1, 1),
        (1, "input", 2, 1),
    ]


POINTS = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from([*FORMATS, "bool"]), st.sampled_from([None, 2]),
        st.sampled_from(["holding", "input"]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@given(POINTS, st.integers(0, 10))
def test_every_point_lies_whole_in_exactly_one_request(specs: list[Any], gap: int) -> None:
    """Its registers come from one answer, wherever the others are: else a counter could be half old, half new."""
    points = [
        point(f"p{i}", address, kind, unit_id=unit, table=table) for i, (address, kind, unit, table) in enumerate(specs)
    ]
    blocks = plan_blocks(points, unit_id=1, join_gap_max=gap)
    assert sorted(p.name for b in blocks for p in b.points) == sorted(p.name for p in points)
    for block in blocks:
        assert 1 <= block.count <= REGISTERS_MAX
        ends = [p.address + p.size for p in block.points]
        assert block.address == min(p.address for p in block.points)
        assert block.address + block.count == max(ends)
        for p in block.points:
            assert (p.unit_id or 1, p.table) == (block.unit_id, block.table)
            assert block.address <= p.address <= p.address + p.size <= block.address + block.count
        covered = {a for p in block.points for a in range(p.address, p.address + p.size)}
        holes = sorted(set(range(block.address, block.address + block.count)) - covered)
        runs = [hole for hole in holes if hole - gap in holes and all(hole - k in holes for k in range(gap + 1))]
        assert not runs, "more registers read than join_gap_max allows"


def test_evidence_is_the_bytes_of_the_wire() -> None:
    assert wire_bytes([0x0102, 0xFFFE]) == b"\x01\x02\xff\xfe"


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"table": "coil"}, "must be"),
        ({"type": "bool", "table": "coil", "bit": 3}, "bit is for"),
        ({"type": "float32", "means": "count"}, "integer"),
        ({"type": "bool", "means": "count"}, "integer"),
        ({"rollover": 100}, "rollover is for"),
        ({"delta_max": 100}, "delta_max is for"),
        ({"means": "count", "rollover": 65537}, "beyond the range"),
        ({"means": "count", "rollover": 100, "delta_max": 100}, "less than the rollover"),
        ({"means": "count", "deadband": 1}, "no deadband"),
        ({"type": "uint32", "address": 65535}, "beyond 65535"),
        ({"edges": "rising"}, "edges are for bool"),
        ({"scale": 0}, "scale"),
        ({"unit": "°C"}, "CEL degree Celsius"),
        ({"unit": "kg", "means": "count"}, "KGM kilogram"),
        ({"scale": "nan"}, "scale"),
        ({"name": "Good Parts"}, "pattern"),
        ({"adress": 1}, "Extra inputs"),
    ],
)
def test_a_point_that_cannot_be_meant_so_is_refused_with_the_reason(spec: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        Point.model_validate({"name": "p", "address": 0, "type": "uint16", **spec})


def test_rollover_is_the_range_of_the_type_and_a_fall_is_one_only_in_its_last_hundredth() -> None:
    assert (point(means="count").range, point(means="count").delta_limit) == (65536, 655)
    assert point(type="uint32", means="count").range == 2**32
    assert point(means="count", rollover=50).delta_limit == 1
    assert point(means="count", rollover=1000, delta_max=200).delta_limit == 200
