"""The least a gateway of this shape can be, as a yardstick: MQTT 5 in, one flushed commit, PUBACK, POST, cursor.

It understands one message, refuses nothing, keeps no sessions, knows no duplicates, has no digest, no order across
epochs, no retries, and waits for nothing: a lone scan is a commit and a request of its own. What the real gateway costs
beyond it (or saves by waiting a little for company) is the ratio that the bench prints; the same interpreter, the same
codec and the same HTTP client run under both, so that a slow machine is slow for both.

Run as `python -m gateway.bench.bare_gateway run --config FILE`, with the bench's configuration.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import sqlite3
import sys
import threading
import tomllib
import uuid
from pathlib import Path

import httpx2
import mqtt5
from pydantic import BaseModel

BATCH_MAX = 1_000
RECEIVE_MAX = 200
SOURCE = "//bench/bare"
HEADERS = {"Content-Type": "application/cloudevents-batch+json"}

Scan = tuple[str, bytes]
"""Event id and payload."""


class Message(BaseModel):
    """What a handheld says."""

    id: str
    code: str
    at: str
    activity: str
    document: str
    location: str
    quantity: int
    operator: str


class Journal(threading.Thread):
    """The one writer: whatever waits goes into one commit."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.path, self.loop = path, loop
        self.waiting: queue.SimpleQueue[tuple[list[Scan], int, asyncio.Future[None]]] = queue.SimpleQueue()

    def append(self, scans: list[Scan], cursor: int = 0) -> asyncio.Future[None]:
        """Return a future that is done once the scans, or the cursor, are on the disk."""
        future: asyncio.Future[None] = self.loop.create_future()
        self.waiting.put((scans, cursor, future))
        return future

    def run(self) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, id TEXT, payload BLOB)")
        connection.execute("CREATE TABLE cursor (through INTEGER)")
        connection.execute("INSERT INTO cursor VALUES (0)")
        while True:
            jobs = [self.waiting.get()]
            while not self.waiting.empty():
                jobs.append(self.waiting.get())
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO entry (id, payload) VALUES (?, ?)", [scan for scans, _, _ in jobs for scan in scans]
            )
            if through := max(cursor for _, cursor, _ in jobs):
                connection.execute("UPDATE cursor SET through = ?", (through,))
            connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(_resolve, [future for _, _, future in jobs])


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


class Device(asyncio.Protocol):
    """One connection of a handheld."""

    def __init__(self, journal: Journal, stored: asyncio.Event) -> None:
        self.journal, self.stored = journal, stored
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        view = memoryview(self.buffer + data)
        at, scans, packet_ids = 0, [], []
        while at < len(view):
            try:
                packet, used = mqtt5.read(view[at:])
            except IndexError:
                break
            at += used
            if isinstance(packet, mqtt5.PublishPacket):
                scans.append(_event(packet.payload or b"", packet.topic))
                packet_ids.append(packet.packet_id or 0)
            elif isinstance(packet, mqtt5.ConnectPacket):
                self.transport.write(mqtt5.ConnAckPacket(receive_max=RECEIVE_MAX).write())
        self.buffer = bytes(view[at:])
        if scans:
            future = self.journal.append(scans)
            future.add_done_callback(lambda _: self._acknowledge(packet_ids))

    def _acknowledge(self, packet_ids: list[int]) -> None:
        self.transport.write(b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in packet_ids))
        self.stored.set()


def _event(payload: bytes, topic: str) -> Scan:
    message = Message.model_validate_json(payload)
    number = str(uuid.uuid4())
    text = (
        f'"id":"{number}","source":"{SOURCE}","specversion":"1.0","type":"dockline.{message.activity}.v1",'
        f'"time":"{message.at}","data":{{"device":{{"id":"{topic.split("/")[3]}"}},"scan":{message.model_dump_json()}}}}}'
    )
    return number, text.encode()


async def _pump(path: Path, url: str, journal: Journal, stored: asyncio.Event) -> None:
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    cursor = 0
    async with httpx2.AsyncClient() as client:
        while True:
            rows = await asyncio.to_thread(_read, reader, cursor)
            if not rows:
                stored.clear()
                await stored.wait()
                continue
            body = b"[" + b",".join(b'{"sequence":"%020d",' % seq + payload for seq, payload in rows) + b"]"
            answer = await client.post(url, content=body, headers=HEADERS)
            cursor = answer.json()["accepted_through"]
            await journal.append([], cursor)


def _read(reader: sqlite3.Connection, cursor: int) -> list[tuple[int, bytes]]:
    query = "SELECT seq, payload FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
    return reader.execute(query, (cursor, BATCH_MAX)).fetchall()


async def run(config: Path) -> None:
    """Serve until SIGTERM."""
    settings = tomllib.loads(config.read_text())
    folder = Path(settings["storage"]["path"])
    folder.mkdir(exist_ok=True)
    loop, stop, stored = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    journal = Journal(folder / "bare.db", loop)
    journal.start()
    await journal.append([])
    host, _, port = settings["mqtt"]["listener"]["bind"].partition(":")
    server = await loop.create_server(lambda: Device(journal, stored), host, int(port))
    pump = asyncio.ensure_future(_pump(folder / "bare.db", settings["upstream"][0]["url"], journal, stored))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if pump.done():
        await pump
    pump.cancel()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[sys.argv.index("--config") + 1])))
