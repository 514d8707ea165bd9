"""The scenarios there are, by name; each is a file of its own."""

from __future__ import annotations

from typing import Final

from gateway.demo import cycle_count, eight_percent_under
from gateway.demo.scenario import Scenario

SCENARIOS: Final[dict[str, Scenario]] = {one.name: one for one in (eight_percent_under.SCENARIO, cycle_count.SCENARIO)}
