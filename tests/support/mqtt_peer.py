"""The other end of an MQTT 5 connection, packet by packet, for tests that say exactly what goes over the wire."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import mqtt5

from drivers import Reading, StorageUnavailable, Verdict
from drivers.mqtt_listener import ListenerSettings, MqttListener

BOUND_S = 60.0
"""Longer than anything here takes on a crowded machine."""
QUIET_S = 0.2
"""How long to look for something that must not happen."""
SITE = "dc07"


def scan_topic(device: str) -> str:
    return f"dockline/v1/{SITE}/{device}/scan"


def ack_topic(device: str) -> str:
    return f"dockline/v1/{SITE}/{device}/ack"


def scan_body(number: int, code: str = "]C10109521234543213") -> bytes:
    return f'{{"id": "hh-7-{number:06d}", "code": "{code}"}}'.encode()


def publish(
    packet_id: int | None,
    payload: bytes | None = None,
    *,
    device: str = "hh-7",
    topic: str | None = None,
    **more: Any,
) -> bytes:
    """A scan as a PUBLISH: QoS 1 with a packet id, QoS 0 without."""
    return mqtt5.PublishPacket(
        topic if topic is not None else scan_topic(device),
        payload if payload is not None else scan_body(packet_id or 0),
        qos=mqtt5.QoS.AT_MOST_ONCE if packet_id is None else mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=packet_id,
        **more,
    ).write()


class Peer:
    """A client (or a broker) that does what the test says and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._buffer = b""
        self.was_reset = False
        """The other end threw away what we sent instead of closing in peace."""

    @classmethod
    async def connect(cls, port: int, *, context: ssl.SSLContext | None = None, name: str | None = None) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))

    @classmethod
    async def hello(cls, port: int, client_id: str = "hh-7", **connect: Any) -> Peer:
        """A peer that is let in."""
        peer = await cls.connect(port)
        connack = await peer.introduce(client_id, **connect)
        assert connack.reason_code == mqtt5.ConnAckReasonCode.SUCCESS, connack
        return peer

    async def introduce(self, client_id: str = "hh-7", **connect: Any) -> mqtt5.ConnAckPacket:
        self.send(mqtt5.ConnectPacket(client_id, **{"clean_start": True, **connect}).write())
        connack = await self.receive()
        assert isinstance(connack, mqtt5.ConnAckPacket), connack
        return connack

    async def subscribe(self, *patterns: str) -> list[int]:
        self.send(mqtt5.SubscribePacket(9, [mqtt5.TopicFilter(pattern) for pattern in patterns]).write())
        suback = await self.receive()
        assert isinstance(suback, mqtt5.SubAckPacket), suback
        return [int(code) for code in suback.reason_codes]

    def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))

    async def receive(self) -> Any:
        """The next packet; None when the other end closed."""
        async with asyncio.timeout(BOUND_S):
            while True:
                with contextlib.suppress(IndexError):
                    packet, used = mqtt5.read(memoryview(self._buffer))
                    self._buffer = self._buffer[used:]
                    return packet
                try:
                    more = await self.reader.read(65_536)
                except ConnectionResetError:
                    self.was_reset = True
                    return None
                if not more:
                    return None
                self._buffer += more

    async def receive_all(self) -> list[Any]:
        """Every packet until the other end closes."""
        packets = []
        while (packet := await self.receive()) is not None:
            packets.append(packet)
        return packets

    async def is_quiet(self) -> bool:
        """True when nothing comes for a moment."""
        try:
            async with asyncio.timeout(QUIET_S):
                self._buffer += await self.reader.readexactly(1)
        except TimeoutError:
            return True
        except asyncio.IncompleteReadError:
            pass
        return False

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Shelf:
    """What the gateway is to a driver; each list it is given can be held back and let through by itself."""

    def __init__(self) -> None:
        self.lists: list[list[Reading]] = []
        self.answer: Verdict | StorageUnavailable | BaseException = Verdict("stored", events=("event-1",))
        self.refuses: set[str] = set()
        """Devices that are not configured here."""
        self.is_held = False
        self._gates: list[asyncio.Event] = []
        self._arrived = asyncio.Event()

    @property
    def readings(self) -> list[Reading]:
        return [reading for one in self.lists for reading in one]

    async def emit(self, readings: Sequence[Reading]) -> list[Verdict]:
        self.lists.append(list(readings))
        gate = asyncio.Event()
        self._gates.append(gate)
        if not self.is_held:
            gate.set()
        self._arrived.set()
        await gate.wait()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return [Verdict("refused") if reading.device in self.refuses else self.answer for reading in readings]

    def let_through(self, index: int | None = None) -> None:
        """Let the list `index` reach the disk; all of them without an index."""
        for gate in self._gates if index is None else [self._gates[index]]:
            gate.set()

    async def arrived(self, readings: int) -> None:
        """Return once this many readings were offered."""
        async with asyncio.timeout(BOUND_S):
            while len(self.readings) < readings:
                self._arrived.clear()
                await self._arrived.wait()


@contextlib.asynccontextmanager
async def listening(shelf: Shelf, **settings: Any) -> AsyncIterator[MqttListener]:
    """A listener on a free port, in lab mode unless the settings say otherwise; fails when its run ended early."""
    if "users_file" not in settings and "client_ca" not in settings:
        settings.setdefault("unauthenticated", "accept-in-lab")
    readers, executor = settings.pop("readers", None), settings.pop("executor", None)
    made = ListenerSettings(bind="127.0.0.1:0", **settings)
    listener = MqttListener("mqtt-listener", made, site=SITE, readers=readers, executor=executor)
    task = asyncio.ensure_future(listener.run(shelf.emit))
    try:
        waiting = asyncio.ensure_future(listener.listening.wait())
        await asyncio.wait({task, waiting}, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        yield listener
        if task.done() and not task.cancelled():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
        assert task.done(), "the run does not end"
        if not task.cancelled():
            task.result()
