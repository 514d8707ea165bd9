"""Salvage, audit, replay, quarantine and the books, through the real daemon and the real commands."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway, until

CODE = "]C10109521234543213"


def scans(daemon: GatewayProcess, count: int, device: str = "hh-1") -> None:
    body = [{"id": f"{device}-{number}", "code": CODE, "device": device} for number in range(count)]
    answers = daemon.ask("POST", "/v1/scans", body).json
    assert [one["result"] for one in answers] == ["stored"] * count


def tamper(daemon: GatewayProcess, statement: str) -> None:
    connection = sqlite3.connect(daemon.state / "outbox.db", isolation_level=None, timeout=10)
    connection.execute(statement)
    connection.close()


def test_a_row_deleted_behind_its_back_is_missed_by_the_running_daemon(tmp_path: Path) -> None:
    """The invariant, as a metric and in the status: 0, and then one event is nowhere."""
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 20)
        (before,) = daemon.ask("GET", "/v1/status").json["upstreams"]
        assert before["imbalance"] == 0
        tamper(daemon, f"DELETE FROM entry WHERE seq = {before['accepted'] - 3}")
        found = daemon.ask("GET", "/v1/status").json
        assert found["upstreams"][0]["imbalance"] == 1
        assert found["alarms"][0]["code"] == "books_unbalanced"
        assert 'dockline_upstream_imbalance{upstream="centre"} 1.0' in daemon.ask("GET", "/metrics").body.decode()
        done = daemon.command("audit", "verify")
        assert done.returncode == 1
        assert "BROKEN: entries" in done.stdout
        assert daemon.stop() == 0


@pytest.mark.fault(14)
def test_a_damaged_outbox_starts_alarms_and_is_acknowledged(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 50)
        head = daemon.ask("GET", "/v1/status").json["storage"]["head_seq"]
        assert daemon.stop() == 0
        descriptor = os.open(daemon.state / "outbox.db", os.O_RDWR)
        os.pwrite(descriptor, bytes(4096), 0)
        os.close(descriptor)
        daemon.start()
        scans(daemon, 3, "hh-2")
        found = daemon.ask("GET", "/v1/status").json
        (incident,) = found["incidents"]
        assert incident["missing"] == 0
        assert incident["carried"] >= head
        assert (daemon.state / incident["kept_as"] / "outbox.db").stat().st_size > 0
        assert found["alarms"][0]["code"] == "outbox_salvaged"
        assert "ALARM outbox_salvaged" in daemon.command("status").stdout
        assert daemon.command("audit", "verify").returncode == 0
        done = daemon.command("audit", "acknowledge", str(incident["number"]), "--reason", "new disk")
        assert done.returncode == 0, done.stderr
        assert daemon.ask("GET", "/v1/status").json["incidents"] == []
        assert daemon.command("audit", "acknowledge", "9999", "--reason", "x").returncode == 1
        assert "incident_acknowledged" in daemon.command("audit", "list").stdout
        assert daemon.stop() == 0


def test_a_head_held_elsewhere_shows_a_cut_off_tail(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 30)
        assert daemon.stop() == 0
        found = json.loads(daemon.command("audit", "verify", "--json").stdout)
        head = f"{found['head']['source']}:{found['head']['seq']}:{found['head']['chain_hex']}"
        assert found["whole"] is True
        assert daemon.command("audit", "verify", "--head", head).returncode == 0
        seq = found["head"]["seq"]
        tamper(daemon, f"DELETE FROM entry WHERE seq > {seq - 5}")
        tamper(
            daemon,
            f"UPDATE ledger SET head_seq = {seq - 5}, accepted = {seq - 5},"
            f" head_chain = (SELECT chain FROM entry WHERE seq = {seq - 5})",
        )
        assert daemon.command("audit", "verify").returncode == 0  # cut off cleanly: nobody can tell, without the head
        done = daemon.command("audit", "verify", "--head", head)
        assert done.returncode == 1
        assert "a tail was cut off" in done.stdout
        assert daemon.command("audit", "verify", "--head", "nonsense").returncode == 64


class Names(ThreadingHTTPServer):
    """A centre that names what it takes, and remembers the order."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Taking)


class _Taking(BaseHTTPRequestHandler):
    server: Names

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard += events
        refused = [event["id"] for event in events if event["id"] in self.server.refused]
        accepted = [event["id"] for event in events if event["id"] not in self.server.refused]
        answer = {"accepted": accepted, "rejected": [{"id": one, "reason": "unknown site"} for one in refused]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def names() -> Iterator[Names]:
    server = Names()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_replay_beside_live_scans_survives_a_kill_and_moves_no_cursor(tmp_path: Path) -> None:
    """The centre lost a day. It gets it again slowly, while scans go on, and the daemon is killed in the middle."""
    with names() as centre, gateway(tmp_path / "site") as daemon:
        daemon.write(CONFIG.replace("http://127.0.0.1:9/v1/events", f"http://127.0.0.1:{centre.server_port}/v1/events"))
        daemon.start()
        scans(daemon, 60)
        until(lambda: len({event["id"] for event in centre.heard}) >= 60, "the live delivery")
        first = {event["id"]: event for event in centre.heard}
        count = len(first)
        centre.heard.clear()
        done = daemon.command("replay", "centre", "--device", "hh-1", "--dry-run")
        assert "60 events" in done.stdout, done.stderr
        assert daemon.command("replay", "centre", "--device", "hh-1").returncode == 1  # no reason given
        begun = daemon.command(
            "replay", "centre", "--device", "hh-1", "--rate", "10", "--reason", "lost", "--no-wait", "--json"
        )
        replay = json.loads(begun.stdout)["id"]
        until(lambda: len(centre.heard) >= 10, "the replay begins")
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.start()
        scans(daemon, 2, "hh-9")

        def is_over() -> bool:
            return bool(daemon.ask("GET", f"/v1/replay/{replay}?wait=5").json["status"] == "finished")

        until(is_over, "the replay ends")
        again = [event for event in centre.heard if event["id"] in first and "hh-1" in json.dumps(event)]
        assert {event["id"] for event in again} == {key for key, one in first.items() if "hh-1" in json.dumps(one)}
        assert all(event == first[event["id"]] for event in again)
        assert len(again) <= 70  # what was unanswered at the kill came twice, no more
        (upstream,) = daemon.ask("GET", "/v1/status").json["upstreams"]
        assert upstream["imbalance"] == 0
        assert upstream["delivered"] >= count
        actions = daemon.command("audit", "list", "--limit", "1000").stdout
        assert "replay_ordered" in actions
        assert "replay_finished" in actions
        assert daemon.command("audit", "verify").returncode == 0
        assert daemon.stop() == 0


def test_all_of_a_reason_are_retried_at_once(tmp_path: Path) -> None:
    """A new site was unknown at the centre for an hour; now it is known."""
    with names() as centre, gateway(tmp_path / "site") as daemon:
        daemon.write(CONFIG.replace("http://127.0.0.1:9/v1/events", f"http://127.0.0.1:{centre.server_port}/v1/events"))
        daemon.start()
        scans(daemon, 6)
        until(lambda: daemon.ask("GET", "/v1/status").json["upstreams"][0]["pending"] == 0, "all are delivered")
        assert daemon.stop() == 0
        seqs = sorted(int(event["sequence"]) for event in centre.heard)[-3:]
        for seq in seqs:  # what a rejection leaves
            tamper(daemon, f"INSERT INTO quarantine VALUES ('centre', {seq}, 'unknown site', '', 'open', 0)")
            tamper(daemon, "UPDATE cursor SET delivered = delivered - 1")
        daemon.start()
        centre.heard.clear()
        none = daemon.command("quarantine", "retry", "centre", "--rejected-for", "no such reason", "--reason", "x")
        assert (none.returncode, "no such reason" in none.stderr) == (1, True)
        assert daemon.command("quarantine", "retry", "centre", "--reason", "x").returncode == 64
        done = daemon.command(
            "quarantine", "retry", "centre", "--rejected-for", "unknown site", "--reason", "known now"
        )
        assert done.stdout == "3 will be sent again\n"
        until(lambda: set(seqs) <= {int(event["sequence"]) for event in centre.heard}, "they are sent again")

        def is_settled() -> bool:
            (upstream,) = daemon.ask("GET", "/v1/status").json["upstreams"]
            return bool(upstream["quarantined"] == 0 and upstream["imbalance"] == 0)

        until(is_settled, "the books say so")
        assert daemon.stop() == 0
