"""Positions of upstreams, through the real daemon and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway, until

CODE = "]C10109521234543213"
MARK = 'name = "centre"'
OTHER = CONFIG.replace(MARK, 'name = "wms"')


def scans(daemon: GatewayProcess, count: int) -> None:
    body = [{"id": f"hh-1-{number}", "code": CODE, "device": "hh-1"} for number in range(count)]
    answers = daemon.ask("POST", "/v1/scans", body).json
    assert [one["result"] for one in answers] == ["stored"] * count


def listed(daemon: GatewayProcess) -> dict[str, Any]:
    done = daemon.command("upstream", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


def audited(daemon: GatewayProcess) -> list[tuple[str, str, str]]:
    records = json.loads(daemon.command("audit", "list", "--json").stdout)
    return [(one["action"], one["actor"].partition(":")[0], one["upstream"]) for one in records]


@contextmanager
def counting_centre() -> Iterator[tuple[str, list[str]]]:
    """A centre that takes everything; yields its URL and the ids it was sent, each time."""
    ids: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found = [one["id"] for one in json.loads(self.rfile.read(int(self.headers["Content-Length"])))]
            ids.extend(found)
            body = json.dumps({"accepted": found}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/events", ids
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("is_running", [True, False], ids=["daemon", "no daemon"])
def test_an_upstream_that_left_the_file_is_told_and_let_go(tmp_path: Path, is_running: bool) -> None:
    """Its events were kept for ever. A person sees it, sees what would be lost, and decides; the audit knows who."""
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 7)
        assert daemon.stop() == 0
        daemon.write(OTHER)
        daemon.start()
        status = daemon.command("status")
        assert "upstream_unconfigured centre" in status.stdout
        assert "dockline upstream" in status.stdout
        if not is_running:
            assert daemon.stop() == 0
        found = listed(daemon)
        assert {name: one["configured"] for name, one in found.items()} == {"centre": False, "wms": True}
        pending = found["centre"]["pending"]
        assert pending >= 7
        said = daemon.command("upstream", "remove", "centre", "--reason", "sold", "--dry-run")
        assert f"never gets {pending} pending" in said.stdout
        assert daemon.command("upstream", "remove", "centre", "--reason", "sold").returncode != 0  # nobody says yes
        assert daemon.command("upstream", "remove", "wms", "--reason", "sold", "--yes").returncode == 64
        assert set(listed(daemon)) == {"centre", "wms"}
        done = daemon.command("upstream", "remove", "centre", "--reason", "sold", "--yes")
        assert (done.returncode, done.stdout) == (0, "centre is forgotten\n"), done.stderr
        assert set(listed(daemon)) == {"wms"}
        assert ("upstream_removed", "cli", "centre") in audited(daemon)
        unknown = daemon.command("upstream", "remove", "centre", "--reason", "sold", "--yes")
        assert unknown.returncode == 64
        assert "there are: wms" in unknown.stderr


@pytest.mark.parametrize("is_running", [True, False], ids=["daemon", "no daemon"])
def test_a_position_follows_the_new_name(tmp_path: Path, is_running: bool) -> None:
    """The name was changed in the file and reloaded first: nothing of what the old one had open is skipped."""
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 7)
        daemon.write(OTHER)
        assert daemon.stop() == 0
        if is_running:
            daemon.start()
            refused = daemon.command("upstream", "rename", "centre", "wms", "--reason", "new name")
            assert refused.returncode == 1
            assert "--replace" in refused.stderr
        before = listed(daemon)["centre"]
        done = daemon.command(
            "upstream", "rename", "centre", "wms", "--reason", "new name", *(["--replace"] * is_running)
        )
        assert done.returncode == 0, done.stderr
        after = listed(daemon)
        assert set(after) == {"wms"}
        assert after["wms"]["settled_through"] == before["settled_through"]
        assert after["wms"]["pending"] >= 7
        assert after["wms"]["imbalance"] == 0
        assert ("upstream_renamed", "cli", "wms") in audited(daemon)
        if is_running:
            assert daemon.stop() == 0


@pytest.mark.parametrize("is_running", [True, False], ids=["daemon", "no daemon"])
def test_a_person_sends_a_restored_centre_back(tmp_path: Path, is_running: bool) -> None:
    """The centre was restored under the name it had: only a person can know, and one command does it."""
    with counting_centre() as (url, ids), gateway(tmp_path / "site") as daemon:
        daemon.write(CONFIG.replace("http://127.0.0.1:9/v1/events", url))
        daemon.start()
        scans(daemon, 10)
        until(lambda: listed(daemon)["centre"]["pending"] == 0, "delivery")
        if not is_running:
            assert daemon.stop() == 0
        ahead = daemon.command("upstream", "rewind", "centre", "--to", "9999", "--reason", "x")
        assert ahead.returncode == 64
        dry = daemon.command("upstream", "rewind", "centre", "--to", "3", "--reason", "restored", "--dry-run")
        assert "nothing done" in dry.stdout
        had = len(ids)
        done = daemon.command("upstream", "rewind", "centre", "--to", "3", "--reason", "restored")
        assert (done.returncode, done.stdout) == (0, "centre goes on behind 3\n"), done.stderr
        if not is_running:
            daemon.start()
        until(lambda: len(ids) >= had + 7, "the second delivery")
        assert listed(daemon)["centre"]["imbalance"] == 0
        assert ("upstream_rewound", "cli", "centre") in audited(daemon)
        assert daemon.stop() == 0
