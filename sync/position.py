"""Where to read on when the centre says how far it is.

the centre is                  what follows
ahead of anything we made      this disk was rolled back or cloned: sending would reuse sequences; hold
ahead of our cursor            answers were lost; send from our cursor, the consumer knows the ids
where we are                   nothing
behind our cursor              it was restored from a backup: rewind, once for each `centre_instance`;
                               behind again under the same instance, or without one: a person decides
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.errors import UpstreamHolds
from sync.pump_state import Alarm
from sync.upstream import Position


@dataclass(frozen=True, slots=True)
class Start:
    """Where the reading begins."""

    after: int
    rewound_for: str | None = None
    """The instance this is a rewind for."""
    alarm: Alarm | None = None


def find_start(
    told: Position | None, *, cursor: int, newest: int, rewound_for: str | None, is_rewinding: bool
) -> Start:
    """Return where to read on. Raises UpstreamHolds when the centre knows more than we ever made.

    `is_rewinding` says that the rewind for `rewound_for` was interrupted before it reached the cursor.
    """
    if told is None or cursor <= told.through <= newest:
        return Start(cursor)
    if told.through > newest:
        raise UpstreamHolds(
            f"the centre has events up to {told.through} of this gateway, which only made {newest}",
            hint="was this disk restored or cloned? Two gateways must not share an identity; see the docs on epochs",
            code="position_ahead",
        )
    if told.instance is not None and (is_rewinding or told.instance != rewound_for):
        return Start(told.through, rewound_for=told.instance)
    return Start(
        cursor,
        alarm=Alarm(
            "position_behind",
            f"the centre says it has events up to {told.through}; it confirmed them up to {cursor}",
            "was the centre restored from a backup? Then its operator asks for a replay",
        ),
    )
