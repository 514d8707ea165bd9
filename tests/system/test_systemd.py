"""The files for systemd are ones systemd accepts, and the cage they build is tight."""

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "dockline.service"
EXPOSURE_MAX_TENTHS = 15


def needs(command: str) -> str:
    found = shutil.which(command)
    assert found, f"{command} is missing: install the package systemd"
    return found


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system with the unit, what it starts, and the system units it leans on."""
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("sysinit", "basic", "shutdown", "local-fs", "network", "multi-user"):
        (units / f"{name}.target").write_text("[Unit]\nDescription=stub\n")
    for program in ("opt/dockline/bin/dockline", "bin/sh"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    shutil.copy(UNIT, units)
    return tmp_path


def verify(root: Path) -> subprocess.CompletedProcess[str]:
    return run(needs("systemd-analyze"), "verify", f"--root={root}", "--man=no", UNIT.name)


def test_systemd_accepts_the_unit_without_a_word(root: Path) -> None:
    answer = verify(root)
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_a_misspelt_directive_would_have_been_noticed(root: Path) -> None:
    unit = root / "usr/lib/systemd/system" / UNIT.name
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSec="))
    assert "WatchDogSec" in verify(root).stderr


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    threshold = f"--threshold={EXPOSURE_MAX_TENTHS}"
    return run(needs("systemd-analyze"), "security", "--offline=true", "--no-pager", threshold, unit)


def test_the_cage_is_tight_with_serial_access() -> None:
    answer = exposure(UNIT)
    assert answer.returncode == 0, answer.stdout[-400:]
    assert "char-ttyUSB" in UNIT.read_text()


def test_an_open_cage_would_have_been_noticed(tmp_path: Path) -> None:
    loose = tmp_path / UNIT.name
    loose.write_text(UNIT.read_text().replace("CapabilityBoundingSet=\n", "").replace("PrivateUsers=yes\n", ""))
    assert exposure(loose).returncode != 0


def directives() -> dict[str, str]:
    parser = RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return {**parser["Unit"], **parser["Service"]}


def test_a_wrong_configuration_is_not_restarted_and_everything_else_for_ever() -> None:
    found = directives()
    assert found["Restart"] == "always"
    assert "78" in found["RestartPreventExitStatus"].split()
    assert found["StartLimitIntervalSec"] == "0"


def test_systemd_waits_longer_for_a_stop_than_the_daemon_may_take() -> None:
    from gateway.settings.model import LimitsSettings

    bounds = LimitsSettings.model_fields["stop_deadline_s"].metadata
    longest = max(bound.le for bound in bounds if hasattr(bound, "le"))
    assert float(directives()["TimeoutStopSec"].rstrip("s")) > longest + 10


def test_a_start_asks_for_patience_long_before_systemd_loses_it() -> None:
    from gateway.long_start import ASK_S, PATIENCE_S

    assert float(directives()["TimeoutStartSec"].rstrip("s")) > 2 * ASK_S
    assert PATIENCE_S > 2 * ASK_S


def test_the_unit_waits_for_no_network_and_no_clock() -> None:
    found = directives()
    assert "network-online.target" not in found["After"]
    assert "time-sync" not in found["After"]
    assert "Wants" not in found and "Requires" not in found


def test_the_user_is_made_and_may_open_serial_ports(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = FOLDER / "dockline.sysusers.conf"
    answer = run(needs("systemd-sysusers"), f"--root={tmp_path}", file)
    assert answer.returncode == 0, answer.stderr
    groups = (tmp_path / "etc/group").read_text()
    assert "dockline" in (tmp_path / "etc/passwd").read_text()
    assert any(line.startswith("dialout:") and line.endswith("dockline") for line in groups.splitlines())


def test_the_folders_are_made_with_the_rights_the_service_needs(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    run(needs("systemd-sysusers"), f"--root={tmp_path}", FOLDER / "dockline.sysusers.conf")
    file = FOLDER / "dockline.tmpfiles.conf"
    answer = run(needs("systemd-tmpfiles"), "--create", f"--root={tmp_path}", file)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "etc/dockline/secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "etc/dockline").stat().st_mode & 0o777 == 0o750


def test_every_udev_rule_is_a_match_and_an_assignment() -> None:
    """udev skips a rule it cannot read with a line in its own log, which nobody reads."""
    rules = (FOLDER / "60-dockline.rules").read_text()
    lines = [line for line in rules.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    for line in lines:
        assert line.count('"') % 2 == 0
        parts = [part.strip() for part in line.split('",')]
        assert any("==" in part for part in parts)
        assert any("==" not in part and "=" in part for part in parts)
