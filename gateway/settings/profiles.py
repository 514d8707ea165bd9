"""Product files: what a make of scanner or reader needs, kept as data (`config/profiles/*.toml`, one product a file).

A profile presets keys of a `[[device]]`; a key in the device wins. Profiles stand beside the configuration file
(`profiles/`), so that a site can add its own, and are shipped with the program.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from pathlib import Path

from gateway.settings.document import read_document
from gateway.settings.problem import Problem

SHIPPED = (
    Path(sysconfig.get_path("data")) / "share" / "dockline" / "config" / "profiles",
    Path(__file__).resolve().parents[2] / "config" / "profiles",
)
"""Where the profiles of the program lie: installed, and in a copy of the repository."""


def profile_folders(configuration: Path) -> list[Path]:
    """Return the folders that may hold profiles, the site's own first."""
    return [configuration.resolve().parent / "profiles", *SHIPPED]


def find_profile(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of a profile, or None. A name never leaves the folders."""
    if "/" in name or "\\" in name or name.startswith("."):
        return None
    return next((path for folder in folders if (path := folder / f"{name}.toml").is_file()), None)


def profile_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of all profiles."""
    return sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.toml")})


def profile_drivers(configuration: Path) -> dict[str, str | None]:
    """Return every profile that can be read, with the driver it is for; None where it names none."""
    folders = profile_folders(configuration)
    read = {name: read_document(path) for name in profile_names(folders) if (path := find_profile(name, folders))}
    return {name: one.data.get("driver") for name, one in read.items() if not isinstance(one, Problem)}
