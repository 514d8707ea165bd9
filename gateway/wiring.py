"""What the settings mean to the parts: the site as intake sees it, the outbox's limits, one link for each driver.

`daemon.py` calls these and is the only caller; nothing here keeps anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from buffer import OutboxReader
from buffer.limits import DAY_MS, MIB, Limits
from drivers import Driver
from drivers.handheld import HandheldSettings
from drivers.moment import Moment
from drivers.mqtt_broker_link import SubscriberStats
from drivers.registry import load_driver
from drivers.rfid_reader import RfidReader, RfidReaderSettings
from drivers.scan_message import ParsedBody
from gateway.capture.event_cycle import EventCycleSpec
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.epcis_encoder import EpcisEncoder
from gateway.event_json import as_event
from gateway.health import Hysteresis
from gateway.settings import DeviceSettings, Problem, Settings, SettingsError, StationSettings, StorageSettings
from gateway.status import AlarmStatus
from gateway.supervisor import Link
from sync import EpcisCaptureSettings
from sync.epcis_capture import EpcisCapture

LISTENER = "mqtt-listener"
BROKER = "mqtt-broker"
"""Names of the shared links, as devices of the gateway itself."""

Recall = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class World:
    """Time, chance and threads: real in the service, virtual in a simulation."""

    wall: Callable[[], int]
    """Milliseconds since 1970 UTC."""
    monotonic: Callable[[], float]
    """Seconds; never goes back."""
    rng: random.Random
    writer: Executor
    """One thread: the outbox's."""
    reader: Executor
    is_synchronised: Callable[[], bool]
    """Whether the system's time service vouches for the wall clock."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)
    machine: str = ""
    """Differs between two machines, also when their disks were cloned."""
    troubles: Callable[[], list[AlarmStatus]] = field(default=list)
    """What the process itself runs short of, which only its edge can see."""
    boottime: Callable[[], float] | None = None
    """As `monotonic`, and goes on while the computer sleeps; None where it never does."""

    boot: str = ""
    """Name of this start of the computer; empty when it has none."""

    @property
    def elapsed(self) -> Callable[[], float]:
        """How long people and devices were away for. What is kept for a time is kept by `monotonic`: for longer."""
        return self.boottime or self.monotonic

    def moment(self) -> Moment:
        """Return now by every clock, for whoever comes back after a restart."""
        return Moment(self.boot, self.elapsed(), self.wall(), self.is_synchronised())


def new_epoch(world: World) -> str:
    """Return the name of an epoch that no other has."""
    return f"{world.rng.getrandbits(48):012x}"


def storage_limits(settings: Settings) -> Limits:
    """Return how much the outbox may hold, and for how long."""
    storage = settings.storage
    return Limits(
        bytes_max=storage.bytes_max,
        disk_reserve_bytes=storage.reserve_bytes,
        spare_bytes=storage.spare_bytes,
        retention_ms=int(storage.retention_days * DAY_MS),
        redelivery_window_ms=int(storage.redelivery_days * DAY_MS),
        commit_linger_s=storage.commit_linger_s,
        tail_bytes_max=8 * MIB,
    )


def refuse_what_is_fixed(old: Settings, new: Settings) -> None:
    """Raise SettingsError when a reload would make another outbox of ours."""
    changed = []
    if new.site != old.site:
        changed.append("site")
    if new.storage.path != old.storage.path:
        changed.append("storage.path")
    if changed:
        what = "cannot be changed by a reload: the outbox would be another one"
        raise SettingsError([Problem(str(new.file), 1, key, what, "restart the service") for key in changed])


_DEFERRED = {
    "storage": tuple(StorageSettings.model_fields),
    "limits": ("reopen_s_max", "fault_retry_s_max", "knocking_max"),
    "log": ("format", "events_per_minute_max"),
}
"""Settings that are looked at once, at a start, by table."""


def deferred(started_with: Settings, now: Settings) -> list[str]:
    """Return the settings that differ from those at the start and take effect at the next one only."""
    return [
        f"{table}.{key}"
        for table, keys in _DEFERRED.items()
        for key in keys
        if getattr(getattr(now, table), key) != getattr(getattr(started_with, table), key)
    ]


def site_map(settings: Settings) -> SiteMap:
    """Return the site as intake sees it."""
    return SiteMap(
        site=settings.site.id,
        gateway=settings.site.gateway,
        stations=[_station(settings, station) for station in settings.stations],
        devices=[
            DeviceEntry(
                device.id,
                device.station,
                device.driver,
                device.profile,
                device.enabled,
                device.session,
                device.link.group_separator if isinstance(device.link, HandheldSettings) else None,
            )
            for device in settings.devices
        ],
        label_patterns=[
            LabelPattern(pattern.kind, pattern.expression, pattern.document_type)
            for pattern in settings.labels.patterns
        ],
        command_prefix=settings.labels.command_prefix,
    )


def _station(settings: Settings, station: StationSettings) -> Station:
    return Station(
        id=station.id,
        activity=station.activity,
        read_point=station.read_point,
        business_location=station.business_location or settings.site.business_location,
        location=station.location,
        session_idle_s=station.session_idle_s,
        event_cycle=_event_cycle(settings, station.id),
    )


def _event_cycle(settings: Settings, station: str) -> EventCycleSpec:
    """The readers of a station are one logical reader: the first one configured says how passes are told apart."""
    for device in settings.devices:
        link = device.link
        if device.station == station and isinstance(link, RfidReaderSettings):
            return EventCycleSpec(link.depart_after_s, link.tags_max, link.reads_min, link.rssi_min_dbm)
    return EventCycleSpec()


def epcis_capture(
    settings: EpcisCaptureSettings, world: World, storage: Path, *, credentials: Path | None
) -> EpcisCapture:
    """Return an EPCIS upstream that finds voided events in the outbox of `storage`."""

    async def find(event_id: str) -> dict[str, Any] | None:
        return await asyncio.get_running_loop().run_in_executor(world.reader, _find_event, storage, event_id)

    encoder = EpcisEncoder(find, hash_ids=settings.event_ids == "hash", wall=world.wall, sleep=world.sleep)
    return EpcisCapture(
        settings, encoder, wall=world.wall, monotonic=world.monotonic, sleep=world.sleep, credentials=credentials
    )


def _find_event(storage: Path, event_id: str) -> dict[str, Any] | None:
    reader = OutboxReader.open(storage)
    try:
        entry = reader.entry(event_id)
    finally:
        reader.close()
    found: dict[str, Any] | None = as_event(entry).get("event") if entry is not None else None
    return found


class Readers:
    """The configured RFID readers that push their own JSON, each with what it said about itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = {
            device.id: device.link
            for device in settings.devices
            if device.enabled and isinstance(device.link, RfidReaderSettings)
        }
        self._readers: dict[str, RfidReader] = {}

    def following(self, settings: Settings) -> Readers:
        """Return the readers of other settings: these, with what they have said, when nothing about them changed."""
        readers = Readers(settings)
        return self if readers._settings == self._settings else readers

    def parser(self, device: str) -> Callable[[bytes], ParsedBody] | None:
        """Return what understands the bodies of a device; None when it is no configured reader."""
        reader = self._find(device)
        return reader.parse if reader is not None else None

    def topics(self) -> Mapping[str, tuple[str, Callable[[str, bytes], ParsedBody]]]:
        """Return topic -> (device id, parser) of the readers that publish over MQTT."""
        return {
            link.topic: (device, partial(_parse, reader))
            for device, link in self._settings.items()
            if link.topic is not None and (reader := self._find(device)) is not None
        }

    def health(self) -> dict[str, list[str]]:
        """Return the last things each reader said about itself."""
        return {device: reader.health for device, reader in sorted(self._readers.items()) if reader.health}

    def _find(self, device: str) -> RfidReader | None:
        known = self._readers.get(device)
        if known is not None:
            return known
        patterns = [key for key in self._settings if key.endswith("*") and device.startswith(key[:-1])]
        key = device if device in self._settings else max(patterns, key=len, default=None)
        if key is None or len(self._readers) >= 1000:
            return None
        reader = RfidReader(device, self._settings[key])
        self._readers[device] = reader
        return reader


def _parse(reader: RfidReader, device: str, body: bytes) -> ParsedBody:
    del device
    return reader.parse(body)


@dataclass(frozen=True)
class Wanted:
    """One link that should run, and what it was made from: two that are equal need no restart."""

    device: str
    driver: str
    made_from: tuple[object, ...]
    link: Link = field(compare=False)


def links(settings: Settings, world: World, recall: Recall, readers: Readers) -> Iterator[Wanted]:
    """Yield a link for every driver that the settings ask to run."""
    offered: dict[str, Any] = {
        "recall": recall,
        "monotonic": world.monotonic,
        "elapsed": world.elapsed,
        "moment": world.moment,
        "sleep": world.sleep,
        "rng": world.rng,
        "site": settings.site.id,
        "gateway": settings.site.gateway,
        "client_id": _client_id(settings, world),
        "readers": readers.topics(),
    }
    for device in settings.devices:
        if device.enabled and load_driver(device.driver).factory is not None:
            yield _wanted(device.id, device.driver, device.link, settings, offered=offered, key=_device_key(device))
    topics = tuple(
        (device.id, device.link)
        for device in settings.devices
        if device.enabled and isinstance(device.link, RfidReaderSettings) and device.link.topic is not None
    )
    for name, driver, shared in (
        (LISTENER, "mqtt-listener", settings.mqtt.listener),
        (BROKER, "mqtt-subscriber", settings.mqtt.broker),
    ):
        if shared is not None:
            offered["stats"] = SubscriberStats()
            yield _wanted(name, driver, shared, settings, offered=offered, key=(shared, topics))


def _client_id(settings: Settings, world: World) -> str:
    """Stable over restarts, different on every machine: two clients of one name throw each other out for ever."""
    text = f"{world.machine}\0{settings.storage.path}"
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"dockline-{settings.site.id}-{settings.site.gateway}-{mark}"


def _device_key(device: DeviceSettings) -> tuple[object, ...]:
    # The station and the profile's name matter to intake, not to the wire: moving a scanner reopens nothing.
    return (device.driver, device.link, device.silent_after_s)


def _wanted(
    name: str, driver: str, own: BaseModel, settings: Settings, *, offered: Mapping[str, Any], key: tuple[object, ...]
) -> Wanted:
    factory = load_driver(driver).factory
    assert factory is not None, f"{driver} has nothing to run"
    asked = inspect.signature(factory).parameters
    given = {name: value for name, value in offered.items() if name in asked}
    silent_after_s = next((device.silent_after_s for device in settings.devices if device.id == name), None)
    hysteresis = Hysteresis(settings.limits.link_down_after_s, settings.limits.link_up_after_s, silent_after_s)
    build = cast("Callable[[], Driver]", partial(factory, name, own, **given))
    return Wanted(name, driver, (*key, hysteresis), Link(name, driver, build, hysteresis))
