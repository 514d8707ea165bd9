"""`dockline check`: every problem in the configuration at once, or what it means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.errors import EXIT_CONFIG
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gateway.cli.problems import load_or_fail

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.settings import DeviceSettings, Settings


def check(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Name every problem of the configuration (exit code 78), or explain what it means, defaults included."""
    if as_json:
        _check_json(config)
        return
    explain(load_or_fail(config, must_run=False))


def _check_json(config: Any) -> None:
    from dataclasses import asdict

    from gateway.cli.show import print_json
    from gateway.settings import SettingsError, load_settings

    try:
        settings = load_settings(config, must_run=False)
    except SettingsError as error:
        print_json({"problems": [asdict(problem) for problem in error.problems]})
        raise typer.Exit(EXIT_CONFIG) from None
    effective: dict[str, list[dict[str, Any]]] = {}
    for title, model in _tables(settings):
        table = {key: _json_value(getattr(model, key)) for key in type(model).model_fields}
        effective.setdefault(title, []).append(table)
    print_json({"problems": [], "notices": list(settings.notices), "settings": effective})


def _json_value(value: object) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def explain(settings: Settings) -> None:
    """Print what each part is and where it leads, then every value in force."""
    from gateway.cli.show import print_line, print_table

    print_line(f"{settings.file}: no problems", "green")
    site = settings.site
    print_line(f"Gateway {site.gateway} of site {site.id}; outbox in {settings.storage.path}")
    print_table(
        "Devices",
        ("device", "driver", "where", "station", "a scan is"),
        [_device_row(settings, device) for device in settings.devices],
    )
    print_table(
        "Upstreams",
        ("name", "kind", "where", "keeps events until it has them", "begins with"),
        [
            (one.name, one.kind, one.url, "yes" if one.required else "no, skips at the cap", one.start)
            for one in settings.upstreams
        ],
    )
    print_table("In force", ("table", "key", "value", ""), _values(settings))
    for notice in (*settings.notices, *_absent_ports(settings)):
        print_line(f"note: {notice}", "yellow")


def _absent_ports(settings: Settings) -> Iterator[str]:
    """What is not plugged in now is no mistake in the file; whoever checks it will want to know all the same."""
    from gateway.doctor.devices import serial_port

    for device in settings.devices:
        port = serial_port(device)
        if port is not None and device.enabled and not port.exists():
            present = ", ".join(sorted(path.name for path in Path("/dev/serial/by-id").glob("*"))) or "nothing"
            yield f"{device.id}: {port} is not there now; plugged in by id: {present}"


def _device_row(settings: Settings, device: DeviceSettings) -> tuple[str, ...]:
    station = next(station for station in settings.stations if station.id == device.station)
    meaning: str = station.activity or "an observation"
    if device.driver == "handheld":
        meaning = f"what the handheld says, else {meaning}"
    return (
        device.id,
        device.driver,
        _where(settings, device),
        device.station,
        meaning if device.enabled else "refused",
    )


def _where(settings: Settings, device: DeviceSettings) -> str:
    url = getattr(device.link, "url", None)
    if url is not None:
        return str(url)
    ways = []
    if settings.mqtt.listener is not None:
        ways.append(f"mqtt listener {getattr(settings.mqtt.listener, 'bind', '')}")
    if settings.mqtt.broker is not None:
        ways.append(f"broker {getattr(settings.mqtt.broker, 'url', '')}")
    ways.append(f"http {settings.api.bind}")
    return ", ".join(ways)


def _tables(settings: Settings) -> Iterator[tuple[str, BaseModel]]:
    for name in ("site", "storage"):
        yield name, getattr(settings, name)
    for upstream in settings.upstreams:
        yield "upstream", upstream
    for station in settings.stations:
        yield "station", station
    for device in settings.devices:
        yield f"device {device.id}", device.link
    for key in ("listener", "broker"):
        shared = getattr(settings.mqtt, key)
        if shared is not None:
            yield f"mqtt.{key}", shared
    for name in ("api", "labels", "limits", "log"):
        yield name, getattr(settings, name)


def _values(settings: Settings) -> Iterator[tuple[object, ...]]:
    for title, model in _tables(settings):
        for key in type(model).model_fields:
            value = getattr(model, key)
            yield title, key, _shown(value), "" if key in model.model_fields_set else "default"


def _shown(value: object) -> object:
    """Return a value for people: text with its control characters spelled out, tables by the keys that are set."""
    from pydantic import BaseModel

    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return ascii(value)[1:-1]
    if isinstance(value, tuple):
        return "; ".join(str(_shown(one)) for one in value) or "none"
    if isinstance(value, BaseModel):
        keys = [key for key in type(value).model_fields if key in value.model_fields_set]
        return " ".join(f"{key}={_shown(getattr(value, key))}" for key in keys)
    return value
