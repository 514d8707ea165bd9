"""One point from poll to poll: registers in, a reading out when there is something to say.

A reading carries the row that remembers its value; the point moves on (`Said.settle`) only when that reading is on
disk. Until then the same is said again, with whatever came on top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from drivers.modbus_change import Change, Condition, Notice
from drivers.modbus_counter import Baseline, Counter, Increment, Observed, Reset
from drivers.modbus_map import Block, Point, Value, decode, encode, raw_text, scaled, wire_bytes
from drivers.modbus_state import Remembered, definition_of, remembered
from drivers.reading import Measurement, Reading, ReadingKind


@dataclass(frozen=True, slots=True)
class Said:
    """A reading, and what to do when it is on disk."""

    reading: Reading
    settle: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The registers arrived and hold no number."""

    reason: str


def values_of(block: Block, registers: Sequence[int]) -> list[str]:
    """Return every point of a block with its value and unit, as a person wants to compare it with the machine."""
    found = []
    for point in block.points:
        first = point.address - block.address
        value = decode(point, registers[first : first + point.size])
        raw = raw_text(point, value)
        text = f"no number ({value})" if raw is None else raw if point.type == "bool" else scaled(point, raw)
        found.append(f"{point.name} {text}" + (f" {point.unit}" if point.unit and raw is not None else ""))
    return found


class Track:
    """What is known of one point."""

    def __init__(self, device: str, point: Point, unit_id: int) -> None:
        self.point = point
        self.key = f"modbus/{device}/{point.name}"
        """Of the row that remembers this point."""
        self._device = device
        self._definition = definition_of(point, unit_id)
        self._watched: Counter | Condition | None = None
        self._size = point.size
        self._silent: Sequence[int] | None = None
        """Registers that had nothing to say: most of what is polled has not moved, and need not be understood."""

    def recall(self, row: bytes | None, now_s: float) -> None:
        """Begin from what is on disk."""
        self._silent = None
        known = remembered(row, self._definition)
        if self.point.means == "count":
            self._watched = Counter(self.point, None if known is None else int(known.raw))
        else:
            self._watched = Condition(self.point, None if known is None else known.raw, since_s=now_s)

    def look(self, block: Block, registers: Sequence[int], now_s: float) -> Said | Unknown | None:
        """Compare the answer to a block with what is on disk; None when there is nothing to say."""
        first = self.point.address - block.address
        own = registers[first : first + self._size]
        if own == self._silent:
            return None
        value = decode(self.point, own)
        raw = raw_text(self.point, value)
        if raw is None:
            return Unknown(f"{self.point.name} shows no number ({value})")
        assert self._watched is not None, "recall comes before look"
        said = self._compare(self._watched, value, raw, own, now_s)
        self._silent = own if said is None and self._watched.is_still else None
        return said

    def _compare(
        self, watched: Counter | Condition, value: Value, raw: str, own: Sequence[int], now_s: float
    ) -> Said | None:
        if isinstance(watched, Counter):
            observed = watched.see(int(value), now_s)
            return None if observed is None else self._said_of_counter(watched, observed)
        change = watched.see(raw, now_s)
        return None if change is None else self._said_of_condition(watched, change, own, now_s)

    def _said_of_condition(self, condition: Condition, change: Change, own: Sequence[int], now_s: float) -> Said:
        settle = partial(condition.settle, change, now_s)
        if isinstance(change, Notice):
            return Said(self._reading("baseline", change.raw, own, None), settle)
        text = change.raw if self.point.type == "bool" else scaled(self.point, change.raw)
        measurement = Measurement(self.point.name, text, self.point.unit, change.previous, change.raw)
        return Said(self._reading("condition", change.raw, own, measurement), settle)

    def _said_of_counter(self, counter: Counter, observed: Observed) -> Said:
        settle = partial(counter.settle, observed.now)
        own = encode(self.point, observed.now)  # of the value that is told: what stood may have risen since
        raw = str(observed.now)
        kind: ReadingKind
        match observed:
            case Baseline():
                return Said(self._reading("baseline", raw, own, None), settle)
            case Increment(last=last, delta=delta):
                value, kind = scaled(self.point, delta), "count"
            case Reset(last=last):
                value, kind = "0", "counter_reset"
        measurement = Measurement(self.point.name, value, self.point.unit, str(last), raw)
        return Said(self._reading(kind, raw, own, measurement), settle)

    def _reading(self, kind: ReadingKind, raw: str, own: Sequence[int], measurement: Measurement | None) -> Reading:
        return Reading(
            self._device,
            kind,
            wire_bytes(own),
            measurement=measurement,
            state_key=self.key,
            state=Remembered(raw).encode(self._definition),
        )
