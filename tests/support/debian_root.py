"""A Debian 12 of its own, booted with systemd: a debootstrap root under an overlay, started by systemd-nspawn.

The root is made once and kept outside the repository (`DOCKLINE_TEST_CACHE`, else below the user's cache folder). Each
machine gets an overlay, so nothing a test does stays. It has a network of its own with nothing in it but loopback: what
is installed is installed off-line. Needs root, debootstrap and systemd-container.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,procps,iproute2,libpam-systemd"
"""What a Debian 12 server has anyway, as far as a service and its installation can notice."""
BOUND_S = 180.0
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def cached_root() -> Path:
    """Return the pristine root, made now when it is not there yet."""
    base = os.environ.get("DOCKLINE_TEST_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "dockline"
    root = Path(base).expanduser() / "debian-12"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root], check=True)
        (root / "complete").touch()
    return root


class DebianRoot:
    """One machine, from power-on to power-off."""

    def __init__(self, folder: Path, packages: Path) -> None:
        """Boot; return when systemd says that it runs. `packages` is seen inside as /packages."""
        self.root = folder / "root"
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        layers = f"lowerdir={cached_root()},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        self._log = (folder / "console").open("wb")
        self._nspawn = subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                "--console=pipe", f"--machine={folder.name[:40]}", f"--directory={self.root}",
                f"--bind-ro={packages}:/packages",
            ],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._leader = 0
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            until(self._has_booted, "the machine boots")
            on_failure.pop_all()

    def _has_booted(self) -> bool:
        # Asked anew each time: the first child of nspawn only makes the one that becomes the machine.
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        children = path.read_text().split() if path.exists() else []
        if len(children) != 1:
            return False
        self._leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def run(self, *command: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root; `text` is its standard input."""
        inside = [
            "nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", "/usr/bin/env", "-i",
            f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "TERM=dumb", *command,
        ]  # fmt: skip
        done = subprocess.run(inside, capture_output=True, text=True, input=text, timeout=900, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command inside and return at once; it is a process of a group of its own."""
        inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", *command]
        environ = {"PATH": PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb"}
        return subprocess.Popen(inside, env=environ, stdout=self._log, stderr=self._log, start_new_session=True)

    def install(self, package: Path, *, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        """Install a package file as a person would; there is no network to get anything from."""
        words = [f"{name}={value}" for name, value in environ.items()]
        options = ["-y", "--no-install-recommends", "--allow-downgrades", "-o", "APT::Sandbox::User=root"]
        return self.run("env", *words, "apt-get", "install", *options, f"/packages/{package.name}", check=check)

    def write(self, path: str, text: str) -> None:
        """Write a file inside, keeping owner and mode of one that is there."""
        self.run("sh", "-c", f'mkdir -p "$(dirname {path})" && cat >{path}', text=text)

    def status(self) -> Any:
        """Return what `dockline status --json` says; an empty dictionary while no daemon answers."""
        done = self.run("dockline", "status", "--json", check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def main_pid(self) -> str:
        """Return the process id of the service, inside."""
        return self.run("systemctl", "show", "-P", "MainPID", "dockline").stdout.strip()

    def close(self) -> None:
        """Power off, whatever is going on."""
        self._nspawn.terminate()
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._log.close()
        subprocess.run(["umount", "--lazy", self.root], check=False)


def until(done: Callable[[], Any], what: str) -> Any:
    """Return the first true result of `done`, asked again and again; fail after a generous bound."""
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end:
        result = done()
        if result:
            return result
        time.sleep(0.2)
    raise AssertionError(f"never: {what}")
