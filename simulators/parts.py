"""Compares the parts a PLC really counted with the parts the centre heard of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulators.ledger import CentreEvent


@dataclass(frozen=True, slots=True)
class PartsCount:
    """Parts since the gateway first looked; nobody outside the PLC can know of those made before."""

    counted: int
    """By the PLC, up to its last reading."""
    delivered: int
    """Sum of the count increments at the centre, each event once."""

    @property
    def missing(self) -> int:
        """Parts the centre has not heard of; negative: parts that were invented."""
        return self.counted - self.delivered


def count_parts(journal: Iterable[Mapping[str, object]], events: Iterable[CentreEvent], signal: str) -> PartsCount:
    """Return both counts of one counter. `journal` is the PLC's own."""
    first: int | None = None
    total = 0
    for line in journal:
        if line.get("signal") == signal:
            total = int(str(line["total"]))
            if line["what"] == "first_read" and first is None:
                first = total
    seen: dict[str, int] = {}
    for event in events:
        if '"dockline.count.v1"' not in event.body:
            continue
        data = json.loads(event.body)["data"]
        if data["kind"] == "increment" and data["measurement"]["name"] == signal:
            seen[event.id] = int(data["quantity"]["value"])
    return PartsCount(counted=total - (first if first is not None else total), delivered=sum(seen.values()))
