"""The site as intake sees it: stations, the devices that belong to them, and the labels the site made up.

A `SiteMap` is a value: a reload builds another one and hands it to `Intake.adopt`. A device is found by its exact id
first, then by the longest pattern ("hh-*") that fits it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.capture.event_cycle import EventCycleSpec
from gateway.capture.label_pattern import LabelPattern

ROUTES_MAX: Final = 10_000
"""Devices whose route is remembered; with more at one gateway the memory is begun afresh."""
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What may stand for the "*" of a pattern comes from outside: it must still make an id."""
MOBILE_DRIVERS: Final = ("handheld",)
"""Devices of these drivers carry their own context, so their session is their own unless the site says otherwise."""
SessionOf = Literal["station", "own"]
"""Whose session a device uses: the one all devices of its station share, or its own."""


@dataclass(frozen=True, slots=True)
class Station:
    """A place with a role."""

    id: str
    activity: str | None = None
    """What a scan here means; None makes it an observation."""
    read_point: str | None = None
    business_location: str | None = None
    location: str | None = None
    """Where a scan is made, when no location label says otherwise."""
    session_idle_s: float = 900.0
    """Seconds without a scan after which the session is empty."""
    event_cycle: EventCycleSpec = field(default_factory=EventCycleSpec)
    """How repeat reads of tags are told apart here; several readers of a station are one logical reader."""


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One configured device, or a pattern for many."""

    id: str
    """Device id, or a prefix and "*"."""
    station: str
    driver: str
    profile: str | None = None
    enabled: bool = True
    session: SessionOf | None = None
    """None: its own when it is carried about, else the station's."""
    group_separator: str | None = None
    """What its messages have in place of GS (0x1D) between element strings, when its driver has not put GS back."""


@dataclass(frozen=True, slots=True)
class Route:
    """One device and its place."""

    device: str
    station: Station
    driver: str
    profile: str | None
    enabled: bool
    session_key: str
    """Whose context the device shares: the station's, or its own."""
    logical_reader: str = ""
    """Whose tag reads count as one: those of the station's readers, or of a device that is carried about."""
    group_separator: str | None = None


@dataclass(frozen=True, slots=True)
class SiteMap:
    """The site. Raises ValueError when a device names a station that does not exist."""

    site: str
    gateway: str
    stations: Sequence[Station]
    devices: Sequence[DeviceEntry]
    label_patterns: Sequence[LabelPattern] = ()
    command_prefix: str | None = None
    """What command labels begin with; None: a label is never a command."""
    _stations: dict[str, Station] = field(init=False, repr=False, compare=False, default_factory=dict)
    _exact: dict[str, DeviceEntry] = field(init=False, repr=False, compare=False, default_factory=dict)
    _prefixes: list[tuple[str, DeviceEntry]] = field(init=False, repr=False, compare=False, default_factory=list)
    _routes: dict[str, Route] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._stations.update({station.id: station for station in self.stations})
        for device in self.devices:
            if device.station not in self._stations:
                raise ValueError(f'device "{device.id}" names the station "{device.station}", which does not exist')
            if device.id.endswith("*"):
                self._prefixes.append((device.id[:-1], device))
            else:
                self._exact[device.id] = device
        self._prefixes.sort(key=lambda one: -len(one[0]))

    def route(self, device: str) -> Route | None:
        """Return where a device belongs, or None when nobody configured it."""
        known = self._routes.get(device)
        return known if known is not None else self._find(device)

    def _find(self, device: str) -> Route | None:
        entry = self._exact.get(device)
        if entry is None and _ID.fullmatch(device):
            entry = next((entry for prefix, entry in self._prefixes if device.startswith(prefix)), None)
        if entry is None:
            return None
        station = self._stations[entry.station]
        own, is_mobile = f"{station.id}/{device}", entry.driver in MOBILE_DRIVERS
        session_of = entry.session or ("own" if is_mobile else "station")
        route = Route(
            device,
            station,
            entry.driver,
            entry.profile,
            entry.enabled,
            own if session_of == "own" else station.id,
            own if is_mobile else station.id,
            entry.group_separator,
        )
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        self._routes[device] = route
        return route
