"""The scenarios there are, by name; each is a file of its own."""

from __future__ import annotations

from typing import Final

from gateway.demo import cycle_count, eight_percent_under, picking, returns, rfid_portal, transfer, undo
from gateway.demo.scenario import Scenario

_ALL: Final = (eight_percent_under, cycle_count, picking, returns, transfer, undo, rfid_portal)
SCENARIOS: Final[dict[str, Scenario]] = {one.SCENARIO.name: one.SCENARIO for one in _ALL}
