"""Measures of a real gateway: what its scans come to, over a restart, and a scanner that goes blind."""

import json
import re
from pathlib import Path
from typing import Any

from daemon_process import CONFIG, GatewayProcess, gateway, until

from gateway.measures.chart import GROUP_READINGS

CODE = "]C10109521234543213"
BAD = "]C10109521234543210"
"""Its check digit is wrong."""


def status(daemon: GatewayProcess) -> dict[str, Any]:
    found: dict[str, Any] = daemon.ask("GET", "/v1/status", token=daemon.cli_token()).json
    return found


def scan(daemon: GatewayProcess, first: int, codes: list[str], activity: str = "pick") -> None:
    scans = [
        {"device": "hh-1", "id": f"n-{number}", "code": code, "activity": activity}
        for number, code in enumerate(codes, first)
    ]
    answer = daemon.ask("POST", "/v1/scans", scans)
    assert answer.status == 200, answer.body


def test_a_blind_scanner_is_named_and_the_counts_survive_a_restart(tmp_path: Path) -> None:
    with gateway(tmp_path, CONFIG) as daemon:
        daemon.start()
        scan(daemon, 0, [CODE], "receipt")
        scan(daemon, 1, [CODE], "putaway")
        scan(daemon, 2, [BAD] * (GROUP_READINGS - 2))
        found = status(daemon)
        assert found["measures"]["dock_to_stock"]["count"] == 1
        assert found["measures"]["readability"][0]["is_degraded"]
        (alarm,) = [one for one in found["alarms"] if one["subject"] == "hh-1"]
        assert (alarm["code"], alarm["message"].startswith("inspect scanner: 48 of its last 50")) == (
            "device_degraded",
            True,
        )
        until(lambda: told(daemon, "degraded"), "the device event is stored")
        metrics = daemon.ask("GET", "/metrics").body.decode()
        assert "dockline_devices_unreadable 1.0" in metrics
        assert "hh-1" not in metrics.replace('link="hh-1"', "")
        assert "Readability" in daemon.command("status").stdout
        day = history(daemon)
        assert sum(day.values()) > 0
        assert daemon.stop() == 0
        daemon.start()
        again = status(daemon)
        assert again["measures"] == found["measures"]
        assert history(daemon) == day
        scan(daemon, 100, [CODE] * 2 * GROUP_READINGS)
        until(lambda: told(daemon, "up"), "the recovery is stored")
        assert [one for one in status(daemon)["alarms"] if one["subject"] == "hh-1"] == []


def history(daemon: GatewayProcess) -> dict[int, float]:
    """Return the scans by minute, as the page draws them."""
    found = daemon.ask("GET", "/v1/history").json
    minutes = enumerate(found["series"]["scans"], found["first_ms"] // 60_000)
    return {minute: count for minute, count in minutes if count}


def test_event_lag_is_told_wherever_somebody_looks(tmp_path: Path) -> None:
    """Nobody takes events here, so the oldest one only grows older; with no daemon the outbox tells the same."""
    with gateway(tmp_path, CONFIG) as daemon:
        daemon.start()
        scan(daemon, 0, [CODE])
        until(lambda: status(daemon)["upstreams"][0]["lag_s"], "the lag is seen")
        (lag,) = re.findall(
            r'^dockline_upstream_lag_seconds\{upstream="centre"\} (\S+)$',
            daemon.ask("GET", "/metrics").body.decode(),
            re.MULTILINE,
        )
        assert 0 < float(lag) <= status(daemon)["upstreams"][0]["lag_s"]
        assert " lag " in daemon.command("status").stdout
        assert daemon.stop() == 0
        (offline,) = json.loads(daemon.command("status", "--json").stdout)["upstreams"]
        assert offline["lag_s"] > float(lag)


def told(daemon: GatewayProcess, state: str) -> bool:
    events = daemon.ask("GET", "/v1/events?type=device&limit=50", token=daemon.cli_token()).json["events"]
    said = [one["event"]["data"] for one in events]
    return any(one["device"]["id"] == "hh-1" and one["state"] == state for one in said)
