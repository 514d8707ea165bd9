"""Tab in bash, zsh and fish: commands, options, and the names of this site's devices, stations and upstreams."""

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
from terminal import Terminal

from gateway.cli.completion import complete_device, complete_type
from gateway.cli.manual import completion

STATION = '\n[[station]]\nid = "dock-3"\n'
DEVICE = (
    '\n[[device]]\nid = "dock-3-scanner"\nstation = "dock-3"\ndriver = "serial-scanner"\nurl = "serial:///dev/ttyS9"\n'
)

Offers = Callable[..., list[str]]


def installed(folder: Path) -> Path:
    """Return a `dockline` that a shell finds in a folder."""
    program = folder / "bin" / "dockline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gateway "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def offers(tmp_path: Path) -> Offers:
    """Return what bash offers for the last word of a command line: its own completion, the script the package ships."""
    program = installed(tmp_path)
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


def test_the_script_for_zsh_completes_when_it_is_read() -> None:
    """What the real shell does with it is a long test: zsh is on no site PC and no machine of ours by itself."""
    assert completion("zsh").startswith("#compdef dockline\n")
    assert "if (( ${+compstate} )); then\n  _dockline_completion\n" in completion("zsh")


@pytest.mark.long
async def test_zsh_offers_at_the_first_tab(tmp_path: Path) -> None:
    """The script is where the package puts it, in the path of functions, and zsh reads it when it is wanted."""
    program, functions = installed(tmp_path), tmp_path / "functions"
    functions.mkdir()
    (functions / "_dockline").write_text(completion("zsh"))
    (tmp_path / "site.toml").write_text(CONFIG.format(state=tmp_path) + STATION + DEVICE)
    path = f"{program.parent}:{os.environ['PATH']}"
    async with Terminal("-f", "-i", program=("zsh",), PATH=path, TERM="dumb", HOME=str(tmp_path)) as terminal:
        begin = f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; cd {tmp_path}"
        terminal.press(f"{begin}; echo re''ady\n")
        await terminal.sees("\nready")
        terminal.press("dockline stat\t")
        await terminal.sees("dockline status ")
        terminal.press("\x15dockline devices probe --config site.toml dock\t")
        await terminal.sees("dock-3-scanner")


@pytest.mark.long
def test_fish_offers_names_and_commands(tmp_path: Path) -> None:
    program, script = installed(tmp_path), tmp_path / "dockline.fish"
    script.write_text(completion("fish"))
    config = tmp_path / "site.toml"
    config.write_text(CONFIG.format(state=tmp_path) + STATION + DEVICE)
    for line, offered in (("stat", "status"), (f"devices probe --config {config} dock", "dock-3-scanner")):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script}; complete -C 'dockline {line}'"],
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert (done.stdout.split()[:1], done.stderr) == ([offered], "")
