"""Tab in bash: commands, options, and the names of this site's devices, stations and upstreams."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from daemon_process import CONFIG, ROOT, gateway

from gateway.cli.completion import complete_device, complete_type
from gateway.cli.manual import completion

STATION = '\n[[station]]\nid = "dock-3"\n'
DEVICE = (
    '\n[[device]]\nid = "dock-3-scanner"\nstation = "dock-3"\ndriver = "serial-scanner"\nurl = "serial:///dev/ttyS9"\n'
)

Offers = Callable[..., list[str]]


@pytest.fixture
def offers(tmp_path: Path) -> Offers:
    """Return what bash offers for the last word of a command line: its own completion, the script the package ships."""
    program = tmp_path / "bin" / "dockline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m gateway "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "dockline.bash"
    script.write_text(completion("bash"))
    bash = shutil.which("bash")
    assert bash is not None

    def ask(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        asked = (
            f"source {script}; COMP_WORDS=(dockline {line}); COMP_CWORD={len(words)}; _dockline_completion {program}; "
        )
        done = subprocess.run(
            [bash, "--norc", "-c", asked + 'printf "%s\\n" "${COMPREPLY[@]}"'],
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return ask


def test_commands_and_the_names_of_the_site_are_offered(tmp_path: Path, offers: Offers) -> None:
    with gateway(tmp_path / "site", CONFIG + STATION + DEVICE) as daemon:
        config = ("--config", str(daemon.config))
        assert offers("dev") == ["devices"]
        assert offers("devices", "probe", *config, "dock") == ["dock-3-scanner"]
        assert offers("events", "tail", *config, "--station", "") == ["dock-3", "floor"]
        assert offers("upstream", "rewind", *config, "ce") == ["centre"]


def test_a_running_gateway_names_the_handhelds_it_has_heard(tmp_path: Path, offers: Offers) -> None:
    with gateway(tmp_path / "site") as daemon:
        daemon.start()
        assert (
            daemon.ask("POST", "/v1/scans", {"device": "hh-17", "id": "n-1", "code": "]C10109521234543213"}).status
            == 200
        )
        assert offers("devices", "watch", "--config", str(daemon.config), "hh-1") == ["hh-17"]


def test_a_broken_or_missing_file_offers_nothing_and_says_nothing(tmp_path: Path, offers: Offers) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[device]\nid = 7")
    assert offers("devices", "probe", "--config", str(broken), "d") == []
    context: Any = SimpleNamespace(params={"config": tmp_path / "none.toml"})
    assert complete_device(context, "d") == []
    assert complete_type("pu") == ["putaway"]
