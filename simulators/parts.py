"""Compares the parts a PLC really counted with the parts the centre heard of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulators.ledger import CentreEvent


@dataclass(frozen=True, slots=True)
class PartsCount:
    """Parts that were made, and parts that were heard of."""

    counted: int
    """By the PLC, all of them: the machine stood until its counter was read."""
    delivered: int
    """Sum of the count increments at the centre, each event once."""

    @property
    def missing(self) -> int:
        """Parts the centre has not heard of; negative: parts that were invented."""
        return self.counted - self.delivered


def count_parts(journal: Iterable[Mapping[str, object]], events: Iterable[CentreEvent], signal: str) -> PartsCount:
    """Return both counts of one counter. `journal` is the PLC's own."""
    totals = [int(str(line["total"])) for line in journal if line.get("signal") == signal]
    seen: dict[str, int] = {}
    for event in events:
        if '"dockline.count.v1"' not in event.body:
            continue
        data = json.loads(event.body)["data"]
        if data["kind"] == "increment" and data["measurement"]["name"] == signal:
            seen[event.id] = int(data["quantity"]["value"])
    return PartsCount(counted=totals[-1] if totals else 0, delivered=sum(seen.values()))


def is_watched(events: Iterable[CentreEvent], device: str) -> bool:
    """Return whether the centre has heard that a PLC is read: its link is up, so its first values are on disk."""
    for event in events:
        if '"dockline.device.v1"' in event.body:
            data = json.loads(event.body)["data"]
            if (data["device"]["id"], data["state"]) == (device, "up"):
                return True
    return False
