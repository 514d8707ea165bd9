"""Just enough of an HTTP/1.1 server to misbehave exactly.

A web framework answers politely; this one must also cut an answer in the middle, close without a word, or never
answer. Bodies need a Content-Length (every client of a gateway sends one). Connections are kept alive, requests on one
connection are answered in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from simulators.conversations import Conversations, stop_listening

HEAD_BYTES_MAX = 65_536
_READ_AHEAD_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    body_length: int
    """As announced; `body` is empty when it was larger than the server reads."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, and how badly."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    """Close the connection after the answer."""
    silent: bool = False
    """Close without sending anything."""
    hang: bool = False
    """Send nothing and keep the connection open until the server stops or the client leaves."""
    is_cut: bool = False
    """Close after half of the bytes of head and body together."""


Handler = Callable[[Request], Awaitable[Reply]]


class HttpServer:
    """Serves one handler on loopback; `port` says where."""

    def __init__(
        self, handler: Handler, *, host: str, port: int, tls: ssl.SSLContext | None, body_bytes_max: int
    ) -> None:
        self._handler = handler
        self._host = host
        self.port = port
        self._tls = tls
        self._body_bytes_max = body_bytes_max
        self._server: asyncio.Server | None = None
        self._connections = Conversations()

    async def start(self) -> None:
        """Listen; port 0 becomes the port the system chose, and stays so over a restart."""
        self._server = await asyncio.start_server(
            self._accept, self._host, self.port, ssl=self._tls, limit=_READ_AHEAD_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        stop_listening(server)
        await self._connections.end()
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.begin(self._serve(reader, writer), writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await _read_request(reader, writer, self._body_bytes_max)
                if request is None or not await _send(reader, writer, await self._handler(request)):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            return
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body_bytes_max: int
) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    if len(head) > HEAD_BYTES_MAX:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target = urlsplit(rest.rpartition(" ")[0])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if length <= body_bytes_max:
        body = await reader.readexactly(length)
    else:
        # Read and thrown away, so that the client hears the 413 instead of a reset.
        left = length
        while left > 0:
            chunk = await reader.read(min(left, 65_536))
            if not chunk:
                return None
            left -= len(chunk)
    query = {name: values[-1] for name, values in parse_qs(target.query).items()}
    return Request(method, target.path, query, headers, body, length)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Send the reply; return whether the connection may be used again."""
    if reply.hang:
        await reader.read()
        return False
    if reply.silent:
        return False
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    if reply.close:
        headers["Connection"] = "close"
    head = f"HTTP/1.1 {reply.status} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    whole = head.encode("latin-1") + b"\r\n" + reply.body
    writer.write(whole[: len(whole) // 2] if reply.is_cut else whole)
    await writer.drain()
    if reply.is_cut:
        # Close in order, so that the bytes before the cut do arrive.
        writer.close()
        return False
    return not reply.close
