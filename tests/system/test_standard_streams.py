"""Started without standard streams, at a terminal of another character set, or read by somebody who leaves."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_process import BOUND_S, CONFIG, ROOT, gateway, until

PROGRAM = f"{shlex.quote(sys.executable)} -m gateway"


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"], ids=["no errors", "none"])
def test_it_runs_with_standard_streams_closed(tmp_path: Path, closed: str) -> None:
    """As a supervisor or cron starts a program. No file of the gateway is what a library takes for standard error."""
    with gateway(tmp_path) as daemon:
        line = f"exec {PROGRAM} run --config {shlex.quote(str(daemon.config))} {closed}"
        daemon.process = subprocess.Popen(
            ["/bin/sh", "-c", line], cwd=ROOT, env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        )
        daemon.hear("READY=1")
        found = {number: str(Path(f"/proc/{daemon.process.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
        assert found[2] == "/dev/null"
        assert not any(str(daemon.state) in place for place in found.values())
        scan = {"device": "hh-7", "id": "1", "code": "]C10109521234543213"}
        assert until((daemon.state / "addresses.json").exists, "the API opens")
        assert daemon.ask("POST", "/v1/scans", scan).json["result"] == "stored"
        assert daemon.stop() == 0


def test_a_terminal_that_has_no_umlauts_gets_them_spelled_out(tmp_path: Path) -> None:
    folder = tmp_path / "Lager"
    folder.mkdir()
    config = folder / "gateway.toml"
    config.write_text(CONFIG.replace("{state}", str(folder / "K\u00f6ln")), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "--config", str(config)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "K\\xf6ln" in done.stdout


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    """`dockline check | head`, in a script with `set -o pipefail`."""
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.replace("{state}", str(tmp_path / "state")))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "--config", str(config)],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
