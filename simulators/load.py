"""Many handhelds at once, as cheaply as Python allows: the load for benchmarks and kill storms.

Every device is one MQTT 5 connection that publishes QoS 1 and keeps a bounded number of messages unanswered. Packets
are packed by hand and acknowledgements are counted without building objects, so that the load generator takes a
small part of the two cores it shares with the gateway it measures.

Run as `python -m simulators.load --port 1884 --count 100000`; prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import mqtt5

from simulators.epc import check_digit

GTINS = [f"0952123{number:06d}{check_digit(f'0952123{number:06d}')}" for number in range(97)]
CONNACK, PUBACK, DISCONNECT = 0x20, 0x40, 0xE0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to publish."""

    host: str = "127.0.0.1"
    port: int = 1884
    site: str = "bench"
    devices: int = 40
    count: int = 100_000
    """Messages over all devices."""
    rate: float | None = None
    """Messages a second over all devices; None publishes as fast as acknowledgements come."""
    in_flight_max: int = 200
    """Unanswered messages a device keeps, at most (the listener may announce less)."""
    prefix: str = "b"
    """Start of every message id, so that two runs do not redeliver each other's messages."""
    labels: Literal["own", "gs1"] = "own"
    """Article numbers of the site's own, or GS1-128 with GTIN, lot and serial number."""


@dataclass(slots=True)
class LoadResult:
    """What was heard."""

    acknowledged: int = 0
    refused: int = 0
    seconds: float = 0.0
    started_at: float = 0.0
    """First publish, on the machine-wide monotonic clock of `time.perf_counter`."""
    ack_p50_ms: float = 0.0
    ack_p99_ms: float = 0.0
    generator_cpu_s: float = 0.0


def body(plan: LoadPlan, device: str, number: int) -> bytes:
    """Return the message of a handheld scanning its `number`-th label: about 200 bytes, a label never seen before (of
    GS1 labels each tenth has no serial number, and is like many others)."""
    if plan.labels == "own":
        code = f"ITEM-{device}-{number:08d}"
    else:
        serial = f"\\u001d21{plan.prefix}{device[3:]}{number:08d}" if number % 10 else ""
        code = f"]C101{GTINS[number % len(GTINS)]}10L{number % 7}{serial}"
    return (
        f'{{"id": "{plan.prefix}-{device}-{number:06d}", "code": "{code}", '
        f'"at": "2026-11-21T08:00:00Z", "activity": "pick", "document": "PL-1001", "location": "A-01-03", '
        f'"quantity": {2 if plan.labels == "own" else 1}, "operator": "op7"}}'
    ).encode()


def publish_packet(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    """Return a QoS 1 PUBLISH without properties (MQTT 5, section 3.3)."""
    rest = struct.pack(">H", len(topic)) + topic + struct.pack(">HB", packet_id, 0) + payload
    length, size = b"", len(rest)
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | (0x80 if size else 0)])
        if not size:
            return b"\x32" + length + rest


class LoadDevice(asyncio.Protocol):
    """One device: publishes while its window has room, counts what is acknowledged."""

    def __init__(self, plan: LoadPlan, name: str, count: int, done: Callable[[], None]) -> None:
        self.plan, self.name, self.count, self.done = plan, name, count, done
        self.topic = f"dockline/v1/{plan.site}/{name}/scan".encode()
        self.sent = self.acknowledged = self.refused = 0
        self.window = plan.in_flight_max
        self.sent_at: dict[int, float] = {}
        self.latencies: list[float] = []
        self.ready = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(mqtt5.ConnectPacket(client_id=self.name, clean_start=True, keep_alive=600).write())

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        at, end = 0, len(data)
        now = time.perf_counter()
        while end - at >= 2 and end - at >= 2 + data[at + 1]:
            kind, size = data[at] & 0xF0, data[at + 1]
            if kind == PUBACK:
                self.on_puback(data[at + 2 : at + 2 + size], now)
            elif kind == CONNACK:
                self.on_connack(data[at : at + 2 + size])
            elif kind == DISCONNECT and not self.ready.done():
                self.ready.set_exception(ConnectionRefusedError(f"disconnected: {data[at + 2 :].hex()}"))
            at += 2 + size
        self.buffer = data[at:]
        if self.plan.rate is None:
            self.fill()

    def on_connack(self, packet: bytes) -> None:
        parsed, _ = mqtt5.read(memoryview(packet))
        assert isinstance(parsed, mqtt5.ConnAckPacket)
        if parsed.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            self.ready.set_exception(ConnectionRefusedError(str(parsed.reason_code)))
            return
        self.window = min(self.window, parsed.receive_max)
        self.ready.set_result(None)

    def on_puback(self, rest: bytes, now: float) -> None:
        if len(rest) > 2 and rest[2] >= 0x80:
            self.refused += 1
        else:
            self.acknowledged += 1
        sent_at = self.sent_at.pop(rest[0] << 8 | rest[1], None)
        if sent_at is not None:
            self.latencies.append((now - sent_at) * 1000)
        if self.acknowledged + self.refused == self.count:
            self.done()

    def fill(self) -> None:
        """Publish what the window has room for, in one write."""
        room = min(self.window - (self.sent - self.acknowledged - self.refused), self.count - self.sent)
        # Refill in larger strokes: a write a message would make the generator, not the gateway, the bottleneck.
        if room < min(self.window // 4, self.count - self.sent):
            return
        self.publish(room)

    def publish(self, count: int) -> None:
        """Publish the next `count` messages now."""
        assert self.transport is not None
        packets = []
        now = time.perf_counter()
        for number in range(self.sent, self.sent + count):
            packet_id = number % 65535 + 1
            packets.append(publish_packet(self.topic, packet_id, body(self.plan, self.name, number)))
            self.sent_at[packet_id] = now
        self.sent += count
        if packets:
            self.transport.write(b"".join(packets))


async def load(plan: LoadPlan) -> LoadResult:
    """Publish the whole plan and return when every message was answered."""
    finished = asyncio.Event()
    open_devices = plan.devices

    def one_done() -> None:
        nonlocal open_devices
        open_devices -= 1
        if not open_devices:
            finished.set()

    devices = await connected(plan, one_done)
    started, cpu = time.perf_counter(), time.process_time()
    if plan.rate is None:
        for device in devices:
            device.fill()
    else:
        await pace(plan, devices)
    await finished.wait()
    result = _result(devices, started)
    result.generator_cpu_s = time.process_time() - cpu
    for device in devices:
        if device.transport is not None:
            device.transport.close()
    return result


async def connected(plan: LoadPlan, one_done: Callable[[], None]) -> list[LoadDevice]:
    """Return the devices of a plan, let in by the gateway; `one_done` is called by each that has no more to say."""
    loop = asyncio.get_running_loop()
    shares = [plan.count // plan.devices + (index < plan.count % plan.devices) for index in range(plan.devices)]
    devices: list[LoadDevice] = []
    for index, share in enumerate(shares):
        name = f"hh-{index:03d}"
        _, device = await loop.create_connection(
            lambda name=name, share=share: LoadDevice(plan, name, share, one_done),  # type: ignore[misc]
            plan.host,
            plan.port,
        )
        devices.append(device)
    await asyncio.gather(*(device.ready for device in devices))
    return devices


async def pace(
    plan: LoadPlan, devices: Sequence[LoadDevice], on_publish: Callable[[LoadDevice], None] = lambda _device: None
) -> None:
    """Publish one message at a time, device after device, on a fixed beat; `on_publish` is called before each."""
    assert plan.rate is not None
    started = time.perf_counter()
    for number in range(plan.count):
        wait = started + number / plan.rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        device = devices[number % plan.devices]
        on_publish(device)
        device.publish(1)


def _result(devices: Sequence[LoadDevice], started: float) -> LoadResult:
    latencies = sorted(value for device in devices for value in device.latencies)
    result = LoadResult(
        acknowledged=sum(device.acknowledged for device in devices),
        refused=sum(device.refused for device in devices),
        seconds=time.perf_counter() - started,
        started_at=started,
    )
    if latencies:
        result.ack_p50_ms = statistics.median(latencies)
        result.ack_p99_ms = latencies[int(len(latencies) * 0.99) - 1]
    return result


def main() -> None:
    """Publish and print the result as one JSON line."""
    parser = argparse.ArgumentParser(description="Publish scans from many simulated handhelds.")
    defaults = LoadPlan()
    for name, kind in (("host", str), ("port", int), ("site", str), ("devices", int), ("count", int), ("rate", float)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(defaults, name))
    parser.add_argument("--in-flight-max", type=int, default=defaults.in_flight_max)
    parser.add_argument("--prefix", default=defaults.prefix)
    parser.add_argument("--labels", choices=("own", "gs1"), default=defaults.labels)
    plan = LoadPlan(**vars(parser.parse_args()))
    result = asdict(asyncio.run(load(plan)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
