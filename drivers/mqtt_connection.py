"""One connection of a device to the listener: moves bytes between the socket, the session and the disk.

Theory of operation. `data_received` gives a socket read to the session and acts on what it brought. All publishes of
one read become one list of readings that the hall hands on; any number of lists may be on their way to disk, as far as
the Receive Maximum allows, and the session's window puts their PUBACKs in order. What is to be written in one turn of
the loop is joined and written once.

Ending. A DISCONNECT that the peer should read must not be followed by a reset, which a close with unread input causes.
So the connection writes it, closes its sending half, and swallows input for a moment before it is gone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final, cast

import mqtt5
from mqtt5 import ConnAckReasonCode as ConnAck
from mqtt5 import DisconnectReasonCode as Reason

from drivers.contract import StorageUnavailable
from drivers.mqtt_delivery import Delivery, understand
from drivers.mqtt_doorkeeper import Admission
from drivers.mqtt_hall import Hall
from drivers.mqtt_routes import is_below
from drivers.mqtt_session import Arrival, ServerSession, Ticket, check_connect, connack_refusal, disconnect
from drivers.mqtt_tls import common_name
from drivers.mqtt_turns import origin_of
from drivers.mqtt_unread import Unread
from drivers.mqtt_valve import Valve
from drivers.mqtt_wire import OldProtocol, WireFault
from drivers.reading import Verdict

HANDSHAKE_S: Final = 600.0  # never comes: our own deadline is before it, and knows whom the time belonged to
LATE_S: Final = 0.5
LINGER_S: Final = 1.0
"""How long an ended connection may take to read why."""


class Connection(asyncio.Protocol):
    """One device on the wire."""

    def __init__(self, hall: Hall, context: ssl.SSLContext | None) -> None:
        """`context`: this connection speaks TLS."""
        self.identity = ""
        """Device id; empty until the device proved it."""
        self.is_user = False
        """The device proved it with a password."""
        self.closed = asyncio.get_running_loop().create_future()
        self._hall = hall
        self._context = context
        """Until the handshake is over; then None, as without TLS."""
        self._early = b""
        self._loop = asyncio.get_running_loop()
        settings = hall.settings
        self._session = ServerSession(packet_bytes_max=settings.packet_bytes_max, receive_max=settings.receive_max)
        self._transport: asyncio.Transport | None = None
        self.peer: object = None
        self._client_id = ""
        self._keep_alive_s = 0
        self._session_expiry_s = 0
        self._heard_at = self._loop.time()
        self._valve = Valve(settings.messages_per_s_max, self._go_on)
        self._unread = Unread(self._stuck)
        self._is_ended = False
        self._outbound: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._introduction: asyncio.Task[None] | None = None

    # The life of the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted."""
        self._transport = cast(asyncio.Transport, transport)
        self.peer = transport.get_extra_info("peername")
        if not self._hall.enter(self):
            self._transport.abort()
            return
        self._timer = self._loop.call_later(self._hall.settings.connect_timeout_s, self._too_slow)
        if self._context is not None:
            self._transport.pause_reading()
            self._introduction = self._loop.create_task(self._start_tls(self._transport, self._context))
        else:
            self._open(self._transport)

    async def _start_tls(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Shake hands here and not in the server, so that a half-open handshake has a place and a deadline too."""
        try:
            secured = await self._loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=LINGER_S,
            )  # fmt: skip
        except (OSError, ssl.SSLError) as error:
            self._hall.stats.connections_refused += 1
            self._hall.tell("tls_refused", "peer=%s reason=%r", self.peer, str(error))
            self._gone()
            return
        except asyncio.CancelledError:
            self._gone()
            raise
        if secured is None or self._is_ended:
            transport.abort()
            return
        self._open(secured)
        early, self._early = self._early, b""
        self.data_received(early)

    def _open(self, transport: asyncio.Transport) -> None:
        self._transport, self._context = transport, None
        self._valve.attach(transport)
        transport.set_write_buffer_limits(high=self._hall.settings.outbound_bytes_max)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone. What is on its way to disk goes on; nobody will be told."""
        del exc
        self._hall.gathering.open()
        self._gone()

    def _gone(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._unread.end()
        self._vacate()
        self._hall.leave(self)
        self._is_ended = True
        if not self.closed.done():
            self.closed.set_result(None)

    def _vacate(self) -> None:
        """Give up the session's place, keeping the session for its time."""
        key = (self.identity, self._client_id)
        if self.identity and self._hall.seated.get(key) is self:
            self._hall.unseat(key, self)
            self._hall.keep_session(key, self._session.subscriptions, self._session_expiry_s, self._loop.time())

    def pause_writing(self) -> None:
        """More answers are unsent than a device may leave unread: until it took some, what wants others is not read."""
        self._valve.shut("answers")
        self._unread.begin(cast(asyncio.Transport, self._transport))

    def resume_writing(self) -> None:
        """It took most of them."""
        self._unread.end()
        self._valve.open("answers")

    def _stuck(self) -> None:
        self._hall.stats.slow_readers += 1
        self._hall.tell("slow_reader_dropped", "device_id=%s peer=%s", self.identity, self.peer)
        self.abort()

    def abort(self) -> None:
        """Close at once, saying nothing."""
        self._is_ended = True
        self._outbound.clear()
        if self._introduction is not None:
            self._introduction.cancel()
        if self._transport is not None:
            self._transport.abort()

    def end(self, farewell: bytes) -> None:
        """Say `farewell`, the last packet, and close. Nothing that arrives from now on counts."""
        if self._is_ended or self._transport is None:
            return
        self._vacate()
        self._outbound.append(farewell)
        self._flush()
        self._is_ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_S, self._transport.abort)
        if not self._transport.can_write_eof() or self._transport.is_closing():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
            self._transport.resume_reading()
        except OSError:
            # The peer reset the connection while we did not listen.
            self._transport.abort()

    def end_with(self, reason: Reason) -> None:
        """Close with a DISCONNECT that says why."""
        self.end(disconnect(reason))

    def data_received(self, data: bytes) -> None:
        """One socket read."""
        if self._context is not None:
            # The handshake is over and what follows it is here before `_start_tls` was told.
            self._early += data
        elif self.identity:
            self._heard_at = self._loop.time()
            self._hall.gathering.arrive(self, data)
        else:
            self.act_on(data)

    def act_on(self, data: bytes) -> None:
        """A socket read has its turn; what comes after the end does not count."""
        if not self._is_ended:
            self._act(self._session.receive(data))

    def _go_on(self) -> None:
        if self._session.has_more and not self._valve.is_shut:
            self.act_on(b"")

    def _act(self, arrival: Arrival) -> None:
        self._write(bytes(arrival.replies))
        if self.identity:
            self._valve.count(arrival.packets)
        if arrival.publishes:
            self._deliver(arrival)
        if arrival.has_more:
            self._valve.yield_turn()
        if arrival.connect is not None:
            if self._timer is not None:
                self._timer.cancel()  # it said who it is; how long we take to believe it is not its fault
            self._valve.shut("introduction")
            self._introduction = self._loop.create_task(self._introduce(arrival.connect))
        if arrival.fault is not None:
            self._punish(arrival.fault)
        elif arrival.disconnect is not None:
            if arrival.disconnect.session_expiry_interval is not None and self._session_expiry_s:
                self._session_expiry_s = self._expiry(arrival.disconnect.session_expiry_interval)
            self.end(b"")

    def _punish(self, fault: WireFault) -> None:
        self._hall.note_fault(fault, self.identity, self.peer)
        if self.identity and not isinstance(fault, OldProtocol):
            self.end_with(fault.reason)
        else:
            # Before its CONNECT is answered a client understands nothing but a CONNACK, and a stranger earns none.
            self._hall.stats.connections_refused += 1
            self.end(fault.answer)

    # Who it is.

    async def _introduce(self, connect: mqtt5.ConnectPacket) -> None:
        assert self._transport is not None
        forbidden = check_connect(connect)
        if forbidden is None:
            security = self._transport.get_extra_info("ssl_object")
            name = common_name(security.getpeercert()) if security is not None else None
            admission = await self._hall.doorkeeper.admit(connect, name, origin_of(self.peer))
        else:
            admission = Admission(refusal=forbidden[0], why=forbidden[1])
        if self._is_ended:
            return
        key = (admission.identity, connect.client_id)
        if admission.identity and self._hall.is_crowded(key):
            admission = Admission(refusal=ConnAck.QUOTA_EXCEEDED, why="too many connections of one device")
        if admission.refusal is not None:
            self._hall.stats.connections_refused += 1
            self._hall.tell("connection_refused", "peer=%s user=%r client_id=%r reason=%r", self.peer,
                            connect.username, connect.client_id[:80], admission.why)  # fmt: skip
            self.end(connack_refusal(admission.refusal))
            return
        self._admit(connect, admission)

    def _admit(self, connect: mqtt5.ConnectPacket, admission: Admission) -> None:
        assert self._transport is not None
        hall, settings = self._hall, self._hall.settings
        self.identity, self.is_user = admission.identity, admission.is_user
        # A client without an id gets one of its own that no other connection of the device has.
        assigned = None if connect.client_id else f"{self.identity}-{id(self):x}"
        self._client_id = connect.client_id or assigned or ""
        key = (self.identity, self._client_id)
        hall.gathering.open()
        hall.take_slow_lane(self, self._transport)
        earlier = hall.seat(key, self)
        if isinstance(earlier, Connection):
            hall.note_taken_over(key, earlier.peer, self.peer)
            subscriptions: set[str] | None = earlier._session.subscriptions if earlier._session_expiry_s else None
            earlier.end_with(Reason.SESSION_TAKEN_OVER)
        else:
            subscriptions = hall.resume_session(key, self._loop.time())
        self._session_expiry_s = self._expiry(connect.session_expiry_interval)
        self._keep_alive_s = min(connect.keep_alive or settings.keep_alive_max_s, settings.keep_alive_max_s)
        ack_topic = hall.routes.ack_topic(self.identity)
        self._write(
            self._session.accept(
                connect,
                may_subscribe=lambda topic: topic == ack_topic or is_below(ack_topic, topic),
                keep_alive_s=self._keep_alive_s,
                session_expiry_s=self._session_expiry_s,
                subscriptions=None if connect.clean_start else subscriptions,
                assigned_client_id=assigned,
            )
        )
        hall.stats.connections_accepted += 1
        self._heard_at = self._loop.time()
        self._watch()
        self._valve.open("introduction")

    def _expiry(self, wanted_s: int) -> int:
        return min(wanted_s, self._hall.settings.session_expiry_max_s)

    def _too_slow(self) -> None:
        if self._timer is not None and self._loop.time() - self._timer.when() > LATE_S:
            # We are late ourselves: a thousand handshakes at once, each of which may be over in the next turn.
            self._timer = self._loop.call_later(self._hall.settings.connect_timeout_s, self._too_slow)
            return
        self._hall.stats.connections_refused += 1
        self._hall.tell("connection_refused", "peer=%s reason=%r", self.peer, "did not say who it is in time")
        self.abort()

    def _watch(self) -> None:
        """End the connection of a device that fell silent (MQTT 5, 3.1.2.10: one and a half times the keep-alive)."""
        now = self._loop.time()
        if self._valve.is_shut:
            # We do not listen, so silence means nothing.
            self._heard_at = now
        due = self._heard_at + 1.5 * self._keep_alive_s
        if now < due:
            self._timer = self._loop.call_at(due, self._watch)
            return
        self._hall.stats.silent += 1
        self._hall.tell("device_silent", "device_id=%s peer=%s", self.identity, self.peer)
        self.end_with(Reason.KEEP_ALIVE_TIMEOUT)

    # From the wire to the disk and back.

    def _deliver(self, arrival: Arrival) -> None:
        hall, size = self._hall, arrival.size
        delivery = understand(arrival.publishes, hall.routes, sender=self.identity)
        ticket = self._session.window.open(arrival.packet_ids)
        hall.stats.received += len(arrival.publishes)
        if delivery.foreign:
            hall.note_foreign(delivery.foreign, self.identity)
        if not delivery.readings:
            self._settle(delivery, ticket, [])
            return
        self._valve.hold(size)
        hall.hold(size)
        if hall.is_full:
            self._valve.shut("disk")
        self._valve.count(max(len(delivery.readings) - len(arrival.publishes), 0))  # an array counts as what it has
        hall.hand_on(delivery.readings, partial(self._taken, delivery, ticket, size))

    def _taken(
        self, delivery: Delivery, ticket: Ticket, size: int, verdicts: Sequence[Verdict], error: BaseException | None
    ) -> None:
        self._valve.release(size)
        self._hall.release(size)
        self.breathe()
        if error is None:
            self._settle(delivery, ticket, verdicts)
        elif isinstance(error, StorageUnavailable):
            # No PUBACK with a failure code: it would tell the device to forget the message (MQTT 5, 4.4).
            self._hall.stats.storage_refusals += 1
            self.end_with(Reason.QUOTA_EXCEEDED)
        elif not isinstance(error, asyncio.CancelledError):
            self._hall.on_fault(error)

    def _settle(self, delivery: Delivery, ticket: Ticket, verdicts: Sequence[Verdict]) -> None:
        """The readings are on disk, or refused for good: answer."""
        codes = delivery.codes(verdicts)
        stats = self._hall.stats
        refused = len(codes) - codes.count(0) if codes else 0
        stats.refused += refused - len(delivery.foreign)
        stats.acknowledged += len(delivery.publishes) - refused
        if self._is_ended:
            return
        answers = self._session.window.settle(ticket, codes)
        if self._session.subscriptions:
            answers += delivery.acknowledgements(
                verdicts,
                is_heard=self._session.subscriptions.__contains__,
                bytes_max=self._session.peer_packet_bytes_max,
            )
        if self._outbound or self._session.window.is_waiting or self._transport is None:
            self._write(answers)
        elif answers:
            self._transport.write(answers)  # nothing to join it with, and a turn of the loop is not free

    # Not more than is good for us.

    def breathe(self) -> None:
        """Something reached the disk; read on if that was what we waited for."""
        if self._valve.is_shut and not self._hall.is_full:
            self._valve.open("disk")

    def stop_reading(self) -> None:
        """The listener stops: take nothing more in."""
        self._valve.shut("stop")

    def _write(self, data: bytes) -> None:
        if data and not self._is_ended:
            if not self._outbound:
                self._loop.call_soon(self._flush)
            self._outbound.append(data)

    def _flush(self) -> None:
        if self._outbound and not self._is_ended and self._transport is not None:
            data = b"".join(self._outbound)
            self._outbound.clear()
            if data:
                self._transport.write(data)
