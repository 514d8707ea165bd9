"""Settings of the two MQTT links: `[mqtt.listener]` and `[mqtt.broker]`.

What would let strangers in is not a setting that can be got wrong quietly: a listener reachable from the network
without TLS, or without knowing its devices, is refused here, before anything is opened.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PACKET_BYTES_MAX: Final = 65_536


class ListenerSettings(BaseModel):
    """The built-in listener: devices connect to the gateway itself and PUBACK means on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind: str = Field(description='Address and port, e.g. "127.0.0.1:1884" or "[::1]:1884".')
    users_file: Path | None = Field(
        None, description="Who may connect, in the format of mosquitto_passwd; a user name is a device id."
    )
    unauthenticated: Literal["refuse", "accept-in-lab"] = Field(
        "refuse", description='"accept-in-lab" takes the client id as the device id; on loopback only.'
    )
    certificate: Path | None = Field(None, description="Certificate chain (PEM); with key it turns on TLS.")
    key: Path | None = Field(None, description="Private key of the certificate (PEM).")
    client_ca: Path | None = Field(
        None,
        description="Authority of the devices' certificates (PEM). The common name is the device id. "
        "Without users_file every device must show one.",
    )
    connections_max: int = Field(512, ge=1, le=60_000, description="Connections at once, of all devices.")
    connections_per_device_max: int = Field(8, ge=1, description="Connections at once of one device.")
    connect_timeout_s: float = Field(
        30.0, gt=0, le=300, description="How long a new connection may take to say who it is, TLS included."
    )
    keep_alive_max_s: int = Field(
        120, ge=1, le=65_535, description="Longest keep-alive a device may ask for; also for those that ask for none."
    )
    session_expiry_max_s: int = Field(
        86_400, ge=0, description="How long the session of a device that went away is remembered at most."
    )
    receive_max: int = Field(1000, ge=1, le=65_535, description="Unacknowledged messages of one connection.")
    packet_bytes_max: int = Field(
        PACKET_BYTES_MAX, ge=1024, le=16_777_216, description="Largest packet that is read; announced to the device."
    )
    in_flight_bytes_max: int = Field(
        33_554_432, ge=65_536, description="Bytes on their way to disk, of all devices; beyond it nothing is read."
    )
    outbound_bytes_max: int = Field(
        1_048_576,
        ge=4096,
        description="Unsent answers of one device; beyond it nothing more is read from it. One that takes none of them "
        "for a minute is disconnected.",
    )
    messages_per_s_max: float | None = Field(
        None,
        gt=0,
        description="Messages a second of one connection, an array counting as its scans; a faster one is read more "
        "slowly. None: no limit.",
    )
    drain_s: float = Field(
        1.0, ge=0, le=30, description="At a stop, how long to wait for messages on their way to disk."
    )

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, bind: str) -> str:
        parse_bind(bind)
        return bind

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_loopback = is_loopback_host(parse_bind(self.bind)[0])
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; one is missing")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs certificate and key: without TLS no device can show a certificate")
        if self.unauthenticated == "accept-in-lab" and not is_loopback:
            raise ValueError(
                f'"accept-in-lab" lets anyone in; it is for loopback only and bind is "{self.bind}". '
                'Use users_file, or bind to "127.0.0.1"'
            )
        if not is_loopback and self.certificate is None:
            raise ValueError(
                f'bind "{self.bind}" can be reached from the network and has no TLS: passwords would be readable. '
                "Set certificate and key"
            )
        if self.unauthenticated == "refuse" and self.users_file is None and self.client_ca is None:
            raise ValueError("nobody could connect: set users_file or client_ca")
        return self


class BrokerSettings(BaseModel):
    """A site broker to subscribe on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description='"mqtt://host:1883" or "mqtts://host:8883".')
    client_id: str | None = Field(
        None,
        max_length=128,
        description="Name of our session on the broker; two gateways must not share one. Default: made from the site, "
        "the gateway and this installation.",
    )
    username: str | None = Field(None, description="User on the broker.")
    password_file: Path | None = Field(None, description="File that holds the password of that user, and nothing else.")
    ca_file: Path | None = Field(None, description="Authority of the broker's certificate (PEM); mqtts only.")
    certificate: Path | None = Field(None, description="Certificate we show to the broker (PEM); mqtts only.")
    key: Path | None = Field(None, description="Private key of that certificate (PEM).")
    keep_alive_s: int = Field(30, ge=5, le=3600, description="How often the connection proves that it lives.")
    connect_timeout_s: float = Field(
        10.0, gt=0, le=120, description="How long connecting may take, and how long the broker may then be silent."
    )
    session_expiry_s: int = Field(
        604_800, ge=3600, le=4_294_967_294, description="How long the broker keeps messages for us while we are away."
    )
    receive_max: int = Field(1000, ge=1, le=65_535, description="Messages the broker may have open with us.")
    packet_bytes_max: int = Field(PACKET_BYTES_MAX * 4, ge=1024, le=16_777_216, description="Largest packet we take.")
    outbound_bytes_max: int = Field(
        4_194_304, ge=4096, description="Unsent answers; beyond it nothing is read until some have left."
    )
    drain_s: float = Field(
        1.0, ge=0, le=30, description="At a stop, how long to wait for messages on their way to disk."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parse_broker_url(url)
        return url

    @model_validator(mode="after")
    def _check(self) -> Self:
        if parse_broker_url(self.url)[0] == "mqtt" and (self.ca_file or self.certificate or self.key):
            raise ValueError('ca_file, certificate and key need TLS; did you mean "mqtts://"?')
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; one is missing")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        return self


def parse_bind(bind: str) -> tuple[str, int]:
    """Return host and port. Raises ValueError that says how it should look."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s/]+)):([0-9]{1,5})", bind)
    if found is None or int(found[3]) > 65_535:
        raise ValueError(f'"{bind}" is not an address and a port; write "127.0.0.1:1884" or "[::1]:1884"')
    return found[1] or found[2], int(found[3])


def parse_broker_url(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port. Raises ValueError that says how it should look."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a password does not belong in a URL; use username and password_file")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f'"{url}" is not the address of a broker; write "mqtt://host:1883" or "mqtts://host:8883"')
    return parts.scheme, parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def is_loopback_host(host: str) -> bool:
    """True when only this machine can reach it. A name other than localhost is not trusted to be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
