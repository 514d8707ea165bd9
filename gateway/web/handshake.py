"""TLS of the API: hands are shaken in a place, within a time.

asyncio's server shakes hands before it tells anybody of a connection. A stranger who connects and says nothing would
hold a minute and a quarter of a megabyte each, as many as there are file descriptors: more than the service may have.
So the server takes plain connections. Each has its place (`Connections`) while it shakes hands, makes room there for
others like every connection that has not asked for anything yet, and is given up after `HANDSHAKE_S`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from gateway.web.server import BoundedProtocol, Connections

HANDSHAKE_S: Final = 30.0
"""As long as a device has on the MQTT listener: a thousand come back at once after a power cut."""
FAREWELL_S: Final = 2.0
"""How long TLS waits for the other side's farewell."""


class Handshake(asyncio.Protocol):
    """One connection until both sides are agreed; then `inner` takes it over."""

    def __init__(self, inner: BoundedProtocol, context: ssl.SSLContext, under_way: set[Handshake]) -> None:
        """`under_way` has this one for as long as it lasts."""
        self._inner = inner
        self._context = context
        self._under_way = under_way
        self._early = b""
        """What followed the handshake before its end was told."""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def _places(self) -> Connections:
        return self._inner.places

    @property
    def untaken(self) -> int:
        """Nothing was answered yet."""
        return 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._places.enter(self):
            self._transport.abort()
            return
        self._under_way.add(self)
        self._transport.pause_reading()
        self._task = asyncio.create_task(self._shake(self._transport), name="api handshake")

    def data_received(self, data: bytes) -> None:
        """The handshake is over, and what follows is here before `_shake` was told."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended, also when its place is another's already."""
        del exc
        self._leave()

    def abandon(self) -> None:
        """Close without a word."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        self._places.leave(self)
        self._under_way.discard(self)

    async def _shake(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            self._leave()
            return
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=FAREWELL_S,
            )  # fmt: skip
        except OSError:  # ssl.SSLError is one: strangers speak no TLS, or an old one, or go away
            self._leave()
            return
        is_here = self in self._under_way
        self._leave()
        if secured is None or not is_here or secured.is_closing():
            transport.abort()
            return
        secured.set_protocol(self._inner)
        self._inner.connection_made(secured)
        if self._early and not secured.is_closing():
            self._inner.data_received(self._early)
