"""A backup: one file with the whole outbox as of one commit, which counts only after it was restored and proved.

The copy is taken by a read-only connection in one read transaction (`VACUUM INTO`): it writes nothing to the outbox and
does not checkpoint, so it may run beside the daemon's one writer. Commits go on meanwhile; the write-ahead log grows
until the copy is whole.

    1  .NAME.partial is written beside the target, for its owner only
    2  it is restored into a folder of its own, opened as a start would open it, and the journal is verified
    3  it is flushed and renamed to NAME

A kill at any point leaves the outbox as it was and no file under the target's name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from buffer.connection import DATABASE_NAME, fault_at_open, open_reader
from buffer.errors import OutboxDamaged, OutboxError
from buffer.ledger import ChainHead, read_epochs
from buffer.limits import Limits
from buffer.opening import close_files, open_files
from buffer.restore import restore
from buffer.salvage import KEPT_PREFIX
from buffer.snapshot import snapshot, sync_file
from buffer.verify import Verification

Progress = Callable[[int, int], None]
"""Told (sequence reached, last sequence) while a journal is verified."""
PARTIAL_SUFFIX = ".partial"
TRIAL_INFIX = ".trial-"
CHUNK_BYTES = 1024 * 1024
_NO_RESERVE = Limits(disk_reserve_bytes=0)
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system says that knows no second name for a file: FAT and exFAT, which sticks have, and shares."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a trial start needs to know of time; nothing it does with it outlives the trial."""

    wall: Callable[[], int]
    """Milliseconds since 1970 UTC."""
    monotonic: Callable[[], float]
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What opening and verifying a copy found."""

    head: ChainHead
    """Newest link of the journal in the copy: keep it, it proves later that the copy is the one that was made."""
    schema_before: int
    """Schema version of the copy."""
    schema_after: int
    """Schema version this program gave it."""
    journal: Verification
    """`problems` is empty when all is well."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A backup that counts."""

    file: Path
    size_bytes: int
    sha256: str
    proof: Proof


def back_up(
    folder: Path, target: Path, *, clocks: Clocks, accept_damage: bool = False, progress: Progress | None = None
) -> Receipt:
    """Write a proved copy of the outbox in `folder` to `target`; return once it is on disk under that name.

    The daemon may run. `accept_damage` keeps a copy whose journal has problems; the receipt names them.
    Raises OutboxMissing, OutboxDamaged, SchemaNewer, OutboxFull (no room), FileExistsError.
    """
    partial = reserve(target)
    try:
        snapshot(folder, partial)
        return admit(partial, target, clocks=clocks, accept_damage=accept_damage, progress=progress)
    finally:
        partial.unlink(missing_ok=True)


def reserve(target: Path) -> Path:
    """Return the name the copy is written under until it counts, free of what an earlier try left.

    Raises FileExistsError: a backup never overwrites anything.
    """
    _require_free(target)
    partial = target.with_name(f".{target.name}{PARTIAL_SUFFIX}")
    partial.unlink(missing_ok=True)
    for left_over in target.parent.glob(f".{target.name}{TRIAL_INFIX}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    return partial


def admit(
    partial: Path, target: Path, *, clocks: Clocks, accept_damage: bool = False, progress: Progress | None = None
) -> Receipt:
    """Prove the copy at `partial` by restoring it, and give it its name. Raises as `back_up` does."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}{TRIAL_INFIX}", dir=target.parent) as name:
        trial = Path(name)
        restore(trial, partial, at=clocks.wall(), actor="trial", accept_damage=True)
        proof = prove(trial, clocks=clocks, progress=progress)
    if not proof.journal.is_whole and not accept_damage:
        first = proof.journal.problems[0]
        raise OutboxDamaged(f"the copy does not prove: {first}", hint="dockline audit verify names every problem")
    sync_file(partial)
    receipt = Receipt(target, partial.stat().st_size, digest_of(partial), proof)
    _name(partial, target)
    sync_file(target.parent)
    return receipt


def _name(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)  # unlike a rename it never replaces what somebody put there meanwhile
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _require_free(target)
        partial.rename(target)
    else:
        partial.unlink()


def _require_free(target: Path) -> None:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "exists already; a backup overwrites nothing", str(target))


def prove(trial: Path, *, clocks: Clocks, progress: Progress | None = None) -> Proof:
    """Open the copy of an outbox in the folder `trial` as a start would, migrate it, and verify its journal.

    Raises what a start would: SchemaNewer, OutboxDamaged; OutboxDamaged also when it would have to be salvaged.
    """
    try:
        with closing(open_reader(trial / DATABASE_NAME)) as before:
            (version,) = before.execute("PRAGMA user_version").fetchone()
            epochs = read_epochs(before)
            row = before.execute("SELECT head_seq, head_chain FROM ledger").fetchone()
    except sqlite3.Error as error:
        raise fault_at_open(error) from error
    source = epochs[-1].source if epochs else "//new/new/none"
    opened = open_files(
        trial,
        source=source.rpartition("/")[0],
        limits=_NO_RESERVE,
        wall=clocks.wall,
        monotonic=clocks.monotonic,
        new_epoch=lambda: "trial",
    )
    try:
        if any(trial.glob(f"{KEPT_PREFIX}*")):
            raise OutboxDamaged("the copy is damaged: a start would have to salvage it")
        (after,) = opened.writer.connection.execute("PRAGMA user_version").fetchone()
        _require_sound(opened.writer.connection)
        journal = opened.reader.verify(progress)
    finally:
        close_files(opened)
    return Proof(ChainHead(source, row[0], row[1].hex()), version, after, journal)


def _require_sound(connection: sqlite3.Connection) -> None:
    (told,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if told != "ok":
        raise OutboxDamaged(f"the pages of the copy do not fit together ({told})")


def rehearse(folder: Path, *, clocks: Clocks, progress: Progress | None = None) -> Proof:
    """Have this program take over a copy of the outbox in `folder`, which is not changed; the daemon may run.

    The copy lies in the folder itself while that lasts, and needs as much room as the outbox has.
    Raises OutboxMissing, SchemaNewer, OutboxDamaged, OutboxFull.
    """
    prefix = "rehearsal-"
    for left_over in folder.glob(f"{prefix}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as name:
        snapshot(folder, Path(name) / DATABASE_NAME)
        proof = prove(Path(name), clocks=clocks, progress=progress)
    if not proof.journal.is_whole:
        raise OutboxError(
            f"the journal does not prove: {proof.journal.problems[0]}", hint="dockline audit verify names every problem"
        )
    return proof


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
