"""The list of planted bugs is what it says: every bug can be planted, and a run tells a caught one from a survivor.

All of them are planted by `make mutants`; here a few, so that each change of the program plants some.
"""

import subprocess
import sys
from dataclasses import replace

import mutants

BUGS = {bug.name: bug for bug in mutants.read_bugs()}


def test_every_bug_has_its_place_and_its_test() -> None:
    assert len(BUGS) == len(mutants.read_bugs()) >= 30
    assert {name: problem for name, bug in BUGS.items() if (problem := bug.problem())} == {}


def test_the_page_lists_what_there_is() -> None:
    assert mutants.PAGE.read_text() == mutants.page(), "make mutants-page"


def test_quick_ones_are_caught() -> None:
    command = [sys.executable, str(mutants.ROOT / "tests" / "support" / "mutants.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    count = sum(bug.is_quick for bug in BUGS.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} of {count} planted bugs were caught" in done.stdout


def test_what_is_no_bug_survives() -> None:
    """A run that calls everything caught would be worth nothing."""
    harmless = BUGS["rollover_is_off_by_one"]
    code, _ = mutants.run_tests([harmless.test])
    assert code == 0
    fate = mutants.judge(harmless, code, "")
    assert (fate.is_caught, fate.how) == (False, "the test passes")


def test_a_bug_whose_place_is_gone_fails_loudly() -> None:
    gone = replace(BUGS["rollover_is_off_by_one"], old="no such text")
    fate = mutants.plant(gone)
    assert not fate.is_caught
    assert "occurs 0 times" in fate.how


def test_a_test_that_could_not_run_catches_nothing() -> None:
    fate = mutants.judge(BUGS["rollover_is_off_by_one"], 2, "ERROR collecting")
    assert not fate.is_caught
