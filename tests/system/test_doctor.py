"""`dockline doctor` at a real gateway: well, ill, and without a daemon."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

from daemon_process import CONFIG, GatewayProcess, gateway

CODE = "]C10109521234543213"
AREAS = {"configuration", "service", "storage", "device", "upstream", "permissions", "clock", "versions"}


def asked(daemon: GatewayProcess, *more: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    done = daemon.command("doctor", "--json", *more)
    assert "Traceback" not in done.stderr
    checks = json.loads(done.stdout)["checks"]
    for one in checks:
        assert one["evidence"]
        assert one["action"] or one["state"] in {"ok", "notice", "unknown"}, one
    return done.returncode, {(one["area"], one["subject"]): one for one in checks}


def scans(daemon: GatewayProcess, count: int) -> None:
    body = [{"id": f"hh-1-{number}", "code": CODE, "device": "hh-1"} for number in range(count)]
    assert daemon.ask("POST", "/v1/scans", body).status == 200


def test_with_a_daemon_every_part_is_looked_at_and_a_dead_centre_is_named(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 5)
        code, found = asked(daemon)
        assert {area for area, _ in found} >= AREAS
        assert found["service", "daemon"]["state"] == "ok"
        assert found["storage", "books"]["state"] == "ok"
        assert found["upstream", "centre"]["state"] == "failed"  # nothing listens on its port
        assert "curl -v" in found["upstream", "centre"]["action"]
        assert code == 1
        shown = daemon.command("doctor").stdout
        assert "-> " in shown
        assert "failed" in shown
        assert daemon.stop() == 0


def test_without_a_daemon_it_says_so_and_looks_at_the_rest(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 5)
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        code, found = asked(daemon)
        assert code == 1
        assert found["service", "daemon"]["state"] == "failed"
        assert found["storage", "books"]["state"] == "ok"
        assert "up to sequence" in found["storage", "books"]["evidence"]


def test_a_salvage_is_told_until_somebody_acknowledges_it(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 20)
        assert daemon.stop() == 0
        descriptor = os.open(daemon.state / "outbox.db", os.O_RDWR)
        os.pwrite(descriptor, bytes(4096), 0)
        os.close(descriptor)
        daemon.start()
        _, found = asked(daemon)
        salvaged = found["storage", "outbox salvaged"]
        assert salvaged["state"] == "failed"
        assert "events carried, 0 missing" in salvaged["evidence"]
        assert "damaged-" in found["storage", "salvages"]["evidence"]
        (alarm,) = [one for one in daemon.ask("GET", "/v1/status").json["alarms"] if one["code"] == "outbox_salvaged"]
        assert salvaged["action"] == alarm["hint"], "one trouble, one thing to do"
        number = salvaged["action"].split("acknowledge ")[1].split()[0]
        assert daemon.command("audit", "acknowledge", number, "--reason", "disk replaced").returncode == 0
        _, found = asked(daemon)
        assert ("storage", "outbox salvaged") not in found
        assert "1 earlier" in found["storage", "damage"]["evidence"]
        assert daemon.stop() == 0


def test_a_broken_file_and_a_missing_one_are_examined_too(tmp_path: Path) -> None:
    with gateway(tmp_path / "site", CONFIG.replace('activity = "pick"', 'activity = "peck"')) as daemon:
        code, found = asked(daemon)
        assert code == 1
        assert "peck" in found["configuration", "file"]["evidence"]
        assert "dockline check" in found["configuration", "file"]["action"]
        done = daemon.command("doctor", "--config", str(tmp_path / "none.toml"))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_the_bundle_holds_neither_tokens_nor_scans(tmp_path: Path) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        scans(daemon, 5)
        target = tmp_path / "bundle.tar.gz"
        _, found = asked(daemon, "--bundle", str(target))
        assert found
        with tarfile.open(target) as bundle:
            octets = b"".join(bundle.extractfile(one).read() for one in bundle.getmembers())  # type: ignore[union-attr]
        assert b"upstream_registered" in octets
        assert daemon.cli_token().encode() not in octets
        assert b"09521234543213" not in octets
        refused = daemon.command("doctor", "--bundle", str(tmp_path / "nowhere" / "x.tar.gz"))
        assert refused.returncode == 74
        assert daemon.stop() == 0
