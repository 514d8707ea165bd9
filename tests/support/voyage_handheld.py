"""A handheld in virtual time: numbers its scans, keeps each until the application acknowledgement, says it again.

It speaks MQTT 5 to the built-in listener over the virtual network. Its memory survives a change of battery and is lost
when it is reset; a reset handheld begins to count again, under a new installation name or, badly made, the same one.
What it did and heard is kept by token, so that the judge needs nothing from the gateway.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

import mqtt5
from voyage_world import VoyageWorld

from simulators.labels import GTINS, carton
from simulators.ledger import DeviceScan
from simulators.token import Token

SITE = "dc07"


@dataclass(frozen=True, slots=True)
class HandheldHabits:
    """How one handheld was set up."""

    device: str
    tag: str
    port: int
    scans: int
    interval_s: float
    ack_timeout_s: float = 4.0
    window: int = 1
    """Scans that wait for an acknowledgement at once."""
    array_max: int = 1
    """Scans in one message."""
    twice: float = 0.03
    """Chance that the radio sends a message twice."""
    deaf: float = 0.02
    """Chance that an acknowledgement is not heard."""
    resets_keep_name: bool = False
    """A reset begins again with numbers that were used."""


@dataclass(slots=True)
class Heard:
    """What was heard about one scan."""

    results: list[str] = field(default_factory=list)
    events: list[tuple[str, ...]] = field(default_factory=list)


class VirtualHandheld(asyncio.Protocol):
    """One handheld. `start`, then it lives by timers and what arrives."""

    def __init__(self, world: VoyageWorld, habits: HandheldHabits, rng: Random) -> None:
        self.habits = habits
        self.world = world
        self.scans: dict[Token, Heard] = {}
        self.violations: list[str] = []
        self.resets = 0
        self._rng = rng
        self._loop = world.loop
        self._pending: dict[str, tuple[Token, dict[str, Any]]] = {}
        self._count = 0
        self._installation = f"{rng.getrandbits(24):06x}"
        self._made = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_ready = False
        self._packet_id = 0
        self._sent_at: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop.call_later(self._rng.uniform(0, 1), self._connect)
        self._loop.call_later(self._rng.uniform(0, self.habits.interval_s), self._scan)

    @property
    def is_done(self) -> bool:
        return self._made >= self.habits.scans and not self._pending

    def device_scans(self) -> list[DeviceScan]:
        return [
            DeviceScan(token, bool(set(heard.results) - {"refused"}), refused="refused" in heard.results)
            for token, heard in self.scans.items()
        ]

    def reset(self) -> None:
        """Somebody pressed the factory reset: what was not acknowledged is gone, and so is the count."""
        self.world.note(self.habits.device, "reset")
        self.resets += 1
        self._pending.clear()
        self._sent_at.clear()
        self._count = 0
        if not self.habits.resets_keep_name:
            self._installation = f"{self._rng.getrandbits(24):06x}"
        if self._transport is not None:
            self._transport.abort()

    # -- scanning

    def _scan(self) -> None:
        self._made += 1
        self._count += 1
        token = Token(self.habits.tag, self._made)
        self.scans[token] = Heard()
        message_id = f"{self.habits.device}-{self._installation}-{self._count:06d}"
        self._pending[message_id] = (
            token,
            {
                "id": message_id,
                "code": carton(GTINS[self._made % len(GTINS)], token),
                "activity": "pick",
                "document": f"PL-{self._made // 20}",
            },
        )
        if self._made < self.habits.scans:
            self._loop.call_later(self._rng.uniform(0.3, 1.7) * self.habits.interval_s, self._scan)
        self._send()

    # -- the connection

    def _connect(self) -> None:
        self._task = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self.habits.port)
        except OSError:
            self._again()

    def _again(self) -> None:
        self._failures += 1
        self._loop.call_later(self._rng.uniform(0.05, min(0.2 * 2**self._failures, 4.0)), self._connect)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._buffer = b""
        self._is_ready = False
        connect = mqtt5.ConnectPacket(
            self.habits.device,
            clean_start=self._rng.random() < 0.5,
            keep_alive=30,
            session_expiry_interval=300,
        )
        self._write(connect.write())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._is_ready = False
        self._sent_at.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._again()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            try:
                packet, used = mqtt5.read(memoryview(self._buffer))
            except IndexError:
                return
            self._buffer = self._buffer[used:]
            self._act(packet)

    def _act(self, packet: Any) -> None:
        if isinstance(packet, mqtt5.ConnAckPacket):
            topic = f"dockline/v1/{SITE}/{self.habits.device}/ack"
            self._write(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter(topic)]).write())
        elif isinstance(packet, mqtt5.SubAckPacket):
            self._failures = 0
            self._is_ready = True
            self._send()
        elif isinstance(packet, mqtt5.PublishPacket):
            self._hear(json.loads(packet.payload))
        elif isinstance(packet, mqtt5.DisconnectPacket) and self._transport is not None:
            self._transport.close()

    # -- messages

    def _send(self) -> None:
        """Send what is due: the oldest, at most `window` at a time, and what was not answered in time again."""
        if not self._is_ready or self._transport is None:
            return
        now = self._loop.time()
        window = list(self._pending)[: self.habits.window * self.habits.array_max]
        due = [one for one in window if self._sent_at.get(one, -1e9) + self.habits.ack_timeout_s <= now + 1e-6]
        step = self.habits.array_max
        for at in range(0, len(due), step):
            self._publish(due[at : at + step], now)
        again = min((self._sent_at[one] for one in window if one in self._sent_at), default=None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again is not None:
            self._timer = self._loop.call_at(again + self.habits.ack_timeout_s, self._send)

    def _publish(self, ids: list[str], now: float) -> None:
        messages = [self._pending[one][1] for one in ids]
        payload = json.dumps(messages if len(messages) > 1 else messages[0]).encode()
        for one in ids:
            self._sent_at[one] = now
        self._packet_id = self._packet_id % 60_000 + 1
        topic = f"dockline/v1/{SITE}/{self.habits.device}/scan"
        data = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._packet_id).write()
        if self._rng.random() < self.habits.twice:
            self._packet_id = self._packet_id % 60_000 + 1
            data += mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._packet_id).write()
        self.world.note(self.habits.device, "sends", *ids)
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _hear(self, found: Any) -> None:
        for ack in found if isinstance(found, list) else [found]:
            message_id, result = ack["id"], ack["result"]
            if self._rng.random() < self.habits.deaf:
                self.world.note(self.habits.device, "is deaf to", message_id)
                continue
            self.world.note(self.habits.device, "hears", message_id, result)
            entry = self._pending.pop(message_id, None)
            if entry is None:
                continue
            self._sent_at.pop(message_id, None)
            heard = self.scans[entry[0]]
            heard.results.append(result)
            heard.events.append(tuple(ack.get("events", ())))
        self._send()
