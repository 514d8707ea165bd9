"""Is the answer true? A port opens, a PLC answers a read, a broker and a centre let us in. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.contract import DriverError, Probes
from gateway.settings import Settings
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
