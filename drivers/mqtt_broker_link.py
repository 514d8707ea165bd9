"""One connection to a site broker: moves bytes between the socket, the session and the disk.

It never decides to try again. Whatever ends it is set as the exception of `ended`, and the subscriber's run raises it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar, cast

import mqtt5
from mqtt5 import DisconnectReasonCode as Reason

from drivers.contract import DeviceFault, DriverError, Emit, LinkLost, StorageUnavailable
from drivers.mqtt_delivery import Delivery, understand
from drivers.mqtt_routes import Routes
from drivers.mqtt_session import Arrival, ClientSession, Ticket, disconnect
from drivers.mqtt_settings import BrokerSettings
from drivers.mqtt_unread import Unread
from drivers.mqtt_valve import Valve
from drivers.reading import Verdict

_log = logging.getLogger(__name__)

CLOSE_S: Final = 1.0
IN_FLIGHT_BYTES_MAX: Final = 32 * 1024 * 1024
"""On their way to disk; beyond it nothing is read. Nothing else bounds QoS 0, or a broker that sends too much."""
OLD_CONNACKS: Final = tuple(bytes([0x20, 0x02, 0x00, code]) for code in range(1, 6))
"""How a broker that only knows MQTT 3 answers a CONNECT of MQTT 5."""

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class SubscriberStats:
    """Counters since the subscriber was built."""

    connects: int = 0
    sessions_lost: int = 0
    """The broker had forgotten our session when it should not have: messages sent meanwhile are gone from it."""
    received: int = 0
    redelivered: int = 0
    """Of those, marked DUP by the broker."""
    acknowledged: int = 0
    """Messages whose readings are on disk."""
    refused: int = 0
    """Messages of devices that are not configured."""
    foreign: int = 0
    """Messages on a topic that is not ours any more: an old subscription of the session."""
    storage_refusals: int = 0


def in_words(code: mqtt5.ConnAckReasonCode | mqtt5.SubAckReasonCode | Reason) -> str:
    """Return a reason code as a person reads it."""
    return f"{code.name.lower().replace('_', ' ')}, {int(code):#04x}"


class BrokerLink(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        session: ClientSession,
        routes: Routes,
        settings: BrokerSettings,
        *,
        client_id: str,
        stats: SubscriberStats,
        emit: Emit,
    ) -> None:
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._routes = routes
        self._settings = settings
        self._stats = stats
        self._emit = emit
        self.connack: asyncio.Future[mqtt5.ConnAckPacket] = self._loop.create_future()
        self.suback: asyncio.Future[mqtt5.SubAckPacket] = self._loop.create_future()
        self.ended: asyncio.Future[NoReturn] = self._loop.create_future()
        """Never has a result; its exception says why the connection is over."""
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbound: list[bytes] = []
        self._bytes_held = 0
        self._valve = Valve(None, self._go_on)
        self._unread = Unread(self._stuck)
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def fail(self, error: BaseException) -> None:
        """The connection is over, and why. Only the first reason counts."""
        if not self.ended.done():
            self.ended.set_exception(error)

    async def hear(self, answer: asyncio.Future[_Answer], silence_s: float) -> _Answer:
        """Wait for an answer of the broker; raise what ended the connection before it came.

        Raises TimeoutError when nothing comes for `silence_s`. Not when the answer alone does not come: before the
        SUBACK stands what the broker kept for us, and a slow line needs its time for that, every time.
        """
        either: set[asyncio.Future[Any]] = {answer, self.ended}
        while (left_s := self._heard_at + silence_s - self._loop.time()) > 0 or self._valve.is_shut:
            done, _ = await asyncio.wait(
                either, timeout=left_s if left_s > 0 else silence_s, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return answer.result() if answer.done() else self.ended.result()
        raise TimeoutError

    async def close(self, drain_s: float) -> None:
        """Let what is on its way to disk arrive and be acknowledged, say good-bye, close."""
        if self._timer is not None:
            self._timer.cancel()
        self._unread.end()
        self._valve.shut("close")
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._transport is not None:
            self._flush()
            if not self._transport.is_closing():
                self._transport.write(disconnect(Reason.NORMAL_DISCONNECTION))
            self._transport.close()
            await asyncio.wait({self._loop.create_task(self._gone.wait())}, timeout=CLOSE_S)
            self._transport.abort()
        if self.ended.done():
            self.ended.exception()

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The broker accepted the socket."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._settings.outbound_bytes_max)
        self._valve.attach(self._transport)
        self._heard_at = self._loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._gone.set()
        why = f": {exc}" if exc is not None else ""
        # mosquitto 2.0.11 closes without a word when another client takes the session over, so the hint has to ask.
        hint = (
            f"if it is not restarting: does another gateway use the client id {self._client_id}, a clone of this one?"
        )
        self.fail(LinkLost(f"the broker {self._settings.url} closed the connection{why}", hint=hint))

    def pause_writing(self) -> None:
        """The broker is slower to read our answers than to cause them."""
        self._valve.shut("answers")
        if self._transport is not None:
            self._unread.begin(self._transport)

    def resume_writing(self) -> None:
        """It has read most of them."""
        self._unread.end()
        self._read_on("answers")

    def _stuck(self) -> None:
        self.fail(LinkLost(f"the broker {self._settings.url} does not read what we send"))

    def data_received(self, data: bytes) -> None:
        """One socket read."""
        self._heard_at = self._loop.time()
        if self.ended.done():
            return
        if not self.connack.done() and data.startswith(OLD_CONNACKS):
            self.fail(
                DeviceFault("the broker does not speak MQTT 5", hint="mosquitto does since version 1.6; update it")
            )
            return
        self._act(self._session.receive(data))

    def _go_on(self) -> None:
        if self._session.has_more and not self._valve.is_shut and not self.ended.done():
            self._act(self._session.receive(b""))

    def _act(self, arrival: Arrival) -> None:
        if arrival.connack is not None and not self.connack.done():
            self.connack.set_result(arrival.connack)
        if arrival.suback is not None and not self.suback.done():
            self.suback.set_result(arrival.suback)
        if arrival.publishes:
            self._deliver(arrival)
        if arrival.has_more:
            self._valve.yield_turn()
        if arrival.fault is not None:
            self.send(disconnect(arrival.fault.reason))
            self.fail(LinkLost(f"the broker broke the protocol: {arrival.fault}"))
        elif arrival.disconnect is not None:
            self.fail(_farewell(arrival.disconnect))

    def send(self, data: bytes) -> None:
        """Write, joined with what else this turn of the loop writes."""
        if data:
            if not self._outbound:
                self._loop.call_soon(self._flush)
            self._outbound.append(data)

    def _flush(self) -> None:
        if self._outbound and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbound))
        self._outbound.clear()

    def _watch(self) -> None:
        """Prove that we live, and notice when the broker does not (MQTT 5, 3.1.2.10)."""
        keep_alive_s = self._settings.keep_alive_s
        now = self._loop.time()
        if self._valve.is_shut:
            self._heard_at = now
        if now - self._heard_at >= 1.5 * keep_alive_s:
            self.fail(LinkLost(f"the broker {self._settings.url} has been silent for {now - self._heard_at:.0f} s"))
            return
        # Also when we sent something else meanwhile: only a PINGREQ obliges the broker to say something.
        self.send(self._session.ping() if self.connack.done() else b"")
        self._timer = self._loop.call_later(keep_alive_s / 2, self._watch)

    # From the wire to the disk and back.

    def _deliver(self, arrival: Arrival) -> None:
        size = arrival.size
        delivery = understand(arrival.publishes, self._routes, sender=None)
        ticket = self._session.window.open(arrival.packet_ids)
        self._stats.received += len(arrival.publishes)
        self._stats.redelivered += sum(publish.duplicate for publish in arrival.publishes)
        if delivery.foreign:
            self._stats.foreign += len(delivery.foreign)
            topic = delivery.foreign[0]
            _log.warning("foreign_topic_refused topic=%r reason=%r", topic[:120], self._routes.why_foreign(topic))
            self.send(self._session.unsubscribe(sorted(set(delivery.foreign))))
        if not delivery.readings:
            self._settle(delivery, ticket, [])
            return
        self._bytes_held += size
        if self._bytes_held > IN_FLIGHT_BYTES_MAX:
            self._valve.shut("disk")
        task = self._loop.create_task(self._take(delivery, ticket, size))
        self._tasks.add(task)
        task.add_done_callback(self._taken)

    async def _take(self, delivery: Delivery, ticket: Ticket, size: int) -> None:
        try:
            verdicts = await self._emit(delivery.readings)
        except StorageUnavailable as error:
            self._stats.storage_refusals += 1
            self.fail(
                LinkLost(f"nothing is taken from the broker while storage is unavailable: {error}", hint=error.hint)
            )
            return
        finally:
            self._bytes_held -= size
        if self._bytes_held <= IN_FLIGHT_BYTES_MAX:
            self._read_on("disk")
        self._settle(delivery, ticket, verdicts)

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _settle(self, delivery: Delivery, ticket: Ticket, verdicts: Sequence[Verdict]) -> None:
        """The readings are on disk, or refused for good: answer."""
        codes = delivery.codes(verdicts)
        refused = len(codes) - codes.count(0) if codes else 0
        self._stats.refused += refused - len(delivery.foreign)
        self._stats.acknowledged += len(delivery.publishes) - refused
        self.send(self._session.window.settle(ticket, codes))
        self.send(delivery.acknowledgements(verdicts, is_heard=_always))

    def _read_on(self, reason: str) -> None:
        """This reason not to read is gone."""
        if self._valve.is_shut:
            self._heard_at = self._loop.time()  # silence while we did not listen means nothing
            self._valve.open(reason)


def _always(_: str) -> bool:
    """On a broker it is not known who listens."""
    return True


def _farewell(packet: mqtt5.DisconnectPacket) -> DriverError:
    """Return what a DISCONNECT by the broker means for us."""
    message = f"the broker ended the connection ({in_words(packet.reason_code)})"
    match packet.reason_code:
        case Reason.SESSION_TAKEN_OVER:
            return DeviceFault(
                f"{message}: another gateway uses this client id",
                hint="was this machine cloned? Give each gateway its own client_id in [mqtt.broker]",
            )
        case Reason.NOT_AUTHORIZED | Reason.ADMINISTRATIVE_ACTION:
            return DeviceFault(message, hint="see the broker's log and its ACL")
    return LinkLost(message)
