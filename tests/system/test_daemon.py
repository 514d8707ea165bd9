"""The daemon as a process: start, stop, watchdog, two on one folder, broken files, a vanished outbox."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from threading import Thread

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway, until

from buffer import EntryFilter, OutboxReader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def scan(number: int, **more: object) -> dict[str, object]:
    return {"device": "hh-7", "id": f"hh7-{number:06d}", "code": "]C10109521234543213", **more}


def test_it_says_ready_watchdog_and_stopping_to_systemd(folder: Path) -> None:
    with gateway(folder) as daemon:
        daemon.start(WATCHDOG_USEC="400000")
        assert "dc07/dock-pc-1" in daemon.heard[-1]
        for _ in range(3):
            daemon.hear("WATCHDOG=1")
        daemon.signal(signal.SIGTERM)
        daemon.hear("STOPPING=1")
        assert daemon.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_and_what_was_answered_is_on_disk(folder: Path, how: signal.Signals) -> None:
    with gateway(folder) as daemon:
        daemon.start()
        ids = [daemon.ask("POST", "/v1/scans", scan(number)).json["events"][0] for number in range(5)]
        daemon.signal(how)
        assert daemon.wait() == 0
        assert "Traceback" not in daemon.log()
        listed = daemon.command("events", "list", "--json", "--type", "pick")
        assert all(event in listed.stdout for event in ids)
        assert not (daemon.state / "addresses.json").exists()
        assert not (daemon.state / "cli.token").exists()


def test_a_start_waits_for_no_network(folder: Path) -> None:
    """The router is dead for a day: scans are taken all the same."""
    dead = CONFIG.replace("http://127.0.0.1:9/v1/events", "https://wms.invalid/v1/events")
    dead += '\n[[device]]\nid = "far"\nstation = "floor"\ndriver = "serial-scanner"\nurl = "socket://192.0.2.1:4001"\n'
    with gateway(folder, dead) as daemon:
        daemon.start()
        assert daemon.ask("POST", "/v1/scans", scan(1)).json["result"] == "stored"
        assert daemon.stop() == 0


@pytest.mark.fault(17)
def test_a_second_daemon_on_the_same_folder_is_refused(folder: Path) -> None:
    with gateway(folder / "a") as first, gateway(folder / "b") as second:
        first.start()
        assert first.process is not None
        second.state = first.state
        second.write(CONFIG)
        second.spawn()
        assert second.wait() == 73
        assert str(first.process.pid) in second.log()
        assert first.ask("GET", "/readyz").status == 200
        assert first.stop() == 0


def test_a_folder_that_cannot_be_made_is_73(folder: Path) -> None:
    with gateway(folder) as daemon:
        daemon.state = Path("/proc/nowhere")
        daemon.write(CONFIG)
        daemon.spawn()
        assert daemon.wait() == 73
        assert "outbox_refused" in daemon.log()


@pytest.mark.fault(45)
def test_a_broken_configuration_is_78_with_the_line_and_no_traceback(folder: Path) -> None:
    with gateway(folder, CONFIG.replace('activity = "pick"', 'activity = "pik"')) as daemon:
        daemon.spawn()
        assert daemon.wait() == 78
        assert "gateway.toml:18: station[1].activity: must be one of" in daemon.log()
        assert 'did you mean "pick"?' in daemon.log()
        assert "Traceback" not in daemon.log()


def test_killed_and_started_again_it_goes_on_under_the_same_source(folder: Path) -> None:
    with gateway(folder) as daemon:
        daemon.start()
        first = daemon.ask("POST", "/v1/scans", scan(1)).json
        source = daemon.ask("GET", "/v1/status").json["storage"]["source"]
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.start()
        again = daemon.ask("POST", "/v1/scans", scan(1)).json
        assert again["redelivered"] is True
        assert again["events"] == first["events"]
        assert daemon.ask("GET", "/v1/status").json["storage"]["source"] == source
        assert daemon.stop() == 0


def test_an_outbox_that_vanishes_ends_the_process_within_seconds(folder: Path) -> None:
    """Somebody cleans up the state folder: nothing is acknowledged any more, systemd starts us again (74)."""
    with gateway(folder) as daemon:
        daemon.start()
        for path in daemon.state.glob("outbox.db*"):
            path.unlink()
        began = time.monotonic()
        assert daemon.wait() == 74
        assert time.monotonic() - began < 15
        assert "commit_unknown" in daemon.log()


def test_a_taken_port_closes_the_api_and_not_the_gateway(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, gateway(folder) as daemon:
        port = taken.getsockname()[1]
        daemon.write(CONFIG.replace('[api]\nbind = "127.0.0.1:0"', f'[api]\nbind = "127.0.0.1:{port}"'))
        daemon.start()
        assert "api_closed" in daemon.log()
        assert daemon.process is not None and daemon.process.poll() is None
        taken.close()
        until(lambda: "api" in daemon.addresses(), "the API opens when the port is free")
        assert daemon.ask("GET", "/healthz").status == 200
        assert daemon.stop() == 0


@pytest.mark.fault(46)
def test_a_blocked_log_stops_nothing(folder: Path) -> None:
    """The journal hangs: its pipe is full and nobody reads."""
    with gateway(folder) as daemon:
        reader, writer = os.pipe()
        try:
            daemon.process = subprocess.Popen(
                [*daemon_command(daemon)], stdout=writer, stderr=writer, cwd=Path(__file__).parents[2],
                env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            )  # fmt: skip
            os.set_blocking(writer, False)
            try:
                while True:
                    os.write(writer, b"x" * 4096)
            except BlockingIOError:
                os.set_blocking(writer, True)
            daemon.hear("READY=1")
            assert daemon.ask("POST", "/v1/scans", scan(1)).json["result"] == "stored"
            assert daemon.stop() == 0
        finally:
            os.close(reader)
            os.close(writer)


def daemon_command(daemon: GatewayProcess) -> list[str]:
    import sys

    return [sys.executable, "-m", "gateway", "run", "--config", str(daemon.config)]


def test_secrets_are_nowhere_to_be_seen(folder: Path) -> None:
    """Status, metrics, log, command line and environment are searched for the planted token."""
    secret = folder / "token"
    secret.write_text("SECRET-5d3f9a")
    secret.chmod(0o600)
    config = CONFIG.replace('name = "centre"', f'name = "centre"\ntoken_file = "{secret}"')
    with gateway(folder, config) as daemon:
        daemon.start()
        daemon.ask("POST", "/v1/scans", scan(1))
        assert daemon.process is not None
        seen = [daemon.ask("GET", path).body for path in ("/v1/status", "/metrics", "/v1/events")]
        proc = Path(f"/proc/{daemon.process.pid}")
        seen += [(proc / "cmdline").read_bytes(), (proc / "environ").read_bytes(), daemon.log().encode()]
        cli_token = daemon.cli_token().encode()
        assert not any(b"SECRET-5d3f9a" in text or cli_token in text for text in seen)
        assert (daemon.state / "cli.token").stat().st_mode & 0o777 == 0o600
        assert daemon.state.stat().st_mode & 0o077 == 0
        assert daemon.stop() == 0


def test_planted_a_daemon_without_its_lock_would_have_been_noticed(folder: Path) -> None:
    """The twin of the test above: two outboxes that are not the same one live side by side."""
    with gateway(folder / "a") as first, gateway(folder / "b") as second:
        first.start()
        second.start()
        assert first.stop() == second.stop() == 0
        shutil.rmtree(second.state)


@pytest.mark.fault(5)
def test_stopped_under_load_every_scan_that_was_answered_is_on_disk(folder: Path) -> None:
    """SIGTERM while eight handhelds scan: whoever heard "stored" finds the event, under the id it was told."""
    with gateway(folder) as daemon:
        daemon.start()
        heard: list[str] = []

        def hammer(device: int) -> None:
            for number in range(10_000):
                try:
                    answer = daemon.ask("POST", "/v1/scans", scan(number, device=f"hh-{device}"))
                except (OSError, http.client.HTTPException):
                    return
                if answer.status == 200:
                    heard.extend(answer.json["events"])

        threads = [Thread(target=hammer, args=(device,)) for device in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(heard) > 100, "scans are flowing")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        for thread in threads:
            thread.join(30)
        reader = OutboxReader.open(daemon.state)
        stored = {entry.id for entry in reader.entries(EntryFilter(limit=100_000))}
        reader.close()
        assert set(heard) <= stored
        assert len(heard) == len(set(heard))
