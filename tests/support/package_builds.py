"""Builds of the Debian package from changed copies of the sources: versions that are good, and some that are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("gateway", "drivers", "buffer", "sync", "simulators", "config", "systemd", "docs")
FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "requirements.lock")


def build(folder: Path, version: str, change: Callable[[Path], None] | None = None, *, xz: str = "none") -> Path:
    """Return a package of the given version, of the sources as `change` leaves a copy of them."""
    source = folder / f"source-{version}"
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    if change is not None:
        change(source)
    environ = {
        **os.environ,
        "DOCKLINE_SOURCE": str(source),
        "DOCKLINE_VERSION": version,
        "DOCKLINE_WHEELS": str(wheels()),
        "DOCKLINE_XZ": xz,
        "SOURCE_DATE_EPOCH": "1790000000",
    }
    script = ROOT / "systemd" / "deb" / "build.sh"
    venv = Path(sys.prefix)
    done = subprocess.run(["sh", script, venv, folder], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source)
    return Path(done.stdout.strip().splitlines()[-1])


def wheels() -> Path:
    """Return where downloaded wheels are kept between builds: where `make deb` keeps them."""
    return ROOT / "dist" / "wheels"


def with_schema(source: Path) -> None:
    """Add a migration, as the next version of the outbox would."""
    folder = source / "buffer" / "sql"
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04d}_later.sql").write_text("CREATE TABLE later (a INTEGER NOT NULL) STRICT;\n")


def with_broken_migration(source: Path) -> None:
    """Add a migration that this outbox cannot take."""
    folder = source / "buffer" / "sql"
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04d}_broken.sql").write_text("CREATE TABLE entry (a INTEGER NOT NULL) STRICT;\n")


def with_sudden_death(source: Path) -> None:
    """Have the daemon say that it is ready, and end."""
    path = source / "gateway" / "daemon.py"
    text = path.read_text()
    assert "        self._notifier.ready(text)\n" in text
    path.write_text(
        text.replace(
            "        self._notifier.ready(text)\n", "        self._notifier.ready(text)\n        os._exit(70)\n"
        ).replace("import logging\n", "import logging\nimport os\n", 1)
    )


def with_schema_and_sudden_death(source: Path) -> None:
    """Both: the outbox is migrated before the daemon shows that it is no good."""
    with_schema(source)
    with_sudden_death(source)
