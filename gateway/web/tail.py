"""Events as they are committed, for whoever watches: all, or those of a station, device, type, document or code.

What a filter lets pass is looked for by the outbox where it has a column for it, and in the event itself for the rest.
A watcher who sees nothing costs one query a commit, like one who sees everything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from buffer import EntryFilter
from gateway.event_json import as_event
from gateway.report import Report
from gateway.web.api import event_filter, number
from gateway.web.guard import ApiError, require

TAIL_CHUNK = 100
TAIL_BYTES = 512 * 1024
"""Entries, and bytes of them, that are read in one go."""
TAILS_MAX = 32
CODE_KEYS = ("sscc", "gtin", "sku", "epc", "code")
"""What a label may be known by."""


@dataclass(frozen=True, slots=True)
class EventMatch:
    """What an event must say to be shown; None: it does not matter."""

    document: str | None = None
    code: str | None = None

    def admits(self, found: dict[str, Any]) -> bool:
        """Return whether an event, as `as_event` gives it, is about this document and this code."""
        data = (found.get("event") or {}).get("data") or {}
        if self.document is not None and (data.get("document") or {}).get("id") != self.document:
            return False
        if self.code is None:
            return True
        item, raw = data.get("item") or {}, str((data.get("evidence") or {}).get("raw") or "")
        return self.code in raw or self.code in (data.get("code"), *(item.get(key) for key in CODE_KEYS))


class TailDesk:
    """`GET /v1/events/tail`."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.flowing = 0
        """Answers that go on; one counts from its first step, or all that are asked for at once would get in."""

    async def tail(self, request: Request) -> EventSourceResponse:
        """Events as they are committed, until the caller leaves or the daemon stops."""
        require(request, "viewer")
        if self.flowing >= TAILS_MAX:
            raise ApiError(503, "too_many_tails", f"{TAILS_MAX} tails are open", retry_after_s=30)
        asked = request.query_params
        given = request.headers.get("last-event-id") or asked.get("after")
        after = number("after", given, self._report.outbox.newest)
        wanted = replace(event_filter(asked), newest_first=False, limit=TAIL_CHUNK, bytes_max=TAIL_BYTES)
        match = EventMatch(asked.get("document"), asked.get("code"))
        return _Flow(self, self._follow(after, wanted, match), ping=15, send_timeout=30)

    async def _follow(self, after: int, wanted: EntryFilter, match: EventMatch) -> AsyncIterator[ServerSentEvent]:
        outbox, closing = self._report.outbox, self._report.closing
        closed = asyncio.create_task(closing.wait(), name="tail closing")
        try:
            while not closing.is_set():
                # Taken before the query: what the filter passes over up to here is not looked at again.
                head = max(after, outbox.newest)
                entries = await outbox.entries(replace(wanted, seq_from=after + 1, seq_to=head))
                for entry in entries:
                    found = as_event(entry)
                    if match.admits(found):
                        yield ServerSentEvent(json.dumps(found), id=str(entry.seq), event="event")
                is_cut = len(entries) == TAIL_CHUNK or sum(len(entry.payload) for entry in entries) >= TAIL_BYTES
                after = entries[-1].seq if is_cut else head
                if not is_cut:
                    more = asyncio.ensure_future(outbox.appended(after))
                    await asyncio.wait([more, closed], return_when=asyncio.FIRST_COMPLETED)
                    more.cancel()
        finally:
            closed.cancel()


class _Flow(EventSourceResponse):
    """The answer that goes on."""

    def __init__(self, desk: TailDesk, *content: Any, **options: Any) -> None:
        super().__init__(*content, **options)
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._desk.flowing += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._desk.flowing -= 1
