"""A network inside one process: connections that carry bytes in order, late, in pieces, or not any more.

Every port has a `Road` to it, and a road has weather: latency, the largest piece that arrives at once, a standstill (as
TCP has while it repeats what was lost), connections that are refused, and a cut after so many bytes, which is how a
message is broken in the middle. When a process is killed its ends go silent at once: what it had written still
arrives, then the other side sees the connection break.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from random import Random
from typing import Any

from voyage_loop import LIFE, Mortal, VirtualLoop

FIRST_FREE_PORT = 40_001
TICK_S = 1e-6
"""Between two arrivals on one connection: timers for the same instant have no order."""


class Road:
    """The way to one port."""

    def __init__(self) -> None:
        self.latency_s = (0.0005, 0.003)
        self.piece_bytes_max: int | None = None
        self.stalled_until = 0.0
        self.refused_until = 0.0
        self.cut_after_bytes: int | None = None
        self.open: list[End] = []


class _FakeSocket:
    def __init__(self, port: int) -> None:
        self._port = port

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", self._port)

    def setsockopt(self, *_: Any) -> None:
        pass


class End(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, net: VirtualNet, road: Road, port: int, protocol: Any, context: contextvars.Context) -> None:
        super().__init__()
        self.net = net
        self.road = road
        self.port = port
        self.protocol = protocol
        self.context = context
        self.life: Mortal | None = context.get(LIFE)
        self.peer: End
        self.is_closed = False
        """Nothing is written any more."""
        self.is_over = False
        """`connection_lost` was called or will never be."""
        self._paused = False
        self._held: list[bytes | None] = []
        self._next_at = 0.0

    # -- what a protocol does with it

    def write(self, data: Any) -> None:
        if self.is_closed or self.is_dead or not data:
            return
        self.net.carry(self, bytes(data))

    def writelines(self, chunks: Any) -> None:
        self.write(b"".join(chunks))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self.is_closed and not self.is_dead:
            self.is_closed = True
            self.net.arrive(self, None)

    def close(self) -> None:
        if self.is_over or self.is_dead:
            return
        if not self.is_closed:
            self.write_eof()
        self.end(None)

    def abort(self) -> None:
        if self.is_over or self.is_dead:
            return
        self.is_closed = True
        self.end(None)
        self.peer.break_off()

    def is_closing(self) -> bool:
        return self.is_closed

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self._held and not self.is_dead:
                self.net.loop.call_soon(self._release, context=self.context)

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {
            "peername": ("127.0.0.1", self.port),
            "sockname": ("127.0.0.1", self.port),
            "socket": _FakeSocket(self.port),
        }.get(name, default)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    # -- what the network does with it

    @property
    def is_dead(self) -> bool:
        return self.life is not None and self.life.is_dead

    def hear(self, data: bytes | None) -> None:
        """Bytes, or None for the end of the stream, arrive; in the context of whoever listens."""
        if self.is_over or (self.life is not None and self.life.is_dead):
            return
        if self._paused:
            self._held.append(data)
        elif data is None:
            if not self.protocol.eof_received():
                self.close()
        else:
            self.protocol.data_received(data)

    def _release(self) -> None:
        held, self._held = self._held, []
        for data in held:
            self.hear(data)

    def break_off(self) -> None:
        """The connection is gone, without good-bye, once what is under way has arrived."""
        at = max(self.net.loop.time() + 0.001, self.peer._next_at + TICK_S)
        self.net.loop.call_at(at, self._broken, context=self.context)

    def _broken(self) -> None:
        if not self.is_over:
            self.is_closed = True
            self._lose(ConnectionResetError("Connection reset by peer"))

    def end(self, error: Exception | None) -> None:
        self.net.loop.call_soon(self._lose, error, context=self.context)

    def _lose(self, error: Exception | None) -> None:
        if self.is_over:
            return
        self.is_over = self.is_closed = True
        self.net.forget(self)
        if not self.is_dead:
            self.protocol.connection_lost(error)


class Listening:
    """What `create_server` returns."""

    def __init__(self, net: VirtualNet, factory: Callable[[], Any], port: int, context: contextvars.Context) -> None:
        self._net = net
        self.factory = factory
        self.port = port
        self.context = context
        self.life: Mortal | None = context.get(LIFE)
        self.sockets = [_FakeSocket(port)]

    def is_serving(self) -> bool:
        return self._net.listeners.get(self.port) is self

    async def start_serving(self) -> None:
        pass

    def close(self) -> None:
        if self.is_serving():
            del self._net.listeners[self.port]

    async def wait_closed(self) -> None:
        pass


class VirtualNet:
    """All connections of one voyage."""

    def __init__(self, loop: VirtualLoop, rng: Random) -> None:
        self.loop = loop
        self.listeners: dict[int, Listening] = {}
        self.cuts = 0
        self._rng = rng
        self._random = rng.random
        self._roads: dict[int, Road] = {}
        self._next_port = FIRST_FREE_PORT
        loop.net = self

    def road(self, port: int) -> Road:
        """Return the way to a port."""
        return self._roads.setdefault(port, Road())

    def listen(self, factory: Callable[[], Any], port: int | None) -> Listening:
        """Accept connections. Raises OSError when the port is taken or the process is dead."""
        context = contextvars.copy_context()
        life = context.get(LIFE)
        if not port:
            port, self._next_port = self._next_port, self._next_port + 1
        if port in self.listeners or (life is not None and life.is_dead):
            raise OSError(98, "Address already in use")
        listening = Listening(self, factory, port, context)
        self.listeners[port] = listening
        return listening

    async def connect(self, factory: Callable[[], Any], port: int) -> tuple[End, Any]:
        """Open a connection. Raises ConnectionRefusedError, TimeoutError."""
        road = self.road(port)
        await asyncio.sleep(self._rng.uniform(*road.latency_s))
        life = LIFE.get()
        listening = self.listeners.get(port)
        if listening is None or self.loop.time() < road.refused_until or (life is not None and life.is_dead):
            raise ConnectionRefusedError(111, "Connection refused")
        near = End(self, road, port, factory(), contextvars.copy_context())
        far = End(self, road, port, listening.context.run(listening.factory), listening.context)
        near.peer, far.peer = far, near
        road.open += [near, far]
        far.context.run(far.protocol.connection_made, far)
        near.protocol.connection_made(near)
        return near, near.protocol

    def carry(self, end: End, data: bytes) -> None:
        """Bring what one end wrote to the other, in pieces if the road is like that; or cut it."""
        road = end.road
        left = road.cut_after_bytes
        if left is not None:
            if len(data) >= left:
                road.cut_after_bytes = None
                if left:
                    self._send(end, data[:left])
                self.cuts += 1
                self._break(end)
                return
            road.cut_after_bytes = left - len(data)
        self._send(end, data)

    def _send(self, end: End, data: bytes) -> None:
        step = end.road.piece_bytes_max or len(data)
        for at in range(0, len(data), step):
            self.arrive(end, data[at : at + step])

    def arrive(self, end: End, data: bytes | None) -> None:
        """Have the peer hear it, after everything that went before."""
        road = end.road
        low, high = road.latency_s
        at = max(
            self.loop._now + (low + (high - low) * self._random()), end._next_at + TICK_S, road.stalled_until
        )  # as `Random.uniform` has it: every byte of a voyage comes by here
        end._next_at = at
        self.loop.call_at(at, end.peer.hear, data, context=end.peer.context)

    def _break(self, end: End) -> None:
        end.is_closed = end.peer.is_closed = True
        end.break_off()
        end.peer.break_off()

    def cut(self, port: int) -> int:
        """Break every connection to a port; return how many there were."""
        ends = [end for end in self.road(port).open if not end.is_closed]
        for end in ends:
            if not end.is_closed:
                self._break(end)
        self.cuts += len(ends) // 2
        return len(ends) // 2

    def forget(self, end: End) -> None:
        if end in end.road.open:
            end.road.open.remove(end)

    def kill(self, life: Mortal) -> None:
        """A process died: nobody listens for it, nothing of it is sent any more, its peers find out."""
        for port, listening in list(self.listeners.items()):
            if listening.life is life:
                del self.listeners[port]
        for road in self._roads.values():
            for end in list(road.open):
                if end.life is life:
                    end.is_over = end.is_closed = True
                    road.open.remove(end)
                    end.peer.break_off()
