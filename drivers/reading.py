"""What a device said, and what the gateway answers.

`Reading` is the only thing a driver hands on and `Verdict` the only thing it gets back. Both are plain immutable
values: no I/O, no clock, no reference to the driver that made them. Named tuples, because thousands are made a second
and a frozen dataclass of this size takes five times as long to make.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

ReadingKind = Literal["scan", "tag", "count", "condition", "counter_reset", "baseline", "gap", "unreadable"]
"""scan: a data carrier was read. tag: an RFID tag was seen. count: a PLC counter moved. condition: a sensor value
or state. counter_reset: a PLC counter fell in a way no rollover explains. baseline: commits its `state` and becomes no
event (the first value of a counter, an edge nobody asked for). gap: values that should have been polled did not
arrive. unreadable: bytes arrived that the driver could not understand."""

Result = Literal["stored", "stored_with_exception", "repeat_read", "duplicate", "refused"]


class ScanContext(NamedTuple):
    """What a handheld says about its own scan; a station's session supplies it for devices that cannot."""

    activity: str | None = None
    document: str | None = None
    location: str | None = None
    quantity: str | None = None
    """Decimal string."""
    unit: str | None = None
    """UN/ECE Recommendation 20 code."""
    operator: str | None = None


class TagRead(NamedTuple):
    """One inventory of one RFID tag by one antenna."""

    epc: bytes
    """EPC memory bank content as read over the air, without CRC and PC."""
    antenna: int | None = None
    rssi_dbm: float | None = None
    tid: str | None = None
    seen_count: int = 1


class Measurement(NamedTuple):
    """A value a PLC or sensor showed."""

    name: str
    """Point name from the configuration."""
    value: str
    """Decimal string; for a counter the increment, for a state "true" or "false"."""
    unit: str | None = None
    """UN/ECE Recommendation 20 code."""
    previous: str | None = None
    """Raw value before, when known: the evidence for an increment or an edge."""
    raw: str | None = None
    """Raw value now, as read from the device."""


class Reading(NamedTuple):
    """One thing a device said."""

    device: str
    """Device id the reading belongs to; for shared links the authenticated identity."""
    kind: ReadingKind
    raw: bytes
    """Exactly what arrived, kept as evidence."""
    code: str = ""
    """Text of the data carrier without its symbology identifier."""
    symbology: str | None = None
    """AIM symbology identifier (ISO/IEC 15424), e.g. "]C1"."""
    message_id: str | None = None
    """The device's own number for this message. Only then can a redelivery be recognised."""
    at: str | None = None
    """RFC 3339 time by the device's clock, as the device wrote it."""
    context: ScanContext | None = None
    tag: TagRead | None = None
    measurement: Measurement | None = None
    may_repeat: bool = False
    """The device may be saying again what it said before because it never heard an answer: first frame after the
    link opened, an answer that could not be written, or the same frame inside the device's own resend time."""
    reason: str | None = None
    """For unreadable and gap: why, in words for a person."""
    state_key: str | None = None
    """With `state`: a row that commits together with the event this reading becomes (a PLC's last counter value)."""
    state: bytes | None = None


class Remark(NamedTuple):
    """An exception the operator should hear of with the verdict."""

    code: str
    message: str


class Verdict(NamedTuple):
    """What became of one reading. Returned only when it is true on disk."""

    result: Result
    events: tuple[str, ...] = ()
    """Ids of the events the reading became."""
    exceptions: tuple[Remark, ...] = ()
    redelivered: bool = False
    """The message was known; this is the verdict it was given the first time."""
    reason: str | None = None
    """For refused: why, in words for a person."""

    @property
    def is_positive(self) -> bool:
        """True when the device may be told that its scan counts."""
        return self.result != "refused"
