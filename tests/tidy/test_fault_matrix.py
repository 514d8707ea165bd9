"""The fault matrix tells what was run: every row has a test, and nobody wrote into the page."""

import os
import subprocess
import sys
from pathlib import Path

from fault_matrix import PAGE, ROOT, ROWS_MAX, marked_tests, name_of, read_results, read_rows, render


def test_there_are_all_the_rows_and_each_says_everything() -> None:
    rows = read_rows()
    assert [row["number"] for row in rows] == list(range(1, ROWS_MAX + 1))
    assert all(row["fault"] and row["answer"] and row["shown"] for row in rows)


def test_every_row_has_a_test() -> None:
    shown = {row for rows in marked_tests().values() for row in rows}
    assert shown == set(range(1, ROWS_MAX + 1))


def test_the_page_is_what_the_results_say() -> None:
    assert PAGE.read_text() == render(read_results()), "run: make fault-matrix"


def test_no_result_is_of_a_test_that_is_gone_or_shows_something_else() -> None:
    marked = marked_tests()
    for nodeid, result in read_results().items():
        assert set(result["rows"]) <= marked.get(name_of(nodeid), set()), nodeid


def test_a_row_that_failed_or_was_not_run_does_not_look_like_one_that_holds() -> None:
    result = {"rows": [13], "is_long": False, "seconds": 1.0, "figures": {"flips": "600"}, "date": "2026-11-25"}
    passed = render({"a.py::test_x": {**result, "outcome": "passed", "commit": "abc1234"}})  # type: ignore[typeddict-item]
    failed = render({"a.py::test_x": {**result, "outcome": "failed", "commit": "abc1234"}})  # type: ignore[typeddict-item]
    assert "1 of 46 rows hold" in passed
    assert "1 test passed<br>flips: 600<br>2026-11-25, abc1234, 1 s" in passed
    assert "These fail: 13." in failed
    assert "**1 of 1 tests fail**" in failed
    assert passed.count("| not run yet |") == ROWS_MAX - 1


MARKED = """
import pytest

@pytest.mark.fault(7)
def test_that_holds(figure):
    figure("flips", 12345)

@pytest.mark.fault(8, 9)
def test_that_fails(figure):
    figure("tried", 1)
    assert False

@pytest.mark.fault(10)
def test_that_does_not_try():
    pytest.{way}("no tool")

@pytest.mark.fault(11)
def test_that_is_not_chosen():
    pass
"""


def test_a_run_writes_down_what_happened_and_a_skip_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_marked.py").write_text(MARKED.format(way="skip"))
    chosen = "that and not chosen"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "fault_plugin", "--rootdir", str(tmp_path), "-k", chosen,
         "--fault-results", str(tmp_path / "results.json"), str(tmp_path / "test_marked.py")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    found = {name_of(nodeid): result for nodeid, result in read_results(tmp_path / "results.json").items()}
    assert {name: result["outcome"] for name, result in found.items()} == {
        "test_that_holds": "passed",
        "test_that_fails": "failed",
        "test_that_does_not_try": "failed",
        "test_that_is_not_chosen": "not run",
    }
    assert found["test_that_holds"]["figures"] == {"flips": "12,345"}
    assert found["test_that_fails"]["rows"] == [8, 9]
    page = render(read_results(tmp_path / "results.json"))
    assert "1 of 46 rows hold, by 1 tests. These fail: 8, 9, 10." in page


CASES = """
import pytest

@pytest.mark.fault(1)
@pytest.mark.parametrize("case", ["one", "two"])
def test_ten_thousand_power_cuts_lose_nothing(case):
    pass
"""
"""Under the name of a test that there is: results of others are not kept."""


def test_one_case_that_is_run_alone_does_not_wipe_out_what_the_others_showed(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES)
    results = tmp_path / "results.json"
    for chosen in ("test_cases.py", "test_cases.py::test_ten_thousand_power_cuts_lose_nothing[two]"):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "fault_plugin", "--rootdir", str(tmp_path),
             "--fault-results", str(results), chosen],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert [result["outcome"] for result in read_results(results).values()] == ["passed", "passed"]
