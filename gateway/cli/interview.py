"""The questions of `dockline init`: each answer is checked by the loader and tried out; a wrong one is asked again."""

from __future__ import annotations

import asyncio
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.answers import Answers, ask, ask_number, bad, good, heading
from gateway.cli.ways_in import WaysIn

if TYPE_CHECKING:
    from gateway.setup.draft import Draft, Table
    from gateway.wiring import World

HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\s]+)(?::(\d{1,5}))?")


@dataclass(slots=True)
class Interview:
    """One guided set-up; what was answered is in `draft`."""

    draft: Draft
    config: Path
    world: World
    serial_folder: Path
    """Where serial ports have the names that stay."""
    _scanners: int = field(default=0, init=False)
    _answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self._answers = Answers(self.draft, self.config, self.world)

    def hold(self) -> None:
        """Ask everything. Raises typer.Abort when the person leaves."""
        draft = self.draft
        print("Every answer is tried out at once, and nothing is written before the end. Ctrl-C leaves all as it is.\n")
        given, named = draft.site.get("id"), draft.site.get("gateway") or _id_of(platform.node())
        draft.site = {"id": "site", "gateway": "gateway"}
        self._answers.key(draft.site, "id", "Id of the site (such as dc07)", "site", default=given)
        self._answers.key(draft.site, "gateway", "Id of this gateway there", "site", default=named)
        draft.site = {key: draft.site[key] for key in ("id", "gateway")}
        self._answers.key(draft.storage, "path", "Folder for events", "storage", default=str(draft.storage["path"]))
        self._upstreams()
        self._stations()
        self._devices()
        WaysIn(self._answers).hold()

    # -- where events go

    def _upstreams(self) -> None:
        heading("Where events go")
        while True:
            while not self._upstream():
                continue
            if not typer.confirm("Another one?", default=False):
                return

    def _upstream(self) -> bool:
        from gateway.setup.draft import Secret
        from gateway.setup.trial import try_upstream

        upstreams = self.draft.upstreams
        upstream: Table = {"name": "centre", "url": "http://127.0.0.1/"}
        upstreams.append(upstream)
        place = f"upstream[{len(upstreams)}]"
        self._answers.key(
            upstream, "name", "Name of the centre", place, default="centre" if len(upstreams) == 1 else None
        )
        self._answers.key(upstream, "url", "Address that takes events (https://...)", place, default=None)
        name = upstream["name"]
        for key, question, ending in (
            ("token_file", "Token it gave you (not shown; empty: none)", "token"),
            ("signing_secret_file", "Signing secret, whsec_... (not shown; empty: none)", "whsec"),
        ):
            if text := ask(question, "", hide=True):
                upstream[key] = Secret(f"{name}.{ending}", text + "\n")
        self._answers.key(upstream, "position_url", "Address that says how far it is (empty: none)", place, default="")
        return self._answers.stands(
            upstreams, place, lambda settings: try_upstream(settings, settings.upstreams[-1], self.world)
        )

    # -- stations

    def _stations(self) -> None:
        from gateway.settings.model import ACTIVITIES

        heading("Stations: the places where something is scanned")
        stations = self.draft.stations
        while True:
            station: Table = {"id": "station"}
            stations.append(station)
            place = f"station[{len(stations)}]"
            self._answers.key(station, "id", "Id of the station (such as dock-3)", place, default=None)
            print(f"  {', '.join(ACTIVITIES)}; empty: it was seen, nothing more")
            self._answers.key(station, "activity", "What a scan means there", place, default="")
            if not typer.confirm("Another station?", default=False):
                return

    # -- devices

    def _devices(self) -> None:
        from gateway.setup.plugged import plugged_in

        heading("Devices")
        while True:
            ports = [port for port in plugged_in(self.serial_folder) if not self._is_used(str(port.path))]
            for number, port in enumerate(ports, 1):
                print(f"  {number}  {port.describe()}")
            print("  n  a scanner on the network\n  p  a PLC (Modbus)\n  h  handhelds\n  r  an RFID reader\n  d  done")
            answer = ask("Which one", "d" if self.draft.devices else None).lower()
            if answer == "d":
                return
            if answer.isdecimal() and 1 <= int(answer) <= len(ports):
                port = ports[int(answer) - 1]
                self._scanner(f"serial://{port.path}", port.profile or "scanner-generic-aim")
            elif answer == "n":
                self._network_scanner()
            elif answer == "p":
                self._plc()
            elif answer == "h":
                self._device({"driver": "handheld"}, "hh-*", "Id of one handheld, or of many (hh-*)")
            elif answer == "r":
                self._reader()
            else:
                bad(f'"{answer}" is none of these.')

    def _scanner(self, url: str, profile: str) -> bool:
        rate = ask_number("Baud rate", "9600")
        driver = {"driver": "serial-scanner", "url": f"{url}?baudrate={rate}"}
        return self._device(driver, self._scanner_id(), "Id of the scanner", profile=profile)

    def _network_scanner(self) -> bool:
        from gateway.setup.plugged import SCANNER_PORTS, listening_ports

        found = HOST_PORT.fullmatch(ask("Address of the scanner (host, or host:port)", None))
        if found is None:
            bad("Write it as 10.0.0.8 or 10.0.0.8:2001.")
            return False
        host, port = found[1], found[2]
        if port is None:
            listening = asyncio.run(listening_ports(host.strip("[]")))
            if not listening:
                tried = ", ".join(str(one) for one in SCANNER_PORTS)
                bad(f"{host} listens on none of the ports scanners usually have ({tried}).")
                return False
            good(f"{host} listens on {', '.join(str(one) for one in listening)}")
            port = ask_number("Port", str(listening[0]))
        return self._device({"driver": "tcp-scanner", "url": f"tcp://{host}:{port}"}, self._scanner_id(), "Id of it")

    def _plc(self) -> bool:
        from gateway.setup.words import WordsUnclear, point_of

        address = ask("Address of the PLC (host:port, or a serial port /dev/...)", None)
        unit = ask_number("Unit (slave) number", "1")
        line = ""
        if address.startswith("/"):
            rate = ask_number("Baud rate", "19200")
            line = f"&baudrate={rate}&parity={ask('Parity (E, O or N)', 'E').upper()}"
        scheme = "modbus-rtu" if line else "modbus-tcp"
        points: list[Table] = []
        while True:
            answer = ask(
                "A value to read, NAME:ADDRESS:TYPE:MEANS, as in good_parts:0:uint32:count", "" if points else None
            )
            if not answer and points:
                break
            try:
                points.append(point_of(answer))
            except WordsUnclear as error:
                bad(str(error))
        table = {"driver": "modbus-poller", "url": f"{scheme}://{address}?unit={unit}{line}", "points": points}
        return self._device(table, f"{self.draft.stations[0]['id']}-plc", "Id of the PLC")

    def _reader(self) -> bool:
        base = f"{self.draft.stations[0]['id']}-portal"
        taken = sum(device["driver"] == "rfid-reader" for device in self.draft.devices)
        name = f"{base}-{taken + 1}" if taken else base
        own = {"driver": "rfid-reader", "profile": "zebra-iot-connector"}
        return self._device(own, name, "Id of the reader", profile="zebra-iot-connector")

    def _device(self, own: Table, default: str, question: str, *, profile: str | None = None) -> bool:
        from gateway.setup.trial import try_device

        devices, stations = self.draft.devices, [station["id"] for station in self.draft.stations]
        device: Table = {"id": default, "station": stations[0], **own}
        devices.append(device)
        place = f"device[{len(devices)}]"
        self._answers.key(device, "id", question, place, default=default)
        if len(stations) > 1:
            self._answers.key(device, "station", f"Its station ({', '.join(stations)})", place, default=stations[0])
        if profile is not None:
            print(f"  {', '.join(self._profiles(str(device['driver'])))}")
            self._answers.key(device, "profile", "Its profile", place, default=profile)
        if device["driver"] == "rfid-reader":
            question = "MQTT topic it publishes to (empty: it sends over HTTP)"
            self._answers.key(device, "topic", question, place, default="")
        if not self._answers.stands(devices, place, lambda found: try_device(found, str(device["id"]), self.world)):
            return False
        self._scanners += device["driver"].endswith("scanner")
        return True

    def _profiles(self, driver: str) -> list[str]:
        """Return the names of the profiles for a driver."""
        from gateway.settings.profiles import profile_drivers

        return [name for name, own in profile_drivers(self.config).items() if own in {driver, None}]

    def _is_used(self, port: str) -> bool:
        return any(f"://{port}?" in f"{device.get('url')}?" for device in self.draft.devices)

    def _scanner_id(self) -> str:
        base = f"{self.draft.stations[0]['id']}-scanner"
        return base if not self._scanners else f"{base}-{self._scanners + 1}"


def _id_of(name: str) -> str | None:
    """Return a name of the computer as an id."""
    kept = re.sub(r"[^a-z0-9-]+", "-", name.partition(".")[0].lower()).strip("-")[:63]
    return kept or None
