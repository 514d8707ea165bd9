"""Where a foreign RFID reader's messages hold what: the `tags` table of a device or its profile.

A path is keys joined by dots, from the tag record; with a leading "/" from the whole message. Values are taken as they
come: what they are worth is decided by `reader_message`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MISSING: Final = object()
"""What `walk` returns where nothing is: JSON's null is something."""

Path = tuple[bool, tuple[str, ...]]
"""From the message (True) or from the record; the keys."""


class Match(BaseModel):
    """Recognises a message by one of its values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description='where to look, e.g. "type"')
    values: tuple[str, ...] = Field(description="texts that match; case counts")
    text: str | None = Field(
        None, description="health only: path of the sentence for a person; else the value is shown"
    )


class TagMapping(BaseModel):
    """Where a reader's messages hold what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: str | None = Field(None, description="path of the list of tag records; without it a message is one record")
    epc_hex: str | None = Field(None, description="path of the EPC as hexadecimal text")
    epc_base64: str | None = Field(None, description="path of the EPC as base64 text; used when epc_hex is not there")
    tid_hex: str | None = Field(None, description="path of the chip number (TID) as hexadecimal text")
    tid_base64: str | None = Field(None, description="path of the chip number (TID) as base64 text")
    antenna: str | None = Field(None, description="path of the antenna port number")
    rssi: str | None = Field(None, description="path of the signal strength")
    rssi_scale: float = Field(1.0, description="multiplies the signal strength to dBm; 0.01 for hundredths of a dBm")
    seen_count: str | None = Field(None, description="path of the number of reads this record sums up")
    time: str | None = Field(None, description="path of the reader's time of the read")
    time_unit: Literal["rfc3339", "s", "ms", "us"] = Field(
        "rfc3339", description="text in the manner of RFC 3339, or a number since 1970 in this unit"
    )
    message_id: str | None = Field(
        None,
        description="path of a number that this reader never uses twice, not even after a restart; else leave it out",
    )
    ignore: tuple[Match, ...] = Field((), description="messages to acknowledge and count but not keep")
    health: tuple[Match, ...] = Field((), description="messages about the reader itself, shown in its status")

    @model_validator(mode="after")
    def _has_epc(self) -> TagMapping:
        if self.epc_hex is None and self.epc_base64 is None:
            raise ValueError("a mapping needs epc_hex or epc_base64: where is the EPC?")
        return self


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping with its paths taken apart."""

    records: tuple[str, ...] | None
    epc_hex: Path | None
    epc_base64: Path | None
    tid_hex: Path | None
    tid_base64: Path | None
    antenna: Path | None
    rssi: Path | None
    rssi_scale: float
    seen_count: Path | None
    time: Path | None
    time_unit: str
    message_id: Path | None


@lru_cache(maxsize=64)
def plan_of(mapping: TagMapping) -> Plan:
    """Return the mapping taken apart, once for each mapping."""
    return Plan(
        records=None if mapping.records is None else keys_of(mapping.records),
        epc_hex=path_of(mapping.epc_hex),
        epc_base64=path_of(mapping.epc_base64),
        tid_hex=path_of(mapping.tid_hex),
        tid_base64=path_of(mapping.tid_base64),
        antenna=path_of(mapping.antenna),
        rssi=path_of(mapping.rssi),
        rssi_scale=mapping.rssi_scale,
        seen_count=path_of(mapping.seen_count),
        time=path_of(mapping.time),
        time_unit=mapping.time_unit,
        message_id=path_of(mapping.message_id),
    )


def path_of(path: str | None) -> Path | None:
    """Return a path taken apart; None stays None."""
    return None if path is None else (path.startswith("/"), keys_of(path))


@lru_cache(maxsize=256)
def keys_of(path: str) -> tuple[str, ...]:
    """Return the keys of a path, whatever it starts from."""
    return tuple(path.removeprefix("/").split("."))


def walk(value: Any, keys: tuple[str, ...]) -> Any:
    """Return what is at `keys` inside parsed JSON, or MISSING."""
    for key in keys:
        if not isinstance(value, dict):
            return MISSING
        value = value.get(key, MISSING)
    return value
