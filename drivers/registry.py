"""The drivers by name. Importing this module imports no driver: `dockline --help` and a site without PLCs stay light.

Drivers of other distributions register under the entry-point group `dockline.drivers`, name = "module:Class". A name of
ours cannot be taken by them. The settings model of a driver is the type of its `settings`
argument, or what its class calls `Settings`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel

from drivers.contract import Driver

DRIVERS: dict[str, str] = {
    "handheld": "drivers.handheld:Handheld",
    "modbus-poller": "drivers.modbus_poller:ModbusPoller",
    "mqtt-listener": "drivers.mqtt_listener:MqttListener",
    "mqtt-subscriber": "drivers.mqtt_subscriber:MqttSubscriber",
    "rfid-reader": "drivers.rfid_reader:RfidReader",
    "serial-scanner": "drivers.serial_scanner:SerialScanner",
    "tcp-scanner": "drivers.tcp_scanner:TcpScanner",
}
"""handheld and rfid-reader arrive over a shared link (mqtt-*, HTTP) and have settings only."""

ENTRY_POINT_GROUP = "dockline.drivers"


class UnknownDriver(LookupError):
    """No driver has this name, or the one that has it cannot be loaded."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class DriverKind:
    """A driver, loaded and not yet built."""

    name: str
    settings_model: type[BaseModel]
    factory: Callable[..., Driver] | None
    """Called with the device id and its settings, and what else the driver asks for. None: the devices of this kind
    arrive over a shared link and nothing runs for each."""


def driver_names() -> list[str]:
    """Return every name `load_driver` knows, ours and other distributions', sorted."""
    return sorted({*DRIVERS, *(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))})


def load_driver(name: str) -> DriverKind:
    """Import and return the driver. Raises UnknownDriver."""
    place = DRIVERS.get(name)
    if place is None:
        found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name)
        place = next((point.value for point in found), None)
    if place is None:
        names = driver_names()
        near = difflib.get_close_matches(name, names, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}"
        raise UnknownDriver(f'no driver is called "{name}"', hint=hint)
    module_name, _, class_name = place.partition(":")
    try:
        module = importlib.import_module(module_name)
        driver_class = getattr(module, class_name)
        settings_model = _settings_model(driver_class)
    except (ImportError, AttributeError, NameError, TypeError) as error:
        raise UnknownDriver(
            f'driver "{name}" cannot be loaded: {error}', hint="is the installation complete?"
        ) from error
    return DriverKind(name, settings_model, driver_class if hasattr(driver_class, "run") else None)


def _settings_model(driver_class: Any) -> type[BaseModel]:
    """Return the pydantic model of the driver's settings."""
    model = getattr(driver_class, "Settings", None) or get_type_hints(driver_class.__init__).get("settings")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{driver_class.__name__} has no settings model")
    return model
