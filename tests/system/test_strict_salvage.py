"""What a strict consumer sees of an outbox that was damaged while events waited, and salvaged. Real processes."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from consumer_site import CAP, EVERYTHING, ConsumerSite, consumer_site, picky

PAGE = 4096

Damage = Callable[[Path], None]


def spoil(path: Path, *pages: int) -> None:
    """Make pages, counted from 1, read as noise."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(bytes(range(256)) * (PAGE // 256))


def some_entries(state: Path) -> None:
    """The pages with a few scans: some were delivered, most wait."""
    content = (state / "outbox.db").read_bytes()
    found = re.finditer(rb"CARTON (40|150|151|200|299)\b", content)
    spoil(state / "outbox.db", *{match.start() // PAGE + 1 for match in found})


def table(*names: str) -> Damage:
    """The first page of a table, through which everything in it is found."""

    def damage(state: Path) -> None:
        with contextlib.closing(sqlite3.connect(state / "outbox.db")) as outbox:
            pages = dict(outbox.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
        spoil(state / "outbox.db", *(pages[name] for name in names))

    return damage


def log_in_the_middle(state: Path) -> None:
    """A stretch of the write-ahead log; SQLite takes nothing behind it."""
    log = state / "outbox.db-wal"
    assert log.stat().st_size > 60 * PAGE
    spoil(log, log.stat().st_size // PAGE // 2)


def head(state: Path) -> None:
    spoil(state / "outbox.db", 1)


@pytest.mark.parametrize(
    ("damage", "killed"),
    [
        pytest.param(some_entries, False, id="some entries"),
        pytest.param(table("cursor"), False, id="positions", marks=pytest.mark.long),
        pytest.param(log_in_the_middle, True, id="log"),
        pytest.param(table("entry"), False, id="all ways to entries", marks=pytest.mark.long),
        pytest.param(table("quarantine", "announcement"), False, id="quarantine", marks=pytest.mark.long),
        pytest.param(table("ledger", "epoch"), False, id="ledger", marks=pytest.mark.long),
        pytest.param(head, False, id="head", marks=pytest.mark.long),
    ],
)
async def test_a_salvage_leaves_no_hole_unexplained(tmp_path: Path, damage: Damage, killed: bool) -> None:
    """Part was delivered, part refused, most waits; then pages are noise; then scans go on, and the line is back."""
    async with consumer_site(tmp_path, {"centre": {}}, policies={"centre": picky()}) as site:
        line = site.lines["centre"]
        await site.post(100, bad={3, 50})
        await site.settled()
        line.cut()
        await site.post(200, bad={20, 110})
        last = site.rows("SELECT head_seq FROM ledger")[0][0]
        await stopped(site, killed=killed)
        damage(tmp_path / "state")
        with site.broken(reach=EVERYTHING):
            await site.gateway.start()
        assert list((tmp_path / "state").glob("damaged-*"))
        await site.post(50, bad={7})
        await line.network.mend()
        await site.settled()
        reading = site.judge("centre")
        old, new = reading.sources.values()
        assert (old.first, old.highest, new.first) == (1, last, last + 1)
        assert (reading.gone("missing") > 0) == (damage is some_entries)
        await site.judge_books("centre")
        exported = await site.export_in_all_formats()
        assert exported.gone("missing") >= reading.gone("missing")


@pytest.mark.parametrize("damage", [table("entry"), table("cursor")], ids=["all ways to entries", "positions"])
async def test_what_a_full_outbox_gave_up_is_named_behind_a_salvage(tmp_path: Path, damage: Damage) -> None:
    """The mirror was not told yet what was given up when the outbox is damaged."""
    upstreams: dict[str, dict[str, object]] = {"centre": {}, "mirror": {"required": False}}
    async with consumer_site(tmp_path, upstreams, bytes_max=CAP) as site:
        mirror = site.lines["mirror"]
        await site.post(20)
        await site.settled()
        mirror.cut()
        while not (await site.upstream("mirror"))["skipped"]:
            await site.post(100, note="x" * 300)
        await site.settled("centre")
        await stopped(site, killed=False)
        damage(tmp_path / "state")
        with site.broken(reach=EVERYTHING):
            await site.gateway.start()
        await site.post(50)
        await mirror.network.mend()
        await site.settled()
        assert site.acknowledged <= site.judge("centre").events
        assert site.judge("mirror").gone("skipped") > 0
        await site.judge_books("centre")
        await site.judge_books("mirror")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(16))
async def test_salvage_upon_salvage_leaves_no_hole_unexplained(tmp_path: Path, seed: int) -> None:
    """Damaged three times, anywhere, while something was delivered in between, or not; the mirror was away longer, and
    half of the outboxes are so small that they give up what it lacks."""
    rng = Random(seed)
    storage = {"bytes_max": CAP} if seed % 2 else {}
    upstreams: dict[str, dict[str, object]] = {"centre": {"batch_events_max": 40}, "mirror": {"required": False}}
    policies = {"centre": picky(), "mirror": picky()}
    async with consumer_site(tmp_path, upstreams, policies=policies, **storage) as site:
        for round_ in range(3):
            if storage:
                for _ in range(rng.randrange(5)):
                    await site.post(150, note="x" * 300, bad={70})
                await site.settled("centre")
            await site.post(rng.randrange(20, 200), bad={3, 17})
            if rng.random() < 0.6:
                await site.settled("centre", *(["mirror"] if round_ != 1 else []))
            for line in site.lines.values():
                line.cut()
            await site.post(rng.randrange(20, 200), bad={5, 18})
            await stopped(site, killed=rng.random() < 0.5)
            files = [path for path in (tmp_path / "state").glob("outbox.db*") if path.stat().st_size > 3 * PAGE]
            for _ in range(rng.randrange(1, 7)):
                path = rng.choice([one for one in files if not one.name.endswith("-shm")])
                spoil(path, rng.randrange(1, path.stat().st_size // PAGE))
            with site.broken(reach=EVERYTHING):
                await site.gateway.start()
            await site.post(30, bad={7})
            for name in ["centre", *(["mirror"] if round_ != 0 else [])]:
                await site.lines[name].network.mend()
        await site.settled()
        for name in site.lines:
            site.judge(name)
            await site.judge_books(name)


async def stopped(site: ConsumerSite, *, killed: bool) -> None:
    if killed:
        await site.gateway.kill()
    else:
        assert await site.gateway.stop() == 0
