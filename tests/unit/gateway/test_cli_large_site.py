"""What commands print at a large site: the worst first, each list with how many there are and how to see the others."""

import json
from typing import Any

import pytest

from buffer import AuditRecord
from gateway.cli import client
from gateway.cli.errors import run_command, say


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


def device(name: str, state: str) -> dict[str, Any]:
    return {"id": name, "station": "floor", "driver": "handheld", "state": state, "last_reading_age_s": 3.0,
            "readings": 7, "last_byte_age_s": None, "last_error": None, "hint": None}  # fmt: skip


def alarm(code: str, subject: str) -> dict[str, Any]:
    return {"code": code, "subject": subject, "message": "does not answer", "hint": "look"}


def upstream(name: str) -> dict[str, Any]:
    books = ("accepted", "delivered", "pending", "quarantined", "discarded", "skipped", "lost", "imbalance")
    return {"name": name, "health": "idle", "lag_s": 0.0, "last_answer_age_s": 1.0, **dict.fromkeys(books, 0)}


def status(devices: list[dict[str, Any]], alarms: list[dict[str, Any]], suppliers: int) -> dict[str, Any]:
    exceptions = [
        {"supplier": f"s-{number}", "code": "damaged", "open": 9, "overdue": 0, "oldest_age_s": 5}
        for number in range(suppliers)
    ]
    return {
        "gateway": "dock-pc-1", "site": "dc07", "ready": True, "not_ready_because": None, "uptime_s": 5.0,
        "version": "0.1.0", "clock": "synchronised", "alarms": alarms, "devices": devices, "knocking": [],
        "notices": ["something to know"], "upstreams": [upstream("centre")],
        "storage": {"bytes_used": 1, "bytes_max": 9, "disk_free": 9, "autonomy_hours": None, "entries": 1},
        "checks": {"is_on": True, "exceptions": [], "suppliers": exceptions},
        "measures": {"scans": [], "suppliers": [], "readability": [], "since_ms": 0,
                     "dock_to_stock": {"count": 0}, "pick_cycle": {"count": 0}},
    }  # fmt: skip


def test_the_status_of_a_large_site_shows_what_is_ill_and_counts_the_rest(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fifteen hundred handhelds that are well were fifteen hundred lines between the alarms and the deliveries."""
    handhelds = [device(f"hh-{number:04}", "heard") for number in range(1500)]
    down = [f"dock-{number}" for number in range(12)]
    found = status(
        [device("hh-*", "admits"), *handhelds, *(device(name, "down") for name in down)],
        [alarm("storage_full", "storage"), *(alarm("device_down", name) for name in down)],
        suppliers=60,
    )
    daemon.answers["/v1/status"] = found
    assert run_command(["status"]) == 1
    said = capsys.readouterr().out
    lines = [line.rstrip() for line in said.splitlines()]
    assert len(lines) < 80
    assert [line.partition(":")[0] for line in lines if line.startswith("ALARM")] == [
        "ALARM storage_full storage", "ALARM device_down dock-0", "ALARM device_down dock-1",
        "ALARM device_down dock-2", "ALARM device_down"]  # fmt: skip
    assert "ALARM device_down: 9 more, of dock-3, dock-4" in said
    table = lines.index("Devices") + 2
    assert [line.split()[0] for line in lines[table : table + 12]] == down
    assert "and 1488 more (1487 heard, 1 admits): dockline devices list" in lines
    assert "and 35 more rows, by supplier and code: dockline status --json" in lines
    assert lines[-1] == "13 alarms, listed above; the first: storage_full storage"


def test_the_status_of_a_small_site_shows_all_in_the_order_of_the_file(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["well-1", "ill-1", "well-2"]
    devices = [device(name, "up" if name.startswith("well") else "down") for name in names]
    daemon.answers["/v1/status"] = status(devices, [alarm("device_down", "ill-1")], suppliers=2)
    assert run_command(["status"]) == 1
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    table = lines.index("Devices") + 2
    assert [line.split()[0] for line in lines[table : table + 3]] == names
    assert lines[-1] == "note: something to know"
    assert not any(" more" in line for line in lines)


def test_a_device_with_few_readings_is_not_called_well(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve unreadable scans of twelve stood there as "well", because a device is judged by fifties."""
    found = status([], [], suppliers=0)
    seen = {"unreadable": 12, "limit": 4.0, "is_degraded": False}
    found["measures"]["readability"] = [
        {"device": "hh-1", "readings": 12, "last_group": None, **seen},
        {"device": "hh-2", "readings": 90, "last_group": 2, **seen},
        {"device": "hh-3", "readings": 90, "last_group": 9, **seen, "is_degraded": True},
    ]
    daemon.answers["/v1/status"] = found
    assert run_command(["status"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    said = {line[0]: " ".join(line[5:]) for line in lines if line and line[0].startswith("hh-")}
    assert said == {"hh-1": "too few to say", "hh-2": "well", "hh-3": "degraded"}


EVIL = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\nALARM forged: "


def test_what_a_centre_says_in_an_alarm_tells_the_terminal_nothing_and_forges_no_line(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status(
        [device("hh-1", "down")], [{**alarm("device_down", EVIL), "message": EVIL, "hint": EVIL}] * 5, suppliers=0
    )
    found |= {"ready": False, "not_ready_because": EVIL, "notices": [EVIL]}
    found["devices"][0] |= {"last_error": EVIL, "hint": EVIL}
    daemon.answers["/v1/status"] = found
    found["links"] = [{"device": "hh-1", "last_error": EVIL, "hint": EVIL, "last_byte_age_s": None}]
    for command in (["status"], ["devices", "list"]):
        run_command(command)
        said = capsys.readouterr().out
        assert "owned" in said
        assert not set(said) & set("\x1b\x07\u202e\x9b"), command
        assert not [line for line in said.splitlines() if line.startswith("ALARM forged")], command


def test_what_a_failure_quotes_tells_the_terminal_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"document {EVIL}", EVIL)
    assert not set(capsys.readouterr().err) & set("\x1b\x07\u202e\x9b")


@pytest.mark.parametrize("form", ["people", "json"])
def test_a_cut_list_of_quarantined_events_ends_with_the_reasons_of_all_of_them(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    held = {"upstream": "centre", "seq": 7, "state": "open", "since": 0, "type": "dockline.pick.v1", "device": "hh-1",
            "owner": "", "reason": "closed"}  # fmt: skip
    reasons = [{"upstream": "centre", "reason": "closed", "count": 50_000}]
    daemon.answers["/v1/quarantine"] = {"quarantine": [held], "total": 50_000, "reasons": reasons}
    words = ["quarantine", "list", *(["--json"] if form == "json" else [])]
    assert run_command(words) == 0
    said = capsys.readouterr()
    assert said.err.startswith("1 of 50000 events; --rejected-for REASON")
    if form == "json":
        assert json.loads(said.out) == [held]
    else:
        assert said.out.splitlines()[-1].split() == ["centre", "50000", "closed"]
    daemon.answers["/v1/quarantine"] = {"quarantine": [held], "total": 1, "reasons": reasons}
    assert run_command(words) == 0
    said = capsys.readouterr()
    assert "Why" not in said.out
    assert said.err == ""


def test_a_cut_list_of_documents_says_how_to_go_on(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"id": "ASN-1", "type": "asn", "version": "1", "scope": "gateway", "lines_total": 3, "progress": []}
    daemon.answers["/v1/expectations"] = {"expectations": [one], "next_after": "ASN-1"}
    assert run_command(["expectations", "list"]) == 0
    assert capsys.readouterr().err == "1 document shown, and there are more: --after ASN-1 goes on\n"
    daemon.answers["/v1/expectations"] = {"expectations": [one], "next_after": None}
    assert run_command(["expectations", "list", "--after", "ASN-0"]) == 0
    assert capsys.readouterr().err == ""
    assert daemon.asked[-1][1]["after"] == "ASN-0"


class Journal:
    """An outbox with nine audit records."""

    def audit_list(self, *, after: int | None, limit: int) -> list[AuditRecord]:
        numbers = list(range(1, 10))
        numbers = numbers[-limit:] if after is None else [one for one in numbers if one > after][:limit]
        return [AuditRecord(one, 0, 0, "op7", "did", "", None, f"thing {one}", b"") for one in numbers]

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("form", ["people", "json"])
@pytest.mark.parametrize(
    ("words", "shown", "rest"),
    [
        (["-n", "3"], "789", "3 records shown, and there are more before them: --after 0 begins with the first\n"),
        (["-n", "3", "--after", "2"], "345", "3 records shown, and there are more: --after 5 goes on\n"),
        (["-n", "9"], "123456789", ""),
        (["-n", "3", "--after", "6"], "789", ""),
    ],
)
def test_the_audit_shows_what_was_done_last_and_says_that_there_is_more(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], form: str, words: list[str], shown: str, rest: str
) -> None:
    """After a year the first hundred records were those of the installation."""
    daemon.read = Journal  # type: ignore[attr-defined]
    assert run_command(["audit", "list", *words, *(["--json"] if form == "json" else [])]) == 0
    said = capsys.readouterr()
    assert said.err == rest
    if form == "json":
        assert "".join(str(one["number"]) for one in json.loads(said.out)) == shown
    else:
        assert "".join(line.split()[-1] for line in said.out.splitlines() if "thing" in line) == shown
