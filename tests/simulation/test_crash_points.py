"""Power cuts at every write of the recorded daemon: everything acknowledged is there, nothing sent is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from crash_bugs import BUGS
from crash_disk import MODES
from crash_replay import Bad, Figures, examine, examine_many, plan
from crash_scenarios import SCENARIOS, SMALL, Stage
from crash_site import Take
from crash_trace import Flushed, Said, Written

from buffer.migrate import migrations

JOBS = 2
SEED = 20261125
SAMPLE = {"load": 150}
SAMPLE_OF_OTHERS = 40
STATES = {"load": 10_000}
STATES_OF_OTHERS = 2_000

Figure = Callable[[str, int], None]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Take]]:
    """Every scenario, recorded small."""
    stage = Stage(tmp_path_factory.mktemp("recordings"), SMALL)

    async def record(name: str) -> list[Take]:
        return await SCENARIOS[name](stage)

    asyncio.run(stage.load())
    with ThreadPoolExecutor(JOBS) as pool:
        return dict(zip(SCENARIOS, pool.map(lambda name: asyncio.run(record(name)), SCENARIOS), strict=True))


def sample(takes: list[Take], count: int) -> Figures:
    """Judge about `count` power cuts, in this process."""
    figures = Figures()
    for number, cuts in plan(takes, count, SEED):
        figures.add(asyncio.run(examine(takes[number], cuts, SEED)))
        if figures.states >= count:
            break
    return figures


def said(bad: list[Bad]) -> list[str]:
    return [str(one) for one in bad[:5]]


def show(figure: Figure, scenario: str, figures: Figures) -> None:
    figure(f"states, {scenario}", figures.states)
    figure(f"bad, {scenario}", len(figures.bad))


@pytest.mark.fault(1)
def test_a_power_cut_at_any_write_loses_nothing(recordings: dict[str, list[Take]], figure: Figure) -> None:
    """A sample; `make crash-points` looks at ten thousand."""
    figures = sample(recordings["load"], SAMPLE["load"])
    show(figure, "load", figures)
    assert said(figures.bad) == []
    assert figures.states >= SAMPLE["load"]
    assert set(figures.modes) == set(MODES)


@pytest.mark.fault(2)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "load"])
def test_a_power_cut_in_what_is_done_rarely_loses_nothing(
    recordings: dict[str, list[Take]], scenario: str, figure: Figure
) -> None:
    """A sample; `make crash-points` looks at two thousand of each."""
    figures = sample(recordings[scenario], SAMPLE_OF_OTHERS)
    show(figure, scenario, figures)
    assert said(figures.bad) == []
    assert figures.states >= SAMPLE_OF_OTHERS


def test_a_recording_holds_what_it_should(recordings: dict[str, list[Take]]) -> None:
    """A judge without evidence finds nobody guilty."""
    (load,) = recordings["load"]
    steps, history = load.recording.steps, load.history
    scans = SMALL.handhelds * SMALL.scans + SMALL.labels
    assert len({one.token for one in history.scanned}) == scans
    assert {one.token for one in history.heard} == {one.token for one in history.scanned}
    assert len({one.seq for one in history.sent}) >= scans
    assert any(one.rejected for one in history.answered)
    assert sum(isinstance(step, Flushed) for step in steps) > 30
    assert sum(isinstance(step, Written) for step in steps) > 300
    assert sum(isinstance(step, Said) for step in steps) > scans
    (replay,) = recordings["replay"]
    again = [one for one in replay.history.sent if one.at >= 0 and one.seq <= scans]
    assert len({one.seq for one in again}) > scans // 2


def test_each_recording_did_what_it_is_for(recordings: dict[str, list[Take]], tmp_path: Path) -> None:
    (retention,) = recordings["retention"]
    assert query(retention, tmp_path, "SELECT purged > 50 FROM ledger") == [(1,)]
    for take in recordings["migration"]:
        assert query(take, tmp_path, "PRAGMA user_version") == [(len(migrations()),)]
    for take in recordings["salvage"]:
        assert take.damaged is not None
        assert query(take, tmp_path, "SELECT count(*) FROM incident") == [(1,)]
        assert [path for path in take.after if path.startswith("damaged-")]
    (replay,) = recordings["replay"]
    assert query(replay, tmp_path, "SELECT count(*) FROM audit WHERE action LIKE '%replay%'") != [(0,)]


def query(take: Take, folder: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask the outbox that a recorded daemon left."""
    path = folder / "left.db"
    path.write_bytes(take.after["outbox.db"])
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


PLANTED = {
    "no-flush-of-a-commit": ("load", "acknowledged and is gone"),
    "acknowledge-first": ("load", "acknowledged and is gone"),
    "answers-in-another-commit": ("load", "is forgotten: said again it would be stored twice"),
    "settle-first": ("load", "the cursor is at"),
    "replay-counts-first": ("replay", "a replay counts"),
    "no-flush-of-a-checkpoint": ("load", ""),
    "no-flush-of-names": ("salvage", ""),
    "no-flush-of-the-salvaged-file": ("salvage", ""),
    "migrate-in-pieces": ("migration", "taken for damage"),
    "no-flush-of-a-backup": ("backup", ""),
    "restore-over-the-outbox": ("restore", ""),
    "erase-what-is-owed": ("retention", "before the centre had it"),
}
SEEN_EVERY_TIME = (
    "no-flush-of-a-commit",
    "acknowledge-first",
    "settle-first",
    "no-flush-of-the-salvaged-file",
    "migrate-in-pieces",
)
PLANTED_STATES_MAX = 600
PLANTED_AT_ONCE = 60


def test_every_planted_bug_is_looked_for() -> None:
    assert set(PLANTED) == set(BUGS)


def look_for(bug: str, folder: Path) -> None:
    scenario, words = PLANTED[bug]
    stage = Stage(folder, SMALL, planted=bug)
    takes = asyncio.run(SCENARIOS[scenario](stage))
    figures = Figures()
    for number, cuts in plan(takes, PLANTED_AT_ONCE, SEED):
        figures.add(asyncio.run(examine(takes[number], cuts, SEED)))
        if any(words in broken for one in figures.bad for broken in one.broken):
            return
        if figures.states >= PLANTED_STATES_MAX:
            break
    pytest.fail(f"{figures.states} power cuts did not show it; bad were {said(figures.bad)}")


@pytest.mark.parametrize("bug", SEEN_EVERY_TIME)
def test_the_judge_sees(tmp_path: Path, bug: str) -> None:
    """A bug is planted into the daemon that is recorded; some power cut must show it."""
    look_for(bug, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("bug", [bug for bug in PLANTED if bug not in SEEN_EVERY_TIME])
def test_the_judge_sees_this_too(tmp_path: Path, bug: str) -> None:
    look_for(bug, tmp_path)


def many(scenario: str, folder: Path, count: int, figure: Figure) -> None:
    takes = asyncio.run(SCENARIOS[scenario](Stage(folder)))
    figures = Figures()
    for figures in examine_many(takes, count, SEED, JOBS):
        assert said(figures.bad) == []
    show(figure, scenario, figures)
    assert figures.states >= count


@pytest.mark.long
@pytest.mark.fault(1)
def test_ten_thousand_power_cuts_lose_nothing(tmp_path: Path, figure: Figure) -> None:
    many("load", tmp_path, STATES["load"], figure)


@pytest.mark.long
@pytest.mark.fault(2)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "load"])
def test_two_thousand_power_cuts_of_the_rare_lose_nothing(tmp_path: Path, scenario: str, figure: Figure) -> None:
    many(scenario, tmp_path, STATES_OF_OTHERS, figure)
