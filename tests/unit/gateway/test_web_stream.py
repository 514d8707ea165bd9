"""The stream of open pages: looked at once for all, behind the answer, bounded for each."""

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.reading import Reading, Verdict
from gateway.andon.board import Board
from gateway.web import stream as module
from gateway.web.auth import LOCAL_READER
from gateway.web.guard import ApiError
from gateway.web.stream import QUEUED_MAX, SCANS_MAX, STREAMS_MAX, Stream, _Page

NOON_MS = 1_800_000_000_000
STATION = SimpleNamespace(id="dock-3")


class Report:
    """What the stream asks of a daemon."""

    def __init__(self) -> None:
        self.board = Board({"s-1": "dock-3"}.get, self.wall_ms)
        self.andon = SimpleNamespace(board=self.board)
        self.settings = SimpleNamespace(stations=[STATION])
        self.closing = asyncio.Event()
        self.looked = 0

    def wall_ms(self) -> int:
        return NOON_MS

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def status(self) -> None:
        self.looked += 1

    def scan(self, code: str) -> None:
        self.board.note([Reading("s-1", "scan", b"", code)], [Verdict("stored", ("e",))])


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[Report]:
    monkeypatch.setattr(module, "station_json", lambda _report, station: {"id": station.id})
    monkeypatch.setattr(module, "summary", lambda _status: {"ready": True})
    yield Report()


class Reader:
    """A page at the other end: takes messages, or does not."""

    def __init__(self, stream: Stream) -> None:
        self.gone = 0
        self.page = _Page(self._abandoned)
        self._stream = stream

    def _abandoned(self) -> None:
        self.gone += 1

    async def enter(self) -> dict[str, Any]:
        await self._stream.enter(self.page)
        return self.take()

    def take(self) -> dict[str, Any]:
        text = self.page.waiting.popleft().decode()
        found: dict[str, Any] = json.loads(text[text.index("data: ") + 6 :])
        assert text.endswith("\n\n")
        return found

    async def next(self, stations: bool = True) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while not self.page.waiting:
                self.page.moved.clear()
                await self.page.moved.wait()
        return self.take()


async def test_a_page_begins_with_everything_and_goes_on_with_what_is_new(report: Report) -> None:
    report.scan("A")
    stream = Stream(report)  # type: ignore[arg-type]
    reader = Reader(stream)
    whole = await reader.enter()
    assert whole["whole"] and [scan["code"] for scan in whole["scans"]] == ["A"]
    assert whole["stations"] == [{"id": "dock-3"}] and whole["status"] == {"ready": True}
    await asyncio.sleep(0)
    report.scan("B")
    news = await reader.next()
    assert [scan["code"] for scan in news["scans"]] == ["B"]
    assert news["stations"] == [{"id": "dock-3"}] and "status" not in news
    stream.leave(reader.page)


async def test_what_happens_at_once_comes_together_and_what_is_left_out_is_said(report: Report) -> None:
    """A portal says two hundred tags a second; nobody reads two hundred lines a second."""
    stream = Stream(report)  # type: ignore[arg-type]
    reader = Reader(stream)
    await reader.enter()
    await asyncio.sleep(0)
    for number in range(SCANS_MAX + 7):
        report.scan(str(number))
    news = await reader.next()
    assert len(news["scans"]) == SCANS_MAX and news["missed"] == 7
    assert news["scans"][0]["code"] == str(SCANS_MAX + 6), "the newest first"
    stream.leave(reader.page)


async def test_all_pages_get_the_same_bytes(report: Report) -> None:
    """Twenty pages must cost a scan little more than one."""
    stream = Stream(report)  # type: ignore[arg-type]
    readers = [Reader(stream) for _ in range(20)]
    for reader in readers:
        await reader.enter()
    await asyncio.sleep(0)
    report.scan("B")
    async with asyncio.timeout(60):
        while not all(reader.page.waiting for reader in readers):
            await asyncio.sleep(0)
    assert len({id(reader.page.waiting[0]) for reader in readers}) == 1
    for reader in readers:
        stream.leave(reader.page)


async def test_a_page_that_takes_nothing_is_cut_off_and_the_others_stay(report: Report) -> None:
    """A tablet that went to sleep in a drawer, with its connection open."""
    stream = Stream(report)  # type: ignore[arg-type]
    slow, quick = Reader(stream), Reader(stream)
    await slow.enter()
    await quick.enter()
    await asyncio.sleep(0)
    for number in range(QUEUED_MAX + 2):
        report.scan(str(number))
        assert (await quick.next())["scans"][0]["code"] == str(number)
    assert (slow.gone, quick.gone, stream.dropped) == (1, 0, 1)
    assert slow.page.is_over and len(slow.page.waiting) == QUEUED_MAX
    stream.leave(quick.page)


async def test_nobody_looks_when_no_page_is_open(report: Report) -> None:
    stream = Stream(report)  # type: ignore[arg-type]
    reader = Reader(stream)
    await reader.enter()
    await asyncio.sleep(0)
    assert report.board.on_change is not None
    stream.leave(reader.page)
    report.scan("A")
    async with asyncio.timeout(60):
        while report.board.on_change is not None:
            await asyncio.sleep(0)
    reader = Reader(stream)
    await reader.enter()
    await asyncio.sleep(0)
    report.scan("B")
    assert (await reader.next())["scans"][0]["code"] == "B", "and it begins again with the next page"
    stream.leave(reader.page)


async def test_pages_end_with_the_daemon(report: Report) -> None:
    stream = Stream(report)  # type: ignore[arg-type]
    reader = Reader(stream)
    await reader.enter()
    await asyncio.sleep(0)
    report.closing.set()
    async with asyncio.timeout(60):
        while not reader.page.is_over:
            await reader.page.moved.wait()
            reader.page.moved.clear()
    late = Reader(stream)
    await late.enter()
    assert late.page.is_over, "one that comes meanwhile is not forgotten"
    stream.leave(reader.page)
    stream.leave(late.page)
    report.scan("so that the last look ends")


async def test_the_pages_are_bounded(report: Report) -> None:
    stream = Stream(report)  # type: ignore[arg-type]
    stream.flowing = STREAMS_MAX
    request: Any = SimpleNamespace(state=SimpleNamespace(caller=LOCAL_READER))
    with pytest.raises(ApiError) as refused:
        await stream.open(request)
    assert (refused.value.status_code, refused.value.code) == (503, "too_many_streams")


async def test_pages_that_come_together_look_at_the_status_once(report: Report) -> None:
    """The gateway was restarted, and twenty pages come back within a second: the last one waited for twenty looks."""
    may_answer, is_asked = asyncio.Event(), asyncio.Event()

    async def status() -> None:
        report.looked += 1
        is_asked.set()
        await may_answer.wait()

    report.status = status  # type: ignore[method-assign]
    stream: Any = Stream(report)  # type: ignore[arg-type]
    readers = [Reader(stream) for _ in range(20)]
    coming = [asyncio.create_task(reader.enter()) for reader in readers]
    async with asyncio.timeout(60):
        await is_asked.wait()
        report.scan("while they wait")
        may_answer.set()
        first = await asyncio.gather(*coming)
    assert report.looked == 1
    assert all(one["status"] == {"ready": True} for one in first)
    assert {one["scans"][0]["code"] for one in first} == {"while they wait"}, "what came meanwhile is in it"
    assert await stream._status() == {"ready": True}
    assert report.looked >= 2, "the next one looks again"
    for reader in readers:
        stream.leave(reader.page)


async def test_a_stream_ends_after_a_while_and_is_asked_for_anew(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost the right to look, because a token was withdrawn, stops seeing."""
    monkeypatch.setattr(module, "AGE_S", 0.01)
    stream = Stream(report)  # type: ignore[arg-type]
    request: Any = SimpleNamespace(state=SimpleNamespace(caller=LOCAL_READER))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("the page stays")

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(60):
        await (await stream.open(request))({"type": "http", "method": "GET"}, receive, send)
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert stream.flowing == 0
    report.scan("so that the last look ends")
