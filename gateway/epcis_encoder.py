"""The encoder that an EPCIS upstream is handed: batches of our events as EPCIS events.

A void is told as the voided event with an error declaration, so its original has to be found: in the same batch, else
in the outbox. An original that is not there any more is no reason to keep the void back.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.events.cloudevents import instant
from gateway.events.epcis import document, encode
from gateway.events.epcis_words import kind_of
from sync.batch import Batch
from sync.epcis_capture import Unencodable

BREATH_EVENTS = 20
"""Events encoded in one go, about 4 ms: between two goes a scan can be answered."""

Find = Callable[[str], Awaitable[dict[str, Any] | None]]
"""Returns an event by its id as it was delivered, with its sequence; None when it is not here."""


class EpcisEncoder:
    """Implements `EventEncoder`."""

    def __init__(
        self, find: Find, *, hash_ids: bool, wall: Callable[[], int], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """`wall` returns milliseconds since 1970 UTC; `sleep` of nothing lets others have their turn."""
        self._find = find
        self._hash_ids = hash_ids
        self._wall = wall
        self._sleep = sleep

    async def encode(self, batch: Batch) -> list[bytes | Unencodable]:
        """Return one EPCIS event for each member of the batch; what cannot be encoded says why."""
        events = json.loads(batch.body)
        here: dict[str, dict[str, Any]] = {str(event.get("id")): event for event in events}
        encoded: list[bytes | Unencodable] = []
        for number, event in enumerate(events, 1):
            encoded.append(await self._encode(event, here))
            if number % BREATH_EVENTS == 0:
                await self._sleep(0)
        return encoded

    def document(self, events: Sequence[bytes]) -> bytes:
        """Return the EPCISDocument that holds the events."""
        return document(events, instant(self._wall()))

    async def _encode(self, event: dict[str, Any], here: dict[str, dict[str, Any]]) -> bytes | Unencodable:
        voided = None
        if kind_of(event) == "void":
            voided_id = str(event.get("data", {}).get("voids", ""))
            voided = here.get(voided_id) or await self._find(voided_id)
        try:
            return as_json(encode(event, voided=voided, hash_ids=self._hash_ids))
        except ValueError as error:
            return Unencodable(f"no form in EPCIS: {error}")


def as_json(event: dict[str, Any]) -> bytes:
    """Return an EPCIS event as JSON bytes."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
