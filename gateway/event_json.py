"""An entry of the outbox as JSON for people and programs, the same from the API and from a command without a daemon."""

from __future__ import annotations

import base64
import json
from typing import Any

from buffer import Entry


def as_event(entry: Entry) -> dict[str, Any]:
    """Return an entry's place in the journal, and the CloudEvent as it is delivered."""
    place: dict[str, Any] = {"seq": entry.seq, "digest": entry.digest.hex(), "chain": entry.chain.hex()}
    try:
        found = json.loads(entry.payload)
    except ValueError:
        return {**place, "id": entry.id, "damaged_base64": base64.b64encode(entry.payload).decode()}
    return {**place, "event": {"sequence": f"{entry.seq:020d}", **found}}
