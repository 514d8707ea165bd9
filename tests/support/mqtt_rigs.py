"""Handhelds for the driver contract: the reference client on a line that fails, to a listener or to mosquitto."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from driver_contract import BOUND_S, Rig
from mqtt_peer import SITE

from drivers import Reading, Verdict
from drivers.mqtt_listener import ListenerSettings, MqttListener
from drivers.mqtt_subscriber import BrokerSettings, MqttSubscriber
from simulators.broker import Broker
from simulators.handheld import Handheld, HandheldPlan
from simulators.network import Network, Weather
from simulators.token import Token, find_tokens

DEVICE = "hh-7"

WEATHER = {
    "clean": Weather(),
    "byte-by-byte": Weather(chunk_bytes=1),
    "delayed": Weather(delay_s=0.005, jitter_s=0.02),
    # Bytes do not vanish inside TCP: a lossy line breaks connections, and loses the answers that were on it.
    "lossy": Weather(cut_probability=0.05),
    # Messages travel in pieces, and the line breaks between two of them.
    "cut": Weather(chunk_bytes=97, cut_probability=0.1),
}


class HandheldRig(Rig):
    """One handheld that keeps each scan until the gateway acknowledged it."""

    in_flight_max = 8

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.network: Network | None = None
        self.handheld: Handheld | None = None
        self._count = 0

    async def switch_on(self, wire: str, seed: int, port: int) -> None:
        """The handheld, and the network between it and `port`."""
        self.network = Network("127.0.0.1", port, seed=seed)
        self.network.weather = WEATHER[wire]
        await self.network.__aenter__()
        plan = HandheldPlan(
            DEVICE, SITE, self.network.port, ack_timeout_s=1.0, in_flight_max=self.in_flight_max, backoff_max_s=0.1
        )
        self.handheld = Handheld(plan, self.folder, rng=random.Random(seed), on_line=self.pulse.set)
        await self.handheld.__aenter__()

    async def close(self) -> None:
        if self.handheld is not None:
            await self.handheld.__aexit__(None, None, None)
        if self.network is not None:
            await self.network.__aexit__(None, None, None)

    async def say(self, count: int) -> list[str]:
        assert self.handheld is not None
        tokens = []
        for _ in range(count):
            self._count += 1
            tokens.append(str(Token("h7", self._count)))
            self.handheld.scan(f"]C021{tokens[-1]}")
        return tokens

    def token_of(self, reading: Reading) -> str | None:
        if reading.kind == "unreadable":
            return None
        found = find_tokens(reading.code).whole
        return str(found[0]) if len(found) == 1 and reading.device == DEVICE else f"invented: {reading!r}"

    def acknowledged(self) -> Sequence[str]:
        assert self.handheld is not None
        return [str(scan.token) for scan in self.handheld.device_scans() if scan.acknowledged]


class ListenerRig(HandheldRig):
    """On the gateway's own listener. Its link is the address it listens on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = 0
        self._squatter: asyncio.Server | None = None

    async def plug(self, wire: str, seed: int) -> None:
        self._port = await _free_port()
        await self.switch_on(wire, seed, self._port)

    def driver(self) -> MqttListener:
        settings = ListenerSettings(
            bind=f"127.0.0.1:{self._port}",
            unauthenticated="accept-in-lab",
            receive_max=self.in_flight_max,
            drain_s=0.0,
        )
        return MqttListener("mqtt-listener", settings, site=SITE)

    async def cut(self) -> None:
        """Somebody else takes the address: the only way in which a listener can be without a link."""
        self._squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", self._port)

    async def mend(self) -> None:
        if self._squatter is not None:
            self._squatter.close()

    async def close(self) -> None:
        await super().close()
        await self.mend()


async def _nothing(readings: Sequence[Reading]) -> list[Verdict]:
    raise AssertionError(f"nobody has said anything yet: {readings}")


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    return port


class SubscriberRig(HandheldRig):
    """On a real mosquitto, which the gateway reaches over a network of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.broker: Broker | None = None
        self.uplink: Network | None = None

    async def plug(self, wire: str, seed: int) -> None:
        self.broker = Broker(
            self.folder / "broker", "allow_anonymous true\npersistence false\nmax_inflight_messages 8\n"
        )
        await self.broker.start()
        self.uplink = Network("127.0.0.1", self.broker.port, seed=seed)
        self.uplink.weather = WEATHER[wire]
        await self.uplink.__aenter__()
        # The gateway has been here before: a broker forgets what it takes before somebody subscribed.
        earlier = self._subscriber(self.broker.port)
        run = asyncio.ensure_future(earlier.run(_nothing))
        async with asyncio.timeout(BOUND_S):
            await earlier.subscribed.wait()
        run.cancel()
        await asyncio.wait([run])
        await self.switch_on("clean", seed, self.broker.port)

    async def close(self) -> None:
        await super().close()
        if self.uplink is not None:
            await self.uplink.__aexit__(None, None, None)
        if self.broker is not None:
            await self.broker.close()

    def driver(self) -> MqttSubscriber:
        return self._subscriber(self.uplink.port if self.uplink is not None else 1)

    def _subscriber(self, port: int) -> MqttSubscriber:
        settings = BrokerSettings(
            url=f"mqtt://127.0.0.1:{port}", receive_max=self.in_flight_max, drain_s=0.0, connect_timeout_s=2.0
        )
        return MqttSubscriber("mqtt-broker", settings, site=SITE, client_id="gateway")

    async def cut(self) -> None:
        assert self.uplink is not None
        self.uplink.cut()

    async def mend(self) -> None:
        assert self.uplink is not None
        await self.uplink.mend()
