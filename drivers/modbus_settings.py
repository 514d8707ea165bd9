"""How a Modbus device is configured: where it is, what is read from it, how often.

`modbus-tcp://10.0.0.20:502?unit=1` or `modbus-rtu:///dev/serial/by-id/usb-...?unit=1&baudrate=19200&parity=E`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from drivers.modbus_map import Block, Point, plan_blocks, unit_of

TCP_PORT = 502
"""Registered for Modbus."""
CHARACTER_BITS = 11
"""Start bit, 8 data bits, parity or a second stop bit, stop bit: MODBUS over Serial Line V1.02, 2.5.1."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the device is: the only place this driver ever connects to."""

    framing: Literal["tcp", "rtu"]
    host: str = ""
    port: int = TCP_PORT
    path: str = ""
    unit_id: int = 1
    baudrate: int = 19200
    parity: str = "E"
    stopbits: int = 1
    """The standard's default: 19200 baud, even parity; two stop bits when there is no parity (2.5.1)."""

    @property
    def silence_s(self) -> float:
        """How long a serial line must be silent between frames: 3.5 characters, 1.75 ms above 19200 baud (2.5.1.1)."""
        if self.framing == "tcp":
            return 0.0
        return 0.00175 if self.baudrate > 19200 else 3.5 * CHARACTER_BITS / self.baudrate

    def describe(self) -> str:
        """For a person."""
        return f"{self.host}:{self.port}" if self.framing == "tcp" else self.path


def parse_target(url: str) -> Target:
    """Understand a device url; raises ValueError with what is wrong and what was probably meant."""
    parts = urlsplit(url)
    if parts.scheme not in ("modbus-tcp", "modbus-rtu"):
        raise ValueError(f'"{url}" must begin with modbus-tcp:// or modbus-rtu://')
    is_tcp = parts.scheme == "modbus-tcp"
    options = _options(parts.query, {"unit"} if is_tcp else {"unit", "baudrate", "parity", "stopbits"})
    unit_id = _number(options, "unit", 1, range(256) if is_tcp else range(1, 248))
    if is_tcp:
        if not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f'"{url}" must look like modbus-tcp://10.0.0.20:502?unit=1')
        return Target("tcp", host=parts.hostname, port=parts.port or TCP_PORT, unit_id=unit_id)
    if parts.netloc or not parts.path.strip("/"):
        raise ValueError(f'"{url}" must look like modbus-rtu:///dev/serial/by-id/usb-...?unit=1&baudrate=19200')
    parity = options.get("parity", "E").upper()
    if parity not in ("E", "O", "N"):
        raise ValueError(f'parity "{parity}" must be E, O or N')
    return Target(
        "rtu",
        path=unquote(parts.path),
        unit_id=unit_id,
        baudrate=_number(options, "baudrate", 19200, range(300, 4_000_001)),
        parity=parity,
        stopbits=_number(options, "stopbits", 2 if parity == "N" and "stopbits" not in options else 1, range(1, 3)),
    )


def _options(query: str, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(sorted(known))}"
            raise ValueError(f'unknown option "{name}" in the url{meant}')
    return options


def _number(options: dict[str, str], name: str, default: int, allowed: range) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) not in allowed:
        raise ValueError(f'{name} "{text}" must be a number from {allowed.start} to {allowed.stop - 1}')
    return int(text)


class ModbusPollerSettings(BaseModel):
    """A `[[device]]` with `driver = "modbus-poller"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="modbus-tcp://host:port?unit=1 or modbus-rtu:///dev/...?unit=1&baudrate=19200&parity=E"
    )
    poll_interval_s: float = Field(
        1.0, ge=0.01, le=3600, description="From the start of one round of reads to the next."
    )
    timeout_s: float = Field(1.0, ge=0.01, le=60, description="How long to wait for a connection and for an answer.")
    points: tuple[Point, ...] = Field(min_length=1, description="The values to read.")
    join_gap_max: int = Field(
        0, ge=0, le=100, description="Registers nobody asked for that may be read to join two points in one request."
    )

    @field_validator("url")
    @classmethod
    def _url_is_understood(cls, url: str) -> str:
        parse_target(url)
        return url

    @field_validator("points", mode="before")
    @classmethod
    def _points_from_a_file(cls, points: Any) -> Any:
        return tuple(points) if isinstance(points, list) else points

    @model_validator(mode="after")
    def _points_fit_together(self) -> Self:
        names = [point.name for point in self.points]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two points are called {', '.join(twice)}")
        if self.target.framing == "rtu":
            wrong = [point.name for point in self.points if not 1 <= unit_of(point, self.target.unit_id) <= 247]
            if wrong:
                raise ValueError(f"unit_id of {', '.join(wrong)} must be from 1 to 247 on a serial line")
        return self

    @property
    def target(self) -> Target:
        """The url, understood."""
        return parse_target(self.url)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The requests of one round."""
        return plan_blocks(self.points, unit_id=self.target.unit_id, join_gap_max=self.join_gap_max)
