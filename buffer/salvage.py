"""Salvage: a damaged outbox never keeps the gateway from starting, and nothing readable in it is given up.

The order of the steps makes it safe to be killed between any two of them:

    1  outbox.salvage is written: a new file with everything that can be carried, and an incident that says so
    2  it is flushed, and renamed to outbox.salvaged-STAMP: from here on the salvage is decided
    3  the damaged files move, one by one, into the folder damaged-STAMP; they are never deleted
    4  outbox.salvaged-STAMP becomes outbox.db; the note that asked for the salvage is removed

A kill before 2 leaves the damaged files where they were, and the next start begins again; a kill after it is completed
by the next start. Every rename is made durable (fsync of the folder) before the next step counts on it.

Sequences. Entries keep theirs, and their payload names the source they had. What cannot be carried is announced to
every upstream that was owed it, as gap records "missing". The next epoch begins behind the highest sequence known, so
no sequence is ever given out twice under one source, and its link is the newest readable head of the chain.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from buffer.carrying import Carrier
from buffer.connection import DATABASE_NAME, fault_of
from buffer.errors import OutboxFull
from buffer.incident import SALVAGED, Run, Told, record_incident
from buffer.inspection import WISH_NAME, Finding
from buffer.ledger import SALVAGED_PREFIX
from buffer.migrate import migrate
from buffer.ownership import adopt
from buffer.wreck import Wreck

DRAFT_NAME = "outbox.salvage"
DECIDED_PREFIX = "outbox.salvaged-"
KEPT_PREFIX = "damaged-"
RESTORED_PREFIX = "outbox.restored-"
REPLACED_PREFIX = "replaced-"
EXCHANGES = ((DECIDED_PREFIX, KEPT_PREFIX), (RESTORED_PREFIX, REPLACED_PREFIX))
"""What a new file is called once it is decided that it takes the outbox's place, and where the old one then goes."""
SUFFIXES = ("-journal", "-wal", "-shm", "")
"""The file itself last: as long as it is in its place, what lies beside it is its own."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_000


def salvage(folder: Path, finding: Finding, *, at: int) -> None:
    """Replace the damaged outbox of a folder by what can be carried of it, and keep the damaged files.

    `at` is the wall clock, milliseconds since 1970 UTC. Raises OutboxFull when there is no room for the new file.
    """
    stamp = free_stamp(folder, at, KEPT_PREFIX)
    draft = folder / DRAFT_NAME
    for suffix in SUFFIXES:
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    try:
        _write_draft(draft, folder / DATABASE_NAME, finding, kept_as=KEPT_PREFIX + stamp, at=at)
        _sync(draft)
        draft.rename(folder / (DECIDED_PREFIX + stamp))
        _sync(folder)
    except sqlite3.Error as error:
        fault = fault_of(error)
        hint = "free space on the disk of [storage] path: the outbox is damaged and is carried into a new file"
        raise OutboxFull(str(fault), hint=hint) if isinstance(fault, OutboxFull) else fault from error
    except OSError as error:
        raise OutboxFull(f"the outbox cannot be salvaged: {error.strerror}", hint="check the disk") from error
    complete(folder)


def complete(folder: Path) -> bool:
    """Finish a salvage or a restore that was decided; returns whether there was one."""
    found = [(new, kept) for decided, kept in EXCHANGES for new in sorted(folder.glob(decided + "*"))]
    if not found:
        return False
    new, prefix = found[0]
    kept = folder / (prefix + new.name.partition("-")[2])
    old = [path for suffix in SUFFIXES if (path := folder / (DATABASE_NAME + suffix)).exists()]
    if old:
        kept.mkdir(mode=0o700, exist_ok=True)
        adopt(kept)
        _sync(folder)
    for path in old:
        path.rename(kept / path.name)
        _sync(kept)
        _sync(folder)
    (folder / WISH_NAME).unlink(missing_ok=True)
    _sync(folder)
    new.rename(folder / DATABASE_NAME)
    _sync(folder)
    return True


def _write_draft(draft: Path, damaged: Path, finding: Finding, *, kept_as: str, at: int) -> None:
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    new = sqlite3.connect(draft, isolation_level=None, check_same_thread=False)
    wreck = Wreck(damaged, finding)
    try:
        # Not durable until it is flushed as a whole; nobody looks at it before.
        new.execute("PRAGMA journal_mode = MEMORY")
        new.execute("PRAGMA synchronous = OFF")
        new.execute("PRAGMA foreign_keys = ON")
        migrate(new)
        new.execute("BEGIN")
        carried = Carrier(wreck, new).carry()
        told = Told(
            finding.reason,
            kept_as,
            carried.entries,
            tuple(without(carried.missing, carried.announced)),
            tuple(carried.audit_missing),
            tuple(carried.links_broken),
            carried.positions_lost,
            carried.memory_lost,
        )
        record_incident(new, SALVAGED, told, at=at, operating_ms=carried.operating_ms)
        new.execute("UPDATE ledger SET in_use = 0, epoch_wanted = ?", (f"{SALVAGED_PREFIX}{finding.reason}",))
        new.execute("COMMIT")
        # Now, and not at the next start: nothing may be half done to a file once it has its name.
        new.execute("PRAGMA journal_mode = WAL")
    finally:
        wreck.close()
        new.close()


def without(runs: Sequence[Run], known: Sequence[Run]) -> Iterator[Run]:
    """Yield the parts of `runs` that `known` does not cover."""
    for first, last in runs:
        at = first
        for known_first, known_last in sorted(known):
            if known_last < at or known_first > last:
                continue
            if known_first > at:
                yield at, known_first - 1
            at = known_last + 1
        if at <= last:
            yield at, last


def free_stamp(folder: Path, at: int, prefix: str) -> str:
    """Return a name for this exchange that no other has: the time, and a number when the clock stands still."""
    moment = _EPOCH + timedelta(milliseconds=min(max(at, 0), _LAST_MS))
    stamp = base = moment.strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while (folder / (prefix + stamp)).exists():
        number += 1
        stamp = f"{base}-{number}"
    return stamp


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
