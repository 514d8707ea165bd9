"""The opening of the outbox, however long it takes, and what the log says of it.

A large outbox on a slow disk takes minutes to be looked through, migrated or salvaged. The service manager has a limit
for a start (`TimeoutStartSec=`) that no figure fits: whoever is killed in a salvage begins it anew, for ever. So it is
asked for patience as long as the opening lasts, up to a bound: one that hangs must not hang unseen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from buffer import Outbox
from buffer.errors import OutboxError
from gateway.alarms import incident_alarms
from gateway.log import event
from gateway.notify import Notifier

log = logging.getLogger(__name__)

ASK_S = 10.0
"""How often patience is asked for; what takes less is not worth a word."""
PATIENCE_S = 120.0
"""How much of it: a computer that hardly moves still asks again in time."""
OPEN_S_MAX = 4 * 3600.0
"""What four gigabytes, the default cap, take on a memory card of half a megabyte a second, with time to spare."""


async def opened(opening: Coroutine[Any, Any, Outbox], notifier: Notifier, monotonic: Callable[[], float]) -> Outbox:
    """Return the outbox when it is open and has had its say in the log. Raises what the opening does."""
    began = monotonic()
    task = asyncio.ensure_future(opening)
    try:
        while not (await asyncio.wait({task}, timeout=ASK_S))[0]:
            so_far_s = monotonic() - began
            if so_far_s < OPEN_S_MAX:
                notifier.patience(PATIENCE_S, f"looks through the outbox, {so_far_s:.0f} s so far")
            hint = "a large outbox is looked through, taken over or salvaged; wait, do not stop it"
            log.warning("%s", event("outbox_opens_slowly", so_far_s=round(so_far_s), hint=hint))
    finally:
        task.cancel()
    outbox = task.result()
    await _tell_incidents(outbox)
    return outbox


async def _tell_incidents(outbox: Outbox) -> None:
    """Log what the outbox has to say of itself that nobody has acknowledged yet."""
    try:
        incidents = await outbox.incidents(unacknowledged_only=True)
    except OutboxError:
        return  # whoever reads next hears of it; no reason not to start
    for alarm in incident_alarms(incidents):
        log.warning("%s", event("outbox_incident", code=alarm.code, reason=alarm.message, hint=alarm.hint))
