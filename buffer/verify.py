"""Proof, off-line, that the journal is what was committed: numbers without gaps, digests, chain, audit chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from buffer.audit import audit_chain, records
from buffer.digest import CHAIN_START, chain_of, is_whole
from buffer.entry import Entry
from buffer.ledger import ChainHead, read_epochs, read_ledger

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
    head: ChainHead
    """Compare it with the head that was delivered last: without one held elsewhere a cut-off tail cannot be noticed."""
    problems: tuple[str, ...]
    """Empty when all is well; at most the first hundred."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(connection: sqlite3.Connection, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Walk the whole journal; `progress` is told (seq reached, head seq)."""
    walk = _Walk(connection)
    head = walk.ledger.head_seq
    while walk.step():
        if progress is not None:
            progress(walk.seq, head)
    walk.finish()
    epochs = read_epochs(connection)
    source = epochs[-1].source if epochs else ""
    return Verification(
        walk.entries,
        walk.anchored,
        ChainHead(source, head, walk.ledger.head_chain.hex()),
        tuple(walk.problems[:PROBLEMS_MAX]),
    )


class _Walk:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.ledger = read_ledger(connection)
        self._anchors = connection.execute(
            "SELECT first_seq, last_seq, last_chain FROM purged ORDER BY first_seq"
        ).fetchall()
        self.problems: list[str] = []
        self.entries = self.anchored = self.seq = 0
        self._chain: bytes | None = CHAIN_START
        """None after something that cannot be linked over: the next link is taken on trust, having been reported."""

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
        self._advance(self.ledger.head_seq)
        if self._chain is not None and self._chain != self.ledger.head_chain:
            self.problems.append("the chain does not end at the head of the ledger")
        if self.entries + self.anchored != self.ledger.accepted:
            self.problems.append(
                f"{self.ledger.accepted} entries were accepted, {self.entries} are here, {self.anchored} were removed"
            )
        if self.anchored != self.ledger.purged:
            self.problems.append(f"{self.ledger.purged} entries were removed, the anchors cover {self.anchored}")
        self._audit()

    def _advance(self, to: int) -> None:
        """Cross anchors up to `to`; what no anchor covers is missing."""
        while self.seq < to:
            if self._anchors and self._anchors[0][0] == self.seq + 1:
                _, last, self._chain = self._anchors.pop(0)
                self.anchored += last - self.seq
                self.seq = last
                continue
            end = min(to, self._anchors[0][0] - 1) if self._anchors else to
            self.problems.append(f"entries {self.seq + 1} to {end} are missing")
            self._chain = None
            self.seq = end

    def _entry(self, entry: Entry) -> None:
        if not is_whole(entry):
            self.problems.append(f"entry {entry.seq} does not match its digest")
        if self._chain is not None and chain_of(self._chain, entry.seq, entry.digest) != entry.chain:
            self.problems.append(f"entry {entry.seq} does not match the chain")
        self._chain = entry.chain
        self.seq = entry.seq
        self.entries += 1

    def _audit(self) -> None:
        chain, number = CHAIN_START, 0
        while found := records(self._connection, after=number):
            for one in found:
                fields = (
                    one.number,
                    one.at,
                    one.operating_ms,
                    one.actor,
                    one.action,
                    one.upstream,
                    one.seq,
                    one.detail,
                )
                if one.number != number + 1:
                    self.problems.append(f"audit records {number + 1} to {one.number - 1} are missing")
                elif audit_chain(chain, fields) != one.chain:
                    self.problems.append(f"audit record {one.number} does not match the chain")
                chain, number = one.chain, one.number
