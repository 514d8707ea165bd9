"""`make test` in two halves runs every test, and is green only when both are."""

import subprocess
import sys
from pathlib import Path
from typing import IO

import halves
import pytest

ROOT = Path(__file__).parents[2]


def test_every_test_is_in_one_of_the_halves() -> None:
    """What is moved to the others is there, and its folder is the one that the first half is about."""
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    others = halves.others()
    assert set(halves.BUSY) <= {file for file in there if file.startswith(f"{halves.REAL}/")}
    assert len(others) == len(set(others)) and set(halves.BUSY) <= set(others) and halves.REAL not in others
    told = [f"{one}/" for one in (*others, halves.REAL)]
    assert {file for file in there if not any(f"{file}/".startswith(one) for one in told)} == set()


@pytest.mark.parametrize(("real", "rest", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 0, 2), (0, -9, 1), (5, 0, 5)])
def test_one_red_half_is_a_red_run(
    real: int, rest: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A negative code is a signal that ended it."""

    def start(what: list[str], said: IO[bytes] | None) -> halves.Half:
        end = real if what[0] == halves.REAL else rest
        how = f"sys.exit({end})" if end >= 0 else f"os.kill(os.getpid(), {-end})"
        program = f"import os, sys; sys.stdout.write('it was {end}'); sys.stdout.flush(); {how}"
        return subprocess.Popen([sys.executable, "-S", "-c", program], stdout=said or subprocess.DEVNULL)

    monkeypatch.setattr(halves, "start", start)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert halves.main() == code
    assert f"it was {rest}" in capsys.readouterr().out
