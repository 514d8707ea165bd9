"""What commands print at a large site: the worst first, each list with how many there are and how to see the others."""

import json
from typing import Any

import pytest

from gateway.cli import client
from gateway.cli.errors import run_command


class Daemon:
    """Answers each path with what a test put there, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, object]]] = []

    def get(self, path: str, **query: object) -> Any:
        self.asked.append((path, query))
        return self.answers[path]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    made = Daemon()
    monkeypatch.setattr(client, "Site", lambda *_: made)
    return made


def case(number: int) -> dict[str, Any]:
    return {"exception": f"e-{number}", "code": "damaged", "state": "open", "severity": "minor", "owner": "quality",
            "age_s": 5, "overdue": False, "due_in_s": 60, "message": "torn"}  # fmt: skip


@pytest.mark.parametrize("form", ["people", "json"])
def test_a_cut_list_of_exceptions_says_how_many_there_are_and_how_to_go_on(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """A thousand of ten thousand were three thousand lines, and nothing said that there were more."""
    cases = [case(number) for number in range(2)]
    daemon.answers["/v1/exceptions"] = {"exceptions": cases, "total": 10_041, "overdue": 3000, "next_after": "e-1"}
    words = ["exceptions", "list", *(["--json"] if form == "json" else [])]
    assert run_command(words) == 0
    said = capsys.readouterr()
    assert said.err.startswith("2 of 10041 exceptions, 3000 overdue (--state overdue);")
    assert "--after e-1 goes on" in said.err
    assert form == "people" or json.loads(said.out) == cases
    assert daemon.asked[0][1]["limit"] == 100

    daemon.answers["/v1/exceptions"] = {"exceptions": cases, "total": 2, "overdue": 0, "next_after": None}
    assert run_command([*words, "--state", "overdue", "--after", "e-0"]) == 0
    assert capsys.readouterr().err == "", "all of them are there"
    assert daemon.asked[1][1]["state"] == "overdue"
    assert daemon.asked[1][1]["after"] == "e-0"
