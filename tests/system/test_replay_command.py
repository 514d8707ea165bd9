"""Replays that somebody looks at and ends from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from daemon_process import gateway

CODE = "]C10109521234543213"


def test_a_replay_is_listed_and_ended_by_its_id(tmp_path: Path) -> None:
    """It was begun with the wrong dates, whoever watched it pressed Ctrl-C, and it must not run on for hours."""
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        body = [{"id": f"hh-1-{number}", "code": CODE, "device": "hh-1"} for number in range(5)]
        assert daemon.ask("POST", "/v1/scans", body).status == 200
        nobody = daemon.command("replay", "nowhere", "--dry-run")
        assert nobody.returncode == 1
        assert "no upstream" in nobody.stderr
        assert daemon.command("replay", "--dry-run").returncode == 64
        begun = daemon.command("replay", "centre", "--reason", "wrong dates", "--no-wait", "--json")
        id_ = json.loads(begun.stdout)["id"]
        listed = json.loads(daemon.command("replay", "--list", "--json").stdout)
        assert [(one["id"], one["reason"]) for one in listed] == [(id_, "wrong dates")]
        assert id_ in daemon.command("replay", "--list").stdout
        ended = daemon.command("replay", "--cancel", id_, "--reason", "begun by mistake")
        assert ended.returncode == 0, ended.stderr
        assert f"replay {id_} cancelled" in ended.stdout
        again = daemon.command("replay", "--cancel", id_, "--reason", "begun by mistake")
        assert again.returncode == 1
        records = json.loads(daemon.command("audit", "list", "--json").stdout)
        assert "replay_cancelled" in [one["action"] for one in records]
        assert daemon.stop() == 0
