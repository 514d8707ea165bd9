"""Restore: a backup takes the place of what is in a folder, and what was there is kept aside.

    1  outbox.restore is written: the backup, brought to this program's schema, with what a restore changes in it
    2  it is flushed, and renamed to outbox.restored-STAMP: from here on the restore is decided
    3  the files that were there move, one by one, into the folder replaced-STAMP; they are never deleted
    4  outbox.restored-STAMP becomes outbox.db

A kill before 2 leaves the outbox as it was; a kill after it is completed by the next start, like that of a salvage.

What a restore changes. **Epoch**: the next open begins a new one, behind the last sequence of the backup, since the
sequences after it were given out once, under the old source. **Positions**: those of the backup; what the centre got
since is sent again, under the ids it knows. **State**: forgotten but for what deliveries keep. A station session of
last week explains no scan of today, and a PLC counter that is read against a value of last week would count the parts
in between a second time; a counter begins with a new baseline instead. **Generation**: a new one, so that a log of the
file that was there is never taken for one of this.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from buffer import audit
from buffer.connection import DATABASE_NAME, fault_at_open
from buffer.errors import OutboxDamaged, OutboxFull, OutboxMissing
from buffer.inspection import books_problem, schema_problem
from buffer.ledger import ChainHead, read_epochs, read_ledger
from buffer.lock import FolderLock
from buffer.migrate import migrate, migrations, require_known, version_of
from buffer.ownership import adopt
from buffer.pages import PAGE_BYTES
from buffer.reader import OutboxReader
from buffer.salvage import REPLACED_PREFIX, RESTORED_PREFIX, SUFFIXES, complete, free_stamp
from buffer.snapshot import sync_file
from buffer.verify import verify

DRAFT_NAME = "outbox.restore"
RESTORED = "outbox_restored"
EPOCH_REASON = "restored from a backup"
KEPT_STATE = ("sync/",)
"""What deliveries remember of their centres; all other state is about a present that is over."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    head: ChainHead
    """Newest link of the journal in the backup."""
    replaced: str
    """Name of the folder with the files that were there; empty when there were none."""


@dataclass(frozen=True, slots=True)
class Present:
    """What lies where a backup is to be restored, or where everything is to be wiped."""

    head: ChainHead
    pending: dict[str, int]
    """Events that an upstream does not have yet, by upstream."""
    quarantined: dict[str, int]
    """Events in quarantine that nobody decided about, by upstream."""

    @property
    def undelivered(self) -> int:
        """Events that some upstream does not have: the most that any single one is owed, and its quarantine."""
        owed = [self.pending[name] + self.quarantined[name] for name in self.pending]
        return max(owed, default=self.head.seq)


def present(folder: Path) -> Present | None:
    """Return what the outbox in a folder holds; None when there is none. Raises OutboxDamaged, SchemaNewer."""
    try:
        reader = OutboxReader.open(folder)
    except OutboxMissing:
        if (folder / DATABASE_NAME).is_file() and (folder / DATABASE_NAME).stat().st_size:
            raise
        return None
    with closing(reader):
        books = {one.upstream: reader.census(one.upstream) for one in reader.upstreams()}
        return Present(
            reader.head_of_chain(),
            {name: census.pending for name, census in books.items()},
            {name: census.quarantined for name, census in books.items()},
        )


def restore(folder: Path, backup: Path, *, at: int, actor: str, accept_damage: bool = False) -> Restored:
    """Put the outbox in the file `backup` in the place of what is in `folder`; return once that is on disk.

    `at` is the wall clock, milliseconds since 1970 UTC; `actor` goes into the audit. Raises OutboxLocked while a daemon
    runs, OutboxDamaged for a file that is no whole backup, SchemaNewer, OutboxFull. Whatever is raised, the outbox that
    was there is as it was.
    """
    lock = FolderLock(folder)
    try:
        complete(folder)  # a salvage or restore that was decided comes first
        stamp = free_stamp(folder, at, REPLACED_PREFIX)
        is_replacing = any((folder / (DATABASE_NAME + suffix)).exists() for suffix in SUFFIXES)
        replaced = REPLACED_PREFIX + stamp if is_replacing else ""
        draft = folder / DRAFT_NAME
        for suffix in SUFFIXES:
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
        try:
            head = _write_draft(draft, backup, replaced, at=at, actor=actor, accept_damage=accept_damage)
            sync_file(draft)
            draft.rename(folder / (RESTORED_PREFIX + stamp))
            sync_file(folder)
        finally:
            draft.unlink(missing_ok=True)
        complete(folder)
    finally:
        lock.release()
    return Restored(head, replaced)


def _write_draft(draft: Path, backup: Path, replaced: str, *, at: int, actor: str, accept_damage: bool) -> ChainHead:
    _copy(backup, draft)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as new:
            # Not durable until it is flushed as a whole; nobody looks at it before.
            new.execute("PRAGMA journal_mode = MEMORY")
            new.execute("PRAGMA synchronous = OFF")
            new.execute("PRAGMA trusted_schema = OFF")
            _require_ours(new)
            migrate(new)
            if not accept_damage:
                _require_whole(new)
            head = _begin_anew(new, replaced, at=at, actor=actor)
            # Now, and not at the next start: nothing may be half done to a file once it has its name.
            new.execute("PRAGMA journal_mode = WAL")
            return head
    except sqlite3.Error as error:
        fault = fault_at_open(error)
        if isinstance(fault, OutboxDamaged):
            raise OutboxDamaged(f"{backup} is not a whole backup: {fault}") from error
        raise fault from error


def _copy(backup: Path, draft: Path) -> None:
    needed = backup.stat().st_size
    if shutil.disk_usage(draft.parent).free < needed:
        raise OutboxFull(f"{needed} bytes are needed in {draft.parent}", hint="free space on that disk")
    with backup.open("rb") as source:
        head = source.read(20)
        if not head.startswith(b"SQLite format 3\0") or int.from_bytes(head[16:18], "big") != PAGE_BYTES:
            raise OutboxDamaged(f"{backup} is not a backup of an outbox")
        source.seek(0)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            adopt(draft)
            shutil.copyfileobj(source, target, 1024 * 1024)


def _require_ours(new: sqlite3.Connection) -> None:
    version = version_of(new)
    require_known(version, len(migrations()))
    if version == 0:
        raise OutboxDamaged("it has no tables")
    problem = schema_problem(new) or books_problem(new, version)
    if problem is not None:
        raise OutboxDamaged(problem)


def _require_whole(new: sqlite3.Connection) -> None:
    found = verify(new)
    if not found.is_whole:
        raise OutboxDamaged(
            f"the journal in the backup does not prove: {found.problems[0]}",
            hint="--with-damage restores it all the same",
        )


def _begin_anew(new: sqlite3.Connection, replaced: str, *, at: int, actor: str) -> ChainHead:
    """Change in the copy what a restore changes, in one transaction; returns the head of the backup."""
    new.execute("BEGIN")
    ledger, epochs = read_ledger(new), read_epochs(new)
    head = ChainHead(epochs[-1].source if epochs else "", ledger.head_seq, ledger.head_chain.hex())
    _forget_state(new, KEPT_STATE)
    detail = {"head": f"{head.source}:{head.seq}:{head.chain_hex}", "replaced": replaced}
    audit.record(new, at=at, operating_ms=ledger.operating_ms, actor=actor, action=RESTORED, detail=json.dumps(detail))
    # A wish of the backup's own stays in front: what a salvage announced is accounted for by it.
    new.execute(
        "UPDATE ledger SET in_use = 0, generation = lower(hex(randomblob(16))),"
        " epoch_wanted = coalesce(epoch_wanted || '; ', '') || ?",
        (EPOCH_REASON,),
    )
    new.execute("COMMIT")
    return head


def _forget_state(new: sqlite3.Connection, kept: Sequence[str]) -> None:
    for (key,) in new.execute("SELECT key FROM state").fetchall():
        if not key.startswith(tuple(kept)):
            new.execute("DELETE FROM state WHERE key = ?", (key,))
