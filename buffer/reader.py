"""Reading the outbox: read-only connections, for the daemon's own queries and for commands when no daemon runs.

Several threads may call; a lock lets one query at a time use the connection. Every answer comes from one snapshot.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from buffer import audit, quarantine
from buffer.audit import AuditRecord
from buffer.census import Census, Segments, take_census
from buffer.connection import DATABASE_NAME, fault_at_open, fault_of, open_reader
from buffer.delivery import Position
from buffer.entry import Entry
from buffer.errors import OutboxMissing, UpstreamUnknown
from buffer.head import HeadRead, gaps_between, read_announcements, read_head
from buffer.incident import Incident, incidents
from buffer.ledger import ChainHead, Epoch, Ledger, read_epochs, read_ledger, source_at
from buffer.migrate import migrations, require_known, version_of
from buffer.quarantine import QuarantineCase, Quarantined, QuarantineReason, QuarantineState
from buffer.row_check import position_row
from buffer.settlement import Settlement, settlements
from buffer.verify import Verification, verify

_COLUMNS = "seq, id, type, station, device, captured_at, payload, digest, chain"
_SELECT = f"""
SELECT {_COLUMNS} FROM entry
WHERE seq >= :seq_from AND seq <= :seq_to
  AND (:type IS NULL OR type = :type)
  AND (:station IS NULL OR station = :station)
  AND (:device IS NULL OR device = :device)
  AND (:captured_from IS NULL OR captured_at >= :captured_from)
  AND (:captured_before IS NULL OR captured_at < :captured_before)
  AND (:contains IS NULL OR instr(payload, :contains))
"""  # noqa: S608 - only constants are joined; every value is bound
_OLDEST_FIRST = _SELECT + "ORDER BY seq LIMIT :limit"
_NEWEST_FIRST = _SELECT + "ORDER BY seq DESC LIMIT :limit"
SEQ_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to list; what is None does not matter."""

    type: str | None = None
    station: str | None = None
    device: str | None = None
    seq_from: int = 1
    seq_to: int = SEQ_MAX
    captured_from: int | None = None
    """Wall clock, milliseconds since 1970 UTC, inclusive."""
    captured_before: int | None = None
    """Wall clock, milliseconds since 1970 UTC, exclusive."""
    contains: bytes | None = None
    """Bytes that the payload holds somewhere. No index helps: bound the sequences."""
    limit: int = 100
    bytes_max: int | None = None
    """The entry whose payload brings all of them to so many bytes is the last."""
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    """How many entries a filter lets through."""

    count: int
    first: int | None
    """Lowest sequence; None when there is none."""
    last: int | None


def _values(wanted: EntryFilter) -> dict[str, str | int | bytes | None]:
    return {
        "seq_from": wanted.seq_from,
        "seq_to": wanted.seq_to,
        "type": wanted.type,
        "station": wanted.station,
        "device": wanted.device,
        "captured_from": wanted.captured_from,
        "captured_before": wanted.captured_before,
        "contains": wanted.contains,
    }


class OutboxReader:
    """A read-only view of one outbox file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._segments = Segments()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the outbox of a folder without a daemon.

        Raises OutboxMissing, SchemaNewer, OutboxDamaged.
        """
        path = folder / DATABASE_NAME
        # Next to an empty file SQLite would delete the log, which may hold all there is.
        if not path.is_file() or not path.stat().st_size:
            raise OutboxMissing(f"there is no outbox in {folder}", hint="is [storage] path right? has the daemon run?")
        try:
            connection = cls._connect(path)
        except sqlite3.Error as error:
            raise fault_at_open(error) from error
        with ExitStack() as on_failure:
            on_failure.callback(connection.close)
            cls._require_current(connection, folder)
            on_failure.pop_all()
        return cls(connection)

    @staticmethod
    def _require_current(connection: sqlite3.Connection, folder: Path) -> None:
        version, newest = version_of(connection), len(migrations())
        require_known(version, newest)
        if version < newest:
            raise OutboxMissing(
                f"the outbox in {folder} has schema {version}, this program reads {newest}",
                hint="start the daemon once: it brings the outbox up to date",
            )

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        try:
            return open_reader(path)
        except sqlite3.OperationalError:
            # A user who may not write in the folder cannot make the index of the write-ahead log. Without a log to
            # read none is needed.
            wal = path.with_name(path.name + "-wal")
            if wal.exists() and wal.stat().st_size > 0:
                raise
            return open_reader(path, immutable=True)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN")
                try:
                    yield self._connection
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise fault_of(error) from error

    def ledger(self) -> Ledger:
        """Return where the outbox is."""
        with self._snapshot() as connection:
            return read_ledger(connection)

    def epochs(self) -> list[Epoch]:
        """Return every epoch, oldest first."""
        with self._snapshot() as connection:
            return read_epochs(connection)

    def head_of_chain(self) -> ChainHead:
        """Return the newest link of the journal."""
        with self._snapshot() as connection:
            ledger, epochs = read_ledger(connection), read_epochs(connection)
        return ChainHead(source_at(epochs, ledger.head_seq), ledger.head_seq, ledger.head_chain.hex())

    def upstreams(self) -> list[Position]:
        """Return every registered upstream and how far it is."""
        with self._snapshot() as connection:
            rows = connection.execute("SELECT upstream, seq, required, delivered, skipped FROM cursor").fetchall()
        return [Position(name, seq, bool(required), done, skipped) for name, seq, required, done, skipped in rows]

    def cursor(self, upstream: str) -> int:
        """Return the position of an upstream; raises UpstreamUnknown."""
        with self._snapshot() as connection:
            row = position_row(connection, upstream)
        if row is None:
            raise UpstreamUnknown(f"no upstream {upstream!r} is registered")
        return int(row[1])

    def head(self, upstream: str, *, after: int, count_max: int, bytes_max: int) -> HeadRead:
        """Return what is next for an upstream; see `head.read_head`."""
        with self._snapshot() as connection:
            return read_head(connection, upstream, after=after, count_max=count_max, bytes_max=bytes_max)

    def announcements(self, upstream: str, count_max: int) -> list[Entry]:
        """Return gap entries that come behind their place; see `head.read_announcements`."""
        with self._snapshot() as connection:
            return read_announcements(connection, upstream, count_max)

    def retries(self, upstream: str, count_max: int) -> list[Entry]:
        """Return entries that a person asked to send again, oldest first."""
        with self._snapshot() as connection:
            return quarantine.retries(connection, upstream, count_max)

    def entry(self, id_or_seq: str | int) -> Entry | None:
        """Return one entry by its event id or its sequence; None when it is not here.

        An id is looked for from the newest entry backwards: there is no index on it, for the sake of every insert.
        """
        query = (
            f"SELECT {_COLUMNS} FROM entry WHERE seq = ?"  # noqa: S608
            if isinstance(id_or_seq, int)
            else f"SELECT {_COLUMNS} FROM entry WHERE id = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
        )
        with self._snapshot() as connection:
            row = connection.execute(query, (id_or_seq,)).fetchone()
        return None if row is None else Entry(*row)

    def entries(self, wanted: EntryFilter) -> list[Entry]:
        """Return the entries that the filter lets through, at most its limits."""
        values = {**_values(wanted), "limit": wanted.limit}
        found: list[Entry] = []
        size = 0
        with self._snapshot() as connection:
            for row in connection.execute(_NEWEST_FIRST if wanted.newest_first else _OLDEST_FIRST, values):
                found.append(Entry(*row))
                size += len(found[-1].payload)
                if wanted.bytes_max is not None and size >= wanted.bytes_max:
                    break
        return found

    def gaps(self, first: int, last: int) -> list[Entry]:
        """Return gap entries for sequences that have no row, all of them; see `head.gaps_between`."""
        with self._snapshot() as connection:
            return gaps_between(connection, first, last)

    def tally(self, wanted: EntryFilter) -> Tally:
        """Count the entries that the filter lets through; its limit does not count."""
        with self._snapshot() as connection:
            row = connection.execute(f"SELECT count(*), min(seq), max(seq) FROM ({_SELECT})", _values(wanted))  # noqa: S608
            return Tally(*row.fetchone())

    def quarantine_list(
        self,
        upstream: str | None = None,
        *,
        state: QuarantineState | None = None,
        reason: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Quarantined]:
        """Return quarantined entries by upstream and seq; see `quarantine.cases`."""
        with self._snapshot() as connection:
            return quarantine.cases(connection, upstream=upstream, state=state, reason=reason, after=after, limit=limit)

    def quarantine_reasons(
        self,
        upstream: str | None = None,
        *,
        state: QuarantineState | None = None,
        reason: str | None = None,
        limit: int = 20,
    ) -> tuple[int, list[QuarantineReason]]:
        """Return how many are quarantined and for what; see `quarantine.reasons`."""
        with self._snapshot() as connection:
            return quarantine.reasons(connection, upstream=upstream, state=state, reason=reason, limit=limit)

    def quarantine_show(self, upstream: str, seq: int) -> QuarantineCase | None:
        """Return everything about one quarantined entry; None when it is not in quarantine."""
        with self._snapshot() as connection:
            found = quarantine.cases(connection, upstream=upstream, seq=seq)
            if not found:
                return None
            row = connection.execute(f"SELECT {_COLUMNS} FROM entry WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
            history = quarantine.history(connection, upstream, seq)
        return QuarantineCase(found[0], None if row is None else Entry(*row), history)

    def settlements(self, seq: int) -> list[Settlement]:
        """Return what became of an entry with every upstream, and when; see `settlement`."""
        with self._snapshot() as connection:
            return settlements(connection, seq)

    def incidents(self, *, unacknowledged_only: bool = False) -> list[Incident]:
        """Return the incidents, oldest first."""
        with self._snapshot() as connection:
            return incidents(connection, unacknowledged_only=unacknowledged_only)

    def audit_list(self, *, after: int | None = None, limit: int = 1000) -> list[AuditRecord]:
        """Return the first audit records with a number above `after`, or the newest without it; oldest first."""
        with self._snapshot() as connection:
            return audit.records(connection, after=after, limit=limit)

    def census(self, upstream: str, *, fresh: bool = False) -> Census:
        """Return the books of one upstream; `fresh` trusts no remembered count. Raises UpstreamUnknown."""
        with self._snapshot() as connection:
            return take_census(connection, upstream, self._segments, fresh=fresh)

    def verify(
        self, progress: Callable[[int, int], None] | None = None, heads: Sequence[ChainHead] = ()
    ) -> Verification:
        """Prove the journal, and that it holds `heads` that were kept elsewhere; minutes on a large outbox."""
        with self._snapshot() as connection:
            return verify(connection, progress, heads)
