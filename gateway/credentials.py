"""Secrets, by reference only: a file that nobody else can read, or a systemd credential.

The settings hold a path or a credential's name. systemd puts credentials into a folder that only the service can
read (`$CREDENTIALS_DIRECTORY`; systemd.exec(5), "Credentials"), so the mode check applies to files elsewhere.

    CredentialError      the operator's file or unit; exit code 78
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

SECRET_BYTES_MAX = 64 * 1024
SERVICE_USER = "dockline"
"""As systemd/dockline.sysusers.conf makes it."""


class CredentialError(Exception):
    """A secret cannot be used."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def credentials_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder systemd made for this service's credentials, or None when it made none."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def check_secret_file(path: Path) -> None:
    """Raise CredentialError unless `path` is a file of ours that nobody else can read."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise CredentialError(f'"{path}" does not exist') from error
    except OSError as error:
        raise CredentialError(f'"{path}" cannot be read: {error.strerror}') from error
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError(f'"{path}" is not a file')
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise CredentialError(f'"{path}" can be read by others (mode {mode:04o})', hint=f"chmod 600 {path}")
    if status.st_size > SECRET_BYTES_MAX:
        raise CredentialError(f'"{path}" is larger than {SECRET_BYTES_MAX} bytes; this is not a secret')
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        hint = f"the file must belong to the user of the service: chown {SERVICE_USER} {path}"
        raise CredentialError(f'"{path}" cannot be read: {error.strerror}', hint=hint) from error


def check_secret_owner(path: Path, storage: Path) -> None:
    """Raise CredentialError when root asks and the service, whose storage folder this is, could not read `path`.

    A secret is readable by its owner alone, so the two must have one owner. Silent where it cannot be told: for anybody
    but root, and before there is a storage folder or a user of the service.
    """
    if os.geteuid() != 0:
        return
    try:
        owner = path.stat().st_uid
        service = storage.stat().st_uid if storage.exists() else pwd.getpwnam(SERVICE_USER).pw_uid
        names = [pwd.getpwuid(uid).pw_name for uid in (owner, service)]
    except (OSError, KeyError):
        return
    if service not in {owner, 0}:
        message = f'"{path}" belongs to {names[0]}; the service runs as {names[1]} and cannot read it'
        raise CredentialError(message, hint=f"chown {names[1]} {path}")


def credential_path(name: str, environ: Mapping[str, str]) -> Path:
    """Return the file of a systemd credential; raise CredentialError when the unit did not load it."""
    hint = f"add LoadCredential={name}:/path/to/secret to the unit (systemctl edit dockline)"
    if "/" in name or name in {"", ".", ".."}:
        raise CredentialError(f'"{name}" is not the name of a credential', hint=hint)
    folder = credentials_folder(environ)
    if folder is None:
        raise CredentialError(f'credential "{name}": this process was not given any by systemd', hint=hint)
    path = folder / name
    if not path.is_file():
        raise CredentialError(f'credential "{name}" was not loaded by the unit', hint=hint)
    return path
