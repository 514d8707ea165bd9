"""Where to read on: at the cursor, unless the centre says that it is somewhere else.

the centre                              what follows
is ahead of anything we made            this disk was rolled back or cloned: sending would reuse sequences; hold
is ahead of our cursor                  answers were lost; send from our cursor, the consumer knows the ids
is where we are                         nothing
is behind, under a new instance         it was rebuilt or restored from a backup: rewind to where it is
is behind, under the instance we know   a person decides; a centre that miscounts must not make us start over
knows nothing of this source            a new epoch, or an upstream that started "now": nothing
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from buffer.entry import StateRow
from sync.errors import UpstreamHolds
from sync.outbox_port import OutboxPort
from sync.pump_state import Alarm
from sync.upstream import Position, Upstream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Where the reading begins."""

    after: int
    is_rewind: bool = False
    alarm: Alarm | None = None


def find_start(told: Position | None, *, cursor: int, known_instance: str | None) -> Start:
    """Return where to read on. `known_instance` is the one the upstream had when it was last asked."""
    if told is None or cursor <= told.through:
        return Start(cursor)
    if told.instance is not None and known_instance is not None and told.instance != known_instance:
        return Start(told.through, is_rewind=True)
    if told.through == 0:
        return Start(cursor)
    return Start(
        cursor,
        alarm=Alarm(
            "position_behind",
            f"the centre says it has events up to {told.through}; it confirmed them up to {cursor}",
            "was the centre restored from a backup? Then ask for a replay from there",
        ),
    )


class PositionFinder:
    """Asks outbox and centre, and remembers the centre's instance in the outbox."""

    def __init__(self, outbox: OutboxPort, upstream: Upstream, name: str) -> None:
        self._outbox = outbox
        self._upstream = upstream
        self._name = name
        self._asked_for_epoch = False

    async def find(self, cursor: int, newest: int) -> Start:
        """Return where to read on. Raises UpstreamHolds when we were rolled back, and as `Upstream.position`."""
        told = await self._upstream.position(self._outbox.source)
        if told is None:
            return Start(cursor)
        if told.through > newest:
            raise await self._rolled_back(told, newest)
        key = f"sync/{self._name}/centre_instance"
        known = next((row.value for row in self._outbox.states(key) if row.key == key), None)
        start = find_start(told, cursor=cursor, known_instance=known.decode() if known else None)
        if start.is_rewind:
            reason = f"centre instance {told.instance} is at {told.through}"
            start = Start(await self._outbox.rewind(self._name, to=start.after, actor="centre", reason=reason))
            _log.warning("delivery_rewound upstream=%s to=%d reason=%r", self._name, start.after, reason)
        # After the rewind: a crash in between rewinds once more, which is harmless; the other way it never would.
        if told.instance is not None and told.instance.encode() != known:
            await self._outbox.note(StateRow(key, told.instance.encode()))
        return start

    async def _rolled_back(self, told: Position, newest: int) -> UpstreamHolds:
        reason = f"the centre has events up to {told.through} of this gateway, which only made {newest}"
        if not self._asked_for_epoch:
            await self._outbox.request_epoch(reason)
            self._asked_for_epoch = True
        return UpstreamHolds(
            reason,
            hint="was this disk restored or cloned? Restart the service: it then begins a new epoch",
            code="position_ahead",
        )
