"""Looking for events by what is in them.

There is no index on the text of an event, for the sake of every insert. So a search reads payloads, the newest first,
a bounded number at a time: in between others may read, and an answer that ends early says how far it came.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from buffer import Entry, EntryFilter, Outbox
from gateway.events.cloudevents import quote

CHUNK: Final = 10_000
"""Entries read in one go, some ten milliseconds."""
CHUNKS_MAX: Final = 10
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of payloads in one answer: what could not be understood may be 64 kilobytes an event, and a thousand of them would be
a fifth of all the memory there is."""


def needle(text: str) -> bytes:
    """Return a text as it stands inside an event, without its quotation marks."""
    return quote(text)[1:-1].encode("utf-8", "replace")


def document_needle(document: str) -> bytes:
    """Return how an event begins to name its document."""
    return f'"document":{{"id":{quote(document)}'.encode("utf-8", "replace")


async def search(outbox: Outbox, wanted: EntryFilter, before: int | None) -> tuple[list[Entry], int | None]:
    """Return the newest entries that fit, and where to go on (`before`); None when everything was looked at."""
    newest = outbox.newest if before is None else min(before - 1, outbox.newest)
    found: list[Entry] = []
    room = ANSWER_BYTES_MAX
    for _ in range(CHUNKS_MAX):
        if newest < wanted.seq_from:
            return found, None
        oldest = wanted.seq_from if wanted.contains is None else max(wanted.seq_from, newest - CHUNK + 1)
        part = replace(wanted, seq_from=oldest, seq_to=newest, limit=wanted.limit - len(found), bytes_max=room)
        more = await outbox.entries(part)
        found += more
        room -= sum(len(entry.payload) for entry in more)
        if len(found) >= wanted.limit or room <= 0:
            return found, found[-1].seq if found else None
        newest = oldest - 1
    return found, newest + 1 if newest >= wanted.seq_from else None
