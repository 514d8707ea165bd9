"""Proof, off-line, that the journal is what was committed: numbers without gaps, digests, chain, audit chain."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buffer.audit import AuditRecord, audit_chain, records
from buffer.digest import CHAIN_START, chain_of, is_whole
from buffer.entry import Entry
from buffer.incident import SALVAGED, incidents
from buffer.ledger import ChainHead, read_epochs, read_ledger, source_at

_SOURCE = re.compile(rb'"source":"([^"\\]{1,300})"')
CHUNK_ROWS = 2000
PROBLEMS_MAX = 100
"""More are counted, not listed."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What the proof found."""

    entries: int
    """Entries that were read and checked."""
    anchored: int
    """Entries that retention removed; their anchors link what is left."""
    lost: int
    """Entries that a salvage could not carry, and said so."""
    audited: int
    """Audit records that were read and checked."""
    head: ChainHead
    """Compare it with the head that was delivered last: without one held elsewhere a cut-off tail cannot be noticed."""
    problems: tuple[str, ...]
    """Empty when all is well; at most the first hundred."""
    notes: tuple[str, ...] = ()
    """What could not be compared, and why that is nobody's fault."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(
    connection: sqlite3.Connection,
    progress: Callable[[int, int], None] | None = None,
    heads: Sequence[ChainHead] = (),
) -> Verification:
    """Walk the whole journal; `progress` is told (seq reached, head seq).

    `heads` were held elsewhere: each must be a link of this journal, so a tail that was cut off behind our back shows.
    """
    walk = _Walk(connection, heads)
    head = walk.ledger.head_seq
    while walk.step():
        if progress is not None:
            progress(walk.seq, head)
    walk.finish()
    source = source_at(walk.epochs, head)
    return Verification(
        walk.entries,
        walk.anchored,
        walk.lost,
        walk.audited,
        ChainHead(source, head, walk.ledger.head_chain.hex()),
        tuple(walk.problems[:PROBLEMS_MAX]),
        tuple(walk.notes),
    )


class _Walk:
    def __init__(self, connection: sqlite3.Connection, heads: Sequence[ChainHead]) -> None:
        self._connection = connection
        self.ledger = read_ledger(connection)
        self.epochs = read_epochs(connection)
        self._anchors = connection.execute(
            "SELECT first_seq, last_seq, last_chain FROM purged ORDER BY first_seq"
        ).fetchall()
        told = [one.told for one in incidents(connection) if one.kind == SALVAGED]
        self._announced = sorted(run for one in told for run in one.missing)
        self._audit_announced = {run for one in told for run in one.audit_missing}
        self._broken = {seq for one in told for seq in one.links_broken}
        self._links = {epoch.first_seq - 1: epoch for epoch in self.epochs}
        self._later = list(self.epochs)
        self._sources = {epoch.source.encode() for epoch in self.epochs}
        self._salvaged_at = max((one.number for one in incidents(connection) if one.kind == SALVAGED), default=0)
        self._epoch_source = b""
        self._held: dict[int, list[ChainHead]] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.entries = self.anchored = self.lost = self.audited = self.seq = 0
        self._chain: bytes | None = CHAIN_START
        """None after something that cannot be linked over: the next link is taken on trust, having been reported."""
        for head in heads:
            self._hold(head)
        self._compare()

    def step(self) -> bool:
        rows = self._connection.execute(
            "SELECT seq, id, type, station, device, captured_at, payload, digest, chain FROM entry"
            " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (self.seq, self.ledger.head_seq, CHUNK_ROWS),
        ).fetchall()
        for row in rows:
            self._advance(row[0] - 1)
            self._entry(Entry(*row))
        return bool(rows)

    def finish(self) -> None:
        ledger = self.ledger
        self._advance(ledger.head_seq)
        if self._chain is not None and self._chain != ledger.head_chain:
            self.problems.append("the chain does not end at the head of the ledger")
        if self.entries + self.anchored + self.lost != ledger.accepted:
            self.problems.append(
                f"{ledger.accepted} entries were accepted, {self.entries} are here, {self.anchored} were removed,"
                f" {self.lost} were lost and announced"
            )
        if self.anchored != ledger.purged:
            self.problems.append(f"{ledger.purged} entries were removed, the anchors cover {self.anchored}")
        (beyond,) = self._connection.execute(
            "SELECT count(*) FROM entry WHERE seq > ? OR seq < 1", (ledger.head_seq,)
        ).fetchone()
        if beyond:
            self.problems.append(f"{beyond} entries lie outside the journal, which ends at {ledger.head_seq}")
        self._audit()

    def _hold(self, head: ChainHead) -> None:
        """Remember a head held elsewhere until its seq is reached."""
        begun = [epoch for epoch in self.epochs if epoch.first_seq <= max(head.seq, 1)]
        if head.seq > self.ledger.head_seq:
            self.problems.append(
                f"a tail was cut off: the head held elsewhere is at {head.seq}, the journal ends at"
                f" {self.ledger.head_seq}"
            )
        elif head.source and (not begun or begun[-1].source != head.source):
            known = begun[-1].source if begun else "nobody"
            self.problems.append(f"entry {head.seq} is of {known}, the head held elsewhere says {head.source}")
        else:
            self._held.setdefault(head.seq, []).append(head)

    def _compare(self) -> None:
        """Compare the chain at this place with the epoch that links to it and with the heads held elsewhere."""
        if self.seq in self._broken:
            self._chain = None
        epoch = self._links.get(self.seq)
        if epoch is not None:
            if self._chain is None:
                self._chain = epoch.linked_chain
            elif self._chain != epoch.linked_chain:
                self.problems.append(f"epoch {epoch.number} is not linked to entry {self.seq}")
        for head in self._held.pop(self.seq, ()):
            if self._chain is None:
                self.notes.append(f"the head held elsewhere at {head.seq} cannot be compared: that entry is missing")
            elif self._chain.hex() != head.chain_hex:
                self.problems.append(f"the journal up to entry {head.seq} is not the one whose head is held elsewhere")

    def _advance(self, to: int) -> None:
        """Cross anchors up to `to`; what no anchor covers is missing."""
        while self.seq < to:
            if self._anchors and self._anchors[0][0] == self.seq + 1:
                first, last, self._chain = self._anchors.pop(0)
                self.anchored += last - self.seq
                within = [seq for seq in self._held if first <= seq < last]
                for seq in within:
                    del self._held[seq]
                    self.notes.append(f"the head held elsewhere at {seq} cannot be compared: retention removed it")
                self.seq = last
            else:
                end = min(to, self._anchors[0][0] - 1) if self._anchors else to
                self._missing(self.seq + 1, end)
                self._chain = None
                self.seq = end
            self._compare()

    def _missing(self, first: int, last: int) -> None:
        announced = 0
        for run_first, run_last in self._announced:
            announced += max(0, min(run_last, last) - max(run_first, first) + 1)
        self.lost += min(announced, last - first + 1)
        if announced < last - first + 1:
            self.problems.append(f"entries {first} to {last} are missing")

    def _entry(self, entry: Entry) -> None:
        if not is_whole(entry):
            self.problems.append(f"entry {entry.seq} does not match its digest")
        elif (told := _SOURCE.search(entry.payload)) is not None and not self._is_of(told[1], entry.seq):
            self.problems.append(f"entry {entry.seq} names another source than the epoch it lies in")
        if self._chain is not None and chain_of(self._chain, entry.seq, entry.digest) != entry.chain:
            self.problems.append(f"entry {entry.seq} does not match the chain")
        self._chain = entry.chain
        self.seq = entry.seq
        self.entries += 1
        if self.seq in self._links or self.seq in self._held or self.seq in self._broken:
            self._compare()

    def _is_of(self, source: bytes, seq: int) -> bool:
        """Whether a sequence lies in the epoch of that source; sequences are asked for in order.

        A salvage may have lost an epoch; what it lost it cannot be held to.
        """
        while self._later and self._later[0].first_seq <= seq:
            self._epoch_source = self._later.pop(0).source.encode()
        return source == self._epoch_source or (self._salvaged_at > 0 and source not in self._sources)

    def _epochs_audited(self, records: Sequence[AuditRecord]) -> None:
        """Every epoch that the audit tells of, since the last salvage, is there as it was told."""
        there = Counter((epoch.reason, epoch.opened_at) for epoch in self.epochs)
        for one in records:
            if not there[one.detail, one.at]:
                self.problems.append(f"the epoch that audit record {one.number} tells of is not there as it was told")
            there[one.detail, one.at] -= 1

    def _audit(self) -> None:
        opened: list[AuditRecord] = []
        chain, number = CHAIN_START, 0
        while found := records(self._connection, after=number):
            for one in found:
                if one.number != number + 1:
                    if (number + 1, one.number - 1) not in self._audit_announced:
                        self.problems.append(f"audit records {number + 1} to {one.number - 1} are missing")
                elif audit_chain(chain, one.fields) != one.chain:
                    self.problems.append(f"audit record {one.number} does not match the chain")
                chain, number = one.chain, one.number
                self.audited += 1
                if one.action == "epoch_opened" and one.number > self._salvaged_at:
                    opened.append(one)
        self._epochs_audited(opened)
        newest = self._connection.execute("SELECT audit_number, audit_chain FROM ledger").fetchone()
        if newest[0] > number:
            self.problems.append(f"audit records {number + 1} to {newest[0]} are missing")
        elif newest != (number, chain):
            self.problems.append("the audit does not end at the record that the ledger knows")
