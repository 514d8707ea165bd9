"""Carrying what is left of a wreck into a new file.

Order and rules. Entries first: those SQLite reads, then, where something is missing, those found page by page; an entry
keeps seq, id, digest and chain, and is carried only when its digest holds. Two entries of one seq can only come from a
commit that never was; the chain says which one is real. Then everything that hangs on the entries: epochs, anchors,
state, annex, answers, positions, quarantine, audit.

A position is believed when the books of its upstream balance; one that does not is put back before everything that the
upstream may lack, because a repeated delivery is harmless and a skipped one is not. What is gone is counted as lost for
each upstream that was still owed it, so the books balance and say so.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from buffer.announcement import announce
from buffer.audit import audit_chain
from buffer.bulk import BulkInsert
from buffer.digest import CHAIN_START, chain_of
from buffer.incident import SALVAGED, Run, Told
from buffer.mending import mended
from buffer.pages import Era
from buffer.retention import before_all
from buffer.row_check import cursor_crc
from buffer.shapes import is_believable
from buffer.wreck import Values, Wreck

CHUNK_ROWS = 256
WANTED_MAX = 5_000_000
"""Sequences up to which the missing ones are listed in memory."""
_SOURCE = re.compile(rb'"source":"([^"\\]{1,300})"')
_PUT_ENTRY = BulkInsert("INSERT OR IGNORE INTO entry", columns=9)


@dataclass(slots=True)
class Carried:
    """What was carried so far."""

    entries: int = 0
    head: int = 0
    head_chain: bytes = CHAIN_START
    anchors: list[tuple[int, int, bytes]] = field(default_factory=list)
    missing: list[Run] = field(default_factory=list)
    announced: list[Run] = field(default_factory=list)
    """Missing runs that earlier incidents tell of."""
    audit_missing: list[Run] = field(default_factory=list)
    links_broken: list[int] = field(default_factory=list)
    positions_lost: bool = False
    memory_lost: int = 0
    """State rows and answers that were damaged and are not believed."""
    operating_ms: int = 0


class Carrier:
    """Fills one new file from one wreck, inside the caller's transaction."""

    def __init__(self, wreck: Wreck, new: sqlite3.Connection) -> None:
        self._wreck = wreck
        self._new = new
        self.carried = Carried()
        self._rivals: list[Values] = []
        self._small: dict[str, list[Values]] = {}

    def carry(self) -> Carried:
        """Carry everything that can be; returns what that was."""
        wreck, carried = self._wreck, self.carried
        small = ("ledger", "epoch", "purged", "age_mark", "audit", "incident", "cursor", "quarantine", "announcement")
        read = {table: list(wreck.read(table)) for table in small}
        carried.anchors = _apart(read["purged"])
        self._put_entries(wreck.entries())
        ledger = _ledger(read["ledger"])
        whole = ledger is not None and not wreck.unread and self._is_whole(ledger)
        streams = {table: list(wreck.read(table)) for table in ("state", "redelivery")}
        self._put_annex(wreck.read("annex"))  # as it comes: this table is not small
        if not whole or wreck.unread or wreck.pages.has_log:
            self._carve(ledger, _sources(read["epoch"]), log_only=whole and not wreck.unread)
        self._small = {table: wreck.merged(table, rows) for table, rows in {**read, **streams}.items()}
        if not carried.anchors:
            carried.anchors = _apart(self._small["purged"])
        self._put_annex(wreck.found("annex"))
        self._put_head(_ledger(self._small["ledger"]) or ledger)
        self._put_audit()
        self._put_rest()
        self._put_positions()
        carried.memory_lost = sum(len(wreck.unbelieved.get(table, ())) for table in ("state", "redelivery"))
        return carried

    # -- entries

    def _put_entries(self, rows: Iterable[Values]) -> None:
        for chunk in chunks(rows, CHUNK_ROWS):
            _PUT_ENTRY.run(self._new, chunk)

    def _put_annex(self, rows: Iterable[Values]) -> None:
        for chunk in chunks(rows, CHUNK_ROWS):
            self._new.executemany("INSERT OR REPLACE INTO annex VALUES (?,?,?)", chunk)

    def _is_whole(self, ledger: Values) -> bool:
        (count,) = self._new.execute("SELECT count(*) FROM entry").fetchone()
        return bool(count + sum(last - first + 1 for first, last, _ in self.carried.anchors) == ledger[1])

    def _carve(self, ledger: Values | None, sources: frozenset[bytes], *, log_only: bool) -> None:
        """Add the entries that only a look at every page finds."""
        firsts = {first: last for first, last, _ in self.carried.anchors}
        for era, row in self._wreck.carve(log_only=log_only, wanted=self._wanted(ledger)):
            seq = row[0]
            if any(first <= seq <= last for first, last in firsts.items()):
                continue  # removed by retention; its bytes are still about
            if era is Era.LEFT_OVER and ledger is not None and seq > ledger[1]:
                continue
            if not _is_ours(row, sources):
                continue
            known = self._new.execute("SELECT digest FROM entry WHERE seq = ?", (seq,)).fetchone()
            if known is None:
                self._new.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?)", row)
            elif known[0] != row[7]:
                self._rivals.append(row)
        for row in self._rivals:
            self._decide(row)

    def _wanted(self, ledger: Values | None) -> Callable[[int], bool] | None:
        """Return which numbers are worth decoding when SQLite reads all tables but this one; None: all are."""
        if ledger is None or self._wreck.unread - {"entry"} or ledger[1] > WANTED_MAX:
            return None
        gone = set(range(1, ledger[1] + 1))
        gone.difference_update(seq for (seq,) in self._new.execute("SELECT seq FROM entry"))
        return gone.__contains__

    def _decide(self, rival: Values) -> None:
        """Of two entries of one seq keep the one that the chain knows."""
        seq = rival[0]
        before = self._chain_at(seq - 1)
        if before is not None and chain_of(before, seq, rival[7]) == rival[8]:
            self._new.execute("DELETE FROM entry WHERE seq = ?", (seq,))
            self._new.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?)", rival)

    def _chain_at(self, seq: int) -> bytes | None:
        if seq == 0:
            return CHAIN_START
        row = self._new.execute("SELECT chain FROM entry WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            return next((chain for _, last, chain in self.carried.anchors if last == seq), None)
        return bytes(row[0])

    # -- where the outbox is

    def _put_head(self, ledger: Values | None) -> None:
        """Find the head, mend the chain, name what is missing, and write the ledger."""
        new, carried = self._new, self.carried
        (newest,) = new.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
        carried.anchors = [anchor for anchor in carried.anchors if not self._holds_entries(anchor)]
        anchored = max((last for _, last, _ in carried.anchors), default=0)
        carried.head = max(newest, anchored, ledger[1] if ledger else 0)
        fixed, carried.links_broken = mended(new, carried.anchors, ledger)
        for number, right in fixed:
            row = new.execute("SELECT * FROM entry WHERE seq = ?", (number,)).fetchone()
            new.execute("DELETE FROM entry WHERE seq = ?", (number,))
            new.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?)", (*row[:8], right))
        chain = self._chain_at(carried.head)
        if chain is None:
            chain = ledger[2] if ledger and ledger[1] == carried.head else self._chain_at(max(newest, anchored))
        carried.head_chain = chain or CHAIN_START
        (carried.entries,) = new.execute("SELECT count(*) FROM entry").fetchone()
        carried.missing = self._missing()
        clocks = [row[0] for row in self._small["age_mark"]] + [row[2] for row in self._small["audit"]]
        carried.operating_ms = ledger[5] if ledger else max(clocks, default=0)
        new.executemany("INSERT INTO purged VALUES (?,?,?)", carried.anchors)
        new.execute(
            "UPDATE ledger SET head_seq = ?1, head_chain = ?2, accepted = ?1, purged = ?3, operating_ms = ?4",
            (
                carried.head,
                carried.head_chain,
                sum(last - first + 1 for first, last, _ in carried.anchors),
                carried.operating_ms,
            ),
        )

    def _holds_entries(self, anchor: tuple[int, int, bytes]) -> bool:
        row = self._new.execute("SELECT 1 FROM entry WHERE seq BETWEEN ? AND ?", anchor[:2]).fetchone()
        return row is not None

    def _missing(self) -> list[Run]:
        """Return the runs that neither an entry nor an anchor accounts for."""
        there = [(first, last) for first, last, _ in self.carried.anchors]
        here = self._new.execute("SELECT seq FROM entry ORDER BY seq")
        runs: list[Run] = []
        at = 0
        for first, last in merge(there, ((seq, seq) for (seq,) in here)):
            if first > at + 1:
                runs.append((at + 1, first - 1))
            at = max(at, last)
        if at < self.carried.head:
            runs.append((at + 1, self.carried.head))
        return runs

    # -- what hangs on the entries

    def _put_audit(self) -> None:
        """Carry the records that their chain, or the record before them, vouches for."""
        number, chain = 0, CHAIN_START
        for row in self._small["audit"]:
            if row[0] <= number:
                continue
            known = row[0] == number + 1
            if known and audit_chain(chain, row[:8]) != row[8]:
                continue
            if not known:
                self.carried.audit_missing.append((number + 1, row[0] - 1))
            self._new.execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?)", row)
            if row[4] == SALVAGED:
                self.carried.announced += Told.of_text(row[7]).missing
            number, chain = row[0], row[8]
        self._new.execute("UPDATE ledger SET audit_number = ?, audit_chain = ?", (number, chain))
        numbers = {
            n for (n,) in self._new.execute("SELECT number FROM audit WHERE action IN (?, 'log_lost')", (SALVAGED,))
        }
        for row in self._small["incident"]:
            if row[0] in numbers and row[1] in (0, 1):
                self._new.execute("INSERT INTO incident VALUES (?,?,?)", row)

    def _put_rest(self) -> None:
        new, carried = self._new, self.carried
        new.executemany("INSERT OR REPLACE INTO state VALUES (?,?,?)", self._small["state"])
        answers = [row for row in self._small["redelivery"] if row[4] <= carried.operating_ms]
        new.executemany("INSERT OR REPLACE INTO redelivery VALUES (?,?,?,?,?,?)", answers)
        marks = [row for row in self._small["age_mark"] if row[0] <= carried.operating_ms and row[1] <= carried.head]
        new.executemany("INSERT OR REPLACE INTO age_mark VALUES (?,?)", marks)
        epochs = [row for row in self._small["epoch"] if row[2].startswith("//") and 0 < row[1] <= carried.head + 1]
        if not epochs:
            epochs = list(self._epochs_told())
        new.executemany("INSERT OR IGNORE INTO epoch VALUES (?,?,?,?,?,?)", epochs)

    def _epochs_told(self) -> Iterator[Values]:
        """Yield the epochs as the entries themselves tell them."""
        told = b""
        for seq, payload in self._new.execute("SELECT seq, payload FROM entry ORDER BY seq"):
            match = _SOURCE.search(payload)
            if match and match[1] != told and match[1].startswith(b"//"):
                told = match[1]
                link = self._chain_at(seq - 1) or CHAIN_START
                yield (None, seq, told.decode("utf-8", "replace"), link, "told by its entries", 0)

    def _put_positions(self) -> None:
        """Carry cursors and quarantine, and count what each upstream was owed and is gone."""
        new, carried = self._new, self.carried
        carried.positions_lost = bool({"cursor", "quarantine"} & self._wreck.unread)
        held: dict[str, list[Values]] = {}
        for row in self._small["quarantine"]:
            if 0 < row[1] <= carried.head and row[4] in ("open", "retry", "delivered", "discarded"):
                held.setdefault(row[0], []).append(row)
        gone = Gone(carried.missing)
        for cursor in self._small["cursor"]:
            cases = held.get(cursor[0], [])
            if not believable(cursor, cases, carried):
                carried.positions_lost = True
                position = self._put_back(cursor, cases)
            else:
                position = _with_losses(cursor, cases, carried, gone)
            new.execute("INSERT INTO cursor VALUES (?,?,?,?,?,?,?,?,?)", (*position, cursor_crc(*position)))
            kept = [case for case in cases if case[4] not in ("open", "retry") or case[1] not in gone]
            new.executemany("INSERT INTO quarantine VALUES (?,?,?,?,?,?)", kept)
            for case in cases:
                if case not in kept:
                    announce(new, case[0], case[1])  # it might have come late, and never will
        self._put_announcements()

    def _put_announcements(self) -> None:
        """Carry what has to be told yet; when that cannot be read everything that is held is told again."""
        due = self._small["announcement"]
        if "announcement" in self._wreck.unread:
            due = self._new.execute("SELECT upstream, seq FROM quarantine WHERE state != 'delivered'").fetchall()
        for upstream, seq in due:
            announce(self._new, upstream, seq)

    def _put_back(self, cursor: Values, cases: Sequence[Values]) -> Values:
        """Return a position before everything that the upstream may lack, with books that begin there."""
        carried = self.carried
        seq = before_all(self._new, required=cursor[2] == 1)
        delivered = {case[1] for case in cases if case[4] == "delivered"}
        here = {s for (s,) in self._new.execute("SELECT seq FROM entry")} if delivered else set()
        discarded = sum(1 for case in cases if case[4] == "discarded")
        kept_discarded = self._count_here(case[1] for case in cases if case[4] == "discarded")
        owed = carried.entries + discarded - kept_discarded
        return (cursor[0], seq, 1 if cursor[2] else 0, carried.head - owed, len(delivered & here), 0, cursor[6], 0)

    def _count_here(self, seqs: Iterable[int]) -> int:
        find = "SELECT 1 FROM entry WHERE seq = ?"
        return sum(1 for seq in seqs if self._new.execute(find, (seq,)).fetchone() is not None)


class Gone:
    """Sequences that have no entry."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs

    def __contains__(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self._runs)

    def within(self, after: int, through: int, known: Sequence[Run]) -> int:
        """Return how many lie above `after` and up to `through` and were not known before."""
        count = 0
        for first, last in self._runs:
            low, high = max(first, after + 1), min(last, through)
            count += max(0, high - low + 1)
            count -= sum(max(0, min(high, b) - max(low, a) + 1) for a, b in known)
        return count


def believable(cursor: Values, cases: Sequence[Values], carried: Carried) -> bool:
    """Whether a position agrees with the books of its upstream: all up to it is delivered, held, or explained."""
    _, seq, required, before, delivered, skipped, _, lost, _ = cursor
    if not is_believable("cursor", cursor):
        return False
    if required not in (0, 1) or min(seq, before, delivered, skipped, lost) < 0 or seq > carried.head:
        return False
    behind = sum(1 for case in cases if case[1] <= seq and case[4] != "delivered")
    # An entry delivered on retry is counted as delivered; one that was held ahead of the cursor is not behind it.
    ahead = sum(1 for case in cases if case[1] > seq and case[4] == "delivered")
    announced = Gone(carried.announced).within(seq, carried.head, ())
    # What an optional upstream was not told of yet is counted as skipped when it leaves.
    left = Gone([(first, last) for first, last, _ in carried.anchors])
    untold = left.within(seq, carried.head, ()) - sum(1 for case in cases if case[1] > seq and case[1] in left)
    return bool(seq == before + delivered - ahead + skipped - untold + lost + behind - announced)


def _with_losses(cursor: Values, cases: Sequence[Values], carried: Carried, gone: Gone) -> Values:
    """Return a position with what is gone and was still owed counted as lost."""
    seq = cursor[1]
    held = {case[1] for case in cases}
    lost = gone.within(seq, carried.head, carried.announced) - sum(1 for one in held if one > seq and one in gone)
    lost += sum(1 for case in cases if case[4] in ("open", "retry") and case[1] in gone)
    return (*cursor[:7], cursor[7] + lost)


def _ledger(rows: Sequence[Values]) -> Values | None:
    """Return the newest ledger that does not contradict itself."""
    believed = [row for row in rows if row[0] == 1 and row[1] == row[3] and 0 <= row[1] < 2**62 and row[5] >= 0]
    return max(believed, key=lambda row: row[1], default=None)


def _sources(epochs: Sequence[Values]) -> frozenset[bytes]:
    return frozenset(row[2].encode() for row in epochs)


def _is_ours(row: Values, sources: frozenset[bytes]) -> bool:
    match = _SOURCE.search(row[6])
    return match is None or not sources or match[1] in sources


def _apart(rows: Sequence[Values]) -> list[tuple[int, int, bytes]]:
    """Return the anchors that do not overlap an earlier one."""
    kept: list[tuple[int, int, bytes]] = []
    for first, last, chain in sorted(rows):
        if first > (kept[-1][1] if kept else 0) and first <= last < 2**62:
            kept.append((first, last, chain))
    return kept


def merge(one: Sequence[Run], other: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs of both, in order."""
    rest = iter(one)
    waiting = next(rest, None)
    for run in other:
        while waiting is not None and waiting < run:
            yield waiting
            waiting = next(rest, None)
        yield run
    while waiting is not None:
        yield waiting
        waiting = next(rest, None)


def chunks(rows: Iterable[Values], size: int) -> Iterator[list[Any]]:
    """Yield the rows in lists."""
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
