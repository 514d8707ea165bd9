"""The schema: forward only, all or nothing, by `user_version`.

Each file `sql/NNNN_*.sql` takes the schema from version NNNN-1 to NNNN in one transaction. A file written by a newer
version is refused untouched, because an older program cannot know what it would break.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from buffer.connection import APPLICATION_ID, fault_of
from buffer.errors import OutboxDamaged, SchemaNewer
from buffer.row_check import offer_checks


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return every step, in order, without gaps."""
    found = [
        Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in files("buffer").joinpath("sql").iterdir()
        if file.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.version)
    assert [step.version for step in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return found


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of an open file; raises OutboxDamaged when it is another program's database."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id not in (0, APPLICATION_ID):
        raise OutboxDamaged("the file is a database of another program")
    return int(version)


def require_known(version: int, newest: int) -> None:
    """Raise SchemaNewer when the file is from a later version of this program."""
    if version > newest:
        raise SchemaNewer(
            f"the outbox has schema {version}, this program knows {newest}",
            hint="install the newer version again; the outbox was not touched",
        )


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration] | None = None) -> list[str]:
    """Bring the schema up to date; returns the names of the steps that were taken."""
    steps = migrations() if steps is None else steps
    version = version_of(connection)
    require_known(version, len(steps))
    offer_checks(connection)
    taken = []
    for step in steps[version:]:
        # user_version is in the same transaction as the tables: a power cut leaves the old schema or the new one.
        script = (
            f"BEGIN IMMEDIATE;\n{step.sql}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {step.version};\nCOMMIT;"
        )
        try:
            connection.executescript(script)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise fault_of(error) from error
        taken.append(step.name)
    return taken
