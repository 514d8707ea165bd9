"""Where to read on: at the cursor, unless the centre says that it is somewhere else.

the centre                              what follows
is ahead of anything we made            this disk was rolled back or cloned: a new epoch begins, at once
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

EPOCHS_MAX = 3
"""New epochs that one run of a delivery begins; a centre that wants more does not know what it says."""


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
            f"was it restored from a backup? Then: dockline upstream rewind NAME --to {told.through} --reason ...",
        ),
    )


class PositionFinder:
    """Asks outbox and centre, and remembers the centre's instance in the outbox."""

    def __init__(self, outbox: OutboxPort, upstream: Upstream, name: str) -> None:
        self._outbox = outbox
        self._upstream = upstream
        self._name = name
        self._epochs_begun = 0

    async def find(self, cursor: int, newest: int) -> Start:
        """Return where to read on. Raises as `Upstream.position`, and UpstreamHolds when the centre is ahead of every
        epoch, also of one that nobody has heard of."""
        told = await self._upstream.position(self._outbox.source)
        if told is not None and told.through > newest:
            await self._begin_epoch(told, newest)
            told = await self._upstream.position(self._outbox.source)
            if told is not None and told.through > newest:
                self._epochs_begun = EPOCHS_MAX  # what it says means nothing: it is not believed a second time
                raise _broken(told, newest)
        if told is None:
            return Start(cursor)
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

    async def _begin_epoch(self, told: Position, newest: int) -> None:
        """This disk was rolled back or cloned: what comes now must not bear sequences that the centre has."""
        if self._epochs_begun >= EPOCHS_MAX:
            raise _broken(told, newest)
        self._epochs_begun += 1
        reason = f"upstream {self._name} has events up to {told.through} of {told.source}, which made {newest} here"
        source = await self._outbox.begin_epoch(reason)
        _log.warning("epoch_begun upstream=%s source=%s reason=%r", self._name, source, reason)


def _broken(told: Position, newest: int) -> UpstreamHolds:
    return UpstreamHolds(
        f"the centre says it has events up to {told.through} of {told.source}, which only made {newest}",
        hint="its position_url answers nonsense: it names events of a source that is new; ask the centre's operator",
        code="position_ahead",
    )
