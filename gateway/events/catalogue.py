"""Every event there is, by name: those that are captured, and those that the gateway finds out itself."""

from __future__ import annotations

from typing import Final

from gateway.events.finding import FINDINGS
from gateway.events.model import CAPTURED, EventData

DATA: Final[dict[str, type[EventData]]] = {**CAPTURED, **FINDINGS}
"""Model of `data` by event name; the CloudEvents type is `dockline.<name>.v1`."""
