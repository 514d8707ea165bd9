"""Listening to one device, as a technician would with a terminal program: opened, heard, closed, nothing answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.contract import DriverError, Probes
from drivers.serial_link import SerialPort, open_link, parse_link_url
from gateway.cli.errors import EXIT_USAGE, Failure
from gateway.cli.problems import load_or_fail
from gateway.cli.run import real_world
from gateway.doctor.devices import holders_of, serial_port_of
from gateway.settings import Settings
from gateway.settings.problem import did_you_mean
from gateway.setup.trial import try_device

BYTE_SCHEMES = ("serial", "socket", "tcp")
"""What can be listened to without asking anything."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to listen to."""

    url: str
    device: str | None = None
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Bytes that came together."""

    at_s: float
    """Since the link was opened."""
    data: bytes


def wanted_of(target: str, config: Path) -> Wanted:
    """Return what a device id or a URL means. Raises Failure."""
    if "://" in target:
        scheme = target.partition("://")[0]
        if scheme not in BYTE_SCHEMES:
            hint = f"one of {', '.join(BYTE_SCHEMES)}; a PLC or a broker is probed by the id of its device"
            raise Failure(f'"{scheme}://" cannot be listened to.', hint=hint, code=EXIT_USAGE)
        try:
            parse_link_url(target)
        except ValueError as error:
            raise Failure(str(error), code=EXIT_USAGE) from None
        return Wanted(target)
    settings = load_or_fail(config, must_run=False)
    device = next((one for one in settings.devices if one.id == target), None)
    if device is None:
        known = [one.id for one in settings.devices]
        raise Failure(
            f'There is no device "{target}".',
            hint=did_you_mean(target, known) or "dockline devices list",
            code=EXIT_USAGE,
        )
    url = getattr(device.link, "url", None)
    if url is None:
        hint = f"wait for it: dockline devices watch {target}"
        raise Failure(f"{target} comes to the gateway; there is nothing to open.", hint=hint, code=EXIT_USAGE)
    return Wanted(str(url), target, settings)


def holders(wanted: Wanted) -> list[str]:
    """Return who has the serial port open, as "name (pid 123)"; nobody for another kind of link."""
    port = serial_port_of(wanted.url)
    return holders_of(port) if port is not None else []


async def listen(wanted: Wanted, seconds: float, on_bytes: Callable[[Heard], None]) -> dict[str, Any]:
    """Open it, hand on what comes within `seconds`, close it; return `works`, `text` and `hint`."""
    if wanted.url.partition("://")[0] not in BYTE_SCHEMES:
        return await _probe(wanted)
    loop = asyncio.get_running_loop()
    try:
        link = await open_link(wanted.url)
    except DriverError as error:
        return {"works": False, "text": str(error), "hint": error.hint}
    began, total = loop.time(), 0
    try:
        while (left := began + seconds - loop.time()) > 0:
            data = await link.read(left)
            if data:
                total += len(data)
                on_bytes(Heard(round(loop.time() - began, 3), data))
    except DriverError as error:
        return {"works": False, "text": str(error), "hint": error.hint}
    finally:
        await link.aclose()
    if total:
        return {"works": True, "text": f"{total} bytes came", "hint": None}
    rate = parse_link_url(wanted.url)
    at = f" at {rate.baudrate} baud" if isinstance(rate, SerialPort) else ""
    hint = "scan something while it listens; else: is the device on, the cable right, the baud rate the device's?"
    return {"works": True, "text": f"it opens{at}; nothing came in {seconds:g} s", "hint": hint}


async def _probe(wanted: Wanted) -> dict[str, Any]:
    assert wanted.settings is not None
    assert wanted.device is not None
    tried = await try_device(wanted.settings, wanted.device, real_world())
    if tried is None:
        return {"works": False, "text": f"{wanted.device} cannot be probed", "hint": None}
    return {"works": tried.works, "text": tried.text, "hint": tried.hint}


__all__ = ["BYTE_SCHEMES", "Heard", "Probes", "Wanted", "holders", "listen", "wanted_of"]
