"""The HTTP server inside the daemon: uvicorn, with its signals left alone and its connections bounded.

uvicorn waits for ever for the first request of a connection, and answers 503 to everybody once its connection limit is
reached: five hundred sockets that say nothing would lock the handhelds out. Here a connection has a deadline to send
its request, and at the limit the one that has been without a request for longest makes room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from drivers.file_version import file_version
from gateway.log import event
from gateway.web.handshake import Handshake
from gateway.web.peer import peer_uid

log = logging.getLogger(__name__)

REQUEST_HEAD_S = 10.0
"""A connection that has not sent a whole request head by then is closed."""
PEER = "peer_uid"
"""Key in a request's state: the user at the other end of the local socket. Only the server puts it there."""
ABANDON = "abandon"
"""Key in a request's state: closes the connection without a word, for whoever does not take what it asked for."""
TAKE_PLACE = "take_place"
"""Key in a request's state: its connection makes no room any more. Called as the request is begun with, not when its
head came: a crowd whose heads came together, and that is refused in the next moment, must not fill all places."""
GIVE_WAY = "give_way"
"""Key in a request's state: lets the connection make room for others at the limit although its request is under way."""
HEAD_BYTES_MAX = 16 * 1024
UNTAKEN_BYTES_MAX = 32 * 1024 * 1024
"""Of answers that nobody has taken yet, all connections together. Beyond it the one that owes most to its reader is
closed: two hundred readers who ask and do not read would be more than the service may have of memory."""
KEEP_ALIVE_S = 15
BACKLOG = 512
ACCEPTED_MAX = 8
"""Connections accepted in one turn of the loop: a crowd of strangers must not cost a scan the time of all of them."""


class Placed(Protocol):
    """What has a place."""

    @property
    def untaken(self) -> int:
        """Bytes of answers that the other end has not taken yet."""

    def abandon(self) -> None:
        """Close without a word."""


class Connections:
    """The open connections of one server, and those that still owe their request."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owing: OrderedDict[Placed, None] = OrderedDict()
        self._open: set[Placed] = set()
        self.refused = 0
        """Connections closed to make room, for being silent or for not taking their answers."""

    def enter(self, connection: Placed) -> bool:
        """Count a new connection; return False when there is no room even after closing a silent one."""
        if len(self._open) >= self._limit:
            self.refused += 1
            if not self._owing:
                return False
            oldest, _ = self._owing.popitem(last=False)
            oldest.abandon()
        self._open.add(connection)
        self._owing[connection] = None
        return True

    def owes_nothing(self, connection: Placed) -> None:
        """A whole request head came, and is begun with."""
        self._owing.pop(connection, None)

    def owes_again(self, connection: Placed) -> None:
        """It had its answer and may stay for another request, as long as nobody needs its place."""
        if connection in self._open:
            self._owing[connection] = None

    def relieve(self) -> None:
        """Close those whose answers fill too much memory, the fullest first."""
        untaken = {connection: size for connection in self._open if (size := connection.untaken)}
        while untaken and sum(untaken.values()) > UNTAKEN_BYTES_MAX:
            fullest = max(untaken, key=untaken.__getitem__)
            del untaken[fullest]
            self.refused += 1
            fullest.abandon()

    def leave(self, connection: Placed) -> None:
        self._open.discard(connection)
        self._owing.pop(connection, None)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for the request head and a place in `Connections`."""

    places: Connections
    """Set on the subclass each server makes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        uid = peer_uid(transport.get_extra_info("socket"))
        if uid is not None:
            self.app_state = {**self.app_state, PEER: uid}
        more = {ABANDON: self.abandon, GIVE_WAY: self._give_way, TAKE_PLACE: self._take_place}
        self.app_state = {**self.app_state, **more}
        self._deadline: asyncio.TimerHandle | None = None
        self._asked: RequestResponseCycle | None = None
        """The last request whose head was seen."""
        if not self.places.enter(self):
            self.abandon()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not self._asked:
            self._head_came()
        elif self._deadline is None and (self._asked is None or self._asked.response_complete):
            self._expect_head()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_HEAD_S, self._too_slow)

    def _head_came(self) -> None:
        self._asked = self.cycle
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and say so in our log: what uvicorn says of it has neither name nor address."""
        log.warning("%s", event("request_unreadable", client=self.client and self.client[0]))
        super().send_400_response(msg)

    @property
    def untaken(self) -> int:
        """What waits here for the other end."""
        return self.transport.get_write_buffer_size()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.untaken:
            self.places.relieve()
        # A request that was waiting behind this one is under way by now.
        if self.cycle is self._asked:
            self.places.owes_again(self)
        else:
            self._head_came()

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().connection_lost(exc)

    def _take_place(self) -> None:
        self.places.owes_nothing(self)

    def _give_way(self) -> None:
        self.places.owes_again(self)

    def abandon(self) -> None:
        """Close without a word."""
        self.places.leave(self)
        self.transport.abort()

    def _too_slow(self) -> None:
        self._deadline = None
        self.places.refused += 1
        self.abandon()


class _Server(uvicorn.Server):
    """Accepts a few connections a turn, and lets as many wait as before; asyncio knows one number for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(BACKLOG)


class ApiServer:
    """Serves one application on one socket."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, *, connections_max: int, certificate: Path | None, key: Path | None
    ) -> None:
        """Take over a bound socket; nothing is answered before `start`. Raises OSError, ssl.SSLError."""
        self.places = Connections(connections_max)
        protocol: Any = type("_Protocol", (BoundedProtocol,), {"places": self.places})
        self._shaking: set[Handshake] = set()
        self._files = (certificate, key) if certificate is not None and key is not None else None
        self._version = self._look()
        self._context = server_tls(*self._files) if self._files is not None else None

        async def begin(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"][TAKE_PLACE]()
            await app(scope, receive, send)

        config = uvicorn.Config(
            begin,
            http=protocol if self._context is None else self._with_tls(protocol, self._context),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=ACCEPTED_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )
        config.load()
        self._listener = listener
        self._server = _Server(config)
        # uvicorn would take SIGTERM for itself; the daemon stops things in its own order.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._task: asyncio.Task[None] | None = None

    def _with_tls(self, protocol: Any, context: ssl.SSLContext) -> Any:
        def shake_hands(**given: Any) -> Handshake:
            return Handshake(protocol(**given), context, self._shaking)

        return shake_hands

    @property
    def address(self) -> str:
        """The address that is really bound, `host:port`."""
        if self._listener.family == socket.AF_UNIX:
            return str(self._listener.getsockname())
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def renew(self) -> bool:
        """Show new connections the certificate as its files are now; returns whether they had changed. Raises OSError,
        ssl.SSLError, once a change.

        Half a renewal, or a key of another certificate, changes nothing: the old one goes on.
        """
        if self._files is None or self._context is None or (version := self._look()) == self._version:
            return False
        self._version = version
        server_tls(*self._files)
        self._context.load_cert_chain(*self._files, password="")
        return True

    def _look(self) -> object:
        """Return what tells one state of the files from another; None while one of them is away."""
        try:
            return list(map(file_version, self._files or ()))
        except OSError:
            return None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="api")

    async def stop(self) -> None:
        """Answer what is being asked, then return."""
        if self._task is None:
            self._listener.close()
            return
        self._server.should_exit = True
        for one in list(self._shaking):
            one.abandon()
        await self._task
        self._task = None


def listen(host: str, port: int) -> socket.socket:
    """Bind a TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Connections have it from here. The head of an answer and its body are two writes: without it the second waits for
    # the other end to acknowledge the first, which takes 40 ms a scan. asyncio sets it on sockets it has made itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def listen_local(path: Path) -> socket.socket:
    """Bind the local socket, which anybody on this computer may connect to: the kernel says who it is. Raises OSError.

    Its folder is entered by its descriptor: the path of a socket may have 107 bytes only.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o666)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A passphrase prompt would block the daemon for ever: an encrypted key is refused instead.
    context.load_cert_chain(certificate, key, password="")
    return context
