"""MQTT 5 without I/O: bytes in, what they mean and what to answer out; both ends of the connection.

Theory of operation. A PUBACK promises that a message is on disk. So the session never writes one by itself: it gives
the publishes of one socket read a `Ticket`, and only `InboundWindow.settle(ticket)`, called after the commit, makes
PUBACKs of it. Three rules are kept here, for both roles, because each has lost somebody's messages:

- PUBACKs leave in the order in which the messages arrived (MQTT 5, 4.6), even when a later commit returns sooner.
- A ticket belongs to one connection. Packet identifiers start anew with every connection, so an acknowledgement that
  comes back late is dropped: it would acknowledge somebody else's message.
- An identifier that is still unanswered may not be used again on the same connection. Then it is unclear which of two
  messages an acknowledgement means, so neither gets one: the connection ends and both are sent again.

`ServerSession` is the listener's half, `ClientSession` the subscriber's. Neither sends QoS 1: the application
acknowledgements that a gateway publishes are answers, and whoever misses one asks again by sending its scan again.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import mqtt5
from mqtt5 import ConnAckReasonCode as ConnAck
from mqtt5 import DisconnectReasonCode as Reason
from mqtt5 import SubAckReasonCode as SubAck
from mqtt5 import UnsubAckReasonCode as UnsubAck

from drivers.mqtt_wire import PacketReader, WireFault

CONNECT_BYTES_MAX: Final = 8192
"""What a stranger may make us hold before it said who it is."""
SUBSCRIPTIONS_MAX: Final = 16
TOPICS_MAX: Final = 256
"""In one SUBSCRIBE or UNSUBSCRIBE: twenty thousand in each would hold everybody up for longer than a commit does."""
PACKET_IDS: Final = 65_535
"""More messages than identifiers cannot be unanswered."""

_PUBACK = struct.Struct(">HH")
_PUBACK_WITH_CODE = struct.Struct(">HHB")
_PINGRESP: Final = mqtt5.PingRespPacket().write()
_PINGREQ: Final = mqtt5.PingReqPacket().write()
_QOS_0, _QOS_1, _QOS_1_DUP = 0x30, 0x32, 0x3A


@dataclass(slots=True)
class Ticket:
    """The publishes of one socket read, waiting to be acknowledged together."""

    connection: int
    packet_ids: Sequence[int]
    """In order of arrival; 0 for a message of QoS 0, which is not acknowledged."""
    answer: bytes | None = None


class InboundWindow:
    """QoS 1 messages that arrived and are not acknowledged yet."""

    def __init__(self, size: int) -> None:
        self.size = size
        """The Receive Maximum we announced."""
        self._connection = 0
        self._unanswered: set[int] = set()
        self._tickets: deque[Ticket] = deque()

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come for something that arrived."""
        return bool(self._tickets)

    def connect(self) -> None:
        """A new connection: every ticket of the old one is void."""
        self._connection += 1
        self._unanswered.clear()
        self._tickets.clear()

    def admit(self, packet_id: int) -> None:
        """Note that a QoS 1 message arrived; raise `WireFault` when it may not."""
        unanswered = self._unanswered
        if packet_id in unanswered or not packet_id:
            raise WireFault(Reason.PROTOCOL_ERROR, f"packet identifier {packet_id} is in use or zero")
        if len(unanswered) >= self.size:
            raise WireFault(Reason.RECEIVE_MAX_EXCEEDED, f"more than {self.size} unanswered messages")
        unanswered.add(packet_id)

    def open(self, packet_ids: Sequence[int]) -> Ticket:
        """Return the ticket that acknowledges these messages later."""
        ticket = Ticket(self._connection, packet_ids)
        self._tickets.append(ticket)
        return ticket

    def settle(self, ticket: Ticket, codes: Sequence[int] | None = None) -> bytes:
        """The messages of `ticket` are on disk (or refused, by code): return the PUBACKs that may leave now.

        `codes` has a reason code for every packet identifier; None means success for all. The bytes are empty while
        an earlier ticket is open, and for a ticket of an earlier connection.
        """
        if ticket.connection != self._connection:
            return b""
        ticket.answer = _pubacks(ticket.packet_ids, codes)
        self._unanswered.difference_update(ticket.packet_ids)
        ready: list[bytes] = []
        while self._tickets and (answer := self._tickets[0].answer) is not None:
            ready.append(answer)
            self._tickets.popleft()
        return b"".join(ready)


def _pubacks(packet_ids: Sequence[int], codes: Sequence[int] | None) -> bytes:
    if codes is None:
        pack = _PUBACK.pack
        return b"".join([pack(0x4002, packet_id) for packet_id in packet_ids if packet_id])
    return b"".join(
        _PUBACK_WITH_CODE.pack(0x4003, packet_id, code) if code else _PUBACK.pack(0x4002, packet_id)
        for packet_id, code in zip(packet_ids, codes, strict=True)
        if packet_id
    )


@dataclass(slots=True)
class Arrival:
    """What one socket read brought."""

    publishes: list[mqtt5.PublishPacket] = field(default_factory=list)
    packet_ids: list[int] = field(default_factory=list)
    """Of `publishes`; for `InboundWindow.open`."""
    packets: int = 0
    """Of every kind."""
    size: int = 0
    """Of the packets, in bytes."""
    has_more: bool = False
    """There is more to be acted on, without another read: when others had their turn."""
    replies: bytearray = field(default_factory=bytearray)
    """To be written at once; never a PUBACK."""
    connect: mqtt5.ConnectPacket | None = None
    """The client introduced itself. Nothing behind it is read until `ServerSession.accept`."""
    connack: mqtt5.ConnAckPacket | None = None
    suback: mqtt5.SubAckPacket | None = None
    disconnect: mqtt5.DisconnectPacket | None = None
    """The peer says good-bye."""
    fault: WireFault | None = None
    """The peer broke the protocol behind what is above."""

    def _reply(self, packet: bytes) -> None:
        self.replies += packet


class _Session(ABC):
    def __init__(self, *, packet_bytes_max: int, receive_max: int) -> None:
        self.window = InboundWindow(receive_max)
        self._packet_bytes_max = packet_bytes_max
        self._reader = PacketReader(packet_bytes_max)

    def receive(self, chunk: bytes) -> Arrival:
        """Take the bytes of one socket read, and act on a turn's worth. However the stream is cut, the result is the
        same."""
        arrival = Arrival()
        packets, arrival.fault = self._reader.read(chunk)
        arrival.packets, arrival.size, arrival.has_more = len(packets), self._reader.taken, self._reader.has_more
        publishes, packet_ids, admit = arrival.publishes, arrival.packet_ids, self.window.admit
        try:
            for first, packet in packets:
                if isinstance(packet, mqtt5.PublishPacket) and self._may_publish(first, packet):
                    packet_id = packet.packet_id or 0
                    if first & 0x06:
                        admit(packet_id)
                    packet_ids.append(packet_id)
                    publishes.append(packet)
                else:
                    self._control(packet, arrival)
                    if arrival.disconnect is not None:
                        break
        except WireFault as fault:
            arrival.fault = fault
        return arrival

    @property
    def has_more(self) -> bool:
        """Whether bytes wait to be acted on that came with an earlier read."""
        return self._reader.has_more

    @abstractmethod
    def _may_publish(self, first: int, packet: mqtt5.PublishPacket) -> bool:
        """Return True for a publish this role takes; raise `WireFault` for another. `first` is its first byte."""

    @abstractmethod
    def _control(self, packet: mqtt5.Packet, arrival: Arrival) -> None:
        """Act on any other packet."""


class ServerSession(_Session):
    """The listener's half of one connection: ingest and acknowledgements, no general broker."""

    def __init__(self, *, packet_bytes_max: int, receive_max: int) -> None:
        super().__init__(packet_bytes_max=packet_bytes_max, receive_max=receive_max)
        self._reader.packet_bytes_max = min(CONNECT_BYTES_MAX, packet_bytes_max)
        self._is_introduced = False
        self._is_accepted = False
        self._may_subscribe: Callable[[str], bool] = lambda _: False
        self.subscriptions: set[str] = set()
        """Topics, without wildcards, that the client wants to hear."""
        self.peer_packet_bytes_max: int | None = None

    def accept(
        self,
        connect: mqtt5.ConnectPacket,
        *,
        may_subscribe: Callable[[str], bool],
        keep_alive_s: int,
        session_expiry_s: int = 0,
        subscriptions: set[str] | None = None,
        assigned_client_id: str | None = None,
    ) -> bytes:
        """The client is known: return the CONNACK. `subscriptions`: what a kept session had, None for a new one."""
        self._is_accepted = True
        self._may_subscribe = may_subscribe
        self.subscriptions = subscriptions or set()
        self._reader.packet_bytes_max = self._packet_bytes_max
        self.peer_packet_bytes_max = connect.max_packet_size
        self.window.connect()
        return mqtt5.ConnAckPacket(
            session_present=subscriptions is not None,
            session_expiry_interval=None if session_expiry_s == connect.session_expiry_interval else session_expiry_s,
            server_keep_alive=None if keep_alive_s == connect.keep_alive else keep_alive_s,
            assigned_client_id=assigned_client_id,
            receive_max=self.window.size,
            max_packet_size=self._packet_bytes_max,
            max_qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain_available=False,
            wildcard_subscription_available=False,
            subscription_id_available=False,
            shared_subscription_available=False,
        ).write()

    def _may_publish(self, first: int, packet: mqtt5.PublishPacket) -> bool:
        if packet.topic_alias is not None:
            raise WireFault(Reason.TOPIC_ALIAS_INVALID, "topic aliases were not offered")
        if first in (_QOS_1, _QOS_0, _QOS_1_DUP) and self._is_accepted:
            return True
        if not self._is_accepted:
            raise WireFault(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
        if first & 0x01:
            raise WireFault(Reason.RETAIN_NOT_SUPPORTED, "a retained message")
        if first & 0x04:
            raise WireFault(Reason.QOS_NOT_SUPPORTED, "a message of QoS 2")
        raise WireFault(Reason.MALFORMED_PACKET, "DUP on a message of QoS 0")

    def _control(self, packet: mqtt5.Packet, arrival: Arrival) -> None:
        if isinstance(packet, mqtt5.ConnectPacket):
            if self._is_introduced:
                raise WireFault(Reason.PROTOCOL_ERROR, "a second CONNECT")
            self._is_introduced = True
            arrival.connect = packet
            return
        if not self._is_accepted:
            raise WireFault(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
        match packet:
            case mqtt5.PingReqPacket():
                arrival._reply(_PINGRESP)
            case mqtt5.SubscribePacket():
                arrival._reply(self._subscribe(packet))
            case mqtt5.UnsubscribePacket():
                arrival._reply(self._unsubscribe(packet))
            case mqtt5.DisconnectPacket():
                arrival.disconnect = packet
            case _:
                raise WireFault(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} does not belong here")

    def _subscribe(self, packet: mqtt5.SubscribePacket) -> bytes:
        _require_few(packet.topic_filters)
        codes = [self._subscribe_one(topic_filter.pattern) for topic_filter in packet.topic_filters]
        if packet.subscription_id is not None:
            codes = [SubAck.SUBSCRIPTION_IDS_NOT_SUPPORTED for _ in codes]
        return mqtt5.SubAckPacket(packet.packet_id, codes).write()

    def _subscribe_one(self, pattern: str) -> SubAck:
        if not self._may_subscribe(pattern):
            return SubAck.NOT_AUTHORIZED
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX and pattern not in self.subscriptions:
            return SubAck.QUOTA_EXCEEDED
        self.subscriptions.add(pattern)
        return SubAck.GRANTED_QOS_AT_MOST_ONCE

    def _unsubscribe(self, packet: mqtt5.UnsubscribePacket) -> bytes:
        _require_few(packet.patterns)
        codes = [
            UnsubAck.SUCCESS if pattern in self.subscriptions else UnsubAck.NO_SUBSCRIPTION_EXISTED
            for pattern in packet.patterns
        ]
        self.subscriptions.difference_update(packet.patterns)
        return mqtt5.UnsubAckPacket(packet.packet_id, codes).write()


def _require_few(topics: Sequence[object]) -> None:
    if len(topics) > TOPICS_MAX:
        raise WireFault(Reason.QUOTA_EXCEEDED, f"{len(topics)} topics in one packet")


def check_connect(connect: mqtt5.ConnectPacket) -> tuple[ConnAck, str] | None:
    """Return why the protocol itself forbids this CONNECT here, if it does; the second in words for the log."""
    if connect.authentication_method is not None:
        why = "it names an authentication method; there is none but user name and certificate"
        return ConnAck.BAD_AUTHENTICATION_METHOD, why
    if connect.will is not None and connect.will.retain:
        return ConnAck.RETAIN_NOT_SUPPORTED, "its will message is a retained one; wills are accepted and not published"
    if connect.will is not None and connect.will.qos == mqtt5.QoS.EXACTLY_ONCE:
        return ConnAck.QUALITY_NOT_SUPPORTED, "its will message has QoS 2; wills are accepted and not published"
    return None


def connack_refusal(reason: ConnAck) -> bytes:
    """Return the CONNACK that turns a client away."""
    return mqtt5.ConnAckPacket(reason_code=reason).write()


def disconnect(reason: Reason) -> bytes:
    """Return a DISCONNECT."""
    return mqtt5.DisconnectPacket(reason_code=reason).write()


class ClientSession(_Session):
    """The subscriber's half: one persistent session on a site broker, over as many connections as it takes.

    It announces a Receive Maximum and does not insist on it. mosquitto 2.0.11 (Debian 12) sends more than that when
    acknowledgements reach it one by one while its queue is full, and does it again after every reconnect: to end the
    connection for it, as MQTT 5 asks (3.3.4), would be to end it for ever. What is held is bounded in bytes instead.
    """

    def __init__(self, *, packet_bytes_max: int) -> None:
        super().__init__(packet_bytes_max=packet_bytes_max, receive_max=PACKET_IDS)

    def connect(self, packet: mqtt5.ConnectPacket) -> bytes:
        """Begin a connection: return the CONNECT; everything unanswered on an earlier connection is void."""
        self._reader = PacketReader(self._packet_bytes_max)
        self.window.connect()
        return packet.write()

    def subscribe(self, topic_filters: Sequence[str]) -> bytes:
        """Return a SUBSCRIBE at QoS 1. Old retained messages are not wanted: they are no scans made now."""
        filters = [
            mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_handling=mqtt5.RetainHandling.SEND_NEVER)
            for pattern in topic_filters
        ]
        return mqtt5.SubscribePacket(1, filters).write()

    def unsubscribe(self, topics: Sequence[str]) -> bytes:
        """Return an UNSUBSCRIBE."""
        return mqtt5.UnsubscribePacket(2, list(topics)).write()

    def ping(self) -> bytes:
        """Return a PINGREQ."""
        return _PINGREQ

    def _may_publish(self, first: int, packet: mqtt5.PublishPacket) -> bool:
        if packet.topic_alias is not None:
            raise WireFault(Reason.TOPIC_ALIAS_INVALID, "topic aliases were not offered")
        if first & 0x04:
            raise WireFault(Reason.QOS_NOT_SUPPORTED, "a message of QoS 2")
        if first & 0x06 == 0 and first & 0x08:
            raise WireFault(Reason.MALFORMED_PACKET, "DUP on a message of QoS 0")
        return True

    def _control(self, packet: mqtt5.Packet, arrival: Arrival) -> None:
        match packet:
            case mqtt5.ConnAckPacket():
                arrival.connack = packet
            case mqtt5.SubAckPacket():
                arrival.suback = packet
            case mqtt5.DisconnectPacket():
                arrival.disconnect = packet
            case mqtt5.PingRespPacket() | mqtt5.UnsubAckPacket():
                pass
            case _:
                raise WireFault(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} does not belong here")


def acknowledgement(topic: str, payload: bytes, correlation_data: bytes | None) -> bytes:
    """Return an application acknowledgement as a QoS 0 PUBLISH."""
    return mqtt5.PublishPacket(
        topic, payload, content_type="application/json", correlation_data=correlation_data
    ).write()
