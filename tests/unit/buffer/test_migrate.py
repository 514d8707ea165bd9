"""The schema and its past."""

from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from outbox_rig import SOURCE, Rig, draft

from buffer import OutboxDamaged, OutboxFull, OutboxMissing, OutboxReader, SchemaNewer, StateRow
from buffer.connection import DATABASE_NAME, open_writer
from buffer.migrate import Migration, migrate, migrations, version_of

OLD = Path(__file__).parents[2] / "data" / "outbox"


def restore(folder: Path, dump: str) -> None:
    """Make the database of an old version from its dump."""
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / DATABASE_NAME)
    connection.executescript((OLD / dump).read_text(encoding="utf-8"))
    connection.close()


def test_steps_are_numbered_without_gaps_and_described() -> None:
    steps = migrations()
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.sql.startswith("-- ") for step in steps)


def test_every_column_has_a_sentence() -> None:
    """Whoever opens the file in ten years reads what each column means."""
    lines = [line for step in migrations() for line in step.sql.splitlines()]
    columns = [line for line in lines if line.startswith("    ") and line.split()[1].isupper()]
    columns = [line for line in columns if line.split()[0].islower()]
    assert len(columns) > 30
    assert [line for line in columns if " -- " not in line] == []
    added = [before for before, line in pairwise(lines) if line.startswith("ALTER TABLE")]
    assert len(added) == 7
    assert all(line.startswith("-- ") for line in added)


def test_there_is_an_old_database_for_every_version() -> None:
    assert {path.name for path in OLD.glob("v*.sql")} >= {f"v{step.version}.sql" for step in migrations()}


@pytest.mark.parametrize("version", [step.version for step in migrations()])
@pytest.mark.fault(44)
async def test_an_old_outbox_is_taken_over_whole(tmp_path: Path, version: int) -> None:
    """An upgrade with a full buffer: entries, state and answers are there, numbers go on, the chain verifies."""
    rig = Rig(tmp_path / "state")
    restore(rig.folder, f"v{version}.sql")
    outbox = await rig.open()
    try:
        assert outbox.source == f"{SOURCE}/e1"
        await outbox.register("centre", required=True, start="retained")
        entries = await outbox.head("centre", after=0, count_max=100, bytes_max=10**6)
        assert [(entry.seq, entry.id, entry.gap_reason) for entry in entries] == [
            (number, draft(number).id, None) for number in range(1, 6)
        ]
        assert outbox.states() == [StateRow("session/dock-3", b"PL-1001")]
        assert outbox.redeliveries([("hh-7", "hh-7-000005")])
        await outbox.append([draft(6)])
        assert (await outbox.verify()).problems == ()
        assert (await outbox.census("centre")).imbalance == 0
        assert rig.query("PRAGMA user_version") == [(len(migrations()),)]
    finally:
        await outbox.close(5)
        rig.shutdown()


async def test_the_newest_old_database_keeps_its_quarantine(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "state")
    restore(rig.folder, "v2.sql")
    outbox = await rig.open()
    assert await outbox.cursor("wms") == 3
    assert [(one.seq, one.reason) for one in await outbox.quarantine_list("wms")] == [(2, "GTIN check digit")]
    assert (await outbox.census("wms")).imbalance == 0
    # Its readers were never told of the hole; now they are.
    (due,) = await outbox.announcements("wms", count_max=9)
    assert (due.seq, due.gap_reason) == (2, "quarantined: GTIN check digit")
    await outbox.close(5)
    rig.shutdown()


@pytest.mark.fault(44)
async def test_a_newer_file_is_refused_untouched(rig: Rig) -> None:
    """A downgrade: the older program must not guess."""
    await (await rig.open()).close(5)
    rig.tamper("PRAGMA user_version = 999", "CREATE TABLE of_the_future (x)")
    before = (rig.folder / DATABASE_NAME).read_bytes()
    with pytest.raises(SchemaNewer) as caught:
        await rig.open()
    assert caught.value.hint
    with pytest.raises(SchemaNewer):
        OutboxReader.open(rig.folder)
    assert (rig.folder / DATABASE_NAME).read_bytes() == before
    rig.tamper(f"PRAGMA user_version = {len(migrations())}")
    await (await rig.open()).close(5)


async def test_a_database_of_another_program_is_refused_untouched(rig: Rig) -> None:
    """[storage] path points at somebody else's folder."""
    rig.folder.mkdir()
    other = sqlite3.connect(rig.folder / DATABASE_NAME)
    other.executescript("PRAGMA application_id = 7; CREATE TABLE theirs (x);")
    other.close()
    with pytest.raises(OutboxDamaged, match="another program"):
        await rig.open()
    assert rig.query("SELECT name FROM sqlite_master") == [("theirs",)]


def test_a_step_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    """The disk fills in the middle of an upgrade."""
    connection = open_writer(tmp_path / "x.db")
    steps = migrations()
    migrate(connection, steps[:1])
    tables = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # room for the first table of the step, not for all
    with pytest.raises(OutboxFull):
        migrate(connection, steps)
    assert version_of(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == tables
    connection.execute("PRAGMA max_page_count = 1000000")
    assert migrate(connection, steps) == [step.name for step in steps[1:]]
    assert migrate(connection, steps) == []
    connection.close()


def test_a_broken_step_is_undone(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "x.db")
    broken = Migration(1, "0001_broken.sql", "CREATE TABLE half (x) STRICT;")
    from buffer import OutboxError

    with pytest.raises(OutboxError):
        migrate(connection, [broken])
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert not connection.in_transaction
    connection.close()


def test_a_reader_does_not_migrate(tmp_path: Path) -> None:
    """`dockline events list` after the upgrade and before the daemon's first start: it says what to do."""
    restore(tmp_path / "state", "v1.sql")
    with pytest.raises(OutboxMissing, match="schema 1") as caught:
        OutboxReader.open(tmp_path / "state")
    assert "start the daemon" in (caught.value.hint or "")
