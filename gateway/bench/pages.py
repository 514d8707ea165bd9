"""Row 14: what open pages cost a scan.

Twenty pages are opened as a browser opens them: the page and its files, the session, then the stream, and every few
seconds a view's own question. The same steady scans are made without them and with them, in turn, so that a machine
that is slow for a minute is slow for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.bench.rig import Load, Rig, rig
from gateway.web.page_files import FOLDER

if TYPE_CHECKING:
    from gateway.bench.rows import Row, Size

PAGES = 20
RATE = 200
"""Scans a second: a busy site. What comes within a moment is told together, so more scans are hardly more work."""
CEILING = 1.10
VIEW_S = 10.0
VIEWS = ("/v1/exceptions", "/v1/history", "/v1/devices", "/v1/quarantine")


async def pages(folder: Path, size: Size, say: Callable[[str], None]) -> AsyncIterator[Row]:
    """Row 14: the wait for the acknowledgement with 20 open pages, against that without any."""
    from gateway.bench.rows import Row

    count = int(RATE * size.steady_s)
    alone: list[Load] = []
    watched: list[Load] = []
    shares = []
    async with rig(folder) as bench:
        await bench.start_centre()
        await bench.gateway.start()
        await bench.load(1_000)
        for number in range(size.rounds):
            say(f"steady {RATE} scans a second without and with {PAGES} pages, round {number + 1} of {size.rounds}")
            cpu = bench.gateway.cpu_s()
            alone.append(await bench.load(count, rate=RATE))
            between = bench.gateway.cpu_s()
            async with open_pages(bench, PAGES) as heard:
                watched.append(await bench.load(count, rate=RATE))
            shares.append((bench.gateway.cpu_s() - between) - (between - cpu))
            if min(heard) < 2:
                raise RuntimeError("a page of the bench heard nothing")
    without, with_them = (statistics.median(one.ack_p99_ms for one in loads) for loads in (alone, watched))
    middles = [statistics.median(one.ack_p50_ms for one in loads) for loads in (watched, alone)]
    detail = (
        f"p99 {with_them:.1f} ms against {without:.1f} ms, p50 {middles[0]:.1f} against {middles[1]:.1f} ms; the pages"
        f" took {statistics.median(shares) / size.steady_s * 100:.1f} % of a core"
    )
    yield Row("14", f"p99 scan to acknowledgement at {RATE}/s with {PAGES} open pages ÷ without", with_them / without,
              "x", CEILING, is_upper=True, detail=detail)  # fmt: skip


@contextlib.asynccontextmanager
async def open_pages(bench: Rig, count: int) -> AsyncIterator[list[int]]:
    """Keep so many pages open; lends how many messages each has heard."""
    host, _, port = str(json.loads((bench.folder / "state" / "addresses.json").read_text())["api"]).rpartition(":")
    heard = [0] * count
    opened = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(_page(host, int(port), number, heard, opened[number])) for number in range(count)]
    try:
        await asyncio.gather(*(one.wait() for one in opened))
        yield heard
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _page(host: str, port: int, number: int, heard: list[int], opened: asyncio.Event) -> None:
    for path in ("/", *(f"/page/{file.name}" for file in sorted(FOLDER.iterdir())), "/v1/session"):
        await _get(host, port, path)
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(host, port, number, heard, opened))
        group.create_task(_look(host, port, number))


async def _look(host: str, port: int, number: int) -> None:
    """Ask what a view asks, every few seconds, no two pages at once."""
    never = asyncio.Event()
    wait_s = VIEW_S * (number + 1) / PAGES
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), wait_s)
        await _get(host, port, VIEWS[number % len(VIEWS)])
        wait_s = VIEW_S


async def _listen(host: str, port: int, number: int, heard: list[int], opened: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while chunk := await reader.read(1 << 16):
            heard[number] += chunk.count(b"data: {")
            if heard[number]:
                opened.set()
    finally:
        writer.close()
    raise RuntimeError("the gateway ended the stream of a page")


async def _get(host: str, port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"{path}: {status.decode().strip()}")
        while await reader.read(1 << 16):
            pass
    finally:
        writer.close()
