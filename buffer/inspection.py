"""Is this file what we left? Asked before anything writes to it, in a bounded time.

SQLite opens a file that is not what it was: it believes a write-ahead log of another database, stops at the first frame
of a log whose checksum fails and forgets the commits behind it, and meets a broken page when it gets there. So at every
open, through a read-only connection that changes nothing, we compare what must agree: the head of the file, the
schema, the generation in the file and in its log, the ledger and the newest entry, the log and what SQLite took of it,
and the page structure as far as the time goes. A large file is looked through to its end later, beside the work
(`look_through`); what is found then, or met by a commit, is left as a note and salvaged at the next start.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from buffer.connection import APPLICATION_ID, fault_at_open, open_reader
from buffer.digest import CHAIN_START
from buffer.errors import OutboxDamaged, OutboxError
from buffer.ledger import SALVAGED_PREFIX
from buffer.lock import Traces
from buffer.migrate import migrate, migrations
from buffer.pages import PAGE_BYTES, WAL_HEAD_BYTES, Frame, current_salt, first_broken_frame, frames
from buffer.row_check import position_rows

CHECK_S = 0.5
"""How long a start may look at the page structure: enough for a few hundred megabytes that are in memory."""
CHECK_STEPS = 20_000
"""Steps of SQLite's machine between two looks at the clock."""
WISH_NAME = "outbox.damage"

_FIXED_HEAD = ((0, b"SQLite format 3\0"), (16, struct.pack(">H", PAGE_BYTES)), (20, b"\0\x40\x20\x20"), (52, bytes(4)),
               (64, bytes(4)))  # fmt: skip
"""Bytes of the head of the file that never change: magic, page size, fractions, no vacuum mode."""
_STATISTICS = ("sqlite_stat1", "sqlite_stat4")
"""What ANALYZE leaves, of a person with a database tool; it decides about nothing but the way a query takes."""
_NO_SCHEMA_YET = bytes(4)
_SCHEMA_FORMAT, _ENCODING = slice(44, 48), slice(56, 60)
_UTF_8 = b"\0\0\0\1"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the files."""

    reason: str
    use_log: bool = True
    """False when the write-ahead log is not of this file: nothing in it is ours."""


def inspect(path: Path, traces: Traces, *, boot: str, monotonic: Callable[[], float]) -> Finding | None:
    """Return what is wrong; None when nothing is, or when there is nothing yet. Writes nothing.

    `traces` is what the last run left in the lock, `boot` names this start of the computer. Raises SchemaNewer,
    OutboxDamaged for a database of another program, OutboxError when the files may not be read.
    """
    wal = path.with_name(path.name + "-wal")
    wish = read_wish(path.parent)
    if wish is not None:
        return Finding(wish)
    size = path.stat().st_size if path.exists() else None
    if not size:
        state = "missing" if size is None else "empty"
        return Finding(f"the outbox file is {state}") if traces.generation or frames(wal) else None
    try:
        return _inspect_file(path, wal, traces, boot, monotonic)
    except sqlite3.Error as error:
        fault = fault_at_open(error, path.parent)
        if not isinstance(fault, OutboxDamaged):
            raise fault from error
        return Finding(str(fault))
    except UnicodeDecodeError:  # SQLite quotes in its message what it could not read
        return Finding("the schema cannot be read")


def _inspect_file(path: Path, wal: Path, traces: Traces, boot: str, monotonic: Callable[[], float]) -> Finding | None:
    heads = frames(wal)
    known = _frames_known(wal) if heads and traces.boot == boot else None
    if (problem := _head_problem(path, has_log=bool(heads))) is not None:
        return Finding(problem)
    with closing(open_reader(path)) as connection:
        _refuse_other_program(connection)
        problem = schema_problem(connection)
        if problem is not None:
            return Finding(problem)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if heads and version >= 3 and (finding := _log_problem(path, connection)) is not None:
            return finding
        if heads and (problem := _lost_commits(wal, heads, known, same_boot=traces.boot == boot)) is not None:
            return Finding(problem)
        if version == 0:
            return Finding("the outbox has no tables any more") if traces.generation else None
        if (problem := books_problem(connection, version)) is not None:
            return Finding(problem)
        end = monotonic() + CHECK_S
        problem = structure_problem(connection, lambda: monotonic() > end)
        return None if problem is None else Finding(problem)


def _head_problem(path: Path, *, has_log: bool) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or any(head[at : at + len(fixed)] != fixed for at, fixed in _FIXED_HEAD):
        return "the head of the file is damaged"
    if head[18:20] not in (b"\1\1", b"\2\2"):
        return "the head of the file is damaged"
    # The encoding comes with the first table; before it, a power cut leaves a new file and not a damaged one.
    if head[_ENCODING] != (_NO_SCHEMA_YET if head[_SCHEMA_FORMAT] == _NO_SCHEMA_YET else _UTF_8):
        return "the head of the file is damaged"
    (pages,) = struct.unpack_from(">I", head, 28)
    if not has_log and pages * PAGE_BYTES > size:
        return f"the file was cut off: it has {size} of {pages * PAGE_BYTES} bytes"
    return None


def _refuse_other_program(connection: sqlite3.Connection) -> None:
    """Raise OutboxDamaged for a file of somebody else: it is not ours to set aside."""
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if found not in (0, APPLICATION_ID) and tables and not tables & {"ledger", "entry"}:
        raise OutboxDamaged("the file is a database of another program", hint="is [storage] path right?")


def schema_problem(connection: sqlite3.Connection) -> str | None:
    """Return what is wrong with tables and version; None for a newer schema, which is refused elsewhere."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    steps = migrations()
    found = set(connection.execute("SELECT type, name, sql FROM sqlite_master"))
    if version > len(steps):
        return "the version of the schema is damaged" if found == _schema_of(len(steps)) else None
    if version and application_id != APPLICATION_ID:
        return "the mark of this program is damaged"
    if not version:
        return None
    if not _schema_of(version) <= found:
        return "the schema is damaged"
    # A trigger or an index of somebody else would have its say in every commit, for what was acknowledged too.
    foreign = sorted(f"{kind} {name}" for kind, name, _ in found - _schema_of(version) if name not in _STATISTICS)
    return f"there is something in it that is not ours: {', '.join(foreign[:5])[:200]}" if foreign else None


_schemas: dict[int, set[tuple[str, str, str]]] = {}


def _schema_of(version: int) -> set[tuple[str, str, str]]:
    if version not in _schemas:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
            migrate(model, migrations()[:version])
            _schemas[version] = set(model.execute("SELECT type, name, sql FROM sqlite_master"))
    return _schemas[version]


_MARKS = "SELECT generation, head_seq, accepted, operating_ms, audit_number FROM ledger"


def _log_problem(path: Path, connection: sqlite3.Connection) -> Finding | None:
    """Compare the ledger in the file with the one in its log: another file's log, or one that is older, shows."""
    generation, *now = connection.execute(_MARKS).fetchone() or ("",)
    try:
        with closing(open_reader(path, immutable=True)) as bare:
            row = bare.execute(_MARKS).fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        return None  # without its log the file may be anything: a checkpoint was under way
    if row is None or not _are_marks(row) or not _are_marks((generation, *now)) or len(row[0]) != len(generation):
        return None
    differing = sum(one != other for one, other in zip(row[0], generation, strict=True))
    if differing > len(generation) // 2:
        return Finding("the write-ahead log belongs to another file", use_log=False)
    if differing:
        return Finding("the generation of the file is damaged")  # a flipped bit; two files differ in nearly all digits
    head, accepted, *others = (before > after for before, after in zip(row[1:], now, strict=True))
    # One number alone may be a flipped bit, too, and the log is worth more than that.
    if (head and accepted) or all(others):
        return Finding("the write-ahead log is older than the file", use_log=False)
    return None


def _are_marks(row: Sequence[object]) -> bool:
    return isinstance(row[0], str) and len(row) == 5 and all(type(value) is int for value in row[1:])


def _lost_commits(wal: Path, heads: list[Frame], known: int | None, *, same_boot: bool) -> str | None:
    """Say whether SQLite left out commits that were on disk. A connection must be open and have read.

    After a mere kill the index of the log still says how many frames the last commit left (`known`). After a power cut
    it is worth nothing; then any part of the commit under way may be missing, but never an earlier one.
    """
    taken = frames_taken(wal)
    if taken is None:
        return None
    if known is not None and known > taken:
        return f"the write-ahead log is damaged: {taken} of {known} frames can be read"
    salt = current_salt(wal, heads)
    commits = [
        number for number, frame in enumerate(heads) if number >= taken and frame.ends_commit and frame.salt == salt
    ]
    if not commits:
        return None
    broken = first_broken_frame(wal, heads, taken)
    if len(commits) > 1 or (same_boot and broken < commits[0]):
        return f"the write-ahead log is damaged at frame {broken + 1}: {len(commits)} commits behind it were on disk"
    return None


def _frames_known(wal: Path) -> int | None:
    """Return how many frames the index of the log knows, as a kill left it; None when it cannot tell.

    The index (walformat.html 1.1) begins with two equal copies of its head: frames at byte 16, the salt at byte 32.
    """
    with wal.open("rb") as file:
        log_head = file.read(WAL_HEAD_BYTES)
    try:
        index = wal.with_name(wal.name.removesuffix("-wal") + "-shm").read_bytes()[:96]
    except FileNotFoundError:
        return None
    if len(index) < 96 or index[:48] != index[48:] or index[32:40] != log_head[16:24]:
        return None
    return int(struct.unpack("=I", index[16:20])[0])


def frames_taken(wal: Path) -> int | None:
    """Return how many frames of the log SQLite took, as it noted in the index of the log when it opened it."""
    try:
        descriptor = os.open(wal.with_name(wal.name.removesuffix("-wal") + "-shm"), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        head = os.pread(descriptor, 24, 0)
    finally:
        os.close(descriptor)
    return struct.unpack("=I", head[16:20])[0] if len(head) == 24 else None


def books_problem(connection: sqlite3.Connection, version: int) -> str | None:
    """Return what does not agree between ledger, entries and the small tables, all of which must be readable."""
    row = connection.execute("SELECT head_seq, head_chain, accepted FROM ledger").fetchone()
    if row is None:
        return "the ledger is empty"
    head, chain, accepted = row
    if accepted != head:
        return "the ledger contradicts itself"
    newest = connection.execute("SELECT seq, chain FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    seq, newest_chain = newest or (0, chain)
    if seq > head or (seq == head and newest_chain != chain):
        return "the newest entry is not the one the ledger knows"
    if seq < head and not _is_accounted_for(connection, seq + 1, head):
        return f"entries {seq + 1} to {head} are missing"
    tables = ["epoch", "purged", "age_mark", *(("cursor", "quarantine") if version >= 2 else ())]
    tables += ["announcement"] if version >= 7 else []
    for table in tables:
        connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    if version >= 5:
        try:
            position_rows(connection)
        except OutboxDamaged as damage:
            return str(damage)
    return _audit_problem(connection) if version >= 3 else None


def _audit_problem(connection: sqlite3.Connection) -> str | None:
    newest = connection.execute("SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    known = connection.execute("SELECT audit_number, audit_chain FROM ledger").fetchone()
    if known != (newest or (0, CHAIN_START)):
        return "the newest audit record is not the one the ledger knows"
    return None


def _is_accounted_for(connection: sqlite3.Connection, first: int, last: int) -> bool:
    """Whether retention removed a run, or a salvage has told of it (its epoch begins behind it, or is about to)."""
    (anchored,) = connection.execute("SELECT coalesce(max(last_seq), 0) FROM purged").fetchone()
    (begun,) = connection.execute("SELECT coalesce(max(first_seq), 1) FROM epoch").fetchone()
    (wanted,) = connection.execute("SELECT coalesce(epoch_wanted, '') FROM ledger").fetchone()
    return bool(max(anchored, begun - 1) >= last >= first) or wanted.startswith(SALVAGED_PREFIX)


def structure_problem(connection: sqlite3.Connection, is_over: Callable[[], bool]) -> str | None:
    """Return the first problem of the page structure; None when there is none, or when the time is over."""
    connection.set_progress_handler(is_over, CHECK_STEPS)
    try:
        (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return None if told == "ok" else f"the pages of the file do not fit together ({told.splitlines()[-1]})"


def look_through(path: Path, is_over: Callable[[], bool]) -> str | None:
    """Look at the whole page structure on a connection of its own; return the first problem. Minutes on a large one."""
    try:
        with closing(open_reader(path)) as connection:
            return structure_problem(connection, is_over)
    except sqlite3.Error as error:
        fault = fault_at_open(error)
        return str(fault) if isinstance(fault, OutboxDamaged) else None
    except UnicodeDecodeError:
        return "the schema cannot be read"


def read_wish(folder: Path) -> str | None:
    """Return why the last run wanted a salvage; None when it did not."""
    try:
        return (folder / WISH_NAME).read_text(encoding="utf-8", errors="replace").strip() or "damage was met"
    except FileNotFoundError:
        return None


def leave_wish(folder: Path, reason: str) -> None:
    """Have the next start salvage, whatever it finds. Raises OutboxError when not even that can be written."""
    try:
        descriptor = os.open(folder / WISH_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{reason}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutboxError(f"damage cannot be noted in {folder}: {error.strerror}") from error
