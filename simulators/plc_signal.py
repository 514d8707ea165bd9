"""What lives in a PLC's registers: a counter, a number, a bit.

A signal remembers two things: what its registers show, and what really happened (`total`). They part when a counter
rolls over or is reset; the difference is what a gateway has to get right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

Table = Literal["coil", "discrete", "holding", "input"]
Order = Literal["big", "little"]

FORMATS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip


class Signal:
    """One value at one address of one slave."""

    def __init__(
        self,
        name: str,
        address: int,
        kind: str = "uint32",
        *,
        unit_id: int = 1,
        table: Table = "holding",
        shows: float = 0,
        rollover: int | None = None,
        word_order: Order = "big",
        byte_order: Order = "big",
    ) -> None:
        self.name = name
        self.address = address
        self.unit_id = unit_id
        self.table = table
        self.shows = shows
        """What a master reads."""
        self.total = 0
        """Parts really counted since the beginning, through rollovers and resets."""
        self.tell: Callable[..., None] = lambda *_, **__: None
        """Where the signal reports what it does; the PLC writes it down."""
        self._kind = kind
        self._word_order = word_order
        self._byte_order: Order = byte_order
        self._rollover = rollover or 2 ** (16 * self.size)

    @property
    def size(self) -> int:
        """Registers, or bits in a table of bits."""
        return 1 if self._kind == "bool" else struct.calcsize(FORMATS[self._kind]) // 2

    def count(self, parts: int = 1) -> None:
        """So many parts came out."""
        self.total += parts
        self.shows = (self.shows + parts) % self._rollover
        self.tell(self, "counted", parts=parts)

    def reset(self, to: int = 0) -> None:
        """Somebody pressed the button."""
        self.shows = to
        self.tell(self, "reset")

    def set(self, value: float) -> None:
        """The value is now this; True and False for a bit."""
        self.shows = value
        self.tell(self, "set")

    def toggle(self) -> None:
        """The bit is now the other one."""
        self.set(not self.shows)

    def registers(self) -> list[int]:
        """What a master reads, register by register."""
        if self._kind == "bool":
            return [int(bool(self.shows))]
        value = self.shows if "float" in self._kind else int(self.shows)
        data = struct.pack(FORMATS[self._kind], value)
        words = [int.from_bytes(data[i : i + 2], self._byte_order) for i in range(0, len(data), 2)]
        return words if self._word_order == "big" else words[::-1]

    def put(self, start: int, memory: list[int]) -> None:
        """Write the registers into a table whose memory begins at `start` (in registers of 16 bits for bits)."""
        if self.table in ("coil", "discrete"):
            register, bit = divmod(self.address, 16)
            memory[register - start] &= ~(1 << bit)
            memory[register - start] |= int(bool(self.shows)) << bit
            return
        memory[self.address - start : self.address - start + self.size] = self.registers()
