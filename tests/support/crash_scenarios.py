"""What is recorded: the daemon at work, and each of the things it does rarely and a power cut may meet.

A scenario is a function that takes a `Stage` and returns recordings; adding one is that function and its name in
`SCENARIOS`. Nearly all of them begin with an outbox that the load left, in order or by a power cut.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from crash_disk import Disk, Image, Mode, restart_computer, write_image
from crash_history import History
from crash_judge import Found, look
from crash_site import Ending, RecordedSite, Storage, Take, record, record_command

from buffer.backup import Clocks, back_up
from buffer.lock import boot_id
from buffer.migrate import migrate, migrations

DATABASE = "outbox.db"
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one recording."""

    handhelds: int = 3
    scans: int = 110
    """Of each handheld."""
    labels: int = 110
    """Of the scanner."""
    later_scans: int = 6
    """Of each handheld, in a recording that continues another."""
    takes: int = 6
    """Recordings of a scenario that varies where it begins."""


SMALL = Size(scans=20, labels=15, takes=1, later_scans=3)
"""For a sample in a few seconds."""


@dataclass(slots=True)
class Stage:
    """Where recordings are made, and the one that others continue."""

    folder: Path
    size: Size = Size()
    planted: str | None = None
    """A bug in the daemon (crash_bugs.py), in the recordings that the scenario is about."""
    _load: Take | None = field(default=None, init=False)

    async def load(self) -> Take:
        """Return the daemon at work from its first start to an orderly end, without a planted bug."""
        if self._load is None:
            self._load = await record(self.folder / "load", "load", self.scanning)
        return self._load

    async def scanning(self, site: RecordedSite, tag: str = "s") -> None:
        """Scan as much as the size says."""
        await site.scan(self.size.handhelds, self.size.scans, labels=self.size.labels, tag=tag)
        await site.delivered()

    def later(self, tag: str) -> Callable[[RecordedSite], Awaitable[None]]:
        """Return a little work with tokens of its own."""

        async def work(site: RecordedSite) -> None:
            await site.scan(2, self.size.later_scans, labels=self.size.later_scans, tag=tag)
            await site.delivered()

        return work


def power_cut(take: Take, share: float, mode: Mode) -> tuple[Image, History]:
    """Return what a power cut leaves after that share of a recording, and what had been said."""
    steps = take.recording.steps
    disk = Disk.of(take.recording)
    count = int(len(steps) * share)
    for step in steps[:count]:
        disk.take(step)
    rng = random.Random(f"{take.name} {share} {mode}")
    image = restart_computer(disk.after_power_cut(mode, rng), boot_id(), rng, take.recording.index)
    return image, take.history.until(steps[count - 1].at)


async def load(stage: Stage) -> list[Take]:
    """First start, creation, scans, checkpoints, delivery with lost answers and poison, orderly end."""
    if stage.planted is None:
        return [await stage.load()]
    return [await record(stage.folder / "planted", "load", stage.scanning, planted=stage.planted)]


async def recovery(stage: Stage) -> list[Take]:
    """Starts on what a power cut left, the log still hot; and then another power cut."""
    base = await stage.load()
    takes = []
    modes: tuple[Mode, ...] = ("kept", "torn", "scattered", "reordered", "dropped", "kept")
    for number in range(stage.size.takes):
        image, told = power_cut(base, (number + 1) / (stage.size.takes + 1), modes[number % len(modes)])
        name = f"recovery-{number}"
        ends: Ending = "kill" if number % 2 else "stop"
        work = stage.later(f"r{'abcdefgh'[number]}")
        takes.append(
            await record(stage.folder / name, name, work, image=image, before=told, ends=ends, planted=stage.planted)
        )
    return takes


async def migration(stage: Stage) -> list[Take]:
    """Starts on an outbox of every older schema: closed in order, and with everything in a hot log."""
    base = await stage.load()
    takes = []
    versions = range(1, len(migrations()))
    for version in versions if stage.size.takes > 1 else (versions[0], versions[-1]):
        for is_hot in (False, True) if stage.size.takes > 1 else (version > 1,):
            name = f"migration-{version}{'-hot' if is_hot else ''}"
            image = older(base.after, version, is_hot=is_hot)
            work = stage.later(f"m{'abcdefgh'[version]}{int(is_hot)}"[:3])
            before = base.history
            if version == 1:  # the first schema had no quarantine, so nothing was ever announced from it
                sent = [one for one in before.sent if b'"dockline.gap.v1"' not in one.body]
                before = replace(before, sent=sent)
            takes.append(
                await record(stage.folder / name, name, work, image=image, before=before, planted=stage.planted)
            )
            if stage.planted is not None or (stage.size is SMALL and version == 2):
                return takes
    return takes


async def retention(stage: Stage) -> list[Take]:
    """Old entries leave, a few with each commit, while new ones come."""
    base = await stage.load()
    image = aging(base.after, ms_each=2)
    work, storage = partial(stage.scanning, tag="q"), Storage(retention_days=0)
    name = "retention"
    return [
        await record(
            stage.folder / name, name, work, image=image, before=base.history, storage=storage, planted=stage.planted
        )
    ]


async def replay(stage: Stage) -> list[Take]:
    """Everything is sent again by the command, beside new scans."""
    base = await stage.load()

    async def work(site: RecordedSite) -> None:
        command = ("-m", "gateway", "replay", "centre", "--config", str(site.config), "--rate", "400")
        asked = ("--from-sequence", "1", "--reason", "the centre lost a day", "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, *asked, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await site.scan(2, stage.size.later_scans * 3, labels=stage.size.later_scans, tag="p")
        # 1: what the centre rejects again does not count as success.
        assert await process.wait() in (0, 1)
        await site.delivered()

    name = "replay"
    image, told = dict(base.after), base.history
    return [await record(stage.folder / name, name, work, image=image, before=told, planted=stage.planted)]


async def salvage(stage: Stage) -> list[Take]:
    """Starts on a damaged outbox: a page of one that was closed in order, then the head of one with a hot log."""
    base = await stage.load()
    takes = []
    for number, (image, told) in enumerate([(dict(base.after), base.history), power_cut(base, 0.7, "kept")]):
        content = bytearray(image[DATABASE])
        page = 0 if number else _page_of_entries(content)
        content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        image[DATABASE] = bytes(content)
        name = f"salvage-{number}"
        take = await record(
            stage.folder / name, name, stage.later(f"v{'ab'[number]}"), image=image, before=told, planted=stage.planted
        )
        take.damaged = image[DATABASE]
        # What the damage itself cost is known from the salvage that nobody interrupted.
        take.history = _without_lost(take.history, stage.folder / name / "state")
        takes.append(take)
        if stage.planted is not None:
            break
    return takes


async def backup(stage: Stage) -> list[Take]:
    """A copy is taken beside the daemon at work; and one without a daemon, whose own file is looked at, too."""
    base = await stage.load()
    asked = ("backup", "{disk}/copies/outbox.backup")
    takes = [
        await record_command(
            stage.folder / "backup-file",
            "backup-file",
            asked,
            image=_on_disk(base.after),
            before=base.history,
            planted=stage.planted,
        )
    ]
    if stage.planted is None:

        async def work(site: RecordedSite) -> None:
            command = ("-m", "gateway", "backup", str(site.folder / "outbox.backup"), "--config", str(site.config))
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await site.scan(2, stage.size.later_scans, labels=stage.size.later_scans, tag="k")
            assert await process.wait() == 0
            await site.delivered()

        image, told = power_cut(base, 0.6, "kept")
        takes.append(await record(stage.folder / "backup", "backup", work, image=image, before=told))
    return takes


async def restore(stage: Stage) -> list[Take]:
    """An older backup takes the place of the outbox: before it is there, the old one is; and then that one is kept.

    A restore writes little, so that one of them leaves few different states: backups of several ages are restored.
    """
    base = await stage.load()
    takes = []
    for number in range(stage.size.takes):
        earlier, told = power_cut(base, (number + 1) / (stage.size.takes + 1), "kept")
        with tempfile.TemporaryDirectory() as temporary:
            write_image(earlier, Path(temporary) / "state")
            back_up(Path(temporary) / "state", Path(temporary) / "copy", clocks=Clocks(lambda: 0, time.monotonic))
            copy = (Path(temporary) / "copy").read_bytes()
        image = _on_disk(base.after) | {"copies/outbox.backup": copy}
        asked = ("restore", "{disk}/copies/outbox.backup", "--replace")
        name = f"restore-{number}"
        take = await record_command(
            stage.folder / name, name, asked, image=image, before=base.history, planted=stage.planted
        )
        take.restored, take.replaced = replace(base.history, heard=told.heard).earlier(), base.after[DATABASE]
        takes.append(take)
    return takes


SCENARIOS: dict[str, Callable[[Stage], Awaitable[list[Take]]]] = {
    "load": load,
    "recovery": recovery,
    "salvage": salvage,
    "migration": migration,
    "retention": retention,
    "replay": replay,
    "backup": backup,
    "restore": restore,
}


def _on_disk(image: Image) -> Image:
    """Return an outbox in a folder beside one for backups."""
    return {"state/": b"", "copies/": b""} | {f"state/{path}": content for path, content in image.items()}


def _database(image: Image, change: Callable[[sqlite3.Connection], None]) -> Image:
    """Return an orderly image with its database changed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "state"
        write_image(image, folder)
        with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
            change(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return {**image, DATABASE: (folder / DATABASE).read_bytes()}


def aging(image: Image, *, ms_each: int) -> Image:
    """Return an outbox whose entries come of age one after the other, and then all of those to come at once.

    Were those to come of age one after the other too, they would come faster than they age: then nothing but their age
    keeps what the centre does not have.
    """

    def change(connection: sqlite3.Connection) -> None:
        head, now_ms = connection.execute("SELECT head_seq, operating_ms FROM ledger").fetchone()
        connection.execute("DELETE FROM age_mark")
        rows = [(now_ms + number * ms_each, number) for number in range(1, head + 1)]
        rows.append((now_ms + (head + 1) * ms_each, 2 * head))
        connection.executemany("INSERT INTO age_mark VALUES (?, ?)", rows)

    return _database(image, change)


def older(image: Image, version: int, *, is_hot: bool) -> Image:
    """Return an orderly image as an older version of the program would have it, `is_hot` when that one was killed."""
    with tempfile.TemporaryDirectory() as temporary:
        newer = Path(temporary) / "newer.db"
        newer.write_bytes(image[DATABASE])
        path = Path(temporary) / DATABASE
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            migrate(connection, migrations()[:version])
            connection.execute("ATTACH ? AS newer", (str(newer),))
            tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type='table'")]
            for table in tables:
                columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
                listed = ", ".join(columns)
                connection.execute(f"INSERT OR REPLACE INTO main.{table} SELECT {listed} FROM newer.{table}")
            if not is_hot:
                connection.execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
            else:
                connection.execute("UPDATE ledger SET in_use = 1")
            old = {name: Path(temporary, name).read_bytes() for name in (DATABASE, DATABASE + "-wal") if is_hot}
        return old if is_hot else {DATABASE: path.read_bytes()}


def _page_of_entries(content: bytearray) -> int:
    """Return a leaf page in the middle of the file that holds entries and nothing else (fileformat2.html, 1.6)."""
    pages = range(len(content) // PAGE // 2, len(content) // PAGE)
    return next(
        page for page in pages if content[page * PAGE] == 0x0D and b'"specversion"' in content[page * PAGE :][:PAGE]
    )


def _without_lost(history: History, state: Path) -> History:
    found: Found = look(state)
    answers = set()
    with closing(sqlite3.connect(f"file:{state / DATABASE}?mode=ro", uri=True)) as connection:
        answers = set(connection.execute("SELECT device, message_id FROM redelivery"))
    kept = [
        one
        for one in history.heard
        if one.at >= 0
        or (
            (one.token in found.by_token if one.events is None else all(id in found.by_id for id in one.events))
            and (not one.message_id or (one.device, one.message_id) in answers)
        )
    ]
    return replace(history, heard=kept, missing=frozenset(range(1, found.head + 1)) - frozenset(found.entries))
