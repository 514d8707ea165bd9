"""The board: what each station was last told, and how its last hour went.

Fed with what devices were answered, on the way of every scan, so it does as little as it can: a few fields are picked,
counted and put in a ring. What comes from outside is cut to what a screen shows; the event has it whole.

The tone is the one the operator hears (docs/handhelds.md, rule 5): stored, repeat read and duplicate are good, stored
with an exception asks for attention, refused and not stored are errors. Something unreadable is stored as evidence and
is no scan, so it asks for attention too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from drivers.reading import Reading, ScanContext, Verdict
from gateway.andon.minutes import MinuteRing
from gateway.capture.label import KEYED

Tone = Literal["good", "attention", "error"]
TONES: Final[tuple[Tone, ...]] = ("good", "attention", "error")

CODE_SHOWN_MAX: Final = 240
"""Characters of a code that the board keeps."""
DEVICE_SHOWN_MAX: Final = 64
SCANS_KEPT: Final = 250
HOUR: Final = 60
DAY: Final = 24 * HOUR
REMARKS_SHOWN_MAX: Final = 5
DAY_COLUMNS: Final = ("scans", "attention", "errors", "unreadable", "exceptions", "depth", "lag_s", "ack_p99_s")

_NO_CONTEXT: Final = ScanContext()
_QUIET: Final = frozenset({"baseline", "gap", "counter_reset", "condition"})
"""Kinds that nobody at a station did: they do not take the place of its last scan."""
_TONE_AT: Final[dict[str, int]] = {"stored": 0, "repeat_read": 0, "duplicate": 0, "stored_with_exception": 1}


class Shown(NamedTuple):
    """One answered reading, as far as it is shown."""

    number: int
    """Counts up since the start: whoever knows one number can tell what is new."""
    at_ms: int
    device: str
    station: str | None
    """None for a device that is not configured."""
    kind: str
    code: str
    length: int
    """Characters of the whole code."""
    symbology: str | None
    result: str
    """A result of a verdict, or "not_stored"."""
    tone: Tone
    events: tuple[str, ...]
    exceptions: tuple[tuple[str, str], ...]
    """Code and message."""
    reason: str | None
    redelivered: bool
    document: str | None
    quantity: str | None
    operator: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as `json` can write it."""
        fields = self._asdict()
        fields["exceptions"] = [{"code": code, "message": message} for code, message in self.exceptions]
        fields["keyed"] = self.symbology == KEYED
        return fields


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
        self.recent: deque[Shown] = deque(maxlen=SCANS_KEPT)
        self.day = MinuteRing(DAY, DAY_COLUMNS)
        self.number = 0
        """Number of the newest reading."""
        self.on_change: Callable[[], None] | None = None
        """Called after each note while somebody watches; must not raise."""

    def note(self, readings: Sequence[Reading], verdicts: Sequence[Verdict] | None) -> None:
        """Note what devices were answered; None: their readings could not be stored, and nobody was answered."""
        at_ms = self._wall()
        if verdicts is None:
            for reading in readings:
                self._note(reading, None, at_ms)
        else:
            for reading, verdict in zip(readings, verdicts, strict=True):
                self._note(reading, verdict, at_ms)
        if self.on_change is not None:
            self.on_change()

    def _note(self, reading: Reading, verdict: Verdict | None, at_ms: int) -> None:
        kind = reading.kind
        if kind == "baseline":
            return
        result = "not_stored" if verdict is None else verdict.result
        at = _TONE_AT.get(result, 2)
        if at == 0 and kind == "unreadable":
            at = 1
        station = self._station_of(reading.device)
        self.number += 1
        is_work = kind not in _QUIET
        if is_work:
            self._count(at, result, kind, at_ms)
        if result == "repeat_read":
            return  # a portal says them by the hundred
        shown = _shown(reading, verdict, result, TONES[at], number=self.number, station=station, at_ms=at_ms)
        self.recent.append(shown)
        if station is not None and is_work:
            board = self.stations.get(station)
            if board is None:
                board = self.stations[station] = StationBoard()
            board.last, board.changed = shown, self.number
            board.hour.row(at_ms)[at] += 1

    def _count(self, at: int, result: str, kind: str, at_ms: int) -> None:
        row = self.day.row(at_ms)
        if at < 2 and result != "repeat_read":
            row[0] += 1
        if at:
            row[at] += 1
        if kind == "unreadable":
            row[3] += 1


def _shown(
    reading: Reading,
    verdict: Verdict | None,
    result: str,
    tone: Tone,
    *,
    number: int,
    station: str | None,
    at_ms: int,
) -> Shown:
    context = reading.context or _NO_CONTEXT
    code = reading.code or _other_text(reading)
    remarks = verdict.exceptions[:REMARKS_SHOWN_MAX] if verdict is not None else ()
    return Shown(
        number,
        at_ms,
        reading.device[:DEVICE_SHOWN_MAX],
        station,
        reading.kind,
        code[:CODE_SHOWN_MAX],
        len(code),
        reading.symbology,
        result,
        tone,
        verdict.events[:1] if verdict is not None else (),
        tuple([(remark.code, remark.message[:CODE_SHOWN_MAX]) for remark in remarks]),
        verdict.reason if verdict is not None and verdict.reason else reading.reason,
        verdict.redelivered if verdict is not None else False,
        context.document,
        context.quantity,
        context.operator,
    )


def _other_text(reading: Reading) -> str:
    """Return what stands for the code of a reading that has none."""
    if reading.tag is not None:
        return reading.tag.epc.hex().upper()
    measurement = reading.measurement
    if measurement is not None:
        return f"{measurement.name} {measurement.value}{' ' + measurement.unit if measurement.unit else ''}"
    return reading.raw[: 4 * CODE_SHOWN_MAX].decode("utf-8", "replace")
