"""A consumer that takes docs/delivery.md at its word, and says where a delivery does not keep it.

It knows nothing of the gateway: what it judges are the events that a centre took, in the order in which it took them,
and the requests in which they came. `read` is for one stream of events, live or from a file; `repeats` for requests.

    what docs/delivery.md says                             what is a problem here
    an id is one content, a sequence of a source one id    two of either
    order is `sequence`, rising by one                     an event behind a higher one, a number jumped over
    a hole is announced, unless refused in its place       a sequence that stays neither event nor record
    what is damaged, skipped or missing never comes        an event behind the record that said so
    what an answer named is not sent again, but after a    a request that repeats an event, and nothing between
    kill, a reload or a lost answer                        the two that excuses it
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulators.centre import Attempt

GAP = "dockline.gap.v1"
WAYS = {"quarantined", "discarded", "damaged", "skipped", "missing"}
LATE = {"quarantined", "discarded"}
"""Reasons of records that may come behind their place, because the event was refused there."""
NEVER = {"damaged", "skipped", "missing"}
UNWRITTEN_MAX = 8
"""Requests that may be repeated after a kill, beside those under way."""


@dataclass
class Source:
    """What is known of one source."""

    first: int
    highest: int
    events: dict[int, str] = field(default_factory=dict)
    """Sequence to id."""
    named: dict[int, str] = field(default_factory=dict)
    """Sequences that a record names, with the first word of the last reason."""

    def knows(self, seq: int) -> bool:
        return seq in self.events or seq in self.named

    @property
    def holes(self) -> list[int]:
        """Sequences that are neither an event nor named."""
        return [seq for seq in range(self.first, self.highest + 1) if not self.knows(seq)]

    @property
    def gone(self) -> list[int]:
        """Sequences that are named and did not come."""
        return sorted(self.named.keys() - self.events.keys())


@dataclass
class Reading:
    """What a stream of events showed."""

    sources: dict[str, Source] = field(default_factory=dict)
    """In the order in which they were first seen."""
    problems: list[str] = field(default_factory=list)
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    """Source and id to content."""

    @property
    def events(self) -> set[str]:
        """Ids of the events that are here."""
        return {id for source in self.sources.values() for id in source.events.values()}

    def gone(self, *reasons: str) -> int:
        """Return how many sequences are named with one of the reasons, and did not come."""
        return sum(source.named[seq] in reasons for source in self.sources.values() for seq in source.gone)


def read(bodies: Iterable[str], *, refused: Collection[tuple[str, int]] = ()) -> Reading:
    """Return what a stream of events, as JSON text, shows. `refused`: source and sequence of what we said no to."""
    reading = Reading()
    for body in bodies:
        _take(reading, json.loads(body), refused)
    for name, source in reading.sources.items():
        reading.problems += [f"{seq} of {name} is neither an event nor named" for seq in source.holes[:20]]
    return reading


def _take(reading: Reading, event: dict[str, Any], refused: Collection[tuple[str, int]]) -> None:
    name, id, text = event["source"], event["id"], event["sequence"]
    say = reading.problems.append
    if not re.fullmatch("[0-9]{20}", text):
        say(f"{id} has the sequence {text!r}")
    content = json.dumps(event, sort_keys=True)
    if (known := reading.ids.setdefault((name, id), content)) != content:
        say(f"{id} of {name} came with two contents: {known} and {content}")
    seq = int(text)
    if event["type"] == GAP:
        _take_record(reading, event, seq, refused)
        return
    source = reading.sources.setdefault(name, Source(seq, seq - 1))
    if (other := source.events.setdefault(seq, id)) != id:
        say(f"{seq} of {name} is {other} and {id}")
        return
    if known is not content:
        return  # a repeat of what is here
    # What lies before all we saw is no hole, and may come in a replay.
    is_behind = source.first <= seq <= source.highest and (name, seq) not in refused
    if is_behind and source.named.get(seq) != "quarantined":
        say(f"{seq} of {name} came behind {source.highest}")
    if source.named.get(seq) in NEVER:
        say(f"{seq} of {name} came although it was {source.named[seq]}")
    _advance(reading, name, source, seq, seq, refused)


def _take_record(reading: Reading, event: dict[str, Any], seq: int, refused: Collection[tuple[str, int]]) -> None:
    name, data = event["source"], event["data"]
    first, reason = int(data.get("first_sequence", data["sequence"])), data["reason"].partition(":")[0]
    if reason not in WAYS or not first <= seq == int(data["sequence"]):
        reading.problems.append(f"a record that says nothing: {event}")
    source = reading.sources.setdefault(name, Source(first, first - 1))
    news = [one for one in range(first, seq + 1) if not source.knows(one)]
    source.named |= dict.fromkeys(range(first, seq + 1), reason)
    behind = [one for one in news if source.first <= one <= source.highest and (name, one) not in refused]
    if behind and reason not in LATE:
        reading.problems.append(f"{behind} of {name} were told as {reason} behind {source.highest}")
    _advance(reading, name, source, first, seq, refused)


def _advance(
    reading: Reading, name: str, source: Source, first: int, last: int, refused: Collection[tuple[str, int]]
) -> None:
    jumped = [one for one in range(source.highest + 1, first) if (name, one) not in refused]
    if jumped:
        reading.problems.append(f"{jumped[0]} to {jumped[-1]} of {name} were jumped over by {last}")
    source.first, source.highest = min(source.first, first), max(source.highest, last)


@dataclass(frozen=True)
class Break:
    """Something that excuses repeats: requests answered when it began, and when it was over."""

    began: int
    ended: int
    reach: int = UNWRITTEN_MAX
    """Requests before it that may come again, beside those under way."""

    def excuses(self, before: int, number: int) -> bool:
        """Whether the request `number` may repeat what was in the request `before`; both count from 0."""
        # The one that was under way is written down a moment later, or was already.
        return self.began - self.reach - 1 <= before <= self.ended and self.began <= number


def repeats(attempts: Sequence[Attempt], breaks: Iterable[Break], *, excused: Collection[str] = ()) -> list[str]:
    """Return a sentence for every request that repeats an event without a cause. `excused` are ids a person had sent
    again, and of what was refused."""
    last: dict[str, int] = {}
    found = []
    causes = list(breaks)
    for number, attempt in enumerate(attempts):
        for id in attempt.ids:
            before = last.get(id)
            last[id] = number
            if before is None or id in excused or attempts[before].status != 200 or attempts[before].act is not None:
                continue
            if not any(one.excuses(before, number) for one in causes):
                found.append(f"request {number + 1} repeats {id} of request {before + 1}, which was answered")
    return found
