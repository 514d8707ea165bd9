"""HTTP/1.1 connections that stay open, with one exchange at a time on each. Implements `Carrier`.

Theory of operation. What may be said when, and where an answer ends, is h11's business; here are the sockets. In a
trickle the gateway makes a request every 50 ms, each time with cold caches, and there the number of steps is what
counts: a general client takes some 1,900 calls for one of our requests, this about 550.

A request is handed to the socket whole, and the answer is listened for from then on: a server that refuses a large
body while it is still on its way is heard, and its answer says that it came early. That is certain: every segment tells
what has arrived (RFC 9293), so who has read every byte has confirmed every byte with the answer at the latest, and what
the kernel still holds then nobody has read. Of what fits into the buffers of the other end nothing can be told.

A connection goes back to its place only when everything was sent and everything was read; one on which the server said
something unasked, or that it closed, is not used again.

A server may end an idle connection in the moment in which the next request is on its way: a proxy does after a few
seconds of quiet, and whenever it is reloaded. So a request that met no word but the end, on a connection that had been
idle, is made once more, on a new one (RFC 9112, 9.3.1); every request of ours may arrive twice, events by their ids.
Otherwise there is no second attempt: who sent a request has to know that its fate is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import ssl
import sys
import termios
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final, cast

import h11

from sync.answer import Answer
from sync.http_address import Origin, Place, read_address
from sync.http_exchange import BrokenConnection, NoConnection, NotHttp, Request

KEEPALIVE_S: Final = 55.0
"""A connection idle for longer is not reused: many load balancers drop theirs after a minute, without a word."""
_CLOSING_S: Final = 2.0
"""How long TLS waits for the other side's farewell."""
_HAPPY_EYEBALLS_S: Final = 0.25
"""RFC 8305, 5: how long one address has before the next is tried beside it."""
_FROM_THE_CENTRE: Final = frozenset({400, 409, 412, 413, 415, 422, 429})
"""Refusals that only a server at work gives, about what it was sent."""
_TURN_EVENTS: Final = 64
"""What h11 may find in an answer before scans get their turn: a socket read holds ten thousand interim answers, or
chunks of one byte, which take it half a second."""
_INTERIM_MAX: Final = 100
"""Interim answers (1xx) to one request; a server that has not come to the point by then never will."""


class Connections:
    """The connections of one upstream."""

    def __init__(
        self,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
        idle_max: int = 1,
        connect_timeout_s: float = 10.0,
    ) -> None:
        """Connect to nothing yet. `tls` is called once, before the first https address."""
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._server_name = server_name
        self._idle_max = idle_max
        self._connect_timeout_s = connect_timeout_s
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._mute: Counter[Origin] = Counter()
        """How often a connection was taken, and nothing said on it."""

    async def exchange(self, request: Request) -> Answer:
        """Return the answer. Raises NoConnection, BrokenConnection, and what `tls` raises."""
        place = read_address(request.url)
        idle = self._take_idle(place.origin)
        if idle is not None:
            with contextlib.suppress(_HungUp):
                return await self._ask(idle, request, place)
        return await self._ask(await self._connect(place.origin), request, place)

    async def _ask(self, connection: _Connection, request: Request, place: Place) -> Answer:
        answer: Answer | None = None
        try:
            answer = await connection.exchange(request, place)
        finally:
            if answer is None:
                if connection.is_mute:
                    self._mute[place.origin] += 1
                # What made this one end, or silent, happened to those beside it: a router was changed, a server left.
                self._drop(place.origin)
        if answer.status >= 300 and answer.status not in _FROM_THE_CENTRE:
            self._drop(place.origin)
            connection.close()
            return answer
        idle = self._idle[place.origin]
        if connection.is_clean and connection.context is self._context and len(idle) < self._idle_max:
            idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close the idle connections; the next exchange connects anew and asks for TLS anew."""
        self._context = None
        for origin in list(self._idle):
            self._drop(origin)

    def _drop(self, origin: Origin) -> None:
        for connection in self._idle.pop(origin, ()):
            connection.close()

    def _take_idle(self, origin: Origin) -> _Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin) -> _Connection:
        loop = asyncio.get_running_loop()
        tls: dict[str, object] = {}
        if origin.is_tls:
            if self._context is None:
                self._context = self._tls() if self._tls is not None else ssl.create_default_context()
            tls = {
                "ssl": self._context,
                "server_hostname": self._server_name or origin.host,
                "ssl_handshake_timeout": self._connect_timeout_s,
                "ssl_shutdown_timeout": _CLOSING_S,
            }
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                host = await self._choose(origin)
                _, connection = await loop.create_connection(
                    _Connection, host, origin.port, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, **tls
                )  # type: ignore[call-overload]
        except TimeoutError as error:
            self._mute[origin] += 1
            raise NoConnection(str(error)) from error
        except ConnectionResetError as error:
            # A port that is closed refuses; one that resets has let us in, and did not like how we speak.
            raise NoConnection(str(error)) from (ssl.SSLEOFError(str(error)) if origin.is_tls else error)
        except (OSError, UnicodeError) as error:  # the latter is how a name that cannot be one comes back
            raise NoConnection(str(error)) from error
        connection.context = self._context
        return cast(_Connection, connection)

    async def _choose(self, origin: Origin) -> str:
        """Return the name, or the one of its addresses whose turn it is.

        A server that takes connections and says nothing is connected to at once, every time: the others that have its
        name would never be asked. So after each silence the next address is, and with the first one all as usual.
        """
        if not self._mute[origin]:
            return origin.host
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        turn = self._mute[origin] % len(addresses)
        return addresses[turn] if turn else origin.host


class _HungUp(BrokenConnection):
    """A connection that had served before ended without a word about this request."""


class _Connection(asyncio.Protocol):
    """One socket."""

    def __init__(self) -> None:
        self._wire = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        """Of the exchange under way."""
        self._head: h11.Response | None = None
        self._interim = 0
        """Interim answers that came before it."""
        self._turn: asyncio.Handle | None = None
        """The next one, in which what is here already is read on."""
        self._lost: Exception | None = None
        """Why there is no socket any more."""
        self._body = bytearray()
        self._body_max = 0
        self._on_bytes: Callable[[], None] | None = None
        self._idle_since = 0.0
        self._is_clean = False
        self._is_used = False
        """An exchange went well."""
        self._has_heard = False
        """In the exchange under way."""
        self.context: ssl.SSLContext | None = None
        """It was made with; another one is of other certificates."""

    async def exchange(self, request: Request, place: Place) -> Answer:
        """Ask and return the answer. Raises BrokenConnection."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._is_used, self._has_heard = self._is_used or self._is_clean, False
        self._is_clean, self._head, self._body_max = False, None, request.answer_bytes_max
        self._body, self._on_bytes, self._interim = bytearray(), request.on_bytes, 0
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        self._transport.write(self._say(request, place))
        try:
            return await answer
        finally:
            # An error in the future keeps this frame, which keeps the request: together they would be a cycle, up to a
            # megabyte each, and in a quiet gateway nobody collects cycles for hours.
            del answer
            self._answer = self._on_bytes = None
            self._idle_since = loop.time()
            if not self._is_clean and self._transport is not None:
                self._transport.abort()

    def _say(self, request: Request, place: Place) -> bytes:
        headers = [("Host", place.named), *request.headers.items()]
        if request.body or request.method in ("POST", "PUT"):
            headers.append(("Content-Length", str(len(request.body))))
        said = self._wire.send(h11.Request(method=request.method, target=place.target, headers=headers)) or b""
        if request.body:
            # Its length is in the head, so the body goes as it is.
            said += self._wire.send(h11.Data(data=request.body)) or b""
        return said + (self._wire.send(h11.EndOfMessage()) or b"")

    @property
    def is_mute(self) -> bool:
        """Whether the server has not said a word on this connection, and has not closed it either."""
        return not self._is_used and not self._has_heard and self._lost is None

    @property
    def is_clean(self) -> bool:
        """Whether the last exchange left nothing behind."""
        return self._is_clean

    def is_usable(self) -> bool:
        """Return whether the server still listens, as far as this side can know without saying anything."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if asyncio.get_running_loop().time() - self._idle_since > KEEPALIVE_S:
            return False
        # A farewell that the loop did not come to yet. Nothing else can have been sent to us.
        poll = select.poll()
        poll.register(transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Say good-bye."""
        if self._transport is not None:
            self._transport.close()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """The server says something."""
        if self._answer is None or self._answer.done():
            self._is_clean = False
            self.close()
            return
        self._has_heard = True
        if self._on_bytes is not None:
            self._on_bytes()
        self._hear(data)

    def eof_received(self) -> None:
        """The server says no more; for some that is how an answer ends."""
        if self._answer is not None and not self._answer.done():
            self._hear(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        self._is_clean = False
        self._lost = exc or ConnectionResetError("the server closed the connection")
        if self._turn is None:
            self._fail(self._lost)

    def _hear(self, data: bytes) -> None:
        try:
            self._wire.receive_data(data)
        except h11.RemoteProtocolError as error:
            self._misheard(error, is_end=not data)
            return
        self._read(is_end=not data)

    def _read(self, *, is_end: bool) -> None:
        """Read what is here; what is more than a turn's worth, behind everybody else, and hear no more till then."""
        if self._turn is not None:
            return
        try:
            for _ in range(_TURN_EVENTS):
                if not self._read_event():
                    return
        except h11.RemoteProtocolError as error:
            self._misheard(error, is_end=is_end)
            return
        if self._transport is not None:
            self._transport.pause_reading()
        self._turn = asyncio.get_running_loop().call_soon(self._read_on, is_end)

    def _read_on(self, is_end: bool) -> None:
        self._turn = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._read(is_end=is_end)
        if self._lost is not None and self._turn is None:
            self._fail(self._lost)

    def _read_event(self) -> bool:
        """Read one event of h11's; False when there is none, or the answer is whole. Raises h11.RemoteProtocolError."""
        if self._answer is None or self._answer.done():
            return False
        event = self._wire.next_event()
        if type(event) is h11.Data:
            self._body += event.data
            if len(self._body) > self._body_max:
                self._settle()
        elif type(event) is h11.EndOfMessage:
            self._is_clean = self._can_go_on()
            self._settle()
        elif type(event) is h11.Response:
            self._head = event
        elif type(event) is h11.InformationalResponse:
            self._interim += 1
            if self._interim > _INTERIM_MAX:
                self._fail(h11.RemoteProtocolError("interim answers without end"), NotHttp)
        else:
            return False
        return True

    def _misheard(self, error: h11.RemoteProtocolError, *, is_end: bool) -> None:
        # At the end there may be a line of another protocol, to which h11 had listened on.
        heard = self._wire.trailing_data[0] if self._head is None else b""
        is_strange = not is_end or not b"HTTP/".startswith(heard[:5])
        self._fail(error, NotHttp if is_strange else BrokenConnection)

    def _can_go_on(self) -> bool:
        wire, transport = self._wire, self._transport
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE or wire.trailing_data[0]:
            return False
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        wire.start_next_cycle()
        return True

    def _settle(self) -> None:
        assert self._answer is not None
        assert self._head is not None
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = bytes(self._body[: self._body_max + 1])
        self._answer.set_result(Answer(self._head.status_code, headers, body, self._body_max, self._is_sending()))

    def _is_sending(self) -> bool:
        """Whether a part of the request is still on this side, or on its way."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size():
            return True
        held = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(held, sys.byteorder) > 0

    def _fail(self, cause: Exception, kind: type[BrokenConnection] = BrokenConnection) -> None:
        if self._answer is not None and not self._answer.done():
            error = (_HungUp if self._is_used and not self._has_heard else kind)(str(cause))
            error.__cause__ = cause
            self._answer.set_exception(error)
