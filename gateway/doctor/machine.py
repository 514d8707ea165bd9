"""The computer: clock, versions, the service manager."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.doctor.check import Check, Patient
from gateway.report import program_version

BUILT_IN_YEAR = 2026
SQLITE_SAFE = (3, 51, 3)
"""From here on several connections may checkpoint one log."""
SYSTEMCTL_S = 5.0


def check_clock(patient: Patient) -> Iterator[Check]:
    """Does somebody vouch for the time?"""
    now = datetime.fromtimestamp(patient.wall_ms / 1000, UTC)
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now.year < BUILT_IN_YEAR:
        yield Check("clock", "time", "failed", f"{text} lies before this program was made", "timedatectl set-ntp true")
    elif not patient.is_synchronised:
        action = "timedatectl set-ntp true, or look why the time service reaches no server: timedatectl timesync-status"
        yield Check("clock", "time", "warning", f"{text}; no time service vouches for it, events say so", action)
    else:
        yield Check("clock", "time", "ok", f"{text}, synchronised")


def check_versions(patient: Patient) -> Iterator[Check]:
    """Which versions work together here?"""
    own = program_version()
    text = f"dockline {own}, Python {platform.python_version()}, kernel {platform.release()}"
    running = patient.status["version"] if patient.status else own
    if running != own:
        evidence = f"{text}; the daemon still runs {running}"
        yield Check("versions", "program", "warning", evidence, "systemctl restart dockline")
    else:
        yield Check("versions", "program", "ok", text)
    safe = sqlite3.sqlite_version_info >= SQLITE_SAFE
    why = "" if safe else "; one connection alone writes and checkpoints here, which is safe with it"
    yield Check("versions", "SQLite", "ok", sqlite3.sqlite_version + why)


def check_service(patient: Patient) -> Iterator[Check]:
    """Is the daemon there, watched, and left alone?"""
    status = patient.status
    if status is None:
        action = "systemctl start dockline; then: journalctl -u dockline -n 50"
        yield Check("service", "daemon", "failed", f"no daemon answers: {patient.silence}", action)
    elif not status["ready"]:
        evidence = f"it runs and takes no scans: {status['not_ready_because']}"
        yield Check("service", "daemon", "failed", evidence, "see the failed checks of storage")
    else:
        yield Check("service", "daemon", "ok", f"takes scans, up {status['uptime_s']:.0f} s")
    yield _unit()


def _unit() -> Check:
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return Check("service", "watchdog", "notice", "systemd does not run here: nobody restarts a daemon that hangs")
    wanted = ("LoadState", "ActiveState", "NRestarts", "WatchdogUSec", "Result")
    try:
        done = subprocess.run(
            ["systemctl", "show", "dockline", *(f"--property={name}" for name in wanted)],
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("service", "watchdog", "unknown", f"systemctl does not answer: {type(error).__name__}")
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if found.get("LoadState") != "loaded":
        return Check("service", "watchdog", "notice", "dockline.service is not installed: nobody restarts the daemon")
    text = f"{found.get('ActiveState')}, {found.get('NRestarts')} restarts, watchdog {found.get('WatchdogUSec')}"
    if found.get("WatchdogUSec") in {"0", "infinity", None}:
        return Check("service", "watchdog", "warning", f"{text}: a hang is not noticed", "systemctl revert dockline")
    if found.get("NRestarts", "0") != "0":
        return Check("service", "watchdog", "warning", text, "journalctl -u dockline -g daemon_stopped -n 20")
    return Check("service", "watchdog", "ok", text)
