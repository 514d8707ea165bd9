"""Which row of the fault matrix a test shows, and what it measured.

    @pytest.mark.fault(13)
    def test_a_thousand_flips(figure):
        ...
        figure("flips", 1000)
        figure("wrong events delivered", 0)

`pytest -m fault --fault-results FILE` writes outcome, figures and duration of each such test to FILE, in which results
of tests that were not run this time stay, and tests that never were are listed as such; `--fault-row 13` runs one row.
A marked test that skips itself has failed: a row that was not tried must not look like one that holds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_matrix import ROOT, ROWS_MAX, Result, Results, marked_tests, name_of, read_results, write_results

Figure = Callable[[str, int | float | str], None]
RUNS = pytest.StashKey["Runs"]()


class Runs:
    """What this session learns about marked tests."""

    def __init__(self, file: Path | None, row: int | None) -> None:
        self.file = file
        self.row = row
        self.commit = commit() if file else ""
        self.collected: Results = {}
        """Every marked test there is, as one that was not run."""
        self.results: Results = {}


def commit() -> str:
    """Return the commit that is tested; a plus says that files differ from it."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", ":!docs/fault-matrix.md", ":!tests/data/fault_results.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() + ("+" if changed.stdout.strip() else "")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fault matrix")
    group.addoption("--fault-results", type=Path, help="write what the marked tests showed into this file")
    group.addoption("--fault-row", type=int, help="run only the tests of this row")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RUNS] = Runs(config.getoption("--fault-results"), config.getoption("--fault-row"))


def rows_of(item: pytest.Item) -> list[int]:
    """Return the rows that a test is marked with; raises pytest.UsageError for one that there is not."""
    rows = [row for mark in item.iter_markers("fault") for row in mark.args]
    if any(type(row) is not int or not 1 <= row <= ROWS_MAX for row in rows):
        raise pytest.UsageError(f"{item.nodeid}: fault() takes numbers from 1 to {ROWS_MAX}, not {rows}")
    return sorted(rows)


def not_run(item: pytest.Item, rows: list[int]) -> Result:
    is_long = item.get_closest_marker("long") is not None
    return Result(rows=rows, outcome="not run", is_long=is_long, seconds=0.0, figures={}, date="", commit="")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    runs = config.stash[RUNS]
    runs.collected = {item.nodeid: not_run(item, rows) for item in items if (rows := rows_of(item))}
    if runs.row is not None:
        others = [item for item in items if runs.row not in rows_of(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if runs.row in rows_of(item)]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Record a figure that this test measured; the last value of a name counts."""

    def record(name: str, value: int | float | str) -> None:
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else value
        request.node.user_properties.append((f"figure:{name}", shown))

    return record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    rows = rows_of(item)
    if not rows:
        return report
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} shows row {rows} of the fault matrix: it may not be skipped"
    runs = item.config.stash[RUNS]
    before = runs.results.get(item.nodeid)
    figures = {name[7:]: value for name, value in item.user_properties if name.startswith("figure:")}
    runs.results[item.nodeid] = Result(
        rows=rows,
        outcome="failed" if report.failed or (before and before["outcome"] == "failed") else "passed",
        is_long=item.get_closest_marker("long") is not None,
        seconds=round((before["seconds"] if before else 0.0) + report.duration, 1),
        figures=figures,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=runs.commit,
    )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    runs = session.config.stash[RUNS]
    if runs.file is None or not runs.results:
        return
    marked = marked_tests()
    # Somebody who asks for one case by its name collects no other; that does not mean that there is none.
    is_case = any("[" in argument for argument in session.config.args)
    collected = set() if is_case else {nodeid.partition("[")[0] for nodeid in runs.collected}
    kept = {
        nodeid: result
        for nodeid, result in read_results(runs.file).items()
        if name_of(nodeid) in marked and (nodeid in runs.collected or nodeid.partition("[")[0] not in collected)
    }
    write_results(runs.file, runs.collected | kept | runs.results)
