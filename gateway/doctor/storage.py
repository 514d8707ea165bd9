"""The outbox and its disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from buffer import OutboxError, OutboxReader
from buffer.spare import SPARE_NAME
from gateway.alarms import incident_hint
from gateway.cli.show import counted, size
from gateway.doctor.check import Check, Patient

DISK_AUTONOMY_WARN_H = 24.0


def check_disk(patient: Patient) -> Iterator[Check]:
    """Is there room, and for how long?"""
    folder, settings = patient.storage, patient.settings
    if folder is None:
        return
    if not folder.is_dir():
        yield Check("storage", "disk", "failed", f"{folder} does not exist", "start the daemon once: it makes it")
        return
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    text = f"{size(free)} free"
    status = patient.status["storage"] if patient.status else None
    reserve = settings.storage.reserve_bytes if settings is not None else 0
    if status is not None and status["autonomy_hours"] is not None:
        text += f", room for {status['autonomy_hours']:.0f} hours at today's rate with no delivery"
    if status is not None and status["full_reason"] is not None:
        yield Check("storage", "disk", "failed", f"scans are refused: {status['full_reason']}", _room_hint(folder))
    elif disk.f_files and not disk.f_favail:
        evidence = f"{text}, and no inode is left: no file can be made, a start of the gateway fails"
        yield Check("storage", "disk", "failed", evidence, f"remove files on that disk: df -i {folder}")
    elif free < reserve:
        evidence = f"{text}; {size(reserve)} are the reserve, scans are refused"
        yield Check("storage", "disk", "failed", evidence, _room_hint(folder))
    elif status is not None and (status["level"] != "calm" or (status["autonomy_hours"] or 1e9) < DISK_AUTONOMY_WARN_H):
        yield Check(
            "storage", "disk", "warning", text, "restore the delivery, or free space: at the mark scans are refused"
        )
    else:
        yield Check("storage", "disk", "ok", text)
    if settings is not None and settings.storage.spare_bytes:
        spare = folder / SPARE_NAME
        held = spare.stat().st_size if spare.exists() else 0
        if held:
            yield Check("storage", "spare room", "ok", f"{size(held)} set aside for a start on a full disk")
        else:
            evidence = "none is set aside: a start on a full disk could fail"
            yield Check("storage", "spare room", "warning", evidence, _room_hint(folder))


def _room_hint(folder: Path) -> str:
    return f"free space on the disk of {folder}: du -xh --max-depth=2 / | sort -h | tail"


def check_outbox(patient: Patient) -> Iterator[Check]:
    """Is it whole, do its books balance, and does somebody have to know of damage?"""
    folder = patient.storage
    if folder is None or not folder.is_dir():
        return
    try:
        reader = OutboxReader.open(folder)
    except OutboxError as error:
        action = error.hint or "start the daemon: it salvages what can be read and keeps the damaged files"
        yield Check("storage", "outbox", "failed", str(error), action)
        return
    except PermissionError:
        yield Check("storage", "outbox", "unknown", f"you may not read {folder}", "sudo dockline doctor")
        return
    try:
        yield from _read(reader)
    except OutboxError as error:
        action = "restart the daemon: it salvages what can be read and keeps the damaged files"
        yield Check("storage", "outbox", "failed", f"it cannot be read: {error}", action)
    finally:
        reader.close()
    kept = sorted(path for path in folder.glob("damaged-*") if path.is_dir())
    if kept:
        octets = sum(file.stat().st_size for path in kept for file in path.iterdir())
        names = ", ".join(path.name for path in kept)
        action = f"when the disk has been looked at and nobody needs them: rm -r {folder}/{kept[0].name}"
        yield Check("storage", "salvages", "notice", f"damaged files are kept in {names} ({size(octets)})", action)


def _read(reader: OutboxReader) -> Iterator[Check]:
    chain = reader.head_of_chain()
    positions = reader.upstreams()
    wrong = [(one.upstream, found) for one in positions if (found := reader.census(one.upstream).imbalance)]
    if wrong:
        names = ", ".join(f"{name} by {imbalance}" for name, imbalance in wrong)
        action = "dockline doctor --bundle /tmp/dockline.tar.gz, keep the storage folder, and call for help"
        yield Check("storage", "books", "failed", f"they do not balance: {names}", action)
    else:
        yield Check(
            "storage", "books", "ok", f"balance for {counted(len(positions), 'upstream')}, up to sequence {chain.seq}"
        )
    open_ones = reader.incidents(unacknowledged_only=True)
    for one in open_ones:
        told = one.told
        carried = f"; {told.carried} events carried, {told.missing_count} missing" if told.kept_as else ""
        yield Check("storage", one.kind.replace("_", " "), "failed", told.reason + carried, incident_hint(one))
    known = len(reader.incidents()) - len(open_ones)
    if not open_ones:
        earlier = f"; {counted(known, 'earlier incident')} acknowledged" if known else ""
        evidence = f"no damage that nobody knows of{earlier}"
        yield Check("storage", "damage", "ok", evidence)


def check_permissions(patient: Patient) -> Iterator[Check]:
    """May nobody else read or change what is ours?"""
    yield from _mode(patient.config, "the configuration", forbidden=0o022, fix="chmod go-w")
    folder = patient.storage
    if folder is not None and folder.is_dir():
        yield from _mode(folder, "the storage folder", forbidden=0o077, fix="chmod 700")
        owner = folder.stat().st_uid
        other = (
            [path.name for path in folder.iterdir() if path.lstat().st_uid != owner]
            if os.access(folder, os.R_OK)
            else []
        )
        if other:
            action = f"stop the daemon, then: chown --reference={folder} {folder}/*"
            evidence = f"{', '.join(sorted(other)[:5])} in {folder} belong to somebody else than the folder"
            yield Check("permissions", "owner", "failed", evidence, action)


def _mode(path: Path, name: str, *, forbidden: int, fix: str) -> Iterator[Check]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & forbidden:
        yield Check("permissions", name, "failed", f"{path} has mode {mode:04o}: others may use it", f"{fix} {path}")
    else:
        yield Check("permissions", name, "ok", f"{path} has mode {mode:04o}")
