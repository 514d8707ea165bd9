"""The settings, as frozen values.

One model a TOML table; `config/gateway.toml` documents every key and a test compares the two both ways. What a driver,
a listener or an upstream needs is described by its own package: the models here hold the common keys and carry the
others along (`DeviceSettings.link`, `Settings.upstreams`).

TOML has types, so nothing is converted: `"14"` is not a number. Paths are the exception, TOML has none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from gateway.settings.checks import ChecksSettings, ExpectationsSettings
from gateway.settings.section import FilePath, Section, Texts
from sync.settings import UpstreamSettings

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
_ID = re.compile(ID_PATTERN)
_DEVICE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}|[a-z0-9][a-z0-9-]{0,61}\*")

ACTIVITIES = ("receipt", "putaway", "pick", "count", "shipment", "return", "transfer")
Activity = Literal["receipt", "putaway", "pick", "count", "shipment", "return", "transfer"]
Unauthenticated = Literal["refuse", "accept-in-lab"]


@dataclass(frozen=True, slots=True)
class Bind:
    """A TCP address to listen on. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when no other machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Read `host:port` or `[ipv6]:port`; raise ValueError with words for a technician."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit():
            raise ValueError(f'"{text}" has no port; write host:port, for example "127.0.0.1:8470"')
        if int(port) > 65535:
            raise ValueError(f"port {port} does not exist; ports go up to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f'an IPv6 address stands in brackets: "[{host}]:{port}"')
        if not host:
            raise ValueError('name the address to listen on; "0.0.0.0" means every interface')
        return cls(host, int(port))


def _bind(value: object) -> Bind:
    if not isinstance(value, str):
        raise ValueError('must be text such as "127.0.0.1:8470"')  # noqa: TRY004
    return Bind.parse(value)


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(_id_complaint(value, ID_PATTERN))
    return value


def _device_id(value: str) -> str:
    if not _DEVICE_ID.fullmatch(value):
        raise ValueError(_id_complaint(value, ID_PATTERN + ', or a pattern that ends in one "*"'))
    return value


def _id_complaint(value: str, shape: str) -> str:
    kept = re.sub(r"[^a-z0-9*-]+", "-", value.lower()).strip("-")[:63]
    better = f'; did you mean "{kept}"?' if kept and kept != value and _DEVICE_ID.fullmatch(kept) else ""
    return f'"{value}" is not an id ({shape}){better}'


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f'"{value}" is not a regular expression: {error}') from error
    return value


def _prefix(value: str) -> str:
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f'"{value}" cannot be printed as a bar code; use letters, digits and marks such as ":"')
    return value


def _read_point(value: str) -> str:
    if not value.startswith(("urn:", "https://", "http://")):
        raise ValueError(f'"{value}" is not a URI, such as "urn:epc:id:sgln:9521321.00003.0"')
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Id = Annotated[str, AfterValidator(_id)]
DeviceId = Annotated[str, AfterValidator(_device_id)]
BindText = Annotated[
    Bind,
    PlainValidator(_bind),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8470"]}),
]
Pattern = Annotated[str, AfterValidator(_pattern)]
Uri = Annotated[str, AfterValidator(_read_point)]


class SiteSettings(Section):
    id: Id
    """Id of the site; first part of every event's source."""
    gateway: Id
    """Id of this gateway within the site."""
    business_location: Uri | None = None
    """EPCIS business location of events of stations that state none."""


class StorageSettings(Section):
    path: FilePath
    """Folder of the outbox and its lock; it belongs to one daemon."""
    retention_days: Annotated[float, Field(ge=0)] = 14
    """How long a delivered event is kept for queries, in days of operating time."""
    redelivery_days: Annotated[float, Field(ge=1)] = 30
    """How long a numbered message is recognised when a device sends it again, in days of operating time."""
    bytes_max: Annotated[int, Field(ge=1024 * 1024)] = 4 * 1024**3
    """Cap on the size of the outbox, in bytes; at the cap new scans are refused, nothing is dropped."""
    reserve_bytes: Annotated[int, Field(ge=0)] = 256 * 1024**2
    """Free disk space, in bytes, below which new scans are refused, so that what was accepted can still drain."""
    spare_bytes: Annotated[int, Field(ge=0)] = 32 * 1024**2
    """Room, in bytes, set aside in a file beside the outbox, for a start and a salvage on a disk others filled; more
    for a large outbox, up to reserve_bytes. It is made while there is plenty of room. 0 sets nothing aside."""
    commit_linger_s: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Shortest time between the starts of two small commits, in seconds. A lone scan is committed at once; scans that
    follow each other closely share a commit. More saves processor time and flushes, and delays acknowledgements."""


class LimitsSettings(Section):
    stop_deadline_s: Annotated[float, Field(gt=0, le=60)] = 20.0
    """How long a stop may take to finish commits in flight and answer devices, in seconds."""
    link_down_after_s: Annotated[float, Field(ge=0)] = 10.0
    """How long a link must be away before a device event says "down", in seconds."""
    link_up_after_s: Annotated[float, Field(ge=0)] = 5.0
    """How long a link must hold before a device event says "up", in seconds."""
    reopen_s_max: Annotated[float, Field(gt=0)] = 3.0
    """Longest pause before a lost link is opened again, in seconds; opening a port or a LAN socket costs little."""
    fault_retry_s_max: Annotated[float, Field(gt=0)] = 300.0
    """Longest pause after a device fault, which a person has to look at, in seconds."""
    knocking_max: Annotated[int, Field(ge=0)] = 100
    """How many unknown devices are remembered for the status page."""


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is written."""
    format: Literal["text", "json"] = "text"
    """text: one line `event_name key=value`; json: one object a line."""
    events_per_minute_max: Annotated[int, Field(ge=1)] = 120
    """Lines of one event name a minute; the rest is counted and named in the next line of that name."""


class LabelPatternSettings(Section):
    kind: Literal["document", "location", "operator", "quantity", "item"]
    """What a label that matches is."""
    expression: Pattern
    """Regular expression for the whole text; named groups pick parts (id, type, line, value, sku, lot, serial ...)."""
    document_type: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """What documents of this pattern are, such as "asn"."""


class LabelsSettings(Section):
    command_prefix: Annotated[str, Field(min_length=2, max_length=32), AfterValidator(_prefix)] | None = None
    """What a command label begins with; absent: a label is never a command."""
    printed: Texts = ()
    """Texts of the site's own document, location, badge and quantity labels that `dockline labels` prints as well."""
    patterns: Annotated[tuple[LabelPatternSettings, ...], BeforeValidator(_tuple)] = ()
    """Labels the site made up itself."""


class StationSettings(Section):
    id: Id
    """Id of the station, the subject of its events."""
    activity: Activity | None = None
    """What a scan here means; absent: an observation."""
    read_point: Uri | None = None
    """EPCIS read point."""
    business_location: Uri | None = None
    """EPCIS business location; absent: the one of the site."""
    location: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Storage location a scan is made at, when no location label says otherwise."""
    session_idle_s: Annotated[float, Field(gt=0)] = 900.0
    """After this long without a scan the document, location and operator of the station are forgotten, in seconds."""


GroupName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
"""A Unix group, as groupadd(8) takes them."""


class ApiSettings(Section):
    bind: BindText = Bind("127.0.0.1", 8470)
    """Address of the local API; port 0 means any free port, which `addresses.json` in the storage folder names."""
    unauthenticated: Unauthenticated = "refuse"
    """What a request without a token may do: "accept-in-lab" lets it scan and act, on loopback only."""
    tokens_file: FilePath | None = None
    """File of hashed tokens with their roles; `dockline token` writes entries."""
    operators_group: GroupName | None = None
    """Unix group whose members act as operators over the local socket; without it only root and the service do."""
    technicians_group: GroupName | None = None
    """Unix group whose members act as technicians over the local socket."""
    admins_group: GroupName | None = None
    """Unix group whose members may do everything over the local socket."""
    certificate: FilePath | None = None
    """TLS certificate chain (PEM); needed off loopback."""
    key: FilePath | None = None
    """Private key of the certificate (PEM), readable by the service only."""
    allowed_hosts: Texts = ()
    """Further names and addresses the API may be called by, beyond loopback and the bind address."""
    body_bytes_max: Annotated[int, Field(ge=1024, le=64 * 1024**2)] = 1024 * 1024
    """Largest request body, in bytes."""
    connections_max: Annotated[int, Field(ge=1)] = 256
    """Connections served at once; a further one is refused."""


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One `[[device]]`: the common keys, and its driver's own."""

    id: str
    station: str
    driver: str
    profile: str | None
    enabled: bool
    silent_after_s: float | None
    link: BaseModel
    """The settings model of the driver."""
    session: Literal["station", "own"] | None = None

    @property
    def is_pattern(self) -> bool:
        """True when the id names many devices."""
        return self.id.endswith("*")


class DeviceCommon(Section):
    """The keys that every `[[device]]` has, whatever its driver."""

    id: DeviceId
    """Id of the device; a handheld or reader may be named by pattern ("hh-*")."""
    station: Id
    """Station the device belongs to."""
    driver: str
    """What speaks to it."""
    profile: str | None = None
    """Product file that presets the keys below."""
    enabled: bool = True
    """false: configured, but not opened and refused."""
    silent_after_s: Annotated[float, Field(gt=0)] | None = None
    """After this long without a reading the device is reported silent, in seconds; absent: silence is normal."""
    session: Literal["station", "own"] | None = None
    """Whose document, place, person and quantity count: what was scanned with any device of the "station", or with this
    device alone ("own"). Absent: own for a handheld, station for the others."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The shared links, when they are configured."""

    listener: BaseModel | None = None
    broker: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One configuration file, checked."""

    file: Path
    site: SiteSettings
    storage: StorageSettings
    limits: LimitsSettings
    log: LogSettings
    labels: LabelsSettings
    api: ApiSettings
    checks: ChecksSettings
    expectations: ExpectationsSettings
    mqtt: MqttSettings
    upstreams: tuple[UpstreamSettings, ...]
    stations: tuple[StationSettings, ...]
    devices: tuple[DeviceSettings, ...]
    notices: tuple[str, ...] = ()
    """What is allowed but should be known: for `dockline check` and the log."""


SECTIONS: dict[str, type[Section]] = {
    "site": SiteSettings,
    "storage": StorageSettings,
    "limits": LimitsSettings,
    "log": LogSettings,
    "labels": LabelsSettings,
    "api": ApiSettings,
    "checks": ChecksSettings,
    "expectations": ExpectationsSettings,
}


def described(model: type[BaseModel]) -> Sequence[tuple[str, str, Any]]:
    """Return (key, description, default) of each key of a settings model."""
    return [(name, field.description or "", field.default) for name, field in model.model_fields.items()]
