"""Devices: is the port there, who holds it, when was the last byte, and who knocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.cli.show import KNOCKING_SHOWN, age, counted
from gateway.doctor.check import Check, Patient
from gateway.settings import DeviceSettings

SERIAL_SCHEMES = ("serial", "modbus-rtu")
SCANNERS = ("serial-scanner", "tcp-scanner")
"""Every byte of theirs belongs to a reading; a PLC answers all the time and says nothing new."""
GIBBERISH_S = 60.0
"""A scan is over within seconds of its first byte; bytes that were no reading a minute later are none."""
WELL = ("up", "heard", "opening")


def check_configuration(patient: Patient) -> Iterator[Check]:
    """Can the file be used, and does the daemon use it?"""
    if patient.settings is None:
        more = f" (and {len(patient.problems) - 1} more)" if len(patient.problems) > 1 else ""
        yield Check(
            "configuration",
            "file",
            "failed",
            f"{patient.problems[0]}{more}",
            f"dockline check --config {patient.config}",
        )
        return
    settings = patient.settings
    parts = ((settings.devices, "device"), (settings.stations, "station"), (settings.upstreams, "upstream"))
    counts = ", ".join(counted(len(found), thing) for found, thing in parts)
    text = f"{patient.config}: {counts}"
    alarms = patient.status["alarms"] if patient.status else []
    refused = next((one for one in alarms if one["code"] == "configuration_refused"), None)
    if refused is not None:
        yield Check("configuration", "file", "failed", refused["message"], "systemctl reload dockline")
    else:
        yield Check("configuration", "file", "ok", text)
    for notice in settings.notices:
        yield Check("configuration", "notice", "notice", notice)


def check_devices(patient: Patient) -> Iterator[Check]:
    """Every configured device, and why it is or is not heard."""
    if patient.settings is None:
        return
    told = {one["id"]: one for one in patient.status["devices"]} if patient.status else {}
    links = {one["device"]: one for one in patient.status["links"]} if patient.status else {}
    for device in patient.settings.devices:
        if device.enabled and device.is_pattern and told:
            yield _pattern(device, list(told.values()))
        elif device.enabled:
            yield _device(device, told.get(device.id), links.get(device.id))
    yield from _strangers(patient.status["knocking"] if patient.status else [])


def _pattern(device: DeviceSettings, told: Sequence[dict[str, Any]]) -> Check:
    ages = [
        one["last_reading_age_s"]
        for one in told
        if one["id"].startswith(device.id[:-1]) and one["last_reading_age_s"] is not None
    ]
    if not ages:
        return Check("device", device.id, "notice", "admits devices by their name; none was heard since the start")
    return Check("device", device.id, "ok", f"admits; {len(ages)} heard, the last {age(min(ages))} ago")


def _strangers(knocking: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """The latest by name, the others by number: a scan of names must not hide what else is wrong."""
    action = "dockline status shows the lines that admit it"
    for knock in knocking[:KNOCKING_SHOWN]:
        evidence = f"{counted(knock['readings'], 'reading')} refused: it is not in the configuration"
        yield Check("device", knock["device"], "warning", evidence, action)
    more = len(knocking) - KNOCKING_SHOWN
    if more > 0:
        evidence = f"{counted(more, 'more device')} that {'is' if more == 1 else 'are'} not in the configuration"
        yield Check("device", "others", "warning", evidence, "dockline status --json names them")


def _device(device: DeviceSettings, told: dict[str, Any] | None, link: dict[str, Any] | None) -> Check:
    port = serial_port(device)
    if port is not None and not port.exists():
        present = ", ".join(sorted(path.name for path in Path("/dev/serial/by-id").glob("*"))) or "nothing"
        evidence = f"{port} is not there; plugged in by id: {present}"
        return Check("device", device.id, "failed", evidence, "plug it in, or set the url to one that is there")
    holders = holders_of(port) if port is not None else []
    strangers = [name for name in holders if not is_gateway(name)]
    if strangers:
        evidence = f"{port} is held by {', '.join(strangers)}"
        return Check("device", device.id, "failed", evidence, "stop that program: two readers steal each other's bytes")
    held = f", port held by {', '.join(holders)}" if holders else ""
    if link is not None and link["state"] not in WELL:
        evidence = f"the link is {link['state']}: {link['last_error'] or 'no reason given'}{held}"
        return Check("device", device.id, "failed", evidence, link["hint"] or "look at its power and cable")
    if told is None:
        evidence = f"not asked: no daemon answers{held}"
        return Check("device", device.id, "unknown", evidence)
    heard = _heard(link)
    if link is not None and device.driver in SCANNERS and _is_gibberish(told, link):
        evidence = f"{told['state']}{heard}, and nothing of it was understood{held}"
        action = (
            f"compare baud rate, parity, start and terminator with the device's: dockline devices watch {device.id}"
        )
        return Check("device", device.id, "warning", evidence, action)
    if told["last_reading_age_s"] is None:
        evidence = f"{told['state']}, nothing was read since the start{heard}{held}"
        return Check("device", device.id, "notice", evidence, "scan something with it")
    return Check(
        "device", device.id, "ok", f"{told['state']}, last reading {age(told['last_reading_age_s'])} ago{heard}{held}"
    )


def _heard(link: dict[str, Any] | None) -> str:
    """Return when the last byte came, as the end of a sentence; empty where the link cannot tell."""
    seconds = link["last_byte_age_s"] if link is not None else None
    return f", last byte {age(seconds)} ago" if seconds is not None else ""


def _is_gibberish(told: dict[str, Any], link: dict[str, Any]) -> bool:
    """Bytes come, and for long no reading has come of them."""
    heard, read = link["last_byte_age_s"], told["last_reading_age_s"]
    return heard is not None and (read is None or read - heard > GIBBERISH_S)


def serial_port(device: DeviceSettings) -> Path | None:
    """Return the port of a device on a serial line; None for another one."""
    return serial_port_of(str(getattr(device.link, "url", "")))


def serial_port_of(url: str) -> Path | None:
    """Return the port that a URL names; None for one that is no serial line."""
    scheme, _, rest = url.partition("://")
    return Path(rest.partition("?")[0]) if scheme in SERIAL_SCHEMES else None


def holders_of(port: Path) -> list[str]:
    """Return who else has a port open, as far as we may look: "name (pid 123)"."""
    try:
        wanted, found = port.stat(), []
    except OSError:
        return []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_holder = any(_is(fd, port.resolve(), wanted) for fd in (process / "fd").iterdir())
            command = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if is_holder and process.name != str(os.getpid()):
            found.append(f"{'dockline' if _is_ours(command) else command[0]} (pid {process.name})")
    return found


def is_gateway(holder: str) -> bool:
    """Return whether `holders_of` means a gateway by this."""
    return holder.startswith("dockline (pid ")


def _is_ours(command: Sequence[str]) -> bool:
    """Whether these words start the gateway; a folder of its name among them does not."""
    return "dockline" in [Path(word).name for word in command[:2]] or ("-m", "gateway") in pairwise(command)


def _is(descriptor: Path, port: Path, wanted: os.stat_result) -> bool:
    """The name is looked at first, because asking an open file what it is may hang; in a container of its own a
    process has another terminal under the same name.
    """
    try:
        return descriptor.readlink() == port and os.path.samestat(descriptor.stat(), wanted)
    except OSError:  # closed since it was listed
        return False
