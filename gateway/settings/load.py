"""From a file to frozen settings: every problem at once, each with its line, or none and a value to trust.

Theory of operation. The document is read with its positions; each table is validated by the model that owns it (ours,
a driver's, an upstream's), whose complaints are translated into a technician's words; rules that need more than one
table run last, over what could be read. A driver's package is imported only when a device names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from drivers.registry import UnknownDriver, driver_names, load_driver
from gateway.settings.document import Document, Table, read_document
from gateway.settings.model import (
    SECTIONS,
    DeviceCommon,
    DeviceSettings,
    MqttSettings,
    Settings,
    StationSettings,
)
from gateway.settings.problem import Problem, SettingsError, did_you_mean, one_of
from gateway.settings.profiles import find_profile, profile_folders, profile_names
from gateway.settings.rules import check_rules
from gateway.settings.section import Section
from sync.settings import EpcisCaptureSettings, HttpEventsSettings, UpstreamSettings

SHARED_LINKS = {"listener": "mqtt-listener", "broker": "mqtt-subscriber"}
"""`[mqtt.<key>]` and the driver behind it; these serve many devices and are not named by a `[[device]]`."""
UPSTREAM_KINDS: dict[str, type[UpstreamSettings]] = {
    "http-events": HttpEventsSettings,
    "epcis-capture": EpcisCaptureSettings,
}
DEFAULT_UPSTREAM_KIND = "http-events"
TABLES = (*SECTIONS, "upstream", "station", "device", "mqtt")
ABOUT_A_PROFILE = ("driver", "product", "notes", "device")
"""Keys of a profile file that are not keys of the device; those may also stand in a table `[device]` of their own."""
REQUIRED_SECTIONS = ("site", "storage")


def load_settings(path: Path, *, environ: Mapping[str, str] | None = None, must_run: bool = True) -> Settings:
    """Return the settings of a file; raise SettingsError with every problem in it.

    `must_run` also requires the systemd credentials it names, which a shell that only checks does not have.
    """
    environ = os.environ if environ is None else environ
    document = read_document(path)
    if isinstance(document, Problem):
        raise SettingsError([document])
    settings = _Loader(path, document).load()
    notices = check_rules(document, settings, environ=environ, must_run=must_run)
    if document.problems:
        raise SettingsError(document.problems)
    return settings.finish(notices)


class Draft:
    """Settings as far as they could be read: rules run over what is there, so that one run names every problem."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.sections: dict[str, Section] = {}
        self.links: dict[str, BaseModel] = {}
        self.upstreams: list[tuple[int, UpstreamSettings]] = []
        self.stations: list[tuple[int, StationSettings]] = []
        self.devices: list[tuple[int, DeviceSettings]] = []

    def finish(self, notices: tuple[str, ...]) -> Settings:
        """Return the settings; only for a document without problems."""
        sections: dict[str, Any] = dict(self.sections)
        return Settings(
            file=self.file,
            mqtt=MqttSettings(**self.links),
            upstreams=tuple(upstream for _, upstream in self.upstreams),
            stations=tuple(station for _, station in self.stations),
            devices=tuple(device for _, device in self.devices),
            notices=notices,
            **sections,
        )


class _Loader:
    def __init__(self, path: Path, document: Document) -> None:
        self._document = document
        self._draft = Draft(path)
        self._folders = profile_folders(path)

    def load(self) -> Draft:
        data = self._document.data
        for key in data:
            if key not in TABLES:
                kind = "table" if isinstance(data[key], dict | list) else "key"
                known = f"known tables: {', '.join(TABLES)}"
                self._document.complain((key,), f"is an unknown {kind}", did_you_mean(key, TABLES) or known)
        for name, model in SECTIONS.items():
            self._load_section(name, model)
        self._load_mqtt()
        self._each("upstream", self._load_upstream)
        self._each("station", self._load_station)
        self._each("device", self._load_device)
        return self._draft

    def _load_section(self, name: str, model: type[Section]) -> None:
        if name not in self._document.data and name in REQUIRED_SECTIONS:
            self._document.complain((), f"the table [{name}] is missing", _smallest(name))
            return
        section = self._document.validate(model, self._document.data.get(name, {}), (name,))
        if section is not None:
            self._draft.sections[name] = section

    def _load_mqtt(self) -> None:
        table = self._document.data.get("mqtt", {})
        if not isinstance(table, dict):
            self._document.complain(("mqtt",), "must be a table", "write [mqtt.listener] or [mqtt.broker]")
            return
        for key, value in table.items():
            if key not in SHARED_LINKS:
                self._document.complain(("mqtt", key), "is an unknown key", did_you_mean(key, SHARED_LINKS))
                continue
            model = self._model_of(SHARED_LINKS[key], ("mqtt", key))
            link = self._document.validate(model, value, ("mqtt", key)) if model else None
            if link is not None:
                self._draft.links[key] = link

    def _each(self, name: str, load: Callable[[int, Table], None]) -> None:
        tables = self._document.data.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._document.complain((name,), "stands for one of several", f"write [[{name}]] with two brackets")
            return
        for index, table in enumerate(tables):
            load(index, table)

    def _load_station(self, index: int, table: Table) -> None:
        station = self._document.validate(StationSettings, table, ("station", index))
        if station is not None:
            self._draft.stations.append((index, station))

    def _load_upstream(self, index: int, table: Table) -> None:
        base = ("upstream", index)
        kind = table.get("kind", DEFAULT_UPSTREAM_KIND)
        if not isinstance(kind, str) or kind not in UPSTREAM_KINDS:
            what = f"must be {one_of(UPSTREAM_KINDS)}, not {kind!r}".replace("'", '"')
            self._document.complain((*base, "kind"), what, did_you_mean(str(kind), UPSTREAM_KINDS))
            return
        upstream = self._document.validate(UPSTREAM_KINDS[kind], table, base)
        if upstream is not None:
            self._draft.upstreams.append((index, upstream))

    def _load_device(self, index: int, table: Table) -> None:
        base = ("device", index)
        own = {key: table[key] for key in table if key in DeviceCommon.model_fields}
        common = self._document.validate(DeviceCommon, own, base)
        driver = table.get("driver")
        known = [name for name in driver_names() if name not in SHARED_LINKS.values()]
        if driver not in known:
            if isinstance(driver, str):
                suggestion = _shared_link_hint(driver) or did_you_mean(driver, known)
                self._document.complain((*base, "driver"), f'must be {one_of(known)}, not "{driver}"', suggestion)
            return
        rest = {key: value for key, value in table.items() if key not in own}
        link = self._load_link(driver, table.get("profile"), rest, base)
        if common is not None and link is not None:
            self._draft.devices.append((index, DeviceSettings(**common.model_dump(), link=link)))

    def _load_link(self, driver: str, profile: object, own: Table, base: tuple[str, int]) -> BaseModel | None:
        """Validate a driver's own keys over those of the profile."""
        model = self._model_of(driver, (*base, "driver"))
        preset: Table = {}
        if isinstance(profile, str):
            found = find_profile(profile, self._folders)
            if found is None:
                names = profile_names(self._folders)
                suggestion = did_you_mean(profile, names) or f"known profiles: {', '.join(names)}"
                self._document.complain((*base, "profile"), f'profile "{profile}" is not found', suggestion)
                return None
            preset = self._read_preset(found, driver, base)
        return self._document.validate(model, {**preset, **own}, base) if model else None

    def _model_of(self, driver: str, path: tuple[str | int, ...]) -> type[BaseModel] | None:
        try:
            return load_driver(driver).settings_model
        except UnknownDriver as error:
            self._document.complain(path, str(error), error.hint)
            return None

    def _read_preset(self, path: Path, driver: str, base: tuple[str, int]) -> Table:
        profile = read_document(path)
        if isinstance(profile, Problem):
            self._document.problems.append(profile)
            return {}
        meant_for = profile.data.get("driver", driver)
        if meant_for != driver:
            self._document.complain((*base, "profile"), f'profile "{path.stem}" is for driver "{meant_for}"')
            return {}
        top = {key: value for key, value in profile.data.items() if key not in ABOUT_A_PROFILE}
        return {**top, **profile.data.get("device", {})}


def _smallest(name: str) -> str:
    return {
        "site": '[site] needs id = "dc07" and gateway = "dock-pc-1"',
        "storage": '[storage] needs path = "/var/lib/dockline"',
    }[name]


def _shared_link_hint(driver: str) -> str | None:
    for key, name in SHARED_LINKS.items():
        if driver == name:
            return f'that link is configured once, in [mqtt.{key}]; devices that use it have driver "handheld"'
    return None
