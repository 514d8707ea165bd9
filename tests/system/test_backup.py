"""Backup, restore and the end of a gateway, as somebody types them."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway

CODE = "]C10109521234543213"
SCANS = 3
ONLY_SCANS = CONFIG.replace('[mqtt.listener]\nbind = "127.0.0.1:0"\nunauthenticated = "accept-in-lab"\n', "")
"""No listener, whose coming up would be an event too."""


def scan(daemon: GatewayProcess, first: int, count: int) -> None:
    for number in range(first, first + count):
        answer = daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": f"n-{number}", "code": CODE})
        assert answer.json["result"] == "stored"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that took scans nobody wants, and runs."""
    with gateway(tmp_path_factory.mktemp("running"), ONLY_SCANS) as daemon:
        daemon.start()
        scan(daemon, 1, SCANS)
        yield daemon


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a gateway that took scans nobody wants, and was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    with gateway(folder, ONLY_SCANS) as daemon:
        daemon.start()
        scan(daemon, 1, SCANS)
        assert daemon.stop() == 0
        yield daemon.state


@pytest.fixture
def stopped(template: Path, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway(tmp_path / "copy", ONLY_SCANS) as daemon:
        shutil.copytree(template, daemon.state)
        yield daemon


def as_json(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_backup_of_a_running_gateway_is_audited_and_comes_to_life_elsewhere(
    running: GatewayProcess, tmp_path: Path
) -> None:
    """The PC is replaced: what was taken until the backup is in the new one, under a new source."""
    backup = tmp_path / "dock.backup"
    told = as_json(running.command("backup", str(backup), "--json"))
    assert int(str(told["head"]).split(":")[1]) >= SCANS
    assert "backup_taken" in running.command("audit", "list").stdout
    assert not (running.state / "outbox.backup").exists()
    scan(running, 100, 1)
    with gateway(tmp_path / "two", ONLY_SCANS) as other:
        other.state.mkdir()
        assert other.command("restore", str(backup)).returncode == 0
        other.start()
        status = other.ask("GET", "/v1/status").json
        assert status["storage"]["source"] != running.ask("GET", "/v1/status").json["storage"]["source"]
        again = other.ask("POST", "/v1/scans", {"device": "hh-1", "id": "n-2", "code": CODE}).json
        assert again["redelivered"] is True
        scan(other, 5, 1)
        assert other.stop() == 0
        assert other.command("audit", "verify").returncode == 0


def test_a_backup_without_a_daemon_is_the_same(stopped: GatewayProcess, tmp_path: Path) -> None:
    told = as_json(stopped.command("backup", str(tmp_path / "one.backup"), "--json"))
    assert str(told["head"]).split(":")[1] == "3"


def test_a_backup_needs_the_right_to_everything(running: GatewayProcess) -> None:
    answer = running.ask("POST", "/v1/backup", {"reason": "curious"}, token="dkl_nobody")
    assert answer.status == 401
    answer = running.ask("POST", "/v1/backup", {"reason": "curious"}, token=running.cli_token())
    assert answer.status == 200 and answer.body.startswith(b"SQLite format 3\0")


def test_a_restore_and_a_wipe_are_refused_while_the_daemon_runs(running: GatewayProcess, tmp_path: Path) -> None:
    backup = tmp_path / "one.backup"
    as_json(running.command("backup", str(backup), "--json"))
    for line in (["restore", str(backup), "--replace"], ["decommission", "--undelivered", "4"]):
        done = running.command(*line)
        assert (done.returncode, "the daemon runs" in done.stderr) == (73, True)
    scan(running, 200, 1)


def test_a_restore_over_events_says_what_they_are_and_wants_to_be_told(stopped: GatewayProcess, tmp_path: Path) -> None:
    backup = tmp_path / "one.backup"
    as_json(stopped.command("backup", str(backup), "--json"))
    refused = stopped.command("restore", str(backup))
    assert refused.returncode == 1
    assert "events up to sequence 3, 3 of which are not delivered" in refused.stderr
    done = as_json(stopped.command("restore", str(backup), "--replace", "--json"))
    assert (stopped.state / str(done["replaced"]) / "outbox.db").exists()


@pytest.mark.parametrize("typed", [None, "0", "2", "30"])
def test_undelivered_events_are_wiped_only_for_their_number(
    stopped: GatewayProcess, typed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = (stopped.state / "outbox.db").read_bytes()
    line = ["decommission", "--yes"] if typed is None else ["decommission", "--undelivered", typed]
    done = stopped.command(*line)
    assert done.returncode == 1 and "nothing was changed" in done.stderr
    assert (stopped.state / "outbox.db").read_bytes() == before


def test_the_receipt_of_a_wipe_says_what_there_was(stopped: GatewayProcess, tmp_path: Path) -> None:
    secrets = stopped.config.parent / "secrets"
    secrets.mkdir()
    (secrets / "centre.token").write_text("s3cret")
    receipt = tmp_path / "receipt.json"
    done = stopped.command("decommission", "--undelivered", "3", "--receipt", str(receipt))
    assert done.returncode == 0, done.stderr
    told = json.loads(receipt.read_text())
    assert told["pending"] == {"centre": 3} and told["head"].split(":")[1] == "3"
    assert told["secrets_wiped"] == [str(secrets / "centre.token")]
    assert [*secrets.iterdir(), *stopped.state.iterdir()] == []
    assert stopped.config.exists()


def test_a_link_where_the_receipt_is_to_be_is_no_place_for_it(stopped: GatewayProcess, tmp_path: Path) -> None:
    """Root would write where somebody else's link leads, after everything is gone."""
    receipt, elsewhere = tmp_path / "receipt.json", tmp_path / "elsewhere"
    receipt.symlink_to(elsewhere)
    done = stopped.command("decommission", "--undelivered", "3", "--receipt", str(receipt))
    assert (done.returncode, "exists already" in done.stderr) == (64, True)
    assert not elsewhere.exists() and (stopped.state / "outbox.db").exists()


def test_a_rehearsal_needs_no_stop_and_leaves_nothing(running: GatewayProcess) -> None:
    done = running.command("rehearse")
    assert done.returncode == 0 and " events proved" in done.stdout
    assert list(running.state.glob("rehearsal-*")) == []
    scan(running, 300, 1)
