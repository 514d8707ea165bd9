"""A wire that misbehaves on purpose: what lies between a simulated device and the gateway.

A `WirePlan` says how; a seed says when. The same plan and seed give the same faults at the same bytes.

    Wire      carries the bytes of one side to a function of the other, in order, chunk by chunk
    TcpWire   a TCP proxy made of two of them, for devices that are reached over a network

A plan acts on bytes, not on messages, as real wires do. `lossy` loses whole chunks: what a device wrote at once, as a
radio packet or a full receive buffer does. Single flipped or lost bytes (`noise`) cannot be noticed by a protocol
without a checksum; whoever uses that asks for less in return.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random

from simulators.conversations import Conversations


@dataclass(frozen=True, slots=True)
class WirePlan:
    """What a wire does to the bytes it carries."""

    chunk_bytes_max: int | None = None
    """Split into chunks of at most this many bytes, each a write of its own."""
    delay_s: tuple[float, float] = (0.0, 0.0)
    """Every chunk waits, evenly between these, in seconds."""
    loss: float = 0.0
    """Chance that a chunk vanishes."""
    noise: float = 0.0
    """Chance that a byte is replaced by another."""
    cut_after_bytes: tuple[int, int] | None = None
    """The wire breaks after carrying this many bytes (evenly between these, drawn anew after every cut)."""
    cuts_max: int = 0
    """How often it breaks; then it holds, so that a run comes to an end."""


CLEAN = WirePlan()
PLANS: dict[str, WirePlan] = {
    "clean": CLEAN,
    "byte-by-byte": WirePlan(chunk_bytes_max=1),
    "delayed": WirePlan(delay_s=(0.001, 0.02)),
    "lossy": WirePlan(loss=0.2),
    "cut": WirePlan(cut_after_bytes=(5, 80), cuts_max=4),
}


class WireCut(Exception):
    """The wire broke while it carried; what it had not carried yet is gone."""


class Wire:
    """One direction of a link. Bytes come out in the order they went in."""

    def __init__(
        self,
        plan: WirePlan,
        rng: Random,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._plan = plan
        self._is_clean = plan == CLEAN
        self._rng = rng
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._until_cut = self._draw_cut()
        self.cuts = 0
        """How often it broke."""
        self.bytes_lost = 0
        """Bytes that went in and did not come out."""

    async def carry(self, data: bytes, out: Callable[[bytes], object]) -> None:
        """Return once `data` has come out through `out`, as far as the plan lets it. Raises WireCut."""
        if self._is_clean:
            out(data)
            return
        async with self._turn:
            step = self._plan.chunk_bytes_max or len(data) or 1
            for at in range(0, len(data), step):
                await self._carry_chunk(data[at : at + step], out)
                if self._plan.chunk_bytes_max is not None:
                    await self._sleep(0)  # so that the reader may see the chunks one by one

    async def _carry_chunk(self, chunk: bytes, out: Callable[[bytes], object]) -> None:
        low, high = self._plan.delay_s
        if high > 0:
            await self._sleep(self._rng.uniform(low, high))
        if self._plan.loss and self._rng.random() < self._plan.loss:
            self.bytes_lost += len(chunk)
            return
        if self._plan.noise:
            chunk = bytes(self._rng.randrange(256) if self._rng.random() < self._plan.noise else b for b in chunk)
        if self._until_cut is not None and len(chunk) > self._until_cut:
            head = chunk[: self._until_cut]
            self.bytes_lost += len(chunk) - len(head)
            self.cuts += 1
            self._until_cut = self._draw_cut()
            if head:
                out(head)
            raise WireCut
        if self._until_cut is not None:
            self._until_cut -= len(chunk)
        out(chunk)

    def _draw_cut(self) -> int | None:
        if self._plan.cut_after_bytes is None or getattr(self, "cuts", 0) >= self._plan.cuts_max:
            return None
        return self._rng.randint(*self._plan.cut_after_bytes)


class TcpWire:
    """A TCP proxy: listens on loopback, connects on to the target, carries both directions through wires.

    A lost chunk of a TCP stream breaks the connection, because nothing else could be true.
    """

    def __init__(
        self,
        plan: WirePlan,
        rng: Random,
        target: Callable[[], tuple[str, int]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        carry_plan = plan
        if plan.loss:
            carry_plan = replace(plan, loss=0.0, cut_after_bytes=plan.cut_after_bytes or (20, 400), cuts_max=6)
        self._wires = (Wire(carry_plan, rng, sleep=sleep), Wire(carry_plan, rng, sleep=sleep))
        self._target = target
        self._server: asyncio.Server | None = None
        self._conversations = Conversations()
        self._is_cut = False
        self.port = 0
        """Where to connect, once started."""

    async def start(self) -> None:
        """Listen; return when `port` accepts connections."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection; close those that come, until mended."""
        self._is_cut = True
        await self._conversations.end()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    async def close(self) -> None:
        """Break everything and stop listening."""
        await self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._conversations.begin(self._serve(reader, writer), writer)

    async def _serve(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        try:
            if not self._is_cut:
                far_reader, far_writer = await asyncio.open_connection(*self._target())
                await self._carry_both((near_reader, near_writer), (far_reader, far_writer))
        except (OSError, asyncio.CancelledError):
            pass  # the far side is off, or somebody cut the wire: both ends see a broken connection
        finally:
            for writer in (near_writer, far_writer):
                if writer is not None:
                    writer.transport.abort()

    async def _carry_both(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        ways = [
            asyncio.ensure_future(self._carry_one(self._wires[0], near[0], far[1])),
            asyncio.ensure_future(self._carry_one(self._wires[1], far[0], near[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    @staticmethod
    async def _carry_one(wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(WireCut, OSError):
            while chunk := await reader.read(65536):
                await wire.carry(chunk, writer.write)
                await writer.drain()
