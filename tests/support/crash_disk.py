"""What a power cut may leave of what a process did to a folder.

The rules are those a program may rely on with any journalling file system, and no better ones:

- a write is on the disk for certain once a flush of its file, begun after it, has ended; until then any part of it, in
  sectors of 512 bytes, may be there or not, whatever other writes are, and a file that grew may have its new length
  without its new content (zeros);
- a change of a length is kept or lost like a write, and put in order with those of its file that are kept;
- a name (create, rename, link, unlink, mkdir, rmdir) is certain once a flush of its folder has ended; a flush of the
  file does not make its name durable, nor the other way round. A rename is there or not, never half; one between two
  folders is certain when both were flushed.

Not modelled: sectors that a power cut tears in themselves, and drives that answer a flush before it is true.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from crash_trace import LOG_INDEX, Cut, Flushed, Named, Recording, Step, Written

SECTOR = 512
Mode = Literal["dropped", "kept", "torn", "reordered", "scattered", "names", "contents"]
MODES: tuple[Mode, ...] = ("dropped", "kept", "torn", "reordered", "scattered", "names", "contents")
"""dropped: nothing that was not flushed. kept: everything. torn: everything up to some moment, and a part of the write
under way. reordered: any writes, whole, and any names. scattered: any sectors, lengths without content. names: all
names, no content. contents: all content, no names."""
BY_CHANCE: frozenset[Mode] = frozenset({"torn", "reordered", "scattered"})

Change = Written | Cut
Image = dict[str, bytes]
"""Path -> content of every file; folders end in "/" and hold nothing."""


@dataclass(slots=True)
class _File:
    durable: bytearray
    pending: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Disk:
    """A folder between what is certain and what is not."""

    _files: dict[int, _File] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)
    _pending_names: list[Named] = field(default_factory=list)
    _flushed_folders: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording) -> Disk:
        """Return the disk before the recording began: all of it certain."""
        disk = cls()
        for number, (path, content) in enumerate(recording.before.items(), start=1):
            disk._files[number] = _File(bytearray(content))
            disk._names[path] = number
        disk._names.update(dict.fromkeys(recording.folders, -1))
        return disk

    def take(self, step: Step) -> None:
        """Go one step on."""
        match step:
            case Written() | Cut():
                self._files[step.file].pending.append(step)
            case Named():
                if step.what == "create":
                    self._files[step.file] = _File(bytearray())
                self._pending_names.append(step)
            case Flushed(file=int(file)):
                one = self._files[file]
                certain = [change for change in one.pending if change.ended <= step.began]
                _apply(one.durable, certain)
                one.pending = [change for change in one.pending if change.ended > step.began]
            case Flushed(folder=str(folder)):
                self._flushed_folders[folder] = step.began
                self._settle_names()

    def _settle_names(self) -> None:
        waiting: list[Named] = []
        certain: list[Named] = []
        touched: set[str] = set()
        for one in reversed(self._pending_names):
            paths = {path for path in (one.path, one.source) if path}
            is_flushed = all(self._flushed_folders.get(_folder_of(path), -1) >= one.ended for path in paths)
            # What came before it under the same name is decided with it: names of a folder are written in order.
            if is_flushed or paths & touched:
                certain.append(one)
                touched |= paths
            else:
                waiting.append(one)
        for one in reversed(certain):
            _rename(self._names, one)
        self._pending_names = waiting[::-1]

    def after_power_cut(self, mode: Mode, rng: random.Random) -> Image:
        """Return what the next start finds."""
        changes = sorted(
            [*self._pending_names, *(change for one in self._files.values() for change in one.pending)],
            key=lambda step: step.at,
        )
        survivors = _SURVIVE[mode](changes, rng)
        names = dict(self._names)
        for one in survivors:
            if isinstance(one, Named):
                _rename(names, one)
        by_file: dict[int, list[Change]] = {}
        for one in survivors:
            if isinstance(one, Written | Cut):
                by_file.setdefault(one.file, []).append(one)
        image: Image = {}
        for path, number in names.items():
            if number < 0:
                image[path + "/"] = b""
                continue
            if (folder := _folder_of(path)) and folder not in names:
                continue  # the folder went before what was in it
            content = self._files[number].durable
            if number in by_file:
                content = bytearray(content)
                _apply(content, by_file[number])
            image[path] = bytes(content)
        return image


def _folder_of(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent


def _apply(content: bytearray, changes: Iterable[Change]) -> None:
    for one in changes:
        if isinstance(one, Cut):
            if one.size < len(content):
                if not one.only_grows:
                    del content[one.size :]
            else:
                content.extend(bytes(one.size - len(content)))
        else:
            if one.offset > len(content):
                content.extend(bytes(one.offset - len(content)))
            content[one.offset : one.offset + len(one.data)] = one.data


def _rename(names: dict[str, int], one: Named) -> None:
    folder = _folder_of(one.path)
    if one.what not in {"unlink", "rmdir"} and folder and folder not in names:
        return  # nothing can be in a folder that is not there
    match one.what:
        case "unlink" | "rmdir":
            names.pop(one.path, None)
        case "rename":
            names.pop(one.source, None)
            names[one.path] = one.file
        case _:
            names[one.path] = one.file


Survive = Callable[[list[Change | Named], random.Random], list[Change | Named]]


def _torn(changes: list[Change | Named], rng: random.Random) -> list[Change | Named]:
    if not changes:
        return []
    count = rng.randrange(len(changes))
    last = changes[count]
    if not isinstance(last, Written):
        return changes[:count]
    sectors = _sectors(last)
    if len(sectors) < 2:
        return changes[:count]
    part = rng.randrange(1, len(sectors))
    return [*changes[:count], *(sectors[:part] if rng.random() < 0.7 else sectors[part:])]


def _reordered(changes: list[Change | Named], rng: random.Random) -> list[Change | Named]:
    share = rng.choice((0.1, 0.5, 0.9))
    return [one for one in changes if rng.random() < share]


def _scattered(changes: list[Change | Named], rng: random.Random) -> list[Change | Named]:
    share = rng.choice((0.1, 0.5, 0.9))
    keeps_length = rng.random() < 0.5
    kept: list[Change | Named] = []
    for one in changes:
        if not isinstance(one, Written):
            if rng.random() < share:
                kept.append(one)
            continue
        if keeps_length:
            kept.append(Written(one.at, one.file, one.offset + len(one.data), b"", one.ended))
        kept += [sector for sector in _sectors(one) if rng.random() < share]
    return kept


def _sectors(one: Written) -> list[Written]:
    """Cut a write at the borders of sectors."""
    parts = []
    at, end = one.offset, one.offset + len(one.data)
    while at < end:
        border = min(end, (at // SECTOR + 1) * SECTOR)
        parts.append(Written(one.at, one.file, at, one.data[at - one.offset : border - one.offset], one.ended))
        at = border
    return parts


_SURVIVE: dict[Mode, Survive] = {
    "dropped": lambda changes, rng: [],
    "kept": lambda changes, rng: changes,
    "torn": _torn,
    "reordered": _reordered,
    "scattered": _scattered,
    "names": lambda changes, rng: [one for one in changes if isinstance(one, Named)],
    "contents": lambda changes, rng: [one for one in changes if not isinstance(one, Named)],
}


def restart_computer(image: Image, boot: str, rng: random.Random, stale_index: bytes = b"") -> Image:
    """Return the image as the next start of the computer finds it.

    The lock names the start of the computer during which it was taken: for the process that looks now that must be an
    earlier one. The index of the log was only mapped, so what is on the disk of it may be anything: nothing, zeros,
    noise, or an old one that looks sound.
    """
    later = dict(image)
    for path, content in image.items():
        if path.endswith(LOG_INDEX):
            match rng.randrange(4):
                case 0:
                    del later[path]
                case 1:
                    later[path] = bytes(len(content))
                case 2:
                    later[path] = rng.randbytes(max(len(content), 32768))
                case _:
                    later[path] = stale_index or content
        elif path.endswith(".lock"):
            later[path] = content.replace(boot.encode(), b"0" * len(boot)) if boot else content
    return later


def write_image(image: Image, folder: Path) -> None:
    """Put an image into an empty folder."""
    folder.mkdir(mode=0o700)
    for path in sorted(image):
        if path.endswith("/"):
            (folder / path).mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in image.items():
        if not path.endswith("/"):
            (folder / path).write_bytes(content)
