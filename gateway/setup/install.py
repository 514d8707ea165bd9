"""The files of a set-up, written so that a power cut leaves the old ones or the new ones, with the modes they need.

    gateway.toml            0640 root:dockline     the service reads it and cannot change it
    secrets/                0700 dockline
    secrets/centre.token    0600 dockline          what others can read is no secret, and is refused

What was there before is kept beside it, under a name with the time. Without root, and before there is a user of the
service, everything belongs to whoever asks.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.credentials import SERVICE_USER
from gateway.settings import Settings, load_settings
from gateway.setup.draft import Draft

CONFIG_MODE = 0o640
SECRET_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Installed:
    """What was written."""

    settings: Settings
    secrets: tuple[Path, ...]
    kept: tuple[Path, ...]
    """Files that were there before, under their new names."""


class _Owners:
    """Who gets what; nobody in particular without root."""

    def __init__(self) -> None:
        self.user, self.group = -1, -1
        if os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                self.user = pwd.getpwnam(SERVICE_USER).pw_uid
                self.group = grp.getgrnam(SERVICE_USER).gr_gid


def install(draft: Draft, config: Path, *, wall_ms: int) -> Installed:
    """Write secrets and configuration. Raises SettingsError, with nothing changed, when it cannot be used; OSError."""
    owners, folder = _Owners(), config.parent / "secrets"
    _make_folder(config.parent, 0o750, -1, owners.group)
    kept: list[Path] = []
    written: list[Path] = []
    mark = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    secrets = draft.secrets()
    if secrets:
        _make_folder(folder, 0o700, owners.user, owners.group)
    fresh = config.with_name(f".{config.name}.new")
    before: dict[Path, Path] = {}
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(_undo, written, before)
        on_failure.callback(fresh.unlink, missing_ok=True)
        for secret in secrets:
            path = folder / secret.file
            if path.exists():
                before[path] = _keep(path, mark)
            _replace(path, secret.text, SECRET_MODE, owners.user, owners.group)
            written.append(path)
        _write(fresh, draft.text(folder), CONFIG_MODE, -1, owners.group)
        settings = load_settings(fresh, must_run=False)
        on_failure.pop_all()
    if config.exists():
        kept.append(_keep(config, mark))
    fresh.replace(config)
    _flush_folder(config.parent)
    return Installed(replace(settings, file=config), tuple(written), (*kept, *before.values()))


def _undo(written: list[Path], before: dict[Path, Path]) -> None:
    for path in written:
        path.unlink(missing_ok=True)
    for path, old in before.items():
        old.replace(path)


def _keep(path: Path, mark: str) -> Path:
    """Give a file a second name, which no file has."""
    for number in range(1000):
        name = path.with_name(f"{path.name}.before-{mark}" + (f"-{number}" if number else ""))
        with contextlib.suppress(FileExistsError):
            name.hardlink_to(path)
            return name
    raise FileExistsError(f"{path}: too many copies are kept beside it")


def _replace(path: Path, text: str, mode: int, user: int, group: int) -> None:
    fresh = path.with_name(f".{path.name}.new")
    _write(fresh, text, mode, user, group)
    fresh.replace(path)
    _flush_folder(path.parent)


def _write(path: Path, text: str, mode: int, user: int, group: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchown(descriptor, user, group)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _make_folder(path: Path, mode: int, user: int, group: int) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)
        os.chown(path, user, group)


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
