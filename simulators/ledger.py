"""Compares what devices did with what the centre received, and names the fate of every scan.

The two histories are written by the simulated devices and by the simulated centre; the gateway writes neither, so it
cannot talk itself out of anything. Words follow Jepsen's queue checker: a message is attempted, acknowledged,
delivered, lost, unexpected (invented) or duplicated.

What counts as what:

- lost: a device heard a positive answer, and the centre has no event with that token.
- duplicated: one token in several *events* (ids). The same id delivered again is a redelivery, harmless by contract.
  A device that cannot number its messages may repeat one after an outage; a repeat that the event itself names
  (`possible_redelivery`) is counted as `repeats_named`, any other is a duplicate.
- invented: a token that no device ever sent.
- corrupted: a token whose checksum fails, or two tokens in one event (two scans run together).
- conflicting: one event id with two different contents.
- reordered: a device's scans in another order, by sequence, than the device made them.
- zombie: the device was told "refused", yet the event was delivered.
- out of sequence: the centre first saw a sequence number after a higher one, or a number of a source never came. The
  gap record of an event that was rejected comes behind its place by contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulators.token import Token, find_tokens

_HELD = ('"reason":"quarantined: ', '"reason":"discarded: ')
_FINDINGS = ('"type":"dockline.exception.v1"', '"type":"dockline.tally.v1"')


@dataclass(frozen=True, slots=True)
class DeviceScan:
    """One scan as its device remembers it."""

    token: Token
    acknowledged: bool
    """The device heard a positive answer."""
    refused: bool = False
    """The device heard a refusal, and no positive answer before or after it."""
    numbered: bool = True
    """The device numbers its messages, so that a redelivery can be recognised."""


@dataclass(frozen=True, slots=True)
class CentreEvent:
    """One delivery of one event as the centre wrote it down, in order of arrival."""

    id: str
    source: str
    sequence: int
    body: str
    """The event as JSON text, as it arrived."""
    is_gap: bool = False
    """A gap record: the entry with this sequence will not come as itself."""

    @property
    def is_told_behind(self) -> bool:
        """True for a gap record that may come behind its place: the centre itself rejected the event."""
        return self.is_gap and any(reason in self.body for reason in _HELD)

    @property
    def is_finding(self) -> bool:
        """True for what the gateway found out itself: it names scans that have events of their own."""
        return any(name in self.body for name in _FINDINGS)


@dataclass(slots=True)
class Ledger:
    """The fates. Every list but `repeats_named` must be empty for the promises to hold."""

    injected: int = 0
    acknowledged: int = 0
    delivered: int = 0
    deliveries: int = 0
    redeliveries: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    corrupted: list[str] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    zombies: list[str] = field(default_factory=list)
    out_of_sequence: list[str] = field(default_factory=list)
    repeats_named: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True when nothing was lost, doubled, invented, damaged, contradicted, reordered or delivered after a no."""
        return not any(self.violations().values())

    def violations(self) -> dict[str, list[str]]:
        """Return what must be empty, by name."""
        names = (
            "lost",
            "duplicated",
            "invented",
            "corrupted",
            "conflicting",
            "reordered",
            "zombies",
            "out_of_sequence",
        )
        return {name: getattr(self, name) for name in names}


def reconcile(scans: Iterable[DeviceScan], events: Iterable[CentreEvent]) -> Ledger:
    """Return the fate of every scan.

    `scans` in the order each device made them; `events` in the order the centre received them, repeats included.
    """
    ledger = Ledger()
    first = _first_deliveries(events, ledger)
    by_token = _tokens_of(first, ledger)
    known: dict[Token, DeviceScan] = {}
    for scan in scans:
        known[scan.token] = scan
        ledger.injected += 1
        ledger.acknowledged += scan.acknowledged
    for token, holders in by_token.items():
        if token not in known:
            ledger.invented.append(f"{token} in {holders[0].id}")
    _judge_scans(known, by_token, ledger)
    _judge_order(by_token, ledger)
    return ledger


def _first_deliveries(events: Iterable[CentreEvent], ledger: Ledger) -> list[CentreEvent]:
    """Return the first delivery of every id; note redeliveries, contradictions and holes in the sequence."""
    seen: dict[str, CentreEvent] = {}
    highest: dict[str, int] = {}
    numbers: dict[str, set[int]] = defaultdict(set)
    for event in events:
        ledger.deliveries += 1
        before = seen.get(event.id)
        if before is not None:
            ledger.redeliveries += 1
            if before.body != event.body:
                ledger.conflicting.append(event.id)
            continue
        seen[event.id] = event
        if event.sequence < highest.get(event.source, 0) and not event.is_told_behind:
            ledger.out_of_sequence.append(f"{event.source} {event.sequence} after {highest[event.source]}")
        highest[event.source] = max(event.sequence, highest.get(event.source, 0))
        numbers[event.source].add(event.sequence)
    for source, present in numbers.items():
        missing = sorted(set(range(_begins(source, numbers), highest[source] + 1)) - present)
        ledger.out_of_sequence.extend(f"{source} {number} never came" for number in missing[:20])
    return list(seen.values())


def _begins(source: str, numbers: Mapping[str, set[int]]) -> int:
    """Return the first sequence of a source: 1, or the one behind which another source of the gateway ended."""
    first = min(numbers[source])
    if any(first - 1 in present for other, present in numbers.items() if other != source):
        return first
    return 1


def _tokens_of(events: Iterable[CentreEvent], ledger: Ledger) -> dict[Token, list[CentreEvent]]:
    by_token: dict[Token, list[CentreEvent]] = defaultdict(list)
    for event in events:
        if event.is_gap or event.is_finding:
            continue
        found = find_tokens(event.body)
        ledger.corrupted.extend(f"{text} in {event.id}" for text in found.damaged)
        if len(found.whole) > 1:
            ledger.corrupted.append(f"{len(found.whole)} scans run together in {event.id}")
        for token in found.whole:
            by_token[token].append(event)
    return by_token


def _judge_scans(known: dict[Token, DeviceScan], by_token: dict[Token, list[CentreEvent]], ledger: Ledger) -> None:
    for token, scan in known.items():
        holders = by_token.get(token, [])
        ledger.delivered += bool(holders)
        if scan.acknowledged and not holders:
            ledger.lost.append(str(token))
        if scan.refused and not scan.acknowledged and holders:
            ledger.zombies.append(str(token))
        for again in sorted(holders, key=lambda event: event.sequence)[1:]:
            named = not scan.numbered and _names_itself_a_repeat(again)
            (ledger.repeats_named if named else ledger.duplicated).append(f"{token} again in {again.id}")


def _names_itself_a_repeat(event: CentreEvent) -> bool:
    return '"possible_redelivery":true' in event.body.replace(" ", "")


def _judge_order(by_token: dict[Token, list[CentreEvent]], ledger: Ledger) -> None:
    """A device's tokens, by the sequence of their first event, must rise. Sequences compare within one source."""
    lines: dict[tuple[str, str], list[tuple[int, Token]]] = defaultdict(list)
    for token, holders in by_token.items():
        earliest = min(holders, key=lambda event: event.sequence)
        lines[(token.tag, earliest.source)].append((earliest.sequence, token))
    for line in lines.values():
        last: Token | None = None
        for _, token in sorted(line):
            if last is not None and token.number < last.number:
                ledger.reordered.append(f"{token} after {last}")
            last = token
