"""What a simulated centre writes down: every event it took, every time.

Strict on purpose. It knows the content of each event by a hash, so one id under two contents, or one sequence under two
ids, is seen at once; it knows the order of first arrivals a source; and it keeps gap records apart. With a file it
writes one JSON line an attempt and one a delivered event, before the answer leaves, so that a checker in another
process, or the same centre after a restart, knows what this one knew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from simulators.ledger import CentreEvent

GAP_TYPE = "dockline.gap.v1"

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""The text of an event, the same for equal events."""


@dataclass(slots=True)
class Held:
    """One event the centre has."""

    source: str
    sequence: int
    digest: bytes
    deliveries: int = 1


@dataclass(slots=True)
class SourceRecord:
    """What the centre knows about one source."""

    first: int | None = None
    through: int = 0
    """Everything from `first` to here is present, as event or gap record."""
    highest: int = 0
    ids: dict[int, str] = field(default_factory=dict)
    gaps: dict[int, str] = field(default_factory=dict)
    """Sequences announced as gaps, with the reason."""
    late: list[int] = field(default_factory=list)
    """Sequences first seen after a higher one, unless they were announced as a gap before, or are one that the centre
    made itself by rejecting the event."""
    chain: tuple[int, str] | None = None
    """Head of the gateway's journal as last heard."""

    @property
    def missing(self) -> list[int]:
        """Sequences between the first and the highest that never came."""
        if self.first is None:
            return []
        return [seq for seq in range(self.through + 1, self.highest) if seq not in self.ids and seq not in self.gaps]


class CentreLedger:
    """The memory of a centre."""

    def __init__(self, path: Path | None = None) -> None:
        self.events: list[CentreEvent] = []
        """Every delivery that was taken, in order of arrival, redeliveries included."""
        self.by_id: dict[str, Held] = {}
        self.sources: dict[str, SourceRecord] = {}
        self.conflicts: list[str] = []
        """Sentences about ids or sequences that came with two contents."""
        self.redeliveries = 0
        self._file: TextIO | None = None
        if path is not None:
            for event in read_ledger_file(path):
                self._take(event)
            _drop_torn_line(path)
            self._file = path.open("a", encoding="utf-8")

    def take(self, event: dict[str, Any]) -> bool:
        """Write down one delivered event; return whether it is new. Raises ValueError when it is no event."""
        try:
            taken = CentreEvent(
                id=_text(event["id"]),
                source=_text(event["source"]),
                sequence=int(_text(event["sequence"])),
                body=_canonical(event),
                is_gap=event["type"] == GAP_TYPE,
            )
        except KeyError as error:
            raise ValueError(f"a CloudEvent has {error}") from None
        self._write(
            {
                "kind": "event",
                "id": taken.id,
                "source": taken.source,
                "sequence": taken.sequence,
                "gap": taken.is_gap,
                "body": taken.body,
            }
        )
        return self._take(taken)

    def attempted(self, **what: object) -> None:
        """Write down one request, whatever became of it."""
        self._write({"kind": "attempt", **what})

    def heard_chain(self, source: str, sequence: int, chain: str) -> None:
        """Keep the journal head; the same sequence with another hash is a rewritten journal."""
        record = self.sources.setdefault(source, SourceRecord())
        if record.chain is not None and record.chain[0] == sequence and record.chain[1] != chain:
            self.conflicts.append(f"journal of {source} has two hashes at {sequence}")
        record.chain = (sequence, chain)

    def through(self, source: str) -> int:
        """Return the sequence up to which everything of the source is here."""
        return self.sources[source].through if source in self.sources else 0

    @property
    def late(self) -> list[int]:
        """Sequences that came after a higher one, over all sources."""
        return [seq for record in self.sources.values() for seq in record.late]

    @property
    def missing(self) -> list[int]:
        """Sequences that never came, over all sources."""
        return [seq for record in self.sources.values() for seq in record.missing]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, event: CentreEvent) -> bool:
        self.events.append(event)
        digest = hashlib.sha256(event.body.encode()).digest()
        held = self.by_id.get(event.id)
        if held is not None:
            held.deliveries += 1
            self.redeliveries += 1
            if held.digest != digest:
                self.conflicts.append(f"event {event.id} came with two contents")
            return False
        self.by_id[event.id] = Held(event.source, event.sequence, digest)
        self._place(event)
        return True

    def _place(self, event: CentreEvent) -> None:
        record = self.sources.setdefault(event.source, SourceRecord())
        sequence = event.sequence
        if record.first is None:
            record.first, record.through = sequence, sequence - 1
        known = record.ids.get(sequence)
        # What a gap record announced may come late: a person retried it. A record of a rejection comes behind it.
        is_excused = event.is_told_behind or sequence in record.gaps
        if event.is_gap:
            data = json.loads(event.body).get("data", {})
            # One record may stand for a run of entries.
            for gap in range(int(data.get("first_sequence", sequence)), sequence + 1):
                record.gaps[gap] = str(data.get("reason"))
        elif known is not None:
            self.conflicts.append(f"sequence {sequence} of {event.source} came as {known} and as {event.id}")
        else:
            record.ids[sequence] = event.id
        if sequence < record.highest and not is_excused:
            record.late.append(sequence)
        record.highest = max(record.highest, sequence)
        while record.through + 1 in record.ids or record.through + 1 in record.gaps:
            record.through += 1

    def _write(self, line: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()


def read_ledger_file(path: Path) -> Iterable[CentreEvent]:
    """Yield the deliveries in a ledger file; nothing when there is no file. A torn last line is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
                if row["kind"] == "event":
                    yield CentreEvent(row["id"], row["source"], row["sequence"], row["body"], row["gap"])
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path} is no ledger of a centre: {line[:60]!r}") from None


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed centre left of a line: what is written next would be glued to it, and lost with it."""
    if path.exists():
        held = path.read_bytes()
        if not held.endswith(b"\n"):
            os.truncate(path, held.rfind(b"\n") + 1)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value
