"""The points of a Modbus device: which registers they live in, how to read many at once, what the bits mean.

Theory of operation. A point is one value: one bit, or one to four 16-bit registers. Requests cost a round trip
each, registers in one request cost next to nothing, so points that lie side by side are read as one block (a
request carries at most 125 registers or 2000 bits: MODBUS Application Protocol V1.1b3, 6.1 to 6.4). A point never
lies across two blocks: its registers come from one answer, or there is no value.

Registers between two points are read only when `join_gap_max` allows it: some devices refuse a block that touches
a register they do not have, and some clear a register when it is read.

The protocol says how a register travels (high byte first) and nothing about values of more than one; `word_order`
and `byte_order` say what the maker of the device chose. For 0x01020304:

    word_order  byte_order  registers
    big         big         0102 0304
    little      big         0304 0102
    big         little      0201 0403
    little      little      0403 0201

Nothing here knows a socket: registers in, values out.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Table = Literal["coil", "discrete", "holding", "input"]
PointType = Literal[
    "bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"
]  # fmt: skip
Order = Literal["big", "little"]
Value = bool | int | float

REGISTERS_MAX = 125
BITS_MAX = 2000
ADDRESS_MAX = 65535

FORMATS: dict[PointType, str] = {
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "uint64": ">Q",
    "int64": ">q",
    "float32": ">f",
    "float64": ">d",
}
INTEGERS = frozenset({"uint16", "int16", "uint32", "int32", "uint64", "int64"})

DELTA_MAX_SHARE = 100
"""A fall is a rollover only inside the last and first hundredth of the range, unless `delta_max` says otherwise.
A reset during that hundredth is mistaken for parts, a rollover with more parts than that between two polls is
reported as a reset: invented parts are the worse of the two, so the share is small. For 16 bits it is 655 parts."""


def _decimal(value: object) -> object:
    """0.1 in a TOML file means one tenth, not the binary number next to it."""
    return str(value) if isinstance(value, float) else value


_UNIT: Final = re.compile(r"[A-Z0-9]{2,3}")
UNIT_EXAMPLES: Final = "C62 pieces, KGM kilogram, MTR metre, CEL degree Celsius, P1 per cent"

DecimalText = Annotated[Decimal, BeforeValidator(_decimal)]


class Point(BaseModel):
    """One value of a Modbus device, as configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="What the value is called in events.")
    address: int = Field(
        ge=0, le=ADDRESS_MAX, description="Protocol address of the first register or bit, counted from 0 (40001 is 0)."
    )
    type: PointType = Field(description="How the registers are to be understood.")
    table: Table = Field("holding", description="holding (function 3), input (4), coil (1) or discrete (2).")
    unit_id: int | None = Field(
        None, ge=0, le=255, description="Slave on a shared bus; without it the unit of the device's url."
    )
    word_order: Order = Field("big", description="Which register comes first: big = the most significant.")
    byte_order: Order = Field("big", description="Order of the two bytes in a register; little for swapped bytes.")
    bit: int | None = Field(
        None, ge=0, le=15, description="For bool in a register: which bit, 0 the least. Without it: any of them."
    )
    means: Literal["count", "condition"] = Field(
        "condition", description="count: a counter that only rises; condition: a sensor value or state."
    )
    unit: str | None = Field(None, description="Unit of measure of the value, UN/ECE Recommendation 20 code: CEL, KGM.")
    scale: DecimalText = Field(Decimal(1), description="Multiplies the raw value.")
    rollover: int | None = Field(
        None,
        ge=2,
        description="Value at which a counter starts again from 0: 10000 after 9999; by default the range of its type.",
    )
    delta_max: int | None = Field(
        None,
        ge=1,
        description="Most parts between two polls; a fall that implies more is a reset, not a rollover. "
        "By default a hundredth of the rollover: 655 for 65536.",
    )
    deadband: DecimalText = Field(
        Decimal(0), ge=0, description="A condition is reported when it moved by more than this since the last report."
    )
    edges: Literal["rising", "falling", "both"] = Field(
        "both", description="For a bool condition: which changes are reported."
    )
    silence_max_s: float | None = Field(
        None, gt=0, description="Report an unchanged condition again after so many seconds."
    )

    @property
    def size(self) -> int:
        """Registers (or bits, in a table of bits) this point takes."""
        return 1 if self.type == "bool" else struct.calcsize(FORMATS[self.type]) // 2

    @property
    def is_bit_table(self) -> bool:
        """Whether the table is addressed by the bit."""
        return self.table in ("coil", "discrete")

    @property
    def range(self) -> int:
        """Values a counter runs through before it starts again."""
        return self.rollover if self.rollover is not None else 2 ** (16 * self.size)

    @property
    def delta_limit(self) -> int:
        """The largest increment a fall may be explained by."""
        return self.delta_max if self.delta_max is not None else max(1, self.range // DELTA_MAX_SHARE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [text for wrong, text in self._contradictions() if wrong]
        if problems:
            raise ValueError(f"point {self.name}: " + "; ".join(problems))
        return self

    def _contradictions(self) -> Iterable[tuple[bool, str]]:
        is_count, is_bool = self.means == "count", self.type == "bool"
        yield self.is_bit_table and not is_bool, f'table "{self.table}" holds bits: type must be "bool"'
        yield self.bit is not None and (not is_bool or self.is_bit_table), "bit is for a bool in a register"
        yield self.address + self.size - 1 > ADDRESS_MAX, f"its last register would be beyond {ADDRESS_MAX}"
        yield is_count and self.type not in INTEGERS, 'means = "count" needs an integer type'
        yield not is_count and self.rollover is not None, 'rollover is for means = "count"'
        yield not is_count and self.delta_max is not None, 'delta_max is for means = "count"'
        yield is_count and self.deadband != 0, "a counter has no deadband: every part counts"
        yield is_count and self.silence_max_s is not None, "a counter is reported when it moves, silence_max_s is not"
        yield is_bool and self.deadband != 0, "a bool has no deadband"
        yield not is_bool and self.edges != "both", "edges are for bool"
        if self.unit is not None and _UNIT.fullmatch(self.unit) is None:
            yield True, f'unit "{self.unit}" is no code of UN/ECE Recommendation 20, such as {UNIT_EXAMPLES}'
        yield not self.scale.is_finite() or self.scale == 0, "scale must be a number other than 0"
        yield not self.deadband.is_finite(), "deadband must be a number"
        if self.rollover is not None and self.type in INTEGERS:
            yield self.rollover > 2 ** (16 * self.size), f"rollover is beyond the range of {self.type}"
        if is_count:
            yield self.delta_limit >= self.range, f"delta_max must be less than the rollover, {self.range}"


@dataclass(frozen=True, slots=True)
class Block:
    """One request, and the points whose values its answer carries."""

    unit_id: int
    table: Table
    address: int
    count: int
    points: tuple[Point, ...]

    def describe(self) -> str:
        """For a person: what is read, and for which points."""
        names = ", ".join(point.name for point in self.points)
        return f"{names} (unit {self.unit_id}, {self.table} {self.address} to {self.address + self.count - 1})"


def plan_blocks(points: Sequence[Point], *, unit_id: int, join_gap_max: int = 0) -> tuple[Block, ...]:
    """Join points into as few requests as the protocol allows.

    `unit_id` is the unit of points that name none; `join_gap_max` the number of registers (or bits) nobody asked
    for that may be read to join two points. Units come in the order in which they are configured.
    """
    units = list(dict.fromkeys(unit_of(point, unit_id) for point in points))
    ordered = sorted(points, key=lambda p: (units.index(unit_of(p, unit_id)), p.table, p.address, p.size))
    blocks: list[Block] = []
    for (unit, table), group in groupby(ordered, key=lambda p: (unit_of(p, unit_id), p.table)):
        blocks.extend(_joined(unit, table, list(group), join_gap_max))
    return tuple(blocks)


def unit_of(point: Point, unit_id: int) -> int:
    """The slave a point is read from."""
    return unit_id if point.unit_id is None else point.unit_id


def _joined(unit: int, table: Table, points: list[Point], join_gap_max: int) -> list[Block]:
    count_max = BITS_MAX if table in ("coil", "discrete") else REGISTERS_MAX
    blocks: list[Block] = []
    members: list[Point] = []
    end = 0
    for point in points:
        point_end = max(end, point.address + point.size)
        joins = members and point.address <= end + join_gap_max and point_end - members[0].address <= count_max
        if members and not joins:
            blocks.append(_block(unit, table, members, end))
            members = []
        end = point_end if members else point.address + point.size
        members.append(point)
    blocks.append(_block(unit, table, members, end))
    return blocks


def _block(unit: int, table: Table, members: list[Point], end: int) -> Block:
    return Block(unit, table, members[0].address, end - members[0].address, tuple(members))


def decode(point: Point, registers: Sequence[int]) -> Value:
    """What a point's registers mean, before scaling. In a table of bits `registers` holds the bit, 0 or 1."""
    if point.type == "bool":
        return bool(registers[0] >> point.bit & 1) if point.bit is not None else registers[0] != 0
    words = registers if point.word_order == "big" else registers[::-1]
    byte_order: Order = point.byte_order
    data = b"".join(word.to_bytes(2, byte_order) for word in words)
    value: Value = struct.unpack(FORMATS[point.type], data)[0]
    return value


def encode(point: Point, value: int) -> list[int]:
    """The registers that hold an integer, as they came: the other way round of `decode`."""
    byte_order: Order = point.byte_order
    data = struct.pack(FORMATS[point.type], value)
    words = [int.from_bytes(data[i : i + 2], byte_order) for i in range(0, len(data), 2)]
    return words if point.word_order == "big" else words[::-1]


def wire_bytes(registers: Sequence[int]) -> bytes:
    """The registers as they came over the wire: evidence."""
    return struct.pack(f">{len(registers)}H", *registers)


def raw_text(point: Point, value: Value) -> str | None:
    """A raw value as a decimal string, or "true" and "false"; None for a float that is no number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return None
    return plain(Decimal(_shortest_single(value) if point.type == "float32" else repr(value)))


def _shortest_single(value: float) -> str:
    """The shortest decimal that is this float32: 21.3, not 21.299999237060547. Nine digits always suffice."""
    single = struct.pack(">f", value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.pack(">f", float(text)) == single:
            return text
    return f"{value:.9g}"


def scaled(point: Point, raw: str | int) -> str:
    """A raw number times the point's scale, as a decimal string. Exact."""
    if point.scale == 1:
        return str(raw)
    return plain(exact_product(Decimal(raw), point.scale))


def exact_product(a: Decimal, b: Decimal) -> Decimal:
    """a times b without rounding to the 28 digits of the default context: a uint64 has 20 of its own."""
    digits = len(a.as_tuple().digits) + len(b.as_tuple().digits)
    with localcontext(prec=max(28, digits)):
        return a * b


def plain(number: Decimal) -> str:
    """Without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"
