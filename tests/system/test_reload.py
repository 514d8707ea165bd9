"""`systemctl reload`: a changed file is applied device by device, a broken one changes nothing; never the outbox."""

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway, reload, until


@pytest.fixture
def scanner_port() -> Any:
    """A serial device server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


def scanner(name: str, port: int, more: str = "") -> str:
    url = f"socket://127.0.0.1:{port}"
    return f'\n[[device]]\nid = "{name}"\nstation = "floor"\ndriver = "serial-scanner"\nurl = "{url}"\n{more}'


def status(daemon: GatewayProcess) -> dict[str, Any]:
    found: dict[str, Any] = daemon.ask("GET", "/v1/status").json
    return found


def restarted(daemon: GatewayProcess) -> list[str]:
    return [line.split("device_id=")[1].split()[0] for line in daemon.log().splitlines() if " link_started " in line]


def test_only_the_changed_device_is_restarted(tmp_path: Path, scanner_port: socket.socket) -> None:
    port = scanner_port.getsockname()[1]
    with gateway(tmp_path, CONFIG + scanner("dock-3", port) + scanner("dock-4", port)) as daemon:
        daemon.start()
        kept = [scanner_port.accept()[0] for _ in range(2)]
        before = restarted(daemon)
        reload(daemon, CONFIG + scanner("dock-3", port) + scanner("dock-4", port, 'acknowledge = "ack-nak"\n'))
        kept.append(scanner_port.accept()[0])
        assert restarted(daemon)[len(before) :] == ["dock-4"]
        for one in kept:
            one.close()
        assert daemon.stop() == 0


def test_the_same_file_again_touches_nothing(tmp_path: Path, scanner_port: socket.socket) -> None:
    """A thousand identical configuration pushes re-open nothing; here a few."""
    config = CONFIG + scanner("dock-3", scanner_port.getsockname()[1])
    with gateway(tmp_path, config) as daemon:
        daemon.start()
        until(lambda: "mqtt-listener" in daemon.addresses()["links"], "the listener is open")
        before, addresses = restarted(daemon), daemon.addresses()
        inode = next(daemon.state.glob("outbox.db")).stat().st_ino
        for _ in range(20):
            reload(daemon, config)
        assert restarted(daemon) == before
        assert daemon.addresses() == addresses
        assert next(daemon.state.glob("outbox.db")).stat().st_ino == inode
        assert daemon.log().count("outbox_opened") <= 1
        assert daemon.stop() == 0


def test_a_reload_asked_for_during_the_start_ends_nothing_and_is_not_forgotten(tmp_path: Path) -> None:
    """A deployment tool writes the file and sends SIGHUP while the gateway has hardly begun."""
    with gateway(tmp_path) as daemon:
        process = daemon.spawn()
        until(lambda: listens_to(process.pid, signal.SIGHUP), "SIGHUP is listened to")
        daemon.signal(signal.SIGHUP)
        daemon.hear("READY=1")
        daemon.hear("RELOADING=1")
        daemon.hear("READY=1")
        assert daemon.stop() == 0


def test_sighup_is_taken_before_the_program_is_read(tmp_path: Path) -> None:
    """From the first line of ours on; reading the rest from a slow disk took most of a start, and a signal ended it."""
    program = (
        "import sys, signal; sys.argv = ['dockline', 'run', '--help']; import gateway.__main__ as program\n"
        "class Stop(Exception): pass\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('gateway.cli', 'typer', 'pydantic')):\n"
        "            print(signal.getsignal(signal.SIGHUP) not in (signal.SIG_DFL, None)); raise Stop\n"
        "sys.meta_path.insert(0, Finder())\n"
        "try: program.main()\n"
        "except Stop: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def listens_to(pid: int, which: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (which - 1) & 1)


def test_moving_a_device_to_another_station_reopens_no_port(tmp_path: Path, scanner_port: socket.socket) -> None:
    port = scanner_port.getsockname()[1]
    with gateway(tmp_path, CONFIG + scanner("dock-3", port)) as daemon:
        daemon.start()
        before = restarted(daemon)
        moved = scanner("dock-3", port).replace('station = "floor"', 'station = "yard"')
        reload(daemon, CONFIG + '\n[[station]]\nid = "yard"\n' + moved)
        assert restarted(daemon) == before
        (device,) = [one for one in status(daemon)["devices"] if one["id"] == "dock-3"]
        assert device["station"] == "yard"
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (CONFIG.replace('activity = "pick"', 'activity = "pik"'), "gateway.toml:18"),
        (CONFIG + "[[device]\n", "gateway.toml:32"),
        (CONFIG.replace('path = "{state}"', 'path = "{state}-other"'), "storage.path"),
        (CONFIG.replace('id = "dc07"', 'id = "dc08"'), "site"),
    ],
    ids=["wrong value", "not toml", "another outbox", "another site"],
)
@pytest.mark.fault(45)
def test_a_file_that_cannot_be_used_changes_nothing(broken: str, line: str, tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        before = status(daemon)
        assert line in reload(daemon, broken)
        after = status(daemon)
        assert after["site"] == "dc07"
        assert after["storage"]["source"] == before["storage"]["source"]
        assert [alarm["code"] for alarm in after["alarms"] if alarm["subject"] == "config"] == ["configuration_refused"]
        assert not (tmp_path / "state-other").exists()
        scan = {"device": "hh-7", "id": "hh7-1", "code": "]C10109521234543213"}
        assert daemon.ask("POST", "/v1/scans", scan).json["result"].startswith("stored")
        reload(daemon, CONFIG)
        assert [alarm for alarm in status(daemon)["alarms"] if alarm["subject"] == "config"] == []
        assert daemon.stop() == 0


def test_a_device_is_admitted_by_the_lines_the_status_shows(tmp_path: Path) -> None:
    scan = {"device": "cart-1", "id": "c1-1", "code": "]C10109521234543213"}
    with gateway(tmp_path) as daemon:
        daemon.start()
        refused = daemon.ask("POST", "/v1/scans", scan)
        assert (refused.status, refused.json["result"]) == (403, "refused")
        (knock,) = status(daemon)["knocking"]
        assert knock["device"] == "cart-1"
        reload(daemon, CONFIG + "\n" + knock["admit"])
        assert daemon.ask("POST", "/v1/scans", scan).status == 200
        assert status(daemon)["knocking"] == []
        assert daemon.stop() == 0


def test_upstreams_come_and_go_and_keep_their_place(tmp_path: Path) -> None:
    second = '\n[[upstream]]\nname = "second"\nurl = "http://127.0.0.1:9/"\nstart = "now"\n'
    with gateway(tmp_path) as daemon:
        daemon.start()
        for number in range(3):
            scan = {"device": "hh-7", "id": f"hh7-{number}", "code": "]C10109521234543213"}
            assert daemon.ask("POST", "/v1/scans", scan).status == 200
        reload(daemon, CONFIG + second)
        pending = {one["name"]: one["pending"] for one in status(daemon)["upstreams"]}
        assert pending["centre"] >= 3 and pending["second"] == 0
        reload(daemon, CONFIG)
        found = {one["name"]: one for one in status(daemon)["upstreams"]}
        assert not found["second"]["configured"]
        assert "upstream_unconfigured" in [alarm["code"] for alarm in status(daemon)["alarms"]]
        assert {one["imbalance"] for one in found.values()} == {0}
        assert daemon.stop() == 0


def test_the_api_moves_without_touching_devices(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        until(lambda: "mqtt-listener" in daemon.addresses()["links"], "the listener is open")
        before = daemon.addresses()
        reload(daemon, CONFIG + "body_bytes_max = 2048\n")
        assert daemon.ask("POST", "/v1/scans", b"x" * 3000).status == 413
        assert daemon.addresses()["links"] == before["links"]
        assert daemon.stop() == 0


def test_what_waits_for_a_restart_is_named_until_it_is_not_changed_any_more(tmp_path: Path) -> None:
    """Only that: a patience or the level of the log in the same table counts at once."""
    stored = CONFIG.replace('path = "{state}"', 'path = "{state}"\nretention_days = 3')
    patient = stored.replace("link_up_after_s = 0.0", "link_up_after_s = 0.5\nreopen_s_max = 1.0")
    with gateway(tmp_path) as daemon:
        daemon.start()
        reload(daemon, patient + '\n[log]\nlevel = "debug"\n')
        named = [line.split("key=")[1].split()[0] for line in daemon.log().splitlines() if " setting_deferred " in line]
        assert named == ["storage.retention_days", "limits.reopen_s_max"]
        (note,) = [one for one in status(daemon)["notices"] if "next start" in one]
        assert note.startswith("storage.retention_days, limits.reopen_s_max:")
        reload(daemon, CONFIG)
        assert [one for one in status(daemon)["notices"] if "next start" in one] == []
        assert daemon.log().count(" setting_deferred ") == 2
        assert daemon.stop() == 0


def test_the_log_level_follows(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        daemon.write(CONFIG + '\n[log]\nlevel = "error"\n')
        daemon.signal(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        daemon.hear("READY=1")
        assert daemon.stop() == 0
        assert "daemon_stopping" not in daemon.log()
