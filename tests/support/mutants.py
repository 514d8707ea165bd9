"""Bugs planted in the program, one at a time, and the tests that must catch them.

    python tests/support/mutants.py                  plants every bug of tests/data/planted_bugs.toml
    python tests/support/mutants.py --quick          those whose tests take about a second
    python tests/support/mutants.py --bug NAME       one
    python tests/support/mutants.py --page           makes docs/planted-bugs.md and runs nothing

First the tests run without any bug: they must pass. Then each bug is planted, and the test named beside it must fail
because of what it asserts. A bug that survives, or whose place in the program is gone, fails the run.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUGS = ROOT / "tests" / "data" / "planted_bugs.toml"
PAGE = ROOT / "docs" / "planted-bugs.md"
LOADER = Path(__file__).with_name("mutation")
BOUND_S = 300
AT_ONCE = 2

_HEAD = """\
# Planted bugs

Tests that cannot fail prove nothing. So each of these mistakes is made on purpose, one at a time, in the program as it
is, and the test beside it must notice: `make mutants` plants them all and says how each was caught, `make mutants
BUG=name` one, and every `make test` a few. A bug is a piece of the program's text and what stands there instead
(`tests/data/planted_bugs.toml`); it is exchanged while the module is loaded, in the tests and in every gateway they
start. When the text is gone, the run fails: the bug has to be planted anew.

Further mistakes are planted under sail, where no single test is responsible: see below. This page is made from both
lists by `make mutants-page`; nobody writes in it.

| bug | where | caught by |
|---|---|---|
"""
_SAILS = """
## Under sail

Planted in a whole gateway in virtual time; some [voyage](testing.md#voyages) must be judged to have gone wrong
(`tests/simulation/test_planted_bugs.py`).

| bug | what it does |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake."""

    name: str
    what: str
    """In a sentence."""
    file: str
    old: str
    new: str
    test: str
    """Node id of the test that must fail; with a parameter when one of several is meant."""
    is_quick: bool = False

    def problem(self) -> str | None:
        """Return why it cannot be planted, or None."""
        text = (ROOT / self.file).read_text()
        if text.count(self.old) != 1:
            return f"its text occurs {text.count(self.old)} times in {self.file}"
        try:
            ast.parse(text.replace(self.old, self.new))
        except SyntaxError as error:
            return f"what it makes of {self.file} is no Python: {error}"
        file, _, test = self.test.partition("::")
        name = test.rpartition("::")[2].partition("[")[0]
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text():
            return f"there is no test {self.test}"
        return None


def read_bugs() -> list[Bug]:
    """Return every bug, in the order of the file."""
    rows = tomllib.loads(BUGS.read_text())["bug"]
    return [Bug(is_quick=row.pop("quick", False), **row) for row in rows]


def run_tests(tests: list[str], bug: str = "") -> tuple[int, str]:
    """Run tests with a bug planted; return pytest's exit code and what it wrote."""
    environ = {**os.environ, "PLANTED_BUG": bug, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    environ["PYTHONPATH"] = os.pathsep.join([str(LOADER), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "", *tests]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, "never ended"
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a planted bug."""

    bug: Bug
    is_caught: bool
    how: str
    seconds: float


def plant(bug: Bug) -> Fate:
    """Plant a bug and run its test."""
    began = time.monotonic()
    problem = bug.problem()
    if problem is not None:
        return Fate(bug, False, problem, 0.0)
    code, said = run_tests([bug.test], bug.name)
    return judge(bug, code, said, time.monotonic() - began)


def judge(bug: Bug, code: int, said: str, seconds: float = 0.0) -> Fate:
    """Return what pytest's exit code and words mean: only a test that ran and failed has caught the bug."""
    if code == 1 and re.search(r"^FAILED ", said, re.MULTILINE):
        return Fate(bug, True, _reason(said), seconds)
    how = "the test passes" if code == 0 else f"pytest ended with {code}: {said.strip()[-300:]}"
    return Fate(bug, False, how, seconds)


def _reason(said: str) -> str:
    """Return the first line of what the failing test complained about."""
    lines = re.findall(r"^E   +(\S.*)$", said, re.MULTILINE)
    return lines[0][:110] if lines else "failed"


def page() -> str:
    """Return the page that lists every planted bug."""
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    from voyage_bugs import BUGS as SAILED

    rows = [f"| {bug.what} | `{bug.file}` | `{bug.test}` |" for bug in read_bugs()]
    sailed = [f"| {name.replace('_', ' ')} | {' '.join((do.__doc__ or '').split())} |" for name, do in SAILED.items()]
    return _HEAD + "\n".join(rows) + "\n" + _SAILS + "\n".join(sailed) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bug", help="plant this one only")
    parser.add_argument("--quick", action="store_true", help="plant those that are found out in about a second")
    parser.add_argument("--page", action="store_true", help="make docs/planted-bugs.md and run nothing")
    asked = parser.parse_args()
    if asked.page:
        PAGE.write_text(page())
        return 0
    bugs = [bug for bug in read_bugs() if asked.bug in (None, bug.name) and (bug.is_quick or not asked.quick)]
    if not bugs:
        print(f'there is no bug "{asked.bug}"; see tests/data/planted_bugs.toml', file=sys.stderr)
        return 2
    tests = list(dict.fromkeys(bug.test for bug in bugs))
    print(f"without any bug: {len(tests)} tests", flush=True)
    code, said = run_tests(tests)
    if code != 0:
        print(f"they do not pass, so they cannot tell anything:\n{said[-3000:]}", file=sys.stderr)
        return 1
    fates: list[Fate] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, fate in enumerate(pool.map(plant, bugs), 1):
            fates.append(fate)
            verdict = "caught  " if fate.is_caught else "SURVIVED"
            print(
                f"{number:3d} {verdict} {fate.bug.what}\n       by {fate.bug.test}\n       how: {fate.how}", flush=True
            )
    survived = [fate.bug.name for fate in fates if not fate.is_caught]
    print(f"{len(fates) - len(survived)} of {len(fates)} planted bugs were caught")
    if survived:
        print(f"survived: {', '.join(survived)}", file=sys.stderr)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
