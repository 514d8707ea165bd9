"""The fault matrix: its rows, the tests that show them, their latest results, and the page made of these.

python tests/support/fault_matrix.py        makes docs/fault-matrix.md from what is committed
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "tests" / "data" / "fault_rows.toml"
RESULTS = ROOT / "tests" / "data" / "fault_results.json"
PAGE = ROOT / "docs" / "fault-matrix.md"
ROWS_MAX = 46

_HEAD = """\
# The fault matrix

What can go wrong at a site, what the gateway does about it, and what the tests that cause it measured last.

Each row means, without saying so again: nothing is lost, duplicated, invented or corrupted, by the judgement of [a
checker](../simulators/ledger.py) that knows only what the devices did and heard and what the centre received; the
books of the outbox balance; nobody sees a traceback; an alarm has a name while the fault lasts; and the gateway
recovers without a person unless the row says otherwise. [What is not promised](durability.md#what-is-not-promised)
stands elsewhere.

`make faults` causes all of them (an hour or more), `make faults QUICK=1` those that take seconds, which every `make
test` causes too, `make faults ROW=13` one of them. Each writes what it saw into `tests/data/fault_results.json`,
and this page is made from that file: nobody writes in it. Times are those of a busy shared machine; no test passes
or fails by them.
"""
_TABLE = """
| # | fault | what the gateway does | how it is shown | command | latest run |
|---|---|---|---|---|---|"""


class Row(TypedDict):
    """One fault."""

    number: int
    group: str
    fault: str
    answer: str
    shown: str


class Result(TypedDict):
    """What one test showed when it was run last."""

    rows: list[int]
    outcome: str
    is_long: bool
    seconds: float
    figures: dict[str, str]
    date: str
    commit: str


Results = dict[str, Result]


def read_rows() -> list[Row]:
    rows: list[Row] = tomllib.loads(ROWS.read_text())["row"]
    return rows


def read_results(file: Path = RESULTS) -> Results:
    """Return results by test; none when there is no file."""
    results: Results = json.loads(file.read_text()) if file.exists() else {}
    return results


def write_results(file: Path, results: Results) -> None:
    file.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def name_of(nodeid: str) -> str:
    """Return the name of the function; a contract suite hands one function on to many classes."""
    return nodeid.partition("[")[0].rpartition("::")[2]


def marked_tests() -> dict[str, set[int]]:
    """Return the rows that each test function is marked with, by its name, as the source says it."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        if "mark.fault(" not in text:
            continue
        tree = ast.parse(text)
        everywhere = {row for node in tree.body if isinstance(node, ast.Assign) for row in _rows_in(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                rows = everywhere | {row for decorator in node.decorator_list for row in _rows_in(decorator)}
                if rows:
                    found[node.name] |= rows
    return found


def _rows_in(node: ast.AST) -> set[int]:
    return {
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "fault"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    }


def render(results: Results) -> str:
    """Return the page."""
    by_row: dict[int, list[tuple[str, Result]]] = defaultdict(list)
    for nodeid, result in sorted(results.items()):
        for row in result["rows"]:
            by_row[row].append((nodeid, result))
    lines = [_HEAD, _summary(by_row)]
    group = ""
    for row in read_rows():
        if row["group"] != group:
            group = row["group"]
            lines += [
                f"\n## {group}\n",
                "| # | fault | what the gateway does | how it is shown | command | latest run |",
            ]
            lines.append("|---|---|---|---|---|---|")
        lines.append(_line(row, by_row[row["number"]]))
    return "\n".join([*lines, "\n## The tests\n", *_tests(by_row)]) + "\n"


def _summary(by_row: dict[int, list[tuple[str, Result]]]) -> str:
    outcomes = {row: {result["outcome"] for _, result in ran} for row, ran in by_row.items()}
    holding = [row for row, found in outcomes.items() if "passed" in found and "failed" not in found]
    failed = sorted(row for row, found in outcomes.items() if "failed" in found)
    missing = sorted(set(range(1, ROWS_MAX + 1)) - set(holding) - set(failed))
    passed = {nodeid for ran in by_row.values() for nodeid, result in ran if result["outcome"] == "passed"}
    text = f"{len(holding)} of {ROWS_MAX} rows hold, by {len(passed)} tests."
    if failed:
        text += f" These fail: {', '.join(map(str, failed))}."
    if missing:
        text += f" These were not run yet: {', '.join(map(str, missing))}."
    return text


def _line(row: Row, ran: list[tuple[str, Result]]) -> str:
    number = row["number"]
    cells = [str(number), row["fault"], row["answer"], row["shown"], f"`make faults ROW={number}`", _latest(ran)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latest(ran: list[tuple[str, Result]]) -> str:
    done = [result for _, result in ran if result["outcome"] != "not run"]
    if not done:
        return "not run yet"
    failed = sum(result["outcome"] == "failed" for result in done)
    parts = [f"**{failed} of {len(done)} tests fail**" if failed else f"{len(done)} test{'s' * (len(done) > 1)} passed"]
    if len(ran) > len(done):
        parts.append(f"{len(ran) - len(done)} not run yet")
    parts += [figures for result in done if (figures := _figures(result))]
    newest = max(result["date"] for result in done)
    commits = sorted({result["commit"] for result in done})
    return "<br>".join([*parts, f"{newest}, {', '.join(commits)}, {sum(r['seconds'] for r in done):.0f} s"])


def _figures(result: Result) -> str:
    return ", ".join(f"{name}: {value}" for name, value in result["figures"].items())


def _tests(by_row: dict[int, list[tuple[str, Result]]]) -> list[str]:
    """Every row with its tests, so that one can be run alone."""
    lines = []
    for row in read_rows():
        ran = by_row[row["number"]]
        cases = Counter(nodeid.partition("[")[0] for nodeid, _ in ran)
        long = {nodeid.partition("[")[0] for nodeid, result in ran if result["is_long"]}
        waits = {nodeid.partition("[")[0] for nodeid, result in ran if result["outcome"] == "not run"}
        names = [
            f"`{test}`{f' ({count} cases)' * (count > 1)}{' (long)' * (test in long)}"
            f"{' (not run yet, or not all of it)' * (test in waits)}"
            for test, count in cases.items()
        ]
        lines.append(f"{row['number']}. {'; '.join(names) or 'not run yet'}")
    return lines


if __name__ == "__main__":
    PAGE.write_text(render(read_results()))
