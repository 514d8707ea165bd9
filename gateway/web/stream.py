"""What pages hear while they are open: server-sent events (WHATWG HTML, section 9.2), one stream a page.

Theory of operation. However many pages are open, the state is looked at and written as text once, and each page is
handed the same bytes. It is looked at when a scan was answered, but not before that answer had its turn to leave, and
never more often than every `GAP_S`: what happened in between comes together. So a page costs a scan nothing, and 20
pages cost little more than one.

Each page has a short queue. One that does not take its messages is cut off: it reconnects by itself (`retry`) and
begins with the whole state, as every page does. A stream also ends after a while, so that whoever lost the right to
look stops seeing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from buffer.errors import OutboxError
from gateway.report import Report
from gateway.web.guard import ApiError, require
from gateway.web.server import ABANDON
from gateway.web.stations import station_json
from gateway.web.status_summary import summary

STREAMS_MAX: Final = 64
QUEUED_MAX: Final = 8
"""Messages that wait for a page to take them."""
GAP_S: Final = 0.3
YIELD_S: Final = 0.02
"""Before anything is written for pages: the answer to the scan goes first."""
STATUS_S: Final = 2.0
ALL_STATIONS_S: Final = 15.0
AGE_S: Final = 900.0
SCANS_MAX: Final = 25
"""Scans in one message; how many more there were is said."""
SCANS_FIRST: Final = 60
TURN_PAGES: Final = 5
"""Pages that are handed a message before scans get their turn."""
RETRY_MS: Final = 2000


class _Page:
    """One open page."""

    def __init__(self, abandon: Callable[[], None]) -> None:
        self.abandon = abandon
        self.waiting: deque[bytes] = deque()
        self.moved = asyncio.Event()
        self.is_over = False

    def offer(self, message: bytes) -> bool:
        """Queue a message; False when the page does not take them."""
        if len(self.waiting) >= QUEUED_MAX:
            return False
        self.waiting.append(message)
        self.moved.set()
        return True

    def end(self) -> None:
        """Let it go when it has what is queued."""
        self.is_over = True
        self.moved.set()


class Stream:
    """All open pages of one gateway."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pages: set[_Page] = set()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[dict[str, Any] | None] | None = None
        self.flowing = 0
        """Answers that go on; one counts from its first step, or all that are asked for at once would get in."""
        self.dropped = 0
        """Pages that were cut off because they did not take their messages."""

    async def open(self, request: Request) -> Response:
        """What changes, as server-sent events: `data` is JSON with any of stations, scans, status.

        The first message has all of it. It ends after a quarter of an hour, and when its reader is too slow: reconnect.
        """
        require(request, "viewer")
        if self.flowing >= STREAMS_MAX:
            raise ApiError(503, "too_many_streams", f"{STREAMS_MAX} pages are open", retry_after_s=30)
        return _Flow(self, getattr(request.state, ABANDON, lambda: None))

    async def enter(self, page: _Page) -> None:
        """Hand a page the whole state, and from then on what changes."""
        page.offer(b"retry: %d\n\n" % RETRY_MS + _told(await self._whole()))
        self._pages.add(page)
        if self._report.closing.is_set():
            page.end()  # it came while the others were sent home
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name="pages")

    def leave(self, page: _Page) -> None:
        """Hand a page nothing more."""
        self._pages.discard(page)

    # -- within

    async def _live(self) -> None:
        board = self._report.andon.board
        board.on_change = self._changed.set
        closed = asyncio.create_task(self._close_all(), name="pages closing")
        loop = asyncio.get_running_loop()
        number, status_at, all_at = board.number, loop.time() + STATUS_S, loop.time() + ALL_STATIONS_S
        try:
            while self._pages:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(status_at, all_at)):
                        await self._changed.wait()
                await self._report.pause(YIELD_S)
                self._changed.clear()
                now = loop.time()
                told = self._news(number, is_all=now >= all_at)
                number = board.number
                if now >= all_at:
                    all_at = now + ALL_STATIONS_S
                if now >= status_at:
                    status_at = now + STATUS_S
                    told["status"] = await self._status()
                await self._hand_out(_told(told))
                await self._report.pause(GAP_S)
        finally:
            closed.cancel()
            board.on_change = None
            self._task = None

    async def _close_all(self) -> None:
        await self._report.closing.wait()
        for page in self._pages:
            page.end()

    async def _hand_out(self, message: bytes) -> None:
        for turn, page in enumerate(list(self._pages), 1):
            if not page.offer(message):
                self.dropped += 1
                self._pages.discard(page)
                page.abandon()
                page.end()
            if turn % TURN_PAGES == 0:
                await self._report.pause(0)

    def _news(self, number: int, *, is_all: bool) -> dict[str, Any]:
        """Return what came after the reading of that number."""
        report = self._report
        board = report.andon.board
        fresh = []
        for shown in board.recent():
            if shown.number <= number:
                break
            fresh.append(shown)
        told: dict[str, Any] = {"now_ms": report.wall_ms(), "number": board.number}
        if fresh:
            told["scans"] = [shown.as_json() for shown in fresh[:SCANS_MAX]]
            told["missed"] = len(fresh) - len(told["scans"])
        changed = {name for name, one in board.stations.items() if one.changed > number}
        if is_all or changed:
            told["stations"] = [
                station_json(report, one) for one in report.settings.stations if is_all or one.id in changed
            ]
        return told

    async def _whole(self) -> dict[str, Any]:
        status = await self._status()
        told = self._news(0, is_all=True)  # behind it: nothing is awaited between this and the news that follow
        told["scans"] = [shown.as_json() for shown in islice(self._report.andon.board.recent(), SCANS_FIRST)]
        told.update(missed=0, whole=True, status=status)
        return told

    async def _status(self) -> dict[str, Any] | None:
        """Return the status, looked at once for all that ask meanwhile: after a restart all pages come together."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="status for pages")
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    def _looked(self, _: object) -> None:
        self._looking = None

    async def _look(self) -> dict[str, Any] | None:
        try:
            return summary(await self._report.status())
        except OutboxError:
            return None  # the daemon is ending; the next stream begins with it


class _Flow(Response):
    """The answer that goes on."""

    def __init__(self, stream: Stream, abandon: Callable[[], None]) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream
        self._page = _Page(abandon)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._stream.flowing += 1
        try:
            await self._flow(scope, receive, send)
        finally:
            self._stream.flowing -= 1

    async def _flow(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.create_task(self._watch(receive), name="page leaves")
        try:
            await self._stream.enter(self._page)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGE_S):
                    await self._pour(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._stream.leave(self._page)
            gone.cancel()

    async def _pour(self, send: Send) -> None:
        page = self._page
        while True:
            while page.waiting:
                await send({"type": "http.response.body", "body": page.waiting.popleft(), "more_body": True})
            if page.is_over:
                return
            page.moved.clear()
            await page.moved.wait()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self._page.waiting.clear()
        self._page.end()


def _told(message: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(message, separators=(",", ":")).encode()
