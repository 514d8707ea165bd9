"""Somebody or something touches the files of the outbox: rows 13 to 16 and 44 of the fault matrix."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage_storm import Damage, Original, flip_head, lose_page, make_original, several, truncate
from fault_plugin import Figure
from fault_site import FaultSite
from outbox_rig import SMALL, Rig

from buffer.migrate import migrations
from simulators.token import Token, find_tokens

DATA = Path(__file__).parents[1] / "data" / "outbox"
SEQUENCE = ("out_of_sequence",)
"""A new epoch begins behind the highest sequence known, and the judge expects every source to begin with 1; what the
centre missed is asked of the centre."""


def tokens_in(file: Path) -> set[Token]:
    """Return the tokens that stand in a file."""
    return set(find_tokens(file.read_bytes().decode("latin-1")).whole) if file.exists() else set()


def flip_bit_of(file: Path, token: Token, rng: random.Random) -> None:
    """Turn one bit of a stored scan round, wherever it stands."""
    octets = bytearray(file.read_bytes())
    for found in re.finditer(re.escape(str(token).encode()), bytes(octets)):
        octets[found.start() + rng.randrange(len(str(token)))] ^= 1 << rng.randrange(7)
    file.write_bytes(octets)


@pytest.mark.fault(13)
async def test_scans_whose_bits_flipped_are_announced_and_all_others_delivered(tmp_path: Path, figure: Figure) -> None:
    """Bad memory in the disk: five scans are not what was written. Nobody gets a wrong one, everybody hears of them."""
    rng = random.Random(13)
    async with FaultSite(tmp_path, is_centre_up=False) as site:
        await site.scans(150)
        await site.rest(delivered=False)
        await site.end()
        outbox = site.storage / "outbox.db"
        victims = set(rng.sample(sorted(site.answered_tokens()), 5))
        for token in victims:
            flip_bit_of(outbox, token, rng)
        await site.back()
        await site.centre.start()
        alarm = await site.alarm("quarantine_waiting")
        site.work()
        await site.scans(20)
        ledger = await site.verdict(excused=("lost",))
        assert set(ledger.lost) == {str(token) for token in victims}
        gaps = [event for event in site.centre.ledger.events if event.is_gap]
        assert len(gaps) == len(victims)
        assert alarm["message"].startswith("5 ")
    figure("flipped scans", len(victims))
    figure("wrong events delivered", len(ledger.corrupted) + len(ledger.invented))
    figure("announced as gaps", len(gaps))
    figure("other scans delivered", ledger.delivered)


@pytest.mark.fault(14)
async def test_a_salvage_carries_at_least_what_recover_can_read(tmp_path: Path, figure: Figure) -> None:
    """The measure is SQLite's own rescue tool: whatever it finds of what was committed, the gateway has kept."""
    original = await make_original(tmp_path)
    recovered = carried = 0
    kinds = (flip_head, lose_page, truncate, several)
    for seed in range(24):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original.folder, folder)
        spoil(original, folder, kinds[seed % 4], seed)
        by_recover = readable_by_recover(original, folder)
        kept = await kept_by_start(original, folder)
        assert by_recover <= kept, f"seed {seed}: .recover reads {sorted(by_recover - kept)} and the salvage does not"
        recovered += len(by_recover)
        carried += len(kept)
    figure("damaged copies", 24)
    figure("events read by .recover", recovered)
    figure("events kept by the gateway", carried)


def spoil(original: Original, folder: Path, damage: Damage, seed: int) -> None:
    files = {name: bytearray(octets) for name, octets in original.content.items()}
    damage(random.Random(seed), files)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)


def readable_by_recover(original: Original, folder: Path) -> set[int]:
    """Return the sequences of entries that the shell's .recover reads as they were committed."""
    shell = shutil.which("sqlite3")
    assert shell is not None, "sqlite3 is missing: install what tests/support/system_packages.sh names"
    copy = folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    script = subprocess.run([shell, copy / "outbox.db", ".recover"], capture_output=True, text=True, check=False).stdout
    rescued = copy / "rescued.db"
    subprocess.run([shell, rescued], input=script, capture_output=True, text=True, check=False)
    connection = sqlite3.connect(rescued)
    try:
        rows = connection.execute("SELECT seq, payload, digest FROM entry").fetchall()
    except sqlite3.Error:
        rows = []
    finally:
        connection.close()
    known = original.entries
    return {seq for seq, payload, digest in rows if seq in known and (payload, digest) == known[seq][6:8]}


async def kept_by_start(original: Original, folder: Path) -> set[int]:
    """Return the sequences of entries that are there, as they were committed, after a start."""
    rig = Rig(folder, inline=True)
    rig.epochs = 1
    outbox = await rig.open(limits=SMALL)
    kept = set()
    for seq, expected in original.entries.items():
        entry = await outbox.entry(seq)
        if entry is not None and (entry.payload, entry.digest) == (expected.payload, expected.digest):
            kept.add(seq)
    await outbox.close(5)
    return kept


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "deed", ["deleted", *(pytest.param(deed, marks=pytest.mark.long) for deed in ("swapped", "stale shm"))]
)
async def test_a_log_that_is_not_the_outboxes_own_is_never_taken_in_silence(
    deed: str, tmp_path: Path, figure: Figure
) -> None:
    """Somebody tidies up behind a dead gateway. What was delivered stays delivered, nothing is doubled."""
    async with FaultSite(tmp_path / "site") as site:
        await site.scans(50)
        stale = (site.storage / "outbox.db-shm").read_bytes()
        await site.scans(100)
        await site.rest()
        await site.kill()
        wal, shm = site.storage / "outbox.db-wal", site.storage / "outbox.db-shm"
        if deed == "deleted":
            wal.unlink()
        elif deed == "swapped":
            wal.write_bytes(await other_log(tmp_path / "other"))
        else:
            shm.write_bytes(stale[::-1])
        await site.back()
        if deed != "stale shm":
            alarm = await site.alarm("log_lost" if deed == "deleted" else "outbox_salvaged")
            assert "log" in alarm["message"]
            figure(f"alarm when {deed}", alarm["code"])
        site.work()
        await site.scans(50)
        ledger = await site.verdict(excused=() if deed == "stale shm" else SEQUENCE)
        assert (site.centre.ledger.missing, site.centre.ledger.late) == ([], [])
    figure(f"scans when {deed}", ledger.injected)


async def other_log(folder: Path) -> bytes:
    """Return the write-ahead log of another gateway."""
    async with FaultSite(folder, handhelds=1) as site:
        await site.scans(20)
        await site.kill()
        return (site.storage / "outbox.db-wal").read_bytes()


@pytest.mark.fault(15)
async def test_what_a_deleted_log_held_and_nobody_had_yet_is_lost_and_said_to_be(
    tmp_path: Path, figure: Figure
) -> None:
    """The centre was away as well: this cannot be made good, so it must be told."""
    async with FaultSite(tmp_path, is_centre_up=False) as site:
        await site.scans(100)
        await site.rest(delivered=False)
        await site.kill()
        wal = site.storage / "outbox.db-wal"
        gone = tokens_in(wal) - tokens_in(site.storage / "outbox.db")
        wal.unlink()
        await site.back()
        await site.centre.start()
        alarm = await site.alarm("log_lost")
        site.work()
        await site.scans(20)
        ledger = await site.verdict(excused=("lost", *SEQUENCE))
        assert gone
        assert set(ledger.lost) == {str(token) for token in gone}
    figure("scans that stood only in the log", len(gone))
    figure("alarm", alarm["code"])


@pytest.mark.fault(16)
@pytest.mark.parametrize("deed", ["removed", pytest.param("replaced", marks=pytest.mark.long)])
async def test_no_scan_is_acknowledged_into_a_file_that_is_not_there_any_more(
    deed: str, tmp_path: Path, figure: Figure
) -> None:
    """Somebody cleans up, or copies a backup over it, while the gateway runs: SQLite would write on into nowhere."""
    async with FaultSite(tmp_path) as site:
        await site.scans(100)
        await site.rest()
        first = site.manager.life
        if deed == "removed":
            for file in site.storage.glob("outbox.db*"):
                file.unlink()
        else:
            shutil.copy(site.storage / "outbox.db", tmp_path / "copy")
            (tmp_path / "copy").replace(site.storage / "outbox.db")
        before = site.answered()
        site.work()
        assert await site.manager.ended(first) == 74
        after = site.answered() - before
        assert "was removed or replaced" in site.manager.log()
        await site.manager.ready(2)
        if deed == "removed":
            await site.alarm("outbox_salvaged")
        await site.scans(50)
        ledger = await site.verdict(excused=SEQUENCE)
        assert (site.centre.ledger.missing, site.centre.ledger.late) == ([], [])
    assert after == 0
    figure(f"acknowledged after it was {deed}", after)
    figure(f"scans when {deed}", ledger.injected)


def statements(file: Path) -> Iterator[str]:
    """Yield the statements of a script."""
    held = ""
    for line in file.read_text().splitlines():
        held += "" if not held and line.startswith("--") else f"{line}\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""


def as_version(state: Path, version: int) -> None:
    """Make the outbox of an orderly end one of an older version, with everything that version could hold."""
    new, old = state / "outbox.db", state / "old.db"
    connection = sqlite3.connect(old)
    for statement in statements(DATA / f"v{version}.sql"):
        if not re.match(r"INSERT|BEGIN|COMMIT", statement):
            connection.execute(statement)
    connection.execute("ATTACH ? AS new", (str(new),))
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
        there = [row[1] for row in connection.execute(f"PRAGMA new.table_info({table})")]
        names = ", ".join(column for column in columns if column in there)
        connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")
    connection.commit()
    connection.close()
    old.replace(new)


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "version", [1, *(pytest.param(step.version, marks=pytest.mark.long) for step in migrations()[1:])]
)
async def test_an_upgrade_over_a_full_outbox_delivers_all_of_it(version: int, tmp_path: Path, figure: Figure) -> None:
    """The centre has been away for days, and somebody installs the new version to mend it."""
    async with FaultSite(tmp_path, is_centre_up=False) as site:
        await site.scans(200)
        await site.rest(delivered=False)
        await site.end()
        as_version(site.storage, version)
        await site.back()
        await site.centre.start()
        site.work()
        await site.scans(20)
        ledger = await site.verdict()
    figure(f"scans kept from schema {version}", ledger.delivered)


@pytest.mark.fault(44)
async def test_a_downgrade_refuses_a_newer_outbox_and_does_not_touch_it(tmp_path: Path, figure: Figure) -> None:
    """The old version is put back in panic. It says so, changes nothing, and the new one goes on where it was."""
    async with FaultSite(tmp_path, is_centre_up=False) as site:
        await site.scans(100)
        await site.rest(delivered=False)
        await site.end()
        outbox = site.storage / "outbox.db"
        edit(outbox, f"PRAGMA user_version = {migrations()[-1].version + 1}", "CREATE TABLE of_the_future (x)")
        before = outbox.read_bytes()
        site.manager.release()
        await site.manager.until(lambda: len(site.manager.lives) == 2, "the old version is started")
        site.manager.hold()
        code = await site.manager.ended(site.manager.life)
        assert (code, "newer" in site.manager.log()) == (73, True)
        assert outbox.read_bytes() == before
        edit(outbox, f"PRAGMA user_version = {migrations()[-1].version}", "DROP TABLE of_the_future")
        await site.back()
        await site.centre.start()
        site.work()
        await site.scans(20)
        ledger = await site.verdict()
    figure("exit code of the older version", code)
    figure("scans kept", ledger.delivered)


def edit(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
