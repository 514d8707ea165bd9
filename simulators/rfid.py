"""An RFID portal: pallets of tags pass its antennas, and it says so in the words of a Zebra IoT Connector reader.

A pallet is in the field for some seconds; each of its tags answers many times, on several antennas, with a signal that
rises and falls. Now and then a stray from the neighbouring dock is read once, weakly. Every reporting interval the
portal sends what it heard: one message a tag, or an array of all.

A tag's serial number holds a token, so that whoever reads the centre's record knows which tags passed. Tokens are
numbered in the order in which the tags are first reported. The journal (a JSON object a line) says which tags passed
and which of them the gateway has acknowledged: a message without an answer is sent again until it has one, as a reader
with retention does.

The portal cannot number its messages for good (a Zebra reader's eventNum starts again when it restarts).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from simulators.epc import sgtin_198
from simulators.journal import Journal
from simulators.ledger import DeviceScan
from simulators.rfid_endpoint import Send, Unreached
from simulators.token import Token

COMPANY_PREFIX: Final = "9521321"
"""GS1 keeps prefixes 952 for examples."""

Shape = Literal["single", "array"]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PortalPlan:
    """What passes, and how it is heard."""

    tag: str = "r1"
    """The portal's part of every token; 2 to 4 characters, the first a letter."""
    pallets: int = 3
    tags_per_pallet: int = 20
    strays: int = 2
    """Tags of the neighbouring dock, each read once and weakly."""
    antennas: int = 4
    field_s: float = 2.0
    """How long a pallet is in the field."""
    gap_s: float = 1.0
    """Between two pallets."""
    reads_per_s: float = 10.0
    """How often one tag answers, over all antennas."""
    interval_s: float = 0.25
    """Reporting interval: reads of one tag by one antenna within it are one record."""
    shape: Shape = "array"
    tid_every: int = 1
    """Every n-th tag also shows its chip number; 0: none does."""


@dataclass(frozen=True, slots=True)
class PassingTag:
    """One tag that really was there."""

    token: Token
    epc: bytes
    tid: str | None
    pallet: int
    """Number of the pallet; -1 for a stray."""

    @property
    def is_stray(self) -> bool:
        """True when it belongs to the neighbour."""
        return self.pallet < 0


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What one antenna heard of one tag within one reporting interval."""

    at_s: float
    """Seconds after the portal started: the end of the interval."""
    tag: PassingTag
    antenna: int
    peak_rssi_dbm: int
    reads: int


@dataclass(slots=True)
class Heard:
    """Reads of one tag, before it has a number."""

    pallet: int
    reads: list[tuple[float, int, int]] = field(default_factory=list)
    """Time, antenna, RSSI."""


def records(plan: PortalPlan, rng: random.Random) -> list[TagRecord]:
    """Return everything the portal will report, in order. The same plan and seed give the same records."""
    heard = [*_pallets(plan, rng), *_strays(plan, rng)]
    slots: dict[tuple[int, int, int], list[int]] = {}
    for index, tag in enumerate(heard):
        for at, antenna, rssi in tag.reads:
            slots.setdefault((math.floor(at / plan.interval_s), index, antenna), []).append(rssi)
    order = sorted(slots)
    numbers: dict[int, PassingTag] = {}
    for _, index, _ in order:
        if index not in numbers:
            numbers[index] = _tag(plan, len(numbers) + 1, heard[index].pallet)
    return [
        TagRecord((slot + 1) * plan.interval_s, numbers[index], antenna, max(rssi), len(rssi))
        for (slot, index, antenna), rssi in ((key, slots[key]) for key in order)
    ]


def _pallets(plan: PortalPlan, rng: random.Random) -> Iterator[Heard]:
    for pallet in range(plan.pallets):
        start = pallet * (plan.field_s + plan.gap_s)
        for _ in range(plan.tags_per_pallet):
            tag = Heard(pallet)
            for _ in range(max(1, round(plan.field_s * plan.reads_per_s))):
                at = rng.random() * plan.field_s
                nearness = math.sin(math.pi * at / plan.field_s)
                rssi = round(-72 + 30 * nearness + rng.gauss(0, 3))
                tag.reads.append((start + at, rng.randint(1, plan.antennas), rssi))
            yield tag


def _strays(plan: PortalPlan, rng: random.Random) -> Iterator[Heard]:
    whole_s = max(1, plan.pallets) * (plan.field_s + plan.gap_s)
    for _ in range(plan.strays):
        yield Heard(-1, [(rng.random() * whole_s, rng.randint(1, plan.antennas), -82)])


def _tag(plan: PortalPlan, number: int, pallet: int) -> PassingTag:
    token = Token(plan.tag, number)
    epc = sgtin_198(COMPANY_PREFIX, "012345", str(token), filter_value=2)
    shows_tid = plan.tid_every > 0 and number % plan.tid_every == 0
    return PassingTag(token, epc, f"E2801190{number:016X}" if shows_tid else None, pallet)


def tag_event(record: TagRecord, event_num: int, wall_ms: int) -> dict[str, Any]:
    """Return the message of a Zebra reader in INVENTORY mode with TID asked for."""
    data: dict[str, Any] = {
        "antenna": record.antenna,
        "eventNum": event_num,
        "format": "epc",
        "idHex": record.tag.epc.hex(),
        "peakRssi": record.peak_rssi_dbm,
        "reads": record.reads,
    }
    if record.tag.tid is not None:
        data["TID"] = record.tag.tid.lower()
    at = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
    return {"data": data, "timestamp": at, "type": "INVENTORY"}


def heartbeat(event_num: int, wall_ms: int) -> bytes:
    """Return a management event, as it comes on the same topic when one endpoint serves all interfaces."""
    at = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
    beat = {
        "component": "RG",
        "data": {"radio_control": {"radioActivity": "active", "status": "running"}},
        "eventNum": event_num,
        "timestamp": at,
        "type": "heartbeat",
    }
    return json.dumps(beat, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Message:
    """One body, and the records it tells."""

    at_s: float
    body: bytes
    records: tuple[TagRecord, ...]


def messages(told: Iterable[TagRecord], shape: Shape, start_ms: int) -> Iterator[Message]:
    """Yield the bodies for `told`, which is in order: one an interval ("array") or one a record ("single")."""
    batch: list[TagRecord] = []
    count = 0
    for record in told:
        if batch and (shape == "single" or record.at_s != batch[0].at_s):
            yield _message(batch, shape, count, start_ms)
            count += len(batch)
            batch = []
        batch.append(record)
    if batch:
        yield _message(batch, shape, count, start_ms)


def _message(batch: list[TagRecord], shape: Shape, count: int, start_ms: int) -> Message:
    events = [
        tag_event(record, count + number, start_ms + round(record.at_s * 1000))
        for number, record in enumerate(batch, start=1)
    ]
    body = json.dumps(events if shape == "array" else events[0], separators=(",", ":")).encode()
    return Message(batch[0].at_s, body, tuple(batch))


class PassJournal:
    """What the portal knows: `passed` before a tag is first reported, then `acked` or `refused`, once each."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._passed: set[Token] = set()
        self._settled: set[Token] = set()

    def passed(self, told: Iterable[TagRecord]) -> None:
        """Note tags that are about to be reported for the first time."""
        for record in told:
            tag = record.tag
            if tag.token not in self._passed:
                self._passed.add(tag.token)
                self._journal.record(
                    "passed",
                    code=str(tag.token),
                    epc=tag.epc.hex(),
                    tid=tag.tid,
                    pallet=tag.pallet,
                    stray=tag.is_stray,
                    at_s=record.at_s,
                )

    def settled(self, told: Iterable[TagRecord], *, accepted: bool) -> None:
        """Note the answer for tags that had none yet."""
        for record in told:
            if record.tag.token not in self._settled:
                self._settled.add(record.tag.token)
                self._journal.record("acked" if accepted else "refused", code=str(record.tag.token))


def passed_tags(lines: Iterable[Mapping[str, object]]) -> list[DeviceScan]:
    """Return the tags of a portal's journal in the order of their first report, for the ledger."""
    passed: dict[str, Token] = {}
    answers: dict[str, str] = {}
    for line in lines:
        code, what = str(line["code"]), str(line["what"])
        if what == "passed":
            tag, number, _ = code.split(".")
            passed[code] = Token(tag, int(number))
        else:
            answers[code] = what
    return [
        DeviceScan(token, answers.get(code) == "acked", answers.get(code) == "refused", numbered=False)
        for code, token in passed.items()
    ]


def portal_summary(lines: Iterable[Mapping[str, object]], messages_sent: int) -> str:
    """Return in a sentence what a portal's journal says of tags, and how many messages that took."""
    passed = passed_tags(lines)
    acknowledged, refused = sum(tag.acknowledged for tag in passed), sum(tag.refused for tag in passed)
    refusals = f", {refused} refused" if refused else ""
    return f"{len(passed)} tags passed, {acknowledged} acknowledged{refusals}, {messages_sent} messages"


@dataclass(frozen=True, slots=True)
class PortalClock:
    """How the portal waits and tells the time."""

    wall: Callable[[], int]
    """Milliseconds since 1970."""
    sleep: Sleep = asyncio.sleep
    speed: float = 1.0
    """10 lets everything pass ten times as fast."""


async def run_portal(plan: PortalPlan, send: Send, journal: PassJournal, clock: PortalClock, rng: random.Random) -> int:
    """Let the plan pass, and return when every message is answered: the number of messages sent, repeats included."""
    sent = 0
    now_s = 0.0
    for message in messages(records(plan, rng), plan.shape, clock.wall()):
        await clock.sleep((message.at_s - now_s) / clock.speed)
        now_s = message.at_s
        journal.passed(message.records)
        while True:
            sent += 1
            try:
                accepted = await send(message.body)
            except Unreached:
                await clock.sleep(rng.uniform(0.1, 0.5))
                continue
            journal.settled(message.records, accepted=accepted)
            break
    return sent
