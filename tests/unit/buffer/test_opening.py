"""Opening and closing: crash or orderly end, damage, bad places."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import pytest
from outbox_rig import SOURCE, InlineExecutor, Rig, draft, drafts

from buffer import EntryFilter, Limits, OutboxError, OutboxFull
from buffer.connection import fault_at_open


def copy_of_running(rig: Rig, to: Path, *, without: tuple[str, ...] = ()) -> Rig:
    """Copy the files as a crash would leave them."""
    shutil.copytree(rig.folder, to, ignore=lambda _folder, names: [name for name in names if name in without])
    return Rig(to, inline=True)


async def test_a_crash_keeps_the_epoch(rig: Rig, tmp_path: Path) -> None:
    """kill -9 between two scans: the write-ahead log is replayed, numbers go on under the same source."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    crashed = copy_of_running(rig, tmp_path / "crashed")
    await outbox.close(5)
    again = await crashed.open()
    assert (again.source, (await again.head_of_chain()).seq) == (f"{SOURCE}/e1", 5)
    await again.close(5)


@pytest.mark.fault(15)
async def test_a_lost_write_ahead_log_is_never_silent(rig: Rig, tmp_path: Path) -> None:
    """Power fails and somebody "cleans up" the -wal file: the lost numbers must not be given out again."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    crashed = copy_of_running(rig, tmp_path / "crashed", without=("outbox.db-wal", "outbox.db-shm"))
    crashed.epochs = 1
    await outbox.close(5)
    again = await crashed.open()
    assert again.source == f"{SOURCE}/e2"
    assert (await again.audit_list())[-1].detail == "the write-ahead log was removed"
    await again.close(5)


async def test_after_an_orderly_end_no_log_is_needed(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    await outbox.close(5)
    assert sorted(path.name for path in rig.folder.iterdir()) == ["outbox.db", "outbox.lock"]
    outbox = await rig.open()
    assert outbox.source == f"{SOURCE}/e1"
    await outbox.close(5)


@pytest.mark.parametrize("loss", ["DROP TABLE ledger", "DELETE FROM ledger", "DROP TABLE epoch", "DROP TABLE entry"])
async def test_tables_that_are_not_ours_any_more_are_salvaged(rig: Rig, loss: str) -> None:
    """Somebody with a database tool: what he left is carried over, and the file he made is kept."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 50))
    await outbox.close(5)
    rig.tamper(loss)
    outbox = await rig.open()
    assert len(await outbox.incidents()) == 1
    assert (await outbox.head_of_chain()).seq == 50
    assert list(rig.folder.glob("damaged-*/outbox.db"))
    await outbox.close(5)


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER swallow AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE seq = NEW.seq - 3; END",
        "CREATE UNIQUE INDEX one_each ON quarantine (upstream)",
        "CREATE VIEW theirs AS SELECT 1",
    ],
)
async def test_what_is_in_the_file_and_not_ours_has_no_say_in_a_commit(rig: Rig, planted: str) -> None:
    """A trigger would take away what devices were told is held. The rows are carried into a file of our own."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    await outbox.close(5)
    rig.tamper(planted)
    outbox = await rig.open()
    (incident,) = await outbox.incidents()
    assert "not ours" in str(incident)
    await outbox.append(drafts(6, 10))
    assert len(await outbox.entries(EntryFilter(limit=100))) == 15
    assert (await outbox.verify()).is_whole
    await outbox.close(5)


async def test_the_statistics_of_a_tool_are_no_harm(rig: Rig) -> None:
    outbox = await rig.open()
    await outbox.append(drafts(1, 5))
    await outbox.close(5)
    rig.tamper("ANALYZE")
    outbox = await rig.open()
    assert await outbox.incidents() == []
    await outbox.close(5)


async def test_an_empty_file_is_a_new_outbox(rig: Rig) -> None:
    """Power failed while the very first start created it."""
    rig.folder.mkdir()
    (rig.folder / "outbox.db").touch()
    outbox = await rig.open()
    await outbox.append([draft(1)])
    await outbox.close(5)


async def test_a_folder_that_cannot_be_made_is_an_operators_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError) as caught:
        await Rig(tmp_path / "file" / "state", inline=True).open()
    assert caught.value.hint


async def test_too_little_disk_from_the_start_refuses_scans_and_opens(rig: Rig) -> None:
    """The disk is below its reserve at boot: the daemon runs, drains, and says why it refuses."""
    outbox = await rig.open(limits=Limits(disk_reserve_bytes=2**60))
    await outbox.register("centre", required=True, start="now")
    with pytest.raises(OutboxFull, match="in reserve"):
        outbox.append([draft(1)])
    await outbox.alive()
    await outbox.close(5)


async def test_an_unreadable_file_names_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    fault = fault_at_open(error)
    assert type(fault) is OutboxError and "owner" in (fault.hint or "")


def test_the_inline_executor_passes_errors_on() -> None:
    def fail() -> None:
        raise ValueError

    assert isinstance(InlineExecutor().submit(fail).exception(), ValueError)


def file_begun(folder: Path) -> Path:
    """Make the file that SQLite makes first: one page, no table yet."""
    folder.mkdir()
    path = folder / "outbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert path.stat().st_size == 4096
    return path


JOURNAL_OF_AN_EMPTY_FILE = (bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 1, 0, 512, 4096)).ljust(
    512, b"\0"
)
"""A rollback journal (fileformat2.html, 3): nothing to restore, and the file had no pages when it was begun."""


async def test_a_power_cut_while_the_file_is_new_is_no_damage(rig: Rig) -> None:
    """The technician installs, and the breaker trips in the same second."""
    file_begun(rig.folder)
    outbox = await rig.open()
    assert await outbox.incidents() == []
    await outbox.append(drafts(1, 5))
    await outbox.close(5)


async def test_a_power_cut_while_the_file_is_made_does_not_keep_the_gateway_from_starting(rig: Rig) -> None:
    """SQLite makes a new file with a rollback journal, which only a writing connection can undo."""
    path = file_begun(rig.folder)
    path.with_name("outbox.db-journal").write_bytes(JOURNAL_OF_AN_EMPTY_FILE)
    outbox = await rig.open()
    assert await outbox.incidents() == []
    await outbox.append(drafts(1, 5))
    await outbox.close(5)
    assert sorted(path.name for path in rig.folder.iterdir()) == ["outbox.db", "outbox.lock"]


async def test_what_a_tool_left_half_done_is_rolled_back(rig: Rig, tmp_path: Path) -> None:
    """Somebody tidies the file of a stopped gateway with a database tool, and his computer dies in the middle."""
    outbox = await rig.open()
    await outbox.append(drafts(1, 500, size=300))
    await outbox.close(5)
    tool = sqlite3.connect(rig.folder / "outbox.db", isolation_level=None)
    tool.execute("PRAGMA journal_mode = DELETE")
    tool.execute("PRAGMA cache_size = 5")  # so that changed pages reach the file before the commit
    tool.execute("BEGIN")
    tool.execute("DELETE FROM entry")
    crashed = copy_of_running(rig, tmp_path / "crashed")
    tool.close()
    assert (crashed.folder / "outbox.db-journal").stat().st_size > 4096
    outbox = await crashed.open()
    assert await outbox.incidents() == []
    assert (await outbox.verify()).entries == 500
    await outbox.close(5)
