"""A damaged outbox opens: everything readable is carried, nothing is deleted, everybody is told."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from outbox_rig import SOURCE, Rig, draft, drafts, fail_disk, redelivery, sqlite_error, state

from buffer import CommitUnknown, Outbox, OutboxFull, OutboxReader
from buffer import salvage as salvage_module
from buffer.inspection import Finding, read_wish
from buffer.lock import FolderLock
from buffer.retention import purge
from buffer.salvage import complete, salvage, without

PAGE = 4096


async def filled(rig: Rig) -> Outbox:
    """Return an outbox with something in every table."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.append(drafts(1, 100, size=300), state=state(session=b"PL-1"), redeliveries=[redelivery(1)])
    await outbox.settle("centre", through=40, rejected=[(7, "no"), (9, "no")], owner="dock")
    await outbox.quarantine_discard("centre", [9], actor="op", note="old")
    return outbox


def kept(rig: Rig) -> Path:
    (folder,) = rig.folder.glob("damaged-*")
    return folder


async def incidents(outbox: Outbox) -> list[str]:
    return [one.told.reason for one in await outbox.incidents()]


@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: b"not a database, certainly not" * 500,
        lambda octets: octets[:8192],
        lambda octets: bytes(PAGE) + octets[PAGE:],
        lambda octets: octets[:18] + b"\7" + octets[19:],
        lambda octets: octets[:60] + b"\x7f" + octets[61:],
        lambda octets: octets[:68] + b"\1" + octets[69:],
        lambda octets: b"",
    ],
    ids=["noise", "truncated", "first page", "write version", "schema version", "application", "empty"],
)
@pytest.mark.fault(14)
async def test_a_damaged_file_never_refuses_the_start(rig: Rig, damage: Callable[[bytes], bytes]) -> None:
    """The disk went bad over night. At six the first lorry stands at the dock."""
    await (await filled(rig)).close(5)
    path = rig.folder / "outbox.db"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    outbox = await rig.open()
    await outbox.append([draft(500)])
    assert outbox.source == f"{SOURCE}/e2"
    assert len(await incidents(outbox)) == 1
    assert (kept(rig) / "outbox.db").read_bytes() == damaged
    assert (await outbox.audit_list())[-1].action in {"epoch_opened", "upstream_registered"}
    await outbox.close(5)


async def test_everything_readable_is_carried_with_its_place(rig: Rig) -> None:
    """The first page is gone and with it the list of tables; every row is found on its own page."""
    await (await filled(rig)).close(5)
    before = rig.query("SELECT * FROM entry"), rig.query("SELECT * FROM audit"), rig.query("SELECT * FROM quarantine")
    rig.zero_page(1)
    outbox = await rig.open()
    assert rig.query("SELECT * FROM entry") == before[0]
    assert rig.query("SELECT * FROM audit")[: len(before[1])] == before[1]
    assert rig.query("SELECT * FROM quarantine") == before[2]
    assert outbox.states() == [*state(session=b"PL-1")]
    assert outbox.redeliveries([("hh-7", "hh-7-000001")])
    assert await outbox.cursor("centre") == 40
    assert outbox.source_of(100) == f"{SOURCE}/e1"
    assert (await outbox.verify()).problems == ()
    assert (await outbox.census("centre")).imbalance == 0
    epoch = outbox._opened.writer.epochs[-1]
    assert (epoch.first_seq, epoch.reason) == (101, "salvaged: the head of the file is damaged")
    assert epoch.linked_chain == before[0][-1][8]
    await outbox.close(5)


async def test_what_is_gone_is_announced_counted_and_told(rig: Rig) -> None:
    """A page of pending entries is unreadable: the centre hears of every sequence, the books say lost."""
    await (await filled(rig)).close(5)
    octets = (rig.folder / "outbox.db").read_bytes()
    page = octets.index(draft(80).id.encode()) // PAGE + 1
    rig.zero_page(page)
    outbox = await rig.open()
    (incident,) = await outbox.incidents(unacknowledged_only=True)
    ((first, last),) = incident.told.missing
    assert first <= 80 <= last
    assert incident.told.carried == 100 - (last - first + 1)
    head = await outbox.head("centre", after=40, count_max=99, bytes_max=10**6)
    gaps = [(entry.gap_first, entry.seq, entry.gap_reason) for entry in head if entry.gap_reason]
    assert gaps == [(first, last, "missing")]
    census = await outbox.census("centre")
    assert (census.lost, census.imbalance) == (last - first + 1, 0)
    verification = await outbox.verify()
    assert (verification.problems, verification.lost) == ((), last - first + 1)
    await outbox.settle("centre", through=100)
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.acknowledge(incident.number, actor="op", note="disk replaced")
    assert await outbox.incidents(unacknowledged_only=True) == []
    assert (await outbox.audit_list())[-1].detail == f"{incident.number}: disk replaced"
    await outbox.close(5)


@pytest.mark.fault(15)
async def test_a_log_of_another_outbox_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    """A backup was copied back file by file, and the log is that of the other gateway."""
    outbox = await filled(rig)
    shutil.copytree(rig.folder, tmp_path / "ours")
    await outbox.close(5)
    other = Rig(tmp_path / "other", inline=True)
    outbox = await other.open()
    await outbox.append(drafts(1, 300, size=200))
    shutil.copy(other.folder / "outbox.db-wal", tmp_path / "ours" / "outbox.db-wal")
    await outbox.close(5)
    victim = Rig(tmp_path / "ours", inline=True)
    victim.epochs = 1
    connection = sqlite3.connect(f"file:{victim.folder / 'outbox.db'}?immutable=1", uri=True)
    own = connection.execute("SELECT seq, digest FROM entry").fetchall()
    connection.close()
    outbox = await victim.open()
    assert await incidents(outbox) == ["the write-ahead log belongs to another file"]
    assert victim.query("SELECT seq, digest FROM entry") == own
    assert (kept(victim) / "outbox.db-wal").exists()
    await outbox.close(5)


@pytest.mark.fault(15)
async def test_a_log_older_than_its_file_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    """Yesterday's log is put beside today's file."""
    outbox = await filled(rig)
    old_log = (rig.folder / "outbox.db-wal").read_bytes()
    await outbox.append(drafts(101, 50))
    await outbox.close(5)
    (rig.folder / "outbox.db-wal").write_bytes(old_log)
    outbox = await rig.open()
    assert await incidents(outbox) == ["the write-ahead log is older than the file"]
    assert (await outbox.head_of_chain()).seq == 150
    await outbox.close(5)


async def test_a_removed_file_is_never_silent(rig: Rig) -> None:
    await (await filled(rig)).close(5)
    (rig.folder / "outbox.db").unlink()
    outbox = await rig.open()
    assert await incidents(outbox) == ["the outbox file is missing"]
    assert outbox.source == f"{SOURCE}/e2"
    await outbox.register("centre", required=True, start="now")
    await outbox.close(5)


async def test_a_removed_file_whose_log_is_there_gives_up_what_the_log_holds(rig: Rig, tmp_path: Path) -> None:
    outbox = await filled(rig)
    shutil.copytree(rig.folder, tmp_path / "x")
    await outbox.close(5)
    crashed = Rig(tmp_path / "x", inline=True)
    crashed.epochs = 1
    (crashed.folder / "outbox.db").unlink()
    outbox = await crashed.open()
    assert [row[0] for row in crashed.query("SELECT seq FROM entry")] == list(range(1, 101))
    await outbox.register("centre", required=True, start="now")
    assert await outbox.cursor("centre") in (0, 40)
    await outbox.close(5)


async def test_a_lost_position_means_everything_again_and_not_nothing(rig: Rig) -> None:
    """The table of positions is gone. `start = "now"` would skip what nobody has."""
    await (await filled(rig)).close(5)
    ((root,),) = rig.query("SELECT rootpage FROM sqlite_master WHERE name = 'cursor'")
    rig.zero_page(root)
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    assert await outbox.cursor("centre") == 0
    assert (await outbox.incidents())[0].told.positions_lost
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def test_a_position_that_the_books_contradict_is_put_back(rig: Rig) -> None:
    """A bit of the cursor flipped forward, and a page is broken: believing it would skip events."""
    await (await filled(rig)).close(5)
    rig.tamper("UPDATE cursor SET seq = 72")
    rig.zero_page((rig.folder / "outbox.db").read_bytes().index(draft(30).id.encode()) // PAGE + 1)
    outbox = await rig.open()
    assert await outbox.cursor("centre") == 0
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def skipping(rig: Rig) -> None:
    """Leave an outbox that gave up 11 to 50 before the lake had them; the centre had everything, 51 to 80 are kept."""
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    await outbox.register("lake", required=False, start="now")
    await outbox.append(drafts(1, 80, size=300))
    await outbox.settle("lake", through=10)
    await outbox.settle("centre", through=80)
    await outbox._group.submit(lambda writer: purge(writer.connection, 50))
    assert (await outbox.census("lake")).skipped == 40
    await outbox.close(5)


def page_of(rig: Rig, number: int) -> int:
    return (rig.folder / "outbox.db").read_bytes().index(draft(number).id.encode()) // PAGE + 1


async def test_what_was_skipped_is_still_told_behind_a_salvage(rig: Rig) -> None:
    """The lake was away when the outbox was full, and did not hear of it before the disk was damaged, too."""
    await skipping(rig)
    rig.zero_page(page_of(rig, 70))
    outbox = await rig.open()
    assert (await outbox.cursor("centre"), await outbox.cursor("lake")) == (80, 10)
    assert not (await outbox.incidents())[0].told.positions_lost
    gap, following = await outbox.head("lake", after=10, count_max=2, bytes_max=10**6)
    assert (gap.gap_first, gap.seq, gap.gap_reason, following.seq) == (11, 50, "skipped", 51)
    assert (await outbox.census("lake")).imbalance == 0
    await outbox.settle("lake", through=80)
    assert (await outbox.census("lake")).imbalance == 0
    await outbox.close(5)


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_lost_position_means_that_what_is_gone_is_told_as_well(rig: Rig, is_gone: bool) -> None:
    """Before the oldest event kept there is what the disk lost, and what an optional upstream never had."""
    await skipping(rig)
    pages = [page_of(rig, 51)]
    if is_gone:
        pages += [root for (root,) in rig.query("SELECT rootpage FROM sqlite_master WHERE name = 'cursor'")]
    else:
        rig.tamper("UPDATE cursor SET seq = seq - 3")
    for page in pages:
        rig.zero_page(page)
    outbox = await rig.open()
    for name in ("centre", "lake"):
        await outbox.register(name, required=name == "centre", start="now")
        assert (await outbox.census(name)).imbalance == 0
    centre = await outbox.head("centre", after=await outbox.cursor("centre"), count_max=9, bytes_max=10**6)
    assert (centre[0].gap_first, centre[0].gap_reason) == (51, "missing")
    lake = await outbox.head("lake", after=await outbox.cursor("lake"), count_max=9, bytes_max=10**6)
    assert [(one.gap_first, one.gap_reason) for one in lake[:2]] == [(1, "skipped"), (51, "missing")]
    for name in ("centre", "lake"):
        await outbox.settle(name, through=80)
        assert (await outbox.census(name)).imbalance == 0
    await outbox.close(5)
    rig.zero_page(page_of(rig, 75))
    outbox = await rig.open()
    assert [await outbox.cursor(name) for name in ("centre", "lake")] == [80, 80], "the books balance"
    await outbox.close(5)


async def test_corruption_met_by_a_commit_is_salvaged_at_the_next_start(rig: Rig) -> None:
    """The daemon runs when the page goes bad: it stops acknowledging, ends, and the next start needs no discovery."""
    outbox = await filled(rig)
    fail_disk(outbox).fail_on = lambda sql: sqlite_error(11) if sql.startswith("INSERT INTO entry") else None
    with pytest.raises(CommitUnknown):
        await outbox.append([draft(101)])
    assert len(rig.fatal) == 1
    assert "damaged" in (read_wish(rig.folder) or "")
    await outbox.close(5)
    outbox = await rig.open()
    assert len(await outbox.incidents()) == 1
    assert read_wish(rig.folder) is None
    assert (await outbox.head_of_chain()).seq == 100
    await outbox.close(5)
    outbox = await rig.open()
    assert len(await outbox.incidents()) == 1
    await outbox.close(5)


async def test_damage_that_the_start_had_no_time_to_find_is_found_beside_the_work(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await filled(rig)).close(5)
    rig.zero_page((rig.folder / "outbox.db").read_bytes().index(draft(30).id.encode()) // PAGE + 1)
    monkeypatch.setattr("buffer.inspection.structure_problem", lambda *_: None)
    outbox = await rig.open()
    assert await outbox.incidents() == []
    monkeypatch.undo()
    await outbox.look_through()
    assert len(rig.fatal) == 1
    await outbox.close(5)
    outbox = await rig.open()
    assert "pages" in (await incidents(outbox))[0]
    await outbox.look_through()
    assert len(rig.fatal) == 1
    await outbox.close(5)


class Killed(BaseException):
    """The process ends here."""


STEPS = 14


@pytest.mark.parametrize("step", range(STEPS + 1))
async def test_a_kill_between_any_two_steps_is_made_good_by_the_next_start(
    rig: Rig, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename, removal and flush of a salvage is a place to be killed at, twice in a row."""
    outbox = await filled(rig)
    await outbox._group.submit(lambda writer: writer.checkpoint("PASSIVE"), writes=False)
    shutil.copytree(rig.folder, rig.folder.with_name("x"))
    await outbox.close(5)
    crashed = Rig(rig.folder.with_name("x"), inline=True)
    crashed.epochs = 1
    crashed.zero_page(1)
    octets = {path.name: path.read_bytes() for path in crashed.folder.iterdir()}
    log = bytearray(octets["outbox.db-wal"])
    log[24] ^= 1  # the head of the log, so that nothing reads the file whole any more
    (crashed.folder / "outbox.db-wal").write_bytes(log)
    for _ in range(2):
        with monkeypatch.context() as patch:
            counted = _kill_at(step, patch)
            try:
                salvaged = await crashed.open()
            except Killed:
                continue
            assert counted[0] <= STEPS, "a step was added: count it"
            await salvaged.close(5)
            break
    outbox = await crashed.open()
    assert len(await outbox.incidents()) == 1
    assert [row[0] for row in crashed.query("SELECT seq FROM entry")] == list(range(1, 101))
    assert (kept(crashed) / "outbox.db").read_bytes()[PAGE:] == octets["outbox.db"][PAGE:]
    assert (kept(crashed) / "outbox.db-wal").read_bytes() == bytes(log)
    names = {path.name for path in crashed.folder.iterdir()}
    assert names - {kept(crashed).name} <= {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.lock"}
    await outbox.close(5)


def _kill_at(step: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Kill before the `step`th change of the folder that a salvage makes."""
    counted = [0]
    real_rename, real_unlink, real_sync = Path.rename, Path.unlink, salvage_module._sync

    def reached() -> None:
        counted[0] += 1
        if counted[0] - 1 == step:
            raise Killed

    def rename(path: Path, target: Path) -> Path:
        reached()
        return real_rename(path, target)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            reached()
        real_unlink(path, missing_ok=missing_ok)

    def sync(path: Path) -> None:
        reached()
        real_sync(path)

    patch.setattr(Path, "rename", rename)
    patch.setattr(Path, "unlink", unlink)
    patch.setattr(salvage_module, "_sync", sync)
    return counted


async def test_the_order_of_a_salvage_survives_a_power_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is flushed before it is named, and each name before the next step counts on it."""
    await (await filled(rig)).close(5)
    steps: list[str] = []
    real_rename, real_sync = Path.rename, salvage_module._sync

    def rename(path: Path, target: Path) -> Path:
        steps.append(f"{path.name.partition('-')[0]} -> {target.name.partition('-')[0]}")
        return real_rename(path, target)

    def sync(path: Path) -> None:
        steps.append(f"sync {path.name.partition('-')[0]}")
        real_sync(path)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(salvage_module, "_sync", sync)
    salvage(rig.folder, Finding("a test"), at=0)
    assert steps == [
        "sync outbox.salvage",
        "outbox.salvage -> outbox.salvaged",
        "sync state",
        "sync state",
        *["outbox.db -> outbox.db", "sync damaged", "sync state"] * 3,  # log, index of the log, file
        "sync state",
        "outbox.salvaged -> outbox.db",
        "sync state",
    ]
    assert not complete(rig.folder)


async def test_no_room_for_the_new_file_leaves_the_old_one_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await filled(rig)).close(5)
    rig.zero_page(1)
    before = (rig.folder / "outbox.db").read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(salvage_module, "_sync", full)
        with pytest.raises(OutboxFull) as caught:
            await rig.open()
    assert caught.value.hint
    assert (rig.folder / "outbox.db").read_bytes() == before
    FolderLock(rig.folder).release()
    outbox = await rig.open()
    assert (await outbox.head_of_chain()).seq == 100
    await outbox.close(5)


async def test_two_salvages_add_up(rig: Rig) -> None:
    """The disk goes on dying. Each time the books balance and the journal is whole but for what is announced."""
    await (await filled(rig)).close(5)
    for number in (80, 30, 60):
        rig.wall_ms += 1000
        rig.zero_page((rig.folder / "outbox.db").read_bytes().index(draft(number).id.encode()) // PAGE + 1)
        outbox = await rig.open()
        assert (await outbox.verify()).problems == ()
        assert (await outbox.census("centre", fresh=True)).imbalance == 0
        await outbox.close(5)
    outbox = await rig.open()
    told = [one.told.missing for one in await outbox.incidents()]
    assert len(told) == 3
    assert len({run for runs in told for run in runs}) == sum(len(runs) for runs in told)
    assert len(list(rig.folder.glob("damaged-*"))) == 3
    await outbox.settle("centre", through=100)
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


async def test_salvaged_entries_still_leave_by_retention(rig: Rig) -> None:
    await (await filled(rig)).close(5)
    rig.zero_page((rig.folder / "outbox.db").read_bytes().index(draft(30).id.encode()) // PAGE + 1)
    outbox = await rig.open()
    await outbox.settle("centre", through=100)
    rig.advance(hours=24 * 15)
    for number in range(5):
        await outbox.append([draft(200 + number)])
        rig.advance(hours=1)
    assert rig.query("SELECT count(*) FROM entry WHERE seq <= 100 AND seq != 7") == [(0,)]
    assert (await outbox.verify()).problems == ()
    assert (await outbox.census("centre")).imbalance == 0
    await outbox.close(5)


def test_runs_without_runs() -> None:
    assert list(without([(1, 10)], [])) == [(1, 10)]
    assert list(without([(1, 10)], [(3, 4), (8, 12)])) == [(1, 2), (5, 7)]
    assert list(without([(1, 3)], [(1, 3)])) == []


async def test_incidents_are_read_without_a_daemon(rig: Rig) -> None:
    await (await filled(rig)).close(5)
    rig.zero_page(1)
    await (await rig.open()).close(5)
    reader = OutboxReader.open(rig.folder)
    assert len(reader.incidents(unacknowledged_only=True)) == 1
    reader.close()


async def test_a_power_cut_between_salvage_and_new_epoch_is_not_taken_for_new_damage(rig: Rig) -> None:
    """The newest events are gone with their page; the power fails again before the first start is through."""
    await (await filled(rig)).close(5)
    rig.tamper("DELETE FROM entry WHERE seq > 95")
    salvage(rig.folder, Finding("entries 96 to 100 are missing"), at=rig.wall_ms)
    outbox = await rig.open()
    assert await incidents(outbox) == ["entries 96 to 100 are missing"]
    assert (outbox.source, outbox.source_of(101)) == (f"{SOURCE}/e2", f"{SOURCE}/e2")
    await outbox.close(5)
    assert len(list(rig.folder.glob("damaged-*"))) == 1


async def test_what_a_salvage_leaves_needs_no_conversion(rig: Rig) -> None:
    """Turning the new file into one with a log at the next start would be one more thing for a power cut to halve."""
    await (await filled(rig)).close(5)
    salvage(rig.folder, Finding("planted"), at=rig.wall_ms)
    assert (rig.folder / "outbox.db").read_bytes()[18:20] == b"\2\2"
    assert sorted(path.name for path in rig.folder.glob("outbox.*")) == ["outbox.db", "outbox.lock"]
