"""Rules over the whole file: references, duplicates, and what must not face a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel

from drivers.modbus_settings import ModbusPollerSettings
from drivers.mqtt_settings import is_loopback_host
from gateway.credentials import CredentialError, check_secret_file, check_secret_owner, credential_path
from gateway.settings.document import Document
from gateway.settings.model import ApiSettings, Bind, DeviceSettings, StorageSettings
from gateway.settings.problem import did_you_mean, path_text

if TYPE_CHECKING:
    from gateway.settings.load import Draft

PATTERN_DRIVERS = ("handheld", "rfid-reader")
"""Only these may be named by pattern: their identity comes with the message."""
SECRET_FILES = ("token_file", "users_file", "tokens_file", "password_file", "signing_secret_file", "key")
PUBLIC_FILES = ("certificate", "ca_file", "client_ca")

NOTHING_YET = "this gateway is not set up yet: it has neither an upstream nor a station nor a device"
"""A file as an installation leaves it: the service runs, takes nothing in, and says so."""
CLEAR_SCHEMES = {"http": "https", "mqtt": "mqtts"}
"""Schemes without TLS, and those with it."""
SENT_SECRETS = {"token_file": "token", "token_credential": "token", "password_file": "password"}
"""Keys of secrets that are sent as they are."""
EXAMPLE_NAMES = (".example", ".example.com", ".example.net", ".example.org")
"""Names that are nobody's and never will be (RFC 2606)."""

MANUAL_ADDRESSES = {"discrete": 10001, "input": 30001, "holding": 40001}
"""What manuals of PLCs call the first of each table; on the wire it is 0."""

PathParts = tuple[str | int, ...]


class _Faces(Protocol):
    """The keys of whatever listens."""

    bind: object
    unauthenticated: str
    certificate: object


def check_rules(document: Document, draft: Draft, *, environ: Mapping[str, str], must_run: bool) -> tuple[str, ...]:
    """Note the problems no single table can see; return what is allowed but should be known."""
    notices: list[str] = []
    _check_unique(document, "upstream", "name", [(index, item.name) for index, item in draft.upstreams])
    _check_unique(document, "station", "id", [(index, item.id) for index, item in draft.stations])
    _check_unique(document, "device", "id", [(index, item.id) for index, item in draft.devices])
    _check_stations(document, draft)
    for index, device in draft.devices:
        _check_device(document, index, device)
    _check_ports(document, draft)
    if not any(document.data.get(table) for table in ("upstream", "station", "device", "mqtt")):
        notices.append(NOTHING_YET)
    elif not document.data.get("upstream"):
        document.complain((), "no [[upstream]]", "without one nothing is ever delivered")
    if not document.data.get("device") and NOTHING_YET not in notices:
        notices.append("no [[device]] is configured; whatever knocks is listed by `dockline status`")
    for base, section in _listening(draft):
        _check_facing(document, base, section)
    for base, table in _tables(draft):
        notices += _check_files(document, base, table, environ, must_run)
    if not must_run:
        _check_owners(document, draft)
    notices += _example_notices(draft)
    notices += _clear_notices(draft)
    notices += _address_notices(draft)
    notices += _lab_notices(draft)
    _check_file_mode(document, draft.file)
    return tuple(notices)


def _check_unique(document: Document, table: str, key: str, named: Sequence[tuple[int, str]]) -> None:
    first: dict[str, int] = {}
    for index, name in named:
        if name in first:
            line = document.positions.line((table, first[name], key))
            document.complain((table, index, key), f'"{name}" is already used in line {line}', "ids are unique")
        else:
            first[name] = index


def _check_stations(document: Document, draft: Draft) -> None:
    tables = document.data.get("station", [])
    # Stations that are wrong elsewhere still exist: a second complaint about the same mistake helps nobody.
    known = [table["id"] for table in tables if isinstance(table, dict) and isinstance(table.get("id"), str)]
    for index, device in draft.devices:
        if device.station not in known:
            suggestion = did_you_mean(device.station, known) or f'add [[station]] with id = "{device.station}"'
            document.complain(("device", index, "station"), f'there is no station "{device.station}"', suggestion)


def _check_device(document: Document, index: int, device: DeviceSettings) -> None:
    if device.is_pattern and device.driver not in PATTERN_DRIVERS:
        what = f'"{device.id}" names many devices, but a {device.driver} is one link'
        document.complain(("device", index, "id"), what, "give each its own [[device]]")


def _check_ports(document: Document, draft: Draft) -> None:
    """Two drivers on one serial port steal each other's bytes."""
    first: dict[str, int] = {}
    for index, device in draft.devices:
        url = str(getattr(device.link, "url", ""))
        if not device.enabled or not url.startswith("serial:"):
            continue
        port = url.partition("?")[0]
        if port in first:
            line = document.positions.line(("device", first[port], "url"))
            document.complain(("device", index, "url"), f"the port is already used by the device in line {line}")
        else:
            first[port] = index


def _listening(draft: Draft) -> Iterable[tuple[PathParts, BaseModel]]:
    if "api" in draft.sections:
        yield ("api",), draft.sections["api"]
    if "listener" in draft.links:
        yield ("mqtt", "listener"), draft.links["listener"]


def _check_facing(document: Document, base: PathParts, section: BaseModel) -> None:
    bind = getattr(section, "bind", None)
    if isinstance(bind, str):
        try:
            bind = Bind.parse(bind)
        except ValueError as error:
            document.complain((*base, "bind"), str(error))
            return
    certificate, key = getattr(section, "certificate", None), getattr(section, "key", None)
    if (certificate is None) != (key is None):
        present, absent = ("certificate", "key") if key is None else ("key", "certificate")
        document.complain((*base, present), f'needs "{absent}" beside it')
    if not isinstance(bind, Bind) or bind.is_loopback:
        return
    if certificate is None:
        what = f'"{bind}" can be reached from other machines, without TLS'
        document.complain((*base, "bind"), what, 'set certificate and key, or bind to "127.0.0.1"')
    if getattr(section, "unauthenticated", "refuse") == "accept-in-lab":
        what = f'"accept-in-lab" lets anybody who reaches "{bind}" send events'
        document.complain((*base, "unauthenticated"), what, 'it is for loopback only; set "refuse"')


def _tables(draft: Draft) -> Iterable[tuple[PathParts, BaseModel]]:
    for name, section in draft.sections.items():
        yield (name,), section
    for key, link in draft.links.items():
        yield ("mqtt", key), link
    for index, upstream in draft.upstreams:
        yield ("upstream", index), upstream
    for index, device in draft.devices:
        yield ("device", index), device.link


def _check_files(
    document: Document, base: PathParts, table: BaseModel, environ: Mapping[str, str], must_run: bool
) -> list[str]:
    notices: list[str] = []
    for key in type(table).model_fields:
        value = getattr(table, key)
        if value is None:
            continue
        path = (*base, key)
        try:
            if key in SECRET_FILES and isinstance(value, str | Path):
                check_secret_file(Path(value))
            elif key in PUBLIC_FILES and not Path(value).is_file():
                document.complain(path, f'"{value}" does not exist or is not a file')
            elif key.endswith("_credential"):
                if must_run:
                    credential_path(value, environ)
                else:
                    notices.append(f'{path_text(path)}: credential "{value}" is checked when the service starts')
        except CredentialError as error:
            document.complain(path, str(error), error.hint)
    return notices


def _check_owners(document: Document, draft: Draft) -> None:
    """Root can read everything, so what it checks for the service is who owns the secrets."""
    storage = draft.sections.get("storage")
    if not isinstance(storage, StorageSettings):
        return
    for base, table in _tables(draft):
        for key in type(table).model_fields:
            value = getattr(table, key)
            if key not in SECRET_FILES or not isinstance(value, str | Path):
                continue
            try:
                check_secret_owner(Path(value), storage.path)
            except CredentialError as error:
                document.complain((*base, key), str(error), error.hint)


def _example_notices(draft: Draft) -> list[str]:
    return [
        f'upstream "{upstream.name}": {host} is the example of the documentation; put the address of your centre'
        for _, upstream in draft.upstreams
        if (host := urlsplit(upstream.url).hostname or "").endswith(EXAMPLE_NAMES)
    ]


def _clear_notices(draft: Draft) -> list[str]:
    """What leaves this computer readable: inside a site that may be right, and somebody should have meant it."""
    found = []
    for base, table in _tables(draft):
        url = urlsplit(str(getattr(table, "url", "") or ""))
        if url.scheme not in CLEAR_SCHEMES or not url.hostname or is_loopback_host(url.hostname):
            continue
        secret = next((what for key, what in SENT_SECRETS.items() if getattr(table, key, None) is not None), None)
        also = f", {secret} included" if secret else ""
        found.append(
            f"{path_text((*base, 'url'))}: what is said to {url.hostname} goes without TLS{also}: anybody in between "
            f"can read it, and answer in its place; use {CLEAR_SCHEMES[url.scheme]}:// where there is one"
        )
    return found


def _address_notices(draft: Draft) -> list[str]:
    """An address as manuals write it is also a place in the table, a far one: so it is only said."""
    return [
        f"{device.id}: point {point.name} reads {point.table} address {point.address}, which is the "
        f"{point.address + 1:,}th. If that is how the manual calls it, write address = {point.address - first}"
        for _, device in draft.devices
        if isinstance(device.link, ModbusPollerSettings)
        for point in device.link.points
        if (first := MANUAL_ADDRESSES.get(point.table)) is not None and first <= point.address < first + 9999
    ]


def _lab_notices(draft: Draft) -> list[str]:
    return [
        f'{path_text(base)}: "accept-in-lab" takes anybody\'s word for who they are'
        for base, section in _listening(draft)
        if getattr(section, "unauthenticated", "refuse") == "accept-in-lab"
    ] + _token_notices(draft)


def _token_notices(draft: Draft) -> list[str]:
    api = draft.sections.get("api")
    over_http = any(device.driver in PATTERN_DRIVERS for _, device in draft.devices)
    if not over_http or not isinstance(api, ApiSettings) or draft.links:
        return []
    if api.tokens_file is None and api.unauthenticated == "refuse":
        return ["handhelds have no way in: set [mqtt.listener], [mqtt.broker] or [api] tokens_file"]
    return []


def _check_file_mode(document: Document, file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if mode & 0o002:
        document.complain((), "anybody may change this file", f"chmod o-w {file}")
