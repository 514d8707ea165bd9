"""The fault matrix tells what was run: every row has a test, and nobody wrote into the page."""

from fault_matrix import PAGE, ROWS_MAX, marked_tests, name_of, read_results, read_rows, render

OPEN = set(range(1, ROWS_MAX + 1))
"""Rows that no test shows yet. Nothing may be added here."""


def test_there_are_all_the_rows_and_each_says_everything() -> None:
    rows = read_rows()
    assert [row["number"] for row in rows] == list(range(1, ROWS_MAX + 1))
    assert all(row["fault"] and row["answer"] and row["shown"] for row in rows)


def test_every_row_has_a_test() -> None:
    shown = {row for rows in marked_tests().values() for row in rows}
    assert set(range(1, ROWS_MAX + 1)) - shown <= OPEN


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
