"""Starts the outbox on what a power cut left, and compares it with what devices and centre had been told by then.

The outbox is opened by the code that the daemon opens it with; what it then holds is read past it, with SQLite alone.
Nothing but the bytes on the wires says what must be there.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from crash_history import History, Sent
from crash_site import SOURCE, Take
from outbox_rig import Rig, draft

from buffer import Incident, Outbox, restore
from buffer.incident import EPOCH_CHANGED
from simulators.token import Token, find_tokens

UPSTREAM = "centre"


@dataclass(frozen=True, slots=True)
class Found:
    """What an outbox holds, as SQLite alone shows it."""

    entries: dict[int, tuple[str, bytes]]
    """seq -> event id and payload."""
    by_id: dict[str, int]
    by_token: dict[Token, list[int]]
    purged: list[tuple[int, int]]
    head: int
    cursor: int
    quarantined: set[int]
    epochs: list[tuple[int, str]]
    """First sequence and source."""

    def is_purged(self, seq: int) -> bool:
        """Whether retention removed an entry and left its anchor."""
        return any(first <= seq <= last for first, last in self.purged)

    def source_of(self, seq: int) -> str:
        """Return the source under which a sequence was, or will be, given out."""
        return next((source for first, source in reversed(self.epochs) if first <= seq), "")


@lru_cache(maxsize=100_000)
def _tokens(payload: bytes) -> tuple[Token, ...]:
    return find_tokens(payload.decode()).whole


def look(folder: Path) -> Found:
    """Read an outbox past the program."""
    with closing(sqlite3.connect(f"file:{folder / 'outbox.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT seq, id, payload FROM entry ORDER BY seq").fetchall()
        by_token: dict[Token, list[int]] = {}
        for seq, _, payload in rows:
            for token in _tokens(payload):
                by_token.setdefault(token, []).append(seq)
        return Found(
            {seq: (id, payload) for seq, id, payload in rows},
            {id: seq for seq, id, _ in rows},
            by_token,
            connection.execute("SELECT first_seq, last_seq FROM purged").fetchall(),
            connection.execute("SELECT head_seq FROM ledger").fetchone()[0],
            connection.execute("SELECT seq FROM cursor WHERE upstream = ?", (UPSTREAM,)).fetchone()[0],
            {seq for (seq,) in connection.execute("SELECT seq FROM quarantine")},
            connection.execute("SELECT first_seq, source FROM epoch ORDER BY number").fetchall(),
        )


async def judge(take: Take, told: History, folder: Path) -> list[str]:
    """Return every promise that the outbox in `folder`, the state after a power cut, does not keep.

    `told` is what had been said until then.
    """
    broken = await _copies(take, told, folder)
    folder = folder / take.below
    rig = Rig(folder, inline=True)
    outbox = await rig.open(source=SOURCE, limits=take.limits)
    try:
        await outbox.register(UPSTREAM, required=True, start="retained")
        found = look(folder)
        if take.restored is not None and await _is_restored(outbox):
            told = take.restored
            broken += _replaced_is_kept(take, folder, outbox, told)
        broken += _held(told, found, outbox)
        broken += _not_invented(told, found)
        broken += _sent_is_remembered(told, found, is_restored=told is take.restored)
        broken += _without_gaps(found, told)
        broken += _positions(told, found)
        broken += _replays(told, outbox)
        broken += await _books(outbox)
        broken += await _incidents(take, outbox, folder)
        await outbox.append([draft(999_999)])
        head, source = found.head + 1, outbox.source
        reused = [one for one in told.sent if (one.source, one.seq) == (source, head)]
        broken += [f"sequence {head} was sent as {one.id} and is given out again" for one in reused[:1]]
    finally:
        await outbox.close(5)
    return broken + await _opens_again(rig, take, head, source)


def _held(told: History, found: Found, outbox: Outbox) -> list[str]:
    """Heard means held: event, and the answer that a redelivery must get."""
    sent = {one.id: one.seq for one in told.sent}
    by_token = {token: one.seq for one in told.sent for token in _tokens(one.body)}
    through = max((one.through for one in told.answered), default=0)
    broken: list[str] = []
    answers: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in told.heard:
        if one.events is None:
            gone = one.token not in found.by_token
            seqs = [by_token.get(one.token, 0)]
        else:
            gone = not all(event in found.by_id for event in one.events)
            seqs = [sent.get(event, 0) for event in one.events]
        if gone and not all(found.is_purged(seq) and seq <= through for seq in seqs):
            broken.append(f"{one.token} was acknowledged and is gone")
        if one.message_id:
            answers.setdefault((one.device, one.message_id), one.events or ())
            if one.events:
                answers[one.device, one.message_id] = one.events
    kept = outbox.redeliveries(list(answers))
    for key, events in answers.items():
        if key not in kept:
            broken.append(f"the answer to {key[1]} is forgotten: said again it would be stored twice")
        elif not all(event.encode() in kept[key].verdict for event in events):
            broken.append(f"the answer to {key[1]} is another than it was")
    return broken


def _not_invented(told: History, found: Found) -> list[str]:
    scanned = {one.token for one in told.scanned}
    return [
        *(f"{token} was never scanned" for token in found.by_token if token not in scanned),
        *(f"{token} is in {len(seqs)} events" for token, seqs in found.by_token.items() if len(seqs) > 1),
    ]


def _sent_is_remembered(told: History, found: Found, *, is_restored: bool) -> list[str]:
    """What the centre may have under a source and a sequence is what the outbox has there, for ever."""
    broken = []
    for one in told.sent:
        if one.seq in found.entries:
            if found.source_of(one.seq) == one.source and found.entries[one.seq] != _as_row(one, found, is_restored):
                broken.append(f"{one.seq} was sent as {one.id} and is now {found.entries[one.seq][0]}")
        elif one.seq in told.missing or found.is_purged(one.seq):
            continue
        elif found.source_of(one.seq) == one.source:
            broken.append(f"{one.seq} was sent as {one.id} and is forgotten")
    return broken


def _as_row(one: Sent, found: Found, is_restored: bool) -> tuple[str, bytes]:
    """A gap record stands for an entry that is held; it has an id and words of its own. A backup may know an entry from
    before it was rejected."""
    if (one.seq in found.quarantined or is_restored) and b"dockline.gap.v1" in one.body:
        return found.entries[one.seq]
    return one.id, one.body


def _without_gaps(found: Found, told: History) -> list[str]:
    covered = set(found.entries)
    for first, last in found.purged:
        covered.update(range(first, last + 1))
    missing = set(range(1, found.head + 1)) - covered - told.missing
    broken = [f"sequences {sorted(missing)[:5]} are neither there nor anchored"] if missing else []
    if max(covered, default=0) > found.head:
        broken.append(f"there are entries behind the head {found.head}")
    through = max((one.through for one in told.answered), default=0)
    early = [seq for first, last in found.purged for seq in (first, last) if seq > through]
    return broken + [f"{seq} was removed before the centre had it" for seq in early[:1]]


def _positions(told: History, found: Found) -> list[str]:
    """The cursor never runs ahead of the answers, and what an answer rejected is held when the cursor is past it."""
    named = {seq for one in told.answered for seq in one.accepted | one.rejected}
    through = max([0, *(one.through for one in told.answered), *named])
    broken = []
    if found.cursor > through:
        broken.append(f"the cursor is at {found.cursor}, the centre has answered up to {through}")
    rejected = {seq for one in told.answered for seq in one.rejected}
    loose = {seq for seq in rejected if seq <= found.cursor} - found.quarantined
    return broken + [f"{seq} was rejected, passed, and is not held" for seq in sorted(loose)[:1]]


def _replays(told: History, outbox: Outbox) -> list[str]:
    """A replay has not got further than the answers it had."""
    named = sum(len(one.accepted) for one in told.answered if one.at >= 0)
    broken = []
    for row in outbox.states("replay/"):
        state = json.loads(row.value or b"{}")
        if state["accepted"] > named:
            broken.append(f"a replay counts {state['accepted']} accepted, the centre has named {named}")
    return broken


async def _books(outbox: Outbox) -> list[str]:
    census = await outbox.census(UPSTREAM, fresh=True)
    broken = [f"the books are out by {census.imbalance}"] if census.imbalance else []
    proof = await outbox.verify()
    return broken + [f"the journal does not prove: {problem}" for problem in proof.problems[:1]]


async def _damage(outbox: Outbox) -> list[Incident]:
    """Return the incidents that tell of damage; a restore tells of its new epoch in one, too."""
    return [one for one in await outbox.incidents() if one.kind != EPOCH_CHANGED]


async def _incidents(take: Take, outbox: Outbox, folder: Path) -> list[str]:
    """A power cut is no damage. Damage done on purpose is salvaged exactly once, and what was damaged is kept."""
    incidents = await _damage(outbox)
    if take.restored is None and len(incidents) != len(await outbox.incidents()):
        return ["a power cut was taken for a change of the epoch"]
    if take.damaged is None:
        return [f"a power cut was taken for damage: {one.told.reason}" for one in incidents[:1]]
    kept = sorted(folder.glob("damaged-*/outbox.db"))
    broken = []
    if len(incidents) != 1:
        broken.append(f"salvaged {len(incidents)} times")
    if [path.read_bytes() for path in kept] != [take.damaged]:
        broken.append(f"the damaged file is not kept as it was: {[str(path) for path in kept]}")
    return broken


async def _is_restored(outbox: Outbox) -> bool:
    return any(record.action == "outbox_restored" for record in await outbox.audit_list())


def _replaced_is_kept(take: Take, folder: Path, outbox: Outbox, told: History) -> list[str]:
    kept = sorted(folder.glob("replaced-*/outbox.db"))
    broken = []
    if [path.read_bytes() for path in kept] != [take.replaced]:
        broken.append("the outbox that was replaced is not kept as it was")
    if any(one.source == outbox.source for one in told.sent):
        broken.append("a restored outbox goes on under the source it had")
    return broken


async def _copies(take: Take, told: History, folder: Path) -> list[str]:
    """A backup that has its name is whole: restored somewhere else it has everything that was acknowledged."""
    broken: list[str] = []
    if not take.below or take.restored is not None:
        return broken
    for number, copy in enumerate(sorted((folder / "copies").glob("[!.]*"))):
        elsewhere = folder / f"elsewhere-{number}"
        elsewhere.mkdir()
        restore(elsewhere, copy, at=0, actor="judge")
        outbox = await Rig(elsewhere, inline=True).open(source=SOURCE, limits=take.limits)
        try:
            found = look(elsewhere)
            broken += [f"of the backup: {what}" for what in _held(told, found, outbox) + _without_gaps(found, told)]
            broken += [f"of the backup: {what}" for what in await _books(outbox)]
            if any(one.source == outbox.source for one in told.sent):
                broken.append("a restored backup goes on under the source it had")
        finally:
            await outbox.close(5)
    return broken


async def _opens_again(rig: Rig, take: Take, head: int, source: str) -> list[str]:
    """The second start finds what the first one left, and nothing to do."""
    again = await rig.open(source=SOURCE, limits=take.limits)
    try:
        broken = []
        if (await again.head_of_chain()).seq != head or again.source != source:
            broken.append("the second start finds something else than the first one left")
        if len(await _damage(again)) != (take.damaged is not None):
            broken.append("the second start found damage")
        return broken
    finally:
        await again.close(5)
