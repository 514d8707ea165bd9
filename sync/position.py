"""Where to read on: at the cursor, unless the centre says that it is somewhere else.

the centre                              what follows
is ahead of anything we can have shown  this disk was rolled back or cloned: a new epoch begins, at once
is ahead of our cursor                  answers were lost; send from our cursor, the consumer knows the ids
is where we are                         nothing
is another instance                     it was rebuilt or restored from a backup: rewind to where it is, in this source
                                        and in the older ones, even when it seems to have everything of this one
is behind, under the instance we know   a person decides; a centre that miscounts must not make us start over
knows nothing of this source            a new epoch, or an upstream that started "now": nothing

What a restored centre says is worth something only as long as it has taken nothing since: one event in front of the
question, and nobody can tell any more what is missing before it. So every batch names the instance it is meant for
(`Batch.instance`), and another one takes nothing of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise

from buffer.entry import StateRow
from sync.errors import UpstreamHolds, UpstreamUnavailable
from sync.outbox_port import OutboxPort
from sync.pump_state import Alarm
from sync.upstream import Position, Upstream

_log = logging.getLogger(__name__)

EPOCHS_MAX = 3
"""New epochs that one run of a delivery begins; a centre that wants more does not know what it says."""

EPOCHS_ASKED_MAX = 32
"""Older epochs that a restored centre is asked about, newest first; what lies before them is sent again unasked."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the reading begins."""

    after: int
    is_rewind: bool = False
    alarm: Alarm | None = None


def find_start(told: Position | None, *, cursor: int, known_instance: str | None) -> Start:
    """Return where to read on. `known_instance` is the one the upstream had when it was last asked."""
    if told is None:
        return Start(cursor)
    if told.instance is not None and known_instance is not None and told.instance != known_instance:
        return Start(min(told.through, cursor), is_rewind=True)
    if cursor <= told.through or told.through == 0:
        return Start(cursor)
    return Start(
        cursor,
        alarm=Alarm(
            "position_behind",
            f"the centre says it has events up to {told.through}; it confirmed them up to {cursor}",
            f"was it restored from a backup? Then: dockline upstream rewind NAME --to {told.through} --reason ...",
        ),
    )


def known_instance(outbox: OutboxPort, name: str) -> str | None:
    """Return the instance that the centre of an upstream had when it was last asked; None when it never said."""
    key = _instance_key(name)
    value = next((row.value for row in outbox.states(key) if row.key == key), None)
    return value.decode() if value else None


def _instance_key(name: str) -> str:
    return f"sync/{name}/centre_instance"


class PositionFinder:
    """Asks outbox and centre, and remembers the centre's instance in the outbox."""

    def __init__(self, outbox: OutboxPort, upstream: Upstream, name: str) -> None:
        self._outbox = outbox
        self._upstream = upstream
        self._name = name
        self._epochs_begun = 0
        self.instance: str | None = None
        """The instance that what is sent now is meant for: the one that said where it is."""
        self.surprise: Alarm | None = None
        """An answer claimed what it cannot have from here, and nobody can be asked. Lasts as long as this run."""
        self._is_told = False
        """The upstream says where it is when it is asked."""

    def heed(self, claimed: int) -> bool:
        """Take note of what an answer claims to hold; return whether the upstream had better be asked where it is.

        An answer alone begins no epoch: a centre may name any high number and mean "all that you sent".
        """
        exposed = self._outbox.exposed
        if claimed <= exposed:
            return False
        if not self._is_told and self.surprise is None:
            _log.warning("answer_ahead upstream=%s claimed=%d exposed=%d", self._name, claimed, exposed)
            self.surprise = Alarm(
                "answer_ahead",
                f"the centre answers that it has events up to {claimed} of {self._outbox.source}; it was sent {exposed}"
                " at most",
                "was this disk put back or copied? With a position_url a new epoch begins by itself",
            )
        return self._is_told

    async def find(self, cursor: int) -> Start:
        """Return where to read on. Raises as `Upstream.position`, and UpstreamHolds when the centre is ahead of every
        epoch, also of one that nobody has heard of."""
        told = await self._ask()
        self._is_told = told is not None
        if told is not None and told.through > (exposed := self._outbox.exposed):
            await self._begin_epoch(told, exposed)
            told = await self._ask()
            if told is not None and told.through > exposed:
                self._epochs_begun = EPOCHS_MAX  # what it says means nothing: it is not believed a second time
                raise _broken(told, exposed)
        self.instance = None if told is None else told.instance
        if told is None:
            return Start(cursor)
        known = known_instance(self._outbox, self._name)
        start = find_start(told, cursor=cursor, known_instance=known)
        if start.is_rewind:
            reason = f"centre instance {told.instance} is at {told.through}"
            to = min(start.after, await self._lacks_of_older_epochs(cursor))
            await self._outbox.rewind(self._name, to=to, actor="centre", reason=reason)
            start = replace(start, after=to)
            _log.warning("delivery_rewound upstream=%s to=%d reason=%r", self._name, to, reason)
        # After the rewind: a crash in between rewinds once more, which is harmless; the other way it never would.
        if told.instance is not None and told.instance != known:
            await self._outbox.note(StateRow(_instance_key(self._name), told.instance.encode()))
        return start

    async def _ask(self) -> Position | None:
        try:
            return await self._upstream.position(self._outbox.source)
        except (UpstreamUnavailable, UpstreamHolds):
            # A restart must not take for shown what this run goes on making while it cannot ask.
            await self._outbox.keep_exposed()
            raise

    async def _lacks_of_older_epochs(self, cursor: int) -> int:
        """Return the sequence behind which the centre lacks events of sources that ended; `cursor` when it lacks none.

        Its backup may be older than the present source, and then its position says nothing about those before.
        """
        asked = self._outbox.epochs[-EPOCHS_ASKED_MAX - 1 :]
        if len(asked) < len(self._outbox.epochs):
            return min(asked[0].first_seq - 1, cursor)
        for epoch, behind in pairwise(asked):
            last = min(behind.first_seq - 1, cursor)
            if epoch.first_seq > last:
                continue
            told = await self._upstream.position(epoch.source)
            if told is not None and told.through < last:
                return max(told.through, epoch.first_seq - 1)
        return cursor

    async def _begin_epoch(self, told: Position, exposed: int) -> None:
        """This disk was rolled back or cloned: what comes now must not bear sequences that the centre has."""
        if self._epochs_begun >= EPOCHS_MAX:
            raise _broken(told, exposed)
        self._epochs_begun += 1
        reason = f"upstream {self._name} has events up to {told.through} of {told.source}, shown here were {exposed}"
        source = await self._outbox.begin_epoch(reason)
        _log.warning("epoch_begun upstream=%s source=%s reason=%r", self._name, source, reason)


def _broken(told: Position, exposed: int) -> UpstreamHolds:
    return UpstreamHolds(
        f"the centre says it has events up to {told.through} of {told.source}, of which it was sent {exposed} at most",
        hint="its position_url answers nonsense: it names events of a source that is new; ask the centre's operator",
        code="position_ahead",
    )
