"""A tail shows what was asked for, once, and costs one query a commit also when it shows nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from outbox_rig import draft

from buffer import Entry, EntryFilter
from gateway.web import tail
from gateway.web.tail import TAIL_CHUNK, EventMatch, TailDesk

BOUND_S = 60.0


class Outbox:
    """Entries in memory; every query is noted."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.queries: list[EntryFilter] = []
        self._grown = asyncio.Event()

    @property
    def newest(self) -> int:
        return len(self.kept)

    def add(self, device: str, document: str = "PL-1", code: str = "09521234543213") -> None:
        data = {"document": {"id": document}, "item": {"gtin": code}, "device": {"id": device}}
        payload = json.dumps({"type": "dockline.pick.v1", "data": data}).encode()
        one = draft(len(self.kept) + 1, device=device, payload=payload)
        self.kept.append(Entry(len(self.kept) + 1, *one[:6], b"", b""))
        self._grown.set()

    async def entries(self, wanted: EntryFilter) -> list[Entry]:
        self.queries.append(wanted)
        found = [one for one in self.kept if wanted.seq_from <= one.seq <= wanted.seq_to]
        found = [one for one in found if wanted.device in (None, one.device)][: wanted.limit]
        room = itertools.accumulate((len(one.payload) for one in found), initial=0)
        return [one for one, size in zip(found, room, strict=False) if size < (wanted.bytes_max or 10**9)]

    async def appended(self, after: int) -> None:
        while self.newest <= after:
            self._grown.clear()
            await self._grown.wait()


@pytest.fixture
async def outbox() -> Outbox:
    return Outbox()


def follow(outbox: Outbox, match: EventMatch | None = None, **wanted: Any) -> Any:
    report: Any = SimpleNamespace(outbox=outbox, closing=asyncio.Event())
    asked = EntryFilter(**wanted, newest_first=False, limit=TAIL_CHUNK)
    return TailDesk(report)._follow(0, asked, match or EventMatch())


async def following(stream: Any) -> int:
    async with asyncio.timeout(BOUND_S):
        return int((await anext(stream)).id)


async def test_each_event_comes_once_and_in_order(outbox: Outbox) -> None:
    for number in range(TAIL_CHUNK * 2 + 1):
        outbox.add(f"hh-{number % 2}")
    stream = follow(outbox, device="hh-0")
    assert [await following(stream) for _ in range(TAIL_CHUNK + 1)] == list(range(1, TAIL_CHUNK * 2 + 2, 2))
    outbox.add("hh-1")
    outbox.add("hh-0")
    assert await following(stream) == TAIL_CHUNK * 2 + 3
    await stream.aclose()


async def test_large_events_come_in_several_goes_and_all_of_them(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "TAIL_BYTES", 500)
    for _ in range(20):
        outbox.add("hh-1")
    stream = follow(outbox, bytes_max=500)
    assert [await following(stream) for _ in range(20)] == list(range(1, 21))
    assert len(outbox.queries) > 4
    await stream.aclose()


async def test_what_a_filter_passes_over_is_not_looked_at_again(outbox: Outbox) -> None:
    """Somebody watches a scanner that says nothing, on a site with a thousand scans a second."""
    outbox.add("hh-1")
    stream = follow(outbox, device="quiet")
    waiting = asyncio.ensure_future(following(stream))
    for _ in range(3):
        for _ in range(20):
            await asyncio.sleep(0)
        outbox.add("hh-1")
    for _ in range(20):
        await asyncio.sleep(0)
    assert [(one.seq_from, one.seq_to) for one in outbox.queries] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    outbox.add("quiet")
    assert await waiting == 5
    await stream.aclose()


async def test_document_and_code_are_looked_for_in_the_event(outbox: Outbox) -> None:
    outbox.add("hh-1", "PL-1", "1")
    outbox.add("hh-1", "PL-2", "1")
    outbox.add("hh-1", "PL-2", "2")
    stream = follow(outbox, EventMatch(document="PL-2", code="2"))
    assert await following(stream) == 3
    await stream.aclose()


@pytest.mark.parametrize(
    ("data", "code", "admits"),
    [
        ({"item": {"sscc": "395212300000000012"}}, "395212300000000012", True),
        ({"evidence": {"raw": "010952123454321310LOT7"}}, "LOT7", True),
        ({"item": {"gtin": "09521234543213"}}, "0952123454321", False),
        ({}, "x", False),
    ],
)
def test_a_code_is_what_a_label_may_be_known_by(data: dict[str, Any], code: str, admits: bool) -> None:
    assert EventMatch(code=code).admits({"event": {"data": data}}) is admits
    assert not EventMatch(code=code).admits({"id": "damaged"})
