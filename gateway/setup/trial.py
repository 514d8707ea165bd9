"""Is the answer true? A port opens, a PLC answers a read, a broker and a centre let us in. Nothing is stored."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers import Reading, StorageUnavailable, Verdict
from drivers.contract import DriverError, Probes
from drivers.mqtt_listener import MqttListener
from drivers.mqtt_settings import ListenerSettings, parse_bind
from gateway.settings import Settings, SettingsError, load_settings
from gateway.setup.access import NewUser
from gateway.setup.guest import NotLetIn, knock
from gateway.wiring import BROKER, Readers, World, epcis_capture, links
from sync import EpcisCaptureSettings, UpstreamSettings
from sync.errors import SyncError
from sync.http_events import HttpEvents


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one trial."""

    works: bool
    text: str
    """One line for a person."""
    hint: str | None = None


async def try_device(settings: Settings, device: str, world: World) -> Tried | None:
    """Probe a device, or the broker under `BROKER`; None for one that comes to us, which cannot be tried."""
    for wanted in links(settings, world, lambda _: None, Readers(settings)):
        if wanted.device != device:
            continue
        driver = wanted.link.build()
        if not isinstance(driver, Probes):
            return None
        try:
            return Tried(True, await driver.probe())
        except DriverError as error:
            return Tried(False, str(error), error.hint)
    return None


async def try_broker(settings: Settings, world: World) -> Tried | None:
    """Have the broker of the site let us in; None when there is none."""
    return await try_device(settings, BROKER, world)


async def try_upstream(settings: Settings, wanted: UpstreamSettings, world: World) -> Tried:
    """Have an upstream let us in, without a single event."""
    source = f"//{settings.site.id}/{settings.site.gateway}"
    upstream = (
        epcis_capture(wanted, world, settings.storage.path, credentials=None)
        if isinstance(wanted, EpcisCaptureSettings)
        else HttpEvents(wanted, wall=world.wall)
    )
    try:
        return Tried(True, await upstream.probe(source))
    except SyncError as error:
        return Tried(False, str(error), error.hint)
    finally:
        await upstream.aclose()


async def try_listener(settings: Settings, world: World, users: Sequence[NewUser], config: Path) -> Tried:
    """Open the listener for a moment and have the first of its users connect.

    Where the gateway that runs now listens already, it is tried on another port: it will make room.
    """
    listener = settings.mqtt.listener
    assert isinstance(listener, ListenerSettings)
    try:
        await _open_listener(settings, world, listener, users)
    except DriverError as error:
        if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE or not _is_ours(config, listener):
            return Tried(False, str(error), error.hint)
        try:
            await _open_listener(settings, world, listener.model_copy(update={"bind": "127.0.0.1:0"}), users)
        except (DriverError, NotLetIn) as second:
            return Tried(False, str(second), getattr(second, "hint", None))
    except NotLetIn as error:
        return Tried(False, str(error), "is it the id of a device?")
    return Tried(True, f"listens on {listener.bind}" + (f" and lets {users[0].name} in" if users else ""))


async def _open_listener(
    settings: Settings, world: World, listener: ListenerSettings, users: Sequence[NewUser]
) -> None:
    """Raises DriverError, NotLetIn."""
    driver = MqttListener("mqtt-listener", listener, site=settings.site.id, executor=world.reader)
    running = asyncio.ensure_future(driver.run(_take_nothing))
    opened = asyncio.ensure_future(driver.listening.wait())
    try:
        await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        for user in users[:1]:
            await knock(driver.address, user.name, user.password, is_tls=listener.certificate is not None)
    finally:
        for task in (running, opened):
            task.cancel()
        await asyncio.wait({running, opened})


def _is_ours(config: Path, wanted: ListenerSettings) -> bool:
    """Return whether the file that is there now has the same address."""
    try:
        listener = load_settings(config, must_run=False).mqtt.listener
    except SettingsError:
        return False
    return isinstance(listener, ListenerSettings) and parse_bind(listener.bind)[1] == parse_bind(wanted.bind)[1]


async def _take_nothing(_: Sequence[Reading]) -> list[Verdict]:
    raise StorageUnavailable("this listener is only tried")
