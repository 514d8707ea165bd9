"""The measures of a running daemon: kept over restarts, and heard when a scanner goes blind.

Counts are written into the outbox's state every few minutes and at a stop. After a power cut those of the last minutes
are missing, and the status says from when it counts; the events themselves are all there.
"""

from __future__ import annotations

import asyncio
import json
import logging

from buffer import Outbox, StateRow
from buffer.errors import OutboxError
from drivers import StorageUnavailable
from gateway.capture.intake import Intake
from gateway.id_order import id_order
from gateway.log import event
from gateway.measures.board import Measures
from gateway.measures.chart import GROUP_READINGS
from gateway.measures.status import MeasuresStatus, measures_status
from gateway.status import AlarmStatus
from gateway.wiring import World

log = logging.getLogger(__name__)

STATE_KEY = "measures/1"
LOOK_S = 1.0
KEEP_S = 300.0
INSPECT_HINT = "clean its window, look at the labels it reads and at their printer, then at the scanner itself"


class MeasuresService:
    """Keeps the measures and tells what they show."""

    def __init__(self, world: World, outbox: Outbox) -> None:
        """Go on from what the last run kept."""
        self._world = world
        self._outbox = outbox
        self.measures = Measures(world.wall())
        self._task: asyncio.Task[None] | None = None
        self._kept = b""
        self._load()

    def start(self, intake: Intake) -> None:
        """Tell of devices from now on."""
        self._task = asyncio.create_task(self._live(intake), name="measures")

    async def stop(self) -> None:
        """Return when the counts are kept, or when that was not possible."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._keep()

    def status(self) -> MeasuresStatus:
        """Return the measures now."""
        return measures_status(self.measures, self._world.wall())

    def alarms(self) -> tuple[AlarmStatus, ...]:
        """Return the devices that read worse than chance explains."""
        return tuple(
            AlarmStatus("device_degraded", device, f"inspect scanner: {self._found(device)}", INSPECT_HINT)
            for device, chart in sorted(self.measures.charts.items(), key=lambda known: id_order(known[0]))
            if chart.is_degraded
        )

    async def _live(self, intake: Intake) -> None:
        kept_at = self._world.monotonic()
        while True:
            await self._world.sleep(LOOK_S)
            await self._tell(intake)
            if self._world.monotonic() - kept_at >= KEEP_S:
                await self._keep()
                kept_at = self._world.monotonic()

    async def _tell(self, intake: Intake) -> None:
        """Store an event for each device whose verdict changed; what cannot be stored now is told later."""
        changed = self.measures.changed
        while changed:
            device = changed[0]
            chart = self.measures.charts.get(device)
            if chart is None:  # it left to make room, while this could not be stored
                changed.popleft()
                continue
            found = self._found(device)
            try:
                if chart.is_degraded:
                    await intake.device_event(device, "degraded", f"inspect scanner: {found}")
                else:
                    await intake.device_event(device, "up", f"its labels can be read again: {found}")
            except StorageUnavailable as error:
                log.warning("%s", event("device_change_not_stored", device_id=device, reason=error))
                return
            changed.popleft()

    def _found(self, device: str) -> str:
        chart = self.measures.charts[device]
        return (
            f"{chart.last_unreadable or 0} of its last {GROUP_READINGS} readings were unreadable, "
            f"chance explains {chart.limit * GROUP_READINGS:.1f}"
        )

    async def _keep(self) -> None:
        value = json.dumps(self.measures.dump(), separators=(",", ":")).encode()
        if value == self._kept:
            return
        try:
            await self._outbox.note(StateRow(STATE_KEY, value))
        except OutboxError as error:
            log.warning("%s", event("measures_not_kept", reason=error, hint=error.hint))
            return
        self._kept = value

    def _load(self) -> None:
        try:
            rows = [row.value for row in self._outbox.states(STATE_KEY) if row.key == STATE_KEY]
            if rows and rows[0] is not None:
                self.measures.load(json.loads(rows[0]))
        except (OutboxError, ValueError, TypeError, KeyError, AttributeError) as error:
            # Figures are no reason not to start: they begin anew, and say from when.
            log.warning("%s", event("measures_begun_anew", reason=error))
            self.measures = Measures(self._world.wall())
