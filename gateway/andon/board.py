"""The board: what each station was last told, and how its last hour went.

Fed with what devices were answered, on the way of every scan, so it does as little as it can: a few fields are picked,
counted and put in a ring. What comes from outside is cut to what a screen shows; the event has it whole.

The tone is the one the operator hears (docs/handhelds.md, rule 5): stored, repeat read and duplicate are good, stored
with an exception asks for attention, refused and not stored are errors. Something unreadable is stored as evidence and
is no scan, so it asks for attention too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple

from drivers.reading import Reading, ScanContext, Verdict
from gateway.andon.minutes import MinuteRing
from gateway.capture.label import KEYED

Tone = Literal["good", "attention", "error"]
TONES: Final[tuple[Tone, ...]] = ("good", "attention", "error")

RAW_KEPT_MAX: Final = 2_048
"""Bytes of a reading that are kept as they are; a handheld's message has about 200."""
CODE_SHOWN_MAX: Final = 240
"""Characters of a code that the board keeps."""
DEVICE_SHOWN_MAX: Final = 64
SCANS_KEPT: Final = 250
TOGETHER_MIN: Final = 4
"""Fewer answers than this are noted one by one, which costs no more."""
HOUR: Final = 60
DAY: Final = 24 * HOUR
REMARKS_SHOWN_MAX: Final = 5
DAY_COLUMNS: Final = ("scans", "attention", "errors", "unreadable", "exceptions", "depth", "lag_s", "ack_p99_s")

_NO_CONTEXT: Final = ScanContext()
_NO_VERDICT: Final = Verdict("refused")
_QUIET: Final = frozenset({"baseline", "gap", "counter_reset", "condition"})
"""Kinds that nobody at a station did: they do not take the place of its last scan."""
_ONLY_SCANS: Final = {"scan"}
_TONE_AT: Final[dict[str, int]] = {"stored": 0, "repeat_read": 0, "duplicate": 0, "stored_with_exception": 1}


class Shown(NamedTuple):
    """One answered reading, as far as it is shown. It keeps the reading and looks into it only when it is shown."""

    number: int
    """Counts up since the start: whoever knows one number can tell what is new."""
    at_ms: int
    station: str | None
    """None for a device that is not configured."""
    result: str
    """A result of a verdict, or "not_stored"."""
    tone: Tone
    reading: Reading
    """Cut when it is large."""
    verdict: Verdict | None
    length: int
    """Characters of the whole code."""

    @property
    def device(self) -> str:
        """Who said it."""
        return self.reading.device

    @property
    def document(self) -> str | None:
        """The document that the message states."""
        context = self.reading.context
        return None if context is None else context.document

    @property
    def code(self) -> str:
        """The text of the data carrier, or what stands for it."""
        return (self.reading.code or _other_text(self.reading))[:CODE_SHOWN_MAX]

    def as_json(self) -> dict[str, Any]:
        """Return it as `json` can write it."""
        reading, verdict = self.reading, self.verdict or _NO_VERDICT
        context = reading.context or _NO_CONTEXT
        return {
            "number": self.number,
            "at_ms": self.at_ms,
            "station": self.station,
            "device": reading.device,
            "kind": reading.kind,
            "code": self.code,
            "length": self.length or len(self.code),
            "symbology": reading.symbology,
            "keyed": reading.symbology == KEYED,
            "result": self.result,
            "tone": self.tone,
            "events": verdict.events[:1],
            "exceptions": [
                {"code": remark.code, "message": remark.message[:CODE_SHOWN_MAX]}
                for remark in verdict.exceptions[:REMARKS_SHOWN_MAX]
            ],
            "reason": verdict.reason or reading.reason,
            "redelivered": verdict.redelivered,
            "document": context.document,
            "quantity": context.quantity,
            "operator": context.operator,
        }


@dataclass(slots=True)
class StationBoard:
    """One station."""

    last: Shown | None = None
    hour: MinuteRing = field(default_factory=lambda: MinuteRing(HOUR, TONES))
    changed: int = 0
    """Number of the last reading here."""


class Board:
    """All stations. Belongs to the event loop."""

    def __init__(self, station_of: Callable[[str], str | None], wall: Callable[[], int]) -> None:
        """`station_of` gives the station of a device, None when it is not configured; `wall` milliseconds."""
        self._station_of = station_of
        self._wall = wall
        self.stations: dict[str, StationBoard] = {}
        self._recent: deque[tuple[Any, ...]] = deque(maxlen=SCANS_KEPT)
        """The fields of `Shown`: most leave the ring without being looked at."""
        self.day = MinuteRing(DAY, DAY_COLUMNS)
        self.number = 0
        """Number of the newest reading."""
        self.on_change: Callable[[], None] | None = None
        """Called after each note while somebody watches; must not raise."""

    def note(self, readings: Sequence[Reading], verdicts: Sequence[Verdict] | None) -> None:
        """Note what devices were answered; None: their readings could not be stored, and nobody was answered."""
        at_ms = self._wall()
        day = self.day.row(at_ms)
        if verdicts is None:
            for reading in readings:
                self._note(reading, None, at_ms, day)
        elif len(readings) < TOGETHER_MIN or not self._note_together(readings, verdicts, at_ms, day):
            for reading, verdict in zip(readings, verdicts, strict=True):
                self._note(reading, verdict, at_ms, day)
        if self.on_change is not None:
            self.on_change()

    def recent(self) -> Iterator[Shown]:
        """Give the last readings of all stations, the newest first."""
        return map(Shown._make, reversed(self._recent))

    def dump(self) -> dict[str, Any]:
        """Return the day and the hour of each station, as JSON can hold them."""
        return {"day": self.day.dump(), "hours": {name: one.hour.dump() for name, one in self.stations.items()}}

    def load(self, kept: dict[str, Any]) -> None:
        """Go on from what was dumped, before anything was noted. Raises LookupError, ValueError, TypeError,
        AttributeError when it cannot be understood."""
        now_ms = self._wall()
        self.day.load(kept["day"], now_ms)
        for name, hour in kept["hours"].items():
            station = StationBoard()
            station.hour.load(hour, now_ms)
            if any(station.hour.sums(now_ms, HOUR).values()):
                self.stations[name] = station

    def _note(self, reading: Reading, verdict: Verdict | None, at_ms: int, day: list[float]) -> None:
        kind = reading.kind
        if kind == "baseline":
            return
        result = "not_stored" if verdict is None else verdict.result
        self.number += 1
        if result == "repeat_read":
            return  # a portal says them by the hundred, and an event covers each
        at = _TONE_AT.get(result, 2)
        if kind == "unreadable":
            at = max(at, 1)
            day[3] += 1
        device, code = reading.device, reading.code
        length = len(code)
        if length > CODE_SHOWN_MAX or len(reading.raw) > RAW_KEPT_MAX or len(device) > DEVICE_SHOWN_MAX:
            reading = _cut(reading)
        station = self._station_of(device)
        shown = Shown(self.number, at_ms, station, result, TONES[at], reading, verdict, length)
        self._recent.append(shown)
        if kind not in _QUIET:
            self._count(station, at, day, shown, 1)

    def _count(self, station: str | None, at: int, day: list[float], last: Shown, count: int) -> None:
        """Count answers of one tone at one station, of which `last` is the last."""
        if at < 2:
            day[0] += count
        if at:
            day[at] += count
        if station is not None:
            board = self.stations.get(station)
            if board is None:
                board = self.stations[station] = StationBoard()
            board.last, board.changed = last, last.number
            board.hour.row(last.at_ms)[at] += count

    def _note_together(
        self, readings: Sequence[Reading], verdicts: Sequence[Verdict], at_ms: int, day: list[float]
    ) -> bool:
        """Note scans of one device that all went the same way, as a handheld sends them that has caught up: one look
        for all. Returns False, with nothing noted, when they are not that."""
        device, result = readings[0].device, verdicts[0].result
        if readings[-1].device != device or verdicts[-1].result != result or len(readings) != len(verdicts):
            return False  # most takes of several devices
        lengths = [len(reading.code) for reading in readings]
        if (
            {reading.kind for reading in readings} != _ONLY_SCANS
            or len({reading.device for reading in readings}) > 1
            or len({verdict.result for verdict in verdicts}) > 1
            or max(lengths) > CODE_SHOWN_MAX
            or max([len(reading.raw) for reading in readings]) > RAW_KEPT_MAX
            or len(device) > DEVICE_SHOWN_MAX
            or result == "repeat_read"
        ):
            return False
        at = _TONE_AT.get(verdicts[-1].result, 2)
        count, first = len(readings), self.number + 1
        self.number += count
        station = self._station_of(device)
        numbers = range(first, first + count)
        self._recent.extend(zip(numbers, repeat(at_ms), repeat(station), repeat(result), repeat(TONES[at]),
                                readings, verdicts, lengths))  # fmt: skip
        self._count(station, at, day, Shown._make(self._recent[-1]), count)
        return True


def _cut(reading: Reading) -> Reading:
    """Return a reading without what no screen shows."""
    raw = reading.raw[: 4 * CODE_SHOWN_MAX]
    return reading._replace(device=reading.device[:DEVICE_SHOWN_MAX], code=reading.code[:CODE_SHOWN_MAX], raw=raw,
                            message_id=None, state=None)  # fmt: skip


def _other_text(reading: Reading) -> str:
    """Return what stands for the code of a reading that has none."""
    if reading.tag is not None:
        return reading.tag.epc.hex().upper()
    measurement = reading.measurement
    if measurement is not None:
        return f"{measurement.name} {measurement.value}{' ' + measurement.unit if measurement.unit else ''}"
    return reading.raw[: 4 * CODE_SHOWN_MAX].decode("utf-8", "replace")
