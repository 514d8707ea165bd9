"""One unit of a Modbus link: what it is asked for, what it refuses, and what did not come."""

from __future__ import annotations

from drivers.contract import DeviceFault
from drivers.modbus_map import Block
from drivers.modbus_outage import Outage


class Unit:
    """One slave."""

    def __init__(self, device: str, unit_id: int, blocks: list[Block]) -> None:
        self.unit_id = unit_id
        self.blocks = blocks
        self.key = f"modbus/{device}/unit/{unit_id}"
        self.outage = Outage(unit_id)
        """It does not answer."""
        self.refusal = Outage(unit_id)
        """It answers, and refuses some of what it is asked. Apart, because a wrong address may stand for months, and a
        gap that is open already would hide that the unit fell silent meanwhile."""
        self.refused: dict[Block, tuple[float, DeviceFault]] = {}
        """What it will not be asked for until then, and why; a point that is put into the PLC comes by itself."""
        self.has_brought = False
        """In the last round: at least one value."""
        self.has_answered = False
        """In this run: a link on which nobody ever did is one that could not be opened, not one that was lost."""

    @property
    def fault(self) -> DeviceFault | None:
        """Why it is no use to ask it: everything it is asked for is refused."""
        if not all(block in self.refused for block in self.blocks):
            return None
        return self.refused[self.blocks[0]][1]

    @property
    def complaint(self) -> str | None:
        """What a person should look at. A refusal is certain at once; a silence only when it lasts."""
        if self.outage.complaint is not None or not self.refused:
            return self.outage.complaint
        first, *others = (fault for _, fault in self.refused.values())
        return in_words(first) + (f"; {len(others)} more refused" if others else "")

    @property
    def windows(self) -> tuple[tuple[Outage, str], ...]:
        """Both kinds of gap, each with the key of its row."""
        return (self.outage, self.key), (self.refusal, f"{self.key}/refused")


def in_words(fault: DeviceFault) -> str:
    """Return what a fault says and asks for."""
    return f"{fault}: {fault.hint}"
