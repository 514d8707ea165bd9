"""A network that can be cut: a TCP proxy between a gateway and anything it talks to.

    async with Network("127.0.0.1", centre.port, seed=7) as network:
        ... the gateway connects to network.port ...
        network.cut()        # every connection breaks, new ones are refused
        network.mend()
        network.black_hole() # connections are taken and nothing ever comes back

Weather is what the line does to bytes by itself: delay, cuts after a number of bytes, flipped bits, answers that get
lost, all from a seed. Changes count for open connections too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Self

from simulators.conversations import Conversations, stop_listening

Direction = Literal["request", "answer"]

_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Weather:
    """What the line does. All off: a clear day."""

    delay_s: float = 0.0
    """Every chunk waits this long, each way."""
    jitter_s: float = 0.0
    """Up to this much more, drawn for every chunk."""
    chunk_bytes: int = _CHUNK_BYTES
    """Bytes are passed on in pieces of at most this size; 1 is byte by byte."""
    cut_after_request: int | None = None
    """A connection breaks when this many bytes went to the far end."""
    cut_after_answer: int | None = None
    """A connection breaks when this many bytes came back."""
    cut_probability: float = 0.0
    """Chance for every chunk to break the connection instead."""
    flip_probability: float = 0.0
    """Chance for every chunk to have one bit turned."""
    loses_answers: bool = False
    """Requests arrive; at the first byte of the answer the connection breaks."""


class Network:
    """A proxy on loopback to one far end."""

    def __init__(self, host: str, port: int, *, seed: int = 0, listen_port: int = 0) -> None:
        self._far_end = (host, port)
        self._rng = Random(seed)
        self.port = listen_port
        self.weather = Weather()
        self.connections = 0
        """Connections taken since the start."""
        self._server: asyncio.Server | None = None
        self._links = Conversations()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._links.end()

    @property
    def is_cut(self) -> bool:
        """Whether new connections are refused."""
        return self._server is None

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            stop_listening(self._server)
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Break every connection, once; new ones are taken."""
        self._links.cancel()

    async def mend(self) -> None:
        """Take connections again, on the same port; bytes flow."""
        self._flowing.set()
        if self._server is None:
            await asyncio.sleep(0)  # the port is free then
            await self._listen()

    def black_hole(self) -> None:
        """Take connections and bytes, and let nothing through, either way, until `mend`."""
        self._flowing.clear()

    def blow(self, **changes: float | bool | None) -> None:
        """Change the weather; what is not named stays."""
        self.weather = replace(self.weather, **changes)  # type: ignore[arg-type]

    def clear_up(self) -> None:
        """A clear day again."""
        self.weather = Weather()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        self.connections += 1
        self._links.begin(self._join(reader, writer), writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        flows: list[asyncio.Task[None]] = []
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._far_end)
            flows = [
                asyncio.ensure_future(self._pass_on(reader, far_writer, "request")),
                asyncio.ensure_future(self._pass_on(far_reader, writer, "answer")),
            ]
            # One direction may end alone (half-closed); a broken one ends both.
            await asyncio.gather(*flows)
        except OSError:
            return
        finally:
            # Both ends first: a second cancellation may end this block at its next await.
            for end in (writer, far_writer):
                if end is not None:
                    end.transport.abort()
            for flow in flows:
                flow.cancel()
            await asyncio.gather(*flows, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
        """Pass bytes one way until the sender is done. Raises OSError when the line breaks."""
        passed = 0
        while chunk := await reader.read(self.weather.chunk_bytes):
            await self._flowing.wait()
            weather = self.weather
            if weather.delay_s or weather.jitter_s:
                await asyncio.sleep(weather.delay_s + self._rng.uniform(0, weather.jitter_s))
            if weather.loses_answers and way == "answer":
                raise ConnectionAbortedError
            if weather.cut_probability and self._rng.random() < weather.cut_probability:
                raise ConnectionAbortedError
            if weather.flip_probability and self._rng.random() < weather.flip_probability:
                chunk = self._flip(chunk)
            limit = weather.cut_after_request if way == "request" else weather.cut_after_answer
            room = len(chunk) if limit is None else max(limit - passed, 0)
            writer.write(chunk[:room])
            passed += room
            await writer.drain()
            if room < len(chunk):
                raise ConnectionAbortedError
        if writer.can_write_eof():
            writer.write_eof()

    def _flip(self, chunk: bytes) -> bytes:
        position = self._rng.randrange(len(chunk))
        return chunk[:position] + bytes([chunk[position] ^ (1 << self._rng.randrange(8))]) + chunk[position + 1 :]
