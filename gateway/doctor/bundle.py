"""A support bundle: what somebody far away needs to help, and nothing that opens a door.

Secrets are references in the configuration, so nothing here should hold one. That is not relied on: every secret this
gateway uses is read, and wherever its text turns up in the bundle it is struck out; so are values of keys that sound
like secrets. Events are counted, not copied: what was scanned, and by whom, is the site's own.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from buffer import OutboxError, OutboxReader
from gateway.doctor.check import Check, Patient
from gateway.doctor.upstreams import secret_files

STRUCK_OUT = "***"
SECRET_CHARACTERS_MIN = 6
"""Shorter texts turn up everywhere by chance."""
AUDIT_RECORDS = 500
LOG_LINES = 2000
LOG_S = 10.0
_SOUNDS_SECRET = re.compile(
    r"(?im)^(\s*\"?[\w.-]*(?:password|passwd|secret|token|api_?key)\"?\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s#,}]+)"
)
_BEARER = re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_QUERY = re.compile(r"(?i)([?&][\w.-]*(?:token|key|secret|passw(?:or)?d|signature|sig)=)[^&\s\"'#]+")
_OUR_TOKEN = re.compile(r"\bdkl_[A-Za-z0-9_-]{20,}")
"""Of those only a hash is here, so what somebody typed in the wrong place is known by its look."""
_USER_INFO = re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/\s:@\"']+:[^/\s@\"']+@")


def write_bundle(target: Path, patient: Patient, checks: Sequence[Check]) -> list[str]:
    """Write the bundle, readable by its owner alone; returns the names in it. Raises OSError.

    A file of that name is replaced, not written to: it may be somebody else's, or a link.
    """
    secrets = known_secrets(patient)
    names = []
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, text in _parts(patient, checks):
            octets = without_secrets(text, secrets).encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(f"dockline/{name}")
            entry.size, entry.mode, entry.mtime = len(octets), 0o600, patient.wall_ms // 1000
            bundle.addfile(entry, io.BytesIO(octets))
            names.append(name)
    part.replace(target)
    return names


def known_secrets(patient: Patient) -> list[str]:
    """Return every secret of this gateway that can be read, the longest first."""
    paths = [path for _, path in secret_files(patient)]
    if patient.storage is not None:
        paths.append(patient.storage / "cli.token")
    # A file that cannot be used names none; the folder it would name them in is there all the same.
    paths += sorted(one for one in (patient.config.parent / "secrets").glob("*") if one.is_file())
    found: set[str] = set()
    for path in paths:
        with suppress(OSError):
            text = path.read_text("utf-8", errors="replace")
            found.add(text.strip())
            # Files with a secret a line (users, keys) and those that quote it.
            found.update(word for line in text.splitlines() for word in re.split(r"[\s\"':=]+", line))
    return sorted((one for one in found if len(one) >= SECRET_CHARACTERS_MIN), key=len, reverse=True)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret struck out."""
    for secret in secrets:
        text = text.replace(secret, STRUCK_OUT)
    text = _OUR_TOKEN.sub(STRUCK_OUT, text)
    text = _BEARER.sub(rf"\1{STRUCK_OUT}", text)
    text = _QUERY.sub(rf"\1{STRUCK_OUT}", text)
    text = _USER_INFO.sub(rf"\1{STRUCK_OUT}@", text)
    return _SOUNDS_SECRET.sub(rf'\1"{STRUCK_OUT}"', text)


def _parts(patient: Patient, checks: Sequence[Check]) -> Iterator[tuple[str, str]]:
    yield "doctor.json", _json([asdict(check) for check in checks])
    yield (
        "status.json",
        _json(patient.status if patient.status is not None else {"daemon": None, "why": patient.silence}),
    )
    with suppress(OSError):
        yield "gateway.toml", patient.config.read_text("utf-8", errors="replace")
    if patient.problems:
        yield "problems.txt", "\n".join(patient.problems) + "\n"
    if patient.storage is not None and patient.storage.is_dir():
        yield "storage.txt", "\n".join(_listing(patient.storage)) + "\n"
        yield "outbox.json", _json(_outbox(patient.storage))
    log = _log()
    if log:
        yield "journal.txt", log


def _listing(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            found = path.lstat()
            yield f"{stat.filemode(found.st_mode)} {found.st_uid:>6} {found.st_size:>12} {path.relative_to(folder)}"


def _outbox(folder: Path) -> dict[str, object]:
    """Return positions, books, epochs, incidents and the newest of the audit; no event."""
    try:
        reader = OutboxReader.open(folder)
    except (OutboxError, OSError) as error:
        return {"unreadable": str(error)}
    try:
        positions = reader.upstreams()
        newest = reader.audit_list(limit=AUDIT_RECORDS)
        return {
            "upstreams": [{**asdict(one), **asdict(reader.census(one.upstream))} for one in positions],
            "epochs": [{**asdict(one), "linked_chain": one.linked_chain.hex()} for one in reader.epochs()],
            "incidents": [asdict(one) for one in reader.incidents()],
            "audit": [{**asdict(one), "chain": one.chain.hex()} for one in newest],
        }
    except OutboxError as error:
        return {"unreadable": str(error)}
    finally:
        reader.close()


def _log() -> str:
    if shutil.which("journalctl") is None:
        return ""
    try:
        done = subprocess.run(
            ["journalctl", "--unit=dockline", f"--lines={LOG_LINES}", "--no-pager", "--output=short-iso"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LOG_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str)
