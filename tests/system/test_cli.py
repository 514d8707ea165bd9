"""The commands as somebody types them: with a daemon, without one, with mistakes."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from daemon_process import CONFIG, ROOT, GatewayProcess, command, gateway, until
from mqtt_certificates import Authority

from gateway.cli.show import print_table

CODE = "]C10109521234543213"


class Picky(BaseHTTPRequestHandler):
    """A centre that rejects what a switch tells it to, and takes everything else."""

    rejects = True

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bad = [one["id"] for one in events if type(self).rejects and "POISON" in json.dumps(one)]
        answer = {
            "accepted": [one["id"] for one in events if one["id"] not in bad],
            "rejected": [{"id": one, "reason": "unknown article"} for one in bad],
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def centre() -> Iterator[str]:
    Picky.rejects = True
    server = HTTPServer(("127.0.0.1", 0), Picky)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/events"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that took three scans and was stopped."""
    with gateway(tmp_path_factory.mktemp("stopped")) as daemon:
        daemon.start()
        for number in range(3):
            daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": f"n-{number}", "code": CODE})
        assert daemon.stop() == 0
        yield daemon


def test_help_loads_no_driver_and_names_every_command() -> None:
    program = (
        "import sys; sys.argv = ['dockline', '--help']\n"
        "from gateway.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = 'drivers buffer sync pydantic starlette uvicorn biip simulators rich.console'.split()\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "HEAVY []" in done.stdout
    for name in ("run", "check", "status", "events", "quarantine", "simulate", "demo", "bench", "schema", "token"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize(
    "words",
    [["run"], ["check"], ["status"], ["events", "list"], ["events", "show"], ["events", "tail"], ["schema"], ["token"],
     ["quarantine", "list"], ["quarantine", "show"], ["quarantine", "retry"], ["quarantine", "discard"]],
    ids=" ".join,
)  # fmt: skip
def test_every_command_has_help(words: list[str]) -> None:
    done = command(*words, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize("words", [["frobnicate"], ["run", "--confg", "x"], ["events", "list", "-n", "many"], []])
def test_a_wrong_command_line_is_64(words: list[str]) -> None:
    done = command(*words)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


def test_check_explains_a_good_file(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        done = daemon.command("check")
        assert done.returncode == 0
        for word in ("no problems", "hh-*", "handheld", "floor", "pick", "centre", "retention_days", "default"):
            assert word in done.stdout
        found = json.loads(daemon.command("check", "--json").stdout)
        assert found["problems"] == []
        assert found["settings"]["storage"][0]["retention_days"] == 14


def test_check_says_what_is_not_plugged_in(tmp_path: Path) -> None:
    device = '\n[[device]]\nid = "dock-1"\nstation = "floor"\ndriver = "serial-scanner"\nurl = "serial://{port}?baudrate=9600"'
    present = tmp_path / "ttyUSB7"
    present.touch()
    for port, is_noted in ((tmp_path / "ttyUSB8", True), (present, False)):
        with gateway(tmp_path / port.name[-1], CONFIG + device.replace("{port}", str(port))) as daemon:
            done = daemon.command("check")
            assert done.returncode == 0
            assert (f"{port} is not there now" in done.stdout) is is_noted


def test_check_names_every_problem_with_78(tmp_path: Path) -> None:
    broken = CONFIG.replace('activity = "pick"', 'activity = "pik"').replace('station = "floor"', 'station = "flor"')
    with gateway(tmp_path, broken) as daemon:
        done = daemon.command("check")
        assert done.returncode == 78
        assert 'did you mean "pick"?' in done.stderr and 'did you mean "floor"?' in done.stderr
        answer = daemon.command("check", "--json")
        assert answer.returncode == 78
        assert [one["line"] for one in json.loads(answer.stdout)["problems"]] == [18, 22]


def test_a_file_that_is_not_there_is_78() -> None:
    for words in (["check"], ["run"], ["status"]):
        done = command(*words, "--config", "/nowhere/gateway.toml")
        assert done.returncode == 78
        assert "/nowhere/gateway.toml" in done.stderr


def test_status_of_a_running_gateway(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": "n-1", "code": CODE})
        daemon.ask("POST", "/v1/scans", {"device": "cart-1", "id": "n-1", "code": CODE})
        until(lambda: daemon.ask("GET", "/v1/status").json["alarms"], "the dead upstream is noticed")
        done = daemon.command("status")
        assert done.returncode == 1, "there is an alarm: the upstream is dead"
        for word in ("taking scans", "ALARM", "hh-1", "centre", "KNOCKING cart-1", "[[device]]"):
            assert word in done.stdout
        for number in range(2, 7):
            daemon.ask("POST", "/v1/scans", {"device": f"cart-{number}", "id": "n-1", "code": CODE})
        knocks = [line for line in daemon.command("status").stdout.splitlines() if "knock" in line.lower()]
        assert [line.partition(":")[0] for line in knocks[:3]] == [f"KNOCKING cart-{number}" for number in (6, 5, 4)]
        assert knocks[3:] == ["3 more devices knocked before; `dockline status --json` lists them"]
        assert json.loads(daemon.command("status", "--json").stdout)["ready"] is True
        assert daemon.stop() == 0


def test_status_without_a_daemon_reads_the_outbox(stopped: GatewayProcess) -> None:
    done = stopped.command("status")
    assert done.returncode == 1
    assert "No daemon answers" in done.stdout
    found = json.loads(stopped.command("status", "--json").stdout)
    (upstream,) = found["upstreams"]
    assert found["daemon"] is None
    assert (upstream["accepted"], upstream["pending"], upstream["imbalance"]) == (
        found["head_seq"], found["head_seq"], 0)  # fmt: skip


def test_status_works_while_the_file_is_broken(tmp_path: Path) -> None:
    """A reload was refused; now of all times a technician wants to see how things are."""
    with gateway(tmp_path) as daemon:
        daemon.start()
        daemon.write(CONFIG.replace('activity = "pick"', 'activity = "pik"'))
        assert "taking scans" in daemon.command("status").stdout
        assert daemon.stop() == 0


def test_events_without_a_daemon(stopped: GatewayProcess) -> None:
    listed = json.loads(stopped.command("events", "list", "--type", "pick", "--json").stdout)
    assert len(listed) == 3
    one = listed[0]
    assert stopped.command("events", "list").stdout.count("pick") == 3
    for name in (one["event"]["id"], str(one["seq"])):
        shown = json.loads(stopped.command("events", "show", name, "--json").stdout)
        steps = {step["name"]: step for step in shown.pop("steps")}
        assert shown == one
        assert (steps["pending for centre"]["at"], steps["committed"]["at"]) == (None, None)
        assert steps["received"]["at"] == one["event"]["data"]["captured_at"]
    assert "pending for centre" in stopped.command("events", "show", str(one["seq"])).stdout
    missing = stopped.command("events", "show", "nowhere")
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (1, "There is no such event here.")


def test_a_tail_and_an_action_need_a_daemon(stopped: GatewayProcess) -> None:
    for words in (["events", "tail"], ["quarantine", "retry", "centre", "1", "--reason", "x"]):
        done = stopped.command(*words)
        assert done.returncode == 69
        assert "No daemon answers" in done.stderr


def test_an_outbox_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        done = daemon.command("events", "list")
        assert done.returncode == 1
        assert "there is no outbox" in done.stderr
        assert "hint:" in done.stderr


def test_a_tail_prints_what_is_committed(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": "n-1", "code": CODE})
        done = daemon.command("events", "tail", "--after", "0", "--count", "1", "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["seq"] == 1
        assert daemon.stop() == 0


def test_the_life_of_a_quarantined_event(tmp_path: Path, centre: str) -> None:
    """Rejected, listed, shown, retried in vain, retried after the centre learnt better; another one is discarded."""
    config = CONFIG.replace("http://127.0.0.1:9/v1/events", centre)
    with gateway(tmp_path, config) as daemon:
        daemon.start()
        for number in range(2):
            daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": f"n-{number}", "code": f"POISON-{number}"})
            daemon.ask("POST", "/v1/scans", {"device": "hh-1", "id": f"good-{number}", "code": CODE})

        def open_cases() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(daemon.command("quarantine", "list", "--json").stdout)
            return found

        first, second = until(lambda: open_cases() if len(open_cases()) == 2 else None, "both are in quarantine")
        assert first["reason"] == "unknown article"
        shown = json.loads(daemon.command("quarantine", "show", "centre", str(first["seq"])).stdout)
        assert "POISON-0" in json.dumps(shown["event"])
        steps = daemon.command("events", "show", str(first["seq"])).stdout
        assert "in quarantine for centre" in steps and "unknown article" in steps

        def accepted() -> Any:
            found = json.loads(daemon.command("events", "show", str(first["seq"] + 1), "--json").stdout)["steps"]
            return next((step for step in found if step["name"] == "accepted by centre"), None)

        assert until(accepted, "the good one is accepted")["at"].endswith("Z")

        Picky.rejects = False
        done = daemon.command("quarantine", "retry", "centre", str(first["seq"]), "--reason", "article was added")
        assert done.returncode == 0, done.stderr
        until(lambda: len(open_cases()) == 1, "the retried one is delivered")
        history = json.loads(daemon.command("quarantine", "show", "centre", str(first["seq"])).stdout)["history"]
        assert [one["action"] for one in history] == ["entry_quarantined", "entry_retried", "entry_delivered"]
        assert history[1]["actor"].startswith("cli:")

        done = daemon.command("quarantine", "discard", "centre", str(second["seq"]), "--reason", "test label", "--yes")
        assert done.returncode == 0, done.stderr
        again = daemon.command("quarantine", "discard", "centre", str(second["seq"]), "--reason", "test label", "--yes")
        assert again.returncode == 1 and "discarded" in again.stderr
        (upstream,) = daemon.ask("GET", "/v1/status").json["upstreams"]
        assert (upstream["discarded"], upstream["quarantined"], upstream["imbalance"]) == (1, 0, 0)
        assert daemon.stop() == 0


def test_discarding_asks_how_many(tmp_path: Path) -> None:
    with gateway(tmp_path) as daemon:
        daemon.start()
        arguments = ["quarantine", "discard", "centre", "1", "2", "--reason", "x", "--config", str(daemon.config)]
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments], input="1\n", cwd=ROOT, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "nothing was discarded" in done.stderr
        assert daemon.stop() == 0


def test_a_token_made_here_is_taken_by_the_api(tmp_path: Path) -> None:
    made = command("token", "hh-7")
    secret = made.stderr.rsplit(" ", 1)[1].strip()
    assert secret not in made.stdout
    file = tmp_path / "tokens.toml"
    file.write_text(made.stdout)
    file.chmod(0o600)
    api = f'[api]\nbind = "127.0.0.1:0"\ntokens_file = "{file}"\n'
    with gateway(tmp_path / "g", CONFIG[: CONFIG.index("[api]")] + api) as daemon:
        daemon.start()
        answer = daemon.ask("POST", "/v1/scans", {"id": "n-1", "code": CODE}, token=secret)
        assert answer.status == 200
        assert daemon.stop() == 0


@pytest.mark.parametrize("words", [["x", "--role", "boss"], ["A B"], ["x" * 100]])
def test_a_token_that_makes_no_sense_is_refused(words: list[str]) -> None:
    done = command("token", *words)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


def test_schemas_are_listed_printed_and_written(tmp_path: Path) -> None:
    assert "receipt" in command("schema").stdout.split()
    assert json.loads(command("schema", "pick").stdout)["$schema"]
    assert command("schema", "--write", str(tmp_path / "out")).returncode == 0
    written = tmp_path / "out" / "gateway.schema.json"
    assert written.read_text() == (ROOT / "config" / "gateway.schema.json").read_text()
    wrong = command("schema", "reciept")
    assert wrong.returncode == 1 and "receipt" in wrong.stderr


def test_a_fault_of_the_program_is_one_sentence_and_70(tmp_path: Path) -> None:
    """A planted bug: the operator reads a sentence, and the traceback lies in a file that the sentence names."""
    program = (
        "import gateway.cli.options, gateway.cli.check as check\n"
        "def broken(*a, **k): raise ZeroDivisionError('planted')\n"
        "check.load_or_fail = broken\n"
        "from gateway.cli.errors import run_command\n"
        "raise SystemExit(run_command(['check', '--config', 'x']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 70
    assert "Traceback" not in done.stderr + done.stdout
    (trace,) = tmp_path.glob("dockline-trace-*.txt")
    assert str(trace) in done.stderr
    assert "planted" in trace.read_text()


def test_the_version_is_told() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"dockline {version('dockline')}\n")


def test_a_full_disk_under_the_output_is_74_and_no_mystery() -> None:
    """`dockline schema config > file` on a full disk."""
    for words in (["schema", "config"], ["schema"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "gateway", *words],
                cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            )  # fmt: skip
        assert done.returncode == 74
        assert done.stderr == "No space left on device\n"


@pytest.mark.parametrize("words", [["handheld", "hh-1", "--site", "dc07"], ["rfid", "portal-1"]])
def test_a_file_that_an_option_names_and_is_not_there_is_named(words: list[str], tmp_path: Path) -> None:
    done = command("simulate", *words, "--password-file", str(tmp_path / "absent"))
    assert done.returncode == 74
    assert done.stderr == f"{tmp_path / 'absent'}: No such file or directory\n"


def test_a_mistyped_event_type_is_no_answer(stopped: GatewayProcess) -> None:
    done = stopped.command("events", "list", "--type", "recipt")
    assert (done.returncode, 'did you mean "receipt"?' in done.stderr) == (64, True)
    for good in ("receipt", "dockline.receipt.v1"):
        done = stopped.command("events", "list", "--type", good)
        assert (done.returncode, done.stdout) == (0, "Events: none\n")


def test_a_simulated_plc_on_a_taken_port_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command("simulate", "plc", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot: the port cannot be opened" in done.stderr


def test_a_token_without_a_device_takes_none() -> None:
    done = command("token", "joe", "--role", "viewer", "--device", "hh-1")
    assert (done.returncode, done.stdout) == (64, "")
    assert "leave --device out" in done.stderr


def test_a_table_is_legible_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Heads folded in the middle of a word (`accepte d`) are read by nobody."""
    from rich import console

    monkeypatch.setattr(console.Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    heads = (
        "upstream",
        "health",
        "accepted",
        "delivered",
        "pending",
        "quarantined",
        "discarded",
        "skipped",
        "imbalance",
    )
    print_table("Deliveries", heads, [("centre", "unavailable", 12, 10, 2, 0, 0, 0, 0)])
    shown = capsys.readouterr().out
    assert all(head in shown for head in (*heads, "unavailable"))
    assert max(len(line) for line in shown.splitlines()) <= 80
    print_table("Events", ("seq", "type", "what"), [(1, "receipt", "x" * 200)])
    assert "receipt" in capsys.readouterr().out


def test_a_daemon_with_a_certificate_of_the_site_and_every_address_is_reached(tmp_path: Path) -> None:
    """The certificate was signed by the site's own authority, which the command line has never heard of."""
    certificate, key = Authority(tmp_path).create().issue("dock-pc-1")
    key.chmod(0o600)
    tls = f'bind = "127.0.0.1:0"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with gateway(tmp_path / "gateway", CONFIG.replace('[api]\nbind = "127.0.0.1:0"\n', f"[api]\n{tls}")) as daemon:
        daemon.start()
        for host in ("127.0.0.1", "0.0.0.0"):
            port = daemon.addresses()["api"].rpartition(":")[2]
            addresses = {"scheme": "https", "api": f"{host}:{port}"}  # no local socket: the address is asked
            (daemon.state / "addresses.json").write_text(json.dumps(addresses))
            assert "taking scans" in daemon.command("status").stdout
        stranger, _ = Authority(tmp_path, "other").create().issue("other-pc")
        daemon.write(daemon.config.read_text().replace(str(certificate), str(stranger)))
        assert "CERTIFICATE_VERIFY_FAILED" in daemon.command("status").stdout
        assert daemon.stop() == 0


def test_a_file_that_is_not_ours_to_read_is_no_wrong_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library of the command line would refuse it with 64, before the daemon could be asked instead."""
    with gateway(tmp_path) as daemon:
        monkeypatch.setattr("os.access", lambda *_, **__: False)
        assert daemon.command("check").returncode == 0
        assert daemon.command("top", "--token-file", str(daemon.config)).returncode == 69
