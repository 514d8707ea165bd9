"""What a process did to one folder and said to its peers, in one order: strace, read as it is written.

The process is not changed and not told. strace stops it at the entry and the exit of the calls named here and prints
both; since a thread goes on only when its stop was printed, whatever one call caused in another thread is printed
behind it. A write counts from its entry (its bytes may be on the disk from then on), a flush counts from its exit and
covers only writes that had ended before it began, bytes to a peer count from the entry (they may have arrived), bytes
from a peer from the exit. That is the reading which demands most of the program.

Memory maps leave no trace. A map that is shared and writable is allowed on the index of the write-ahead log alone,
which nobody believes after a power cut; any other is refused here, and so is every call that changes files in a way
this reader does not model: a recording is whole or there is none.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

MODELLED = (
    "openat close write pwrite64 fsync fdatasync ftruncate fallocate rename renameat unlink unlinkat rmdir mkdir link"
    " bind mmap sendto recvfrom"
)
UNMODELLED = (
    "open creat writev pwritev pwritev2 truncate sync_file_range sync syncfs msync renameat2 mkdirat"
    " linkat symlink symlinkat copy_file_range sendfile splice io_uring_setup dup dup2 dup3 sendmsg recvmsg"
)
"""Calls that would change files, durability or a conversation behind our back; refused where they touch either."""

LOG_INDEX = "-shm"

_LINE = re.compile(r"(\d+) +(.*)\n?")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?).*")
_FD = re.compile(r"(\d+)<((?:TCP|TCPv6):\[[^]]*\]|[^>]*)>")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:\\x[0-9a-f]{2})*)"')
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Unmodelled(Exception):
    """The process did something that the recording cannot tell."""


class Call(NamedTuple):
    """One call, and when it began and ended (numbers of lines of the trace)."""

    entry: int
    exit: int
    name: str
    arguments: str
    result: int


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, at `at` in the one order."""

    at: int


@dataclass(frozen=True, slots=True)
class Written(Step):
    file: int
    offset: int
    data: bytes
    ended: int


@dataclass(frozen=True, slots=True)
class Cut(Step):
    """A file got another length; by an allocation (`only_grows`) never a smaller one."""

    file: int
    size: int
    ended: int
    only_grows: bool = False


@dataclass(frozen=True, slots=True)
class Named(Step):
    """A name of the folder changed: `file` got it, lost it, or has it beside or instead of `source`."""

    what: Literal["create", "unlink", "rename", "link", "mkdir", "rmdir"]
    path: str
    file: int
    source: str
    ended: int


@dataclass(frozen=True, slots=True)
class Flushed(Step):
    """A file, or (by `folder`) the names in a folder, is durable as it was at `began`."""

    file: int | None
    folder: str | None
    began: int


@dataclass(frozen=True, slots=True)
class Said(Step):
    """Bytes to (`sent`) or from a peer; `near` and `far` are the ports."""

    sent: bool
    near: int
    far: int
    data: bytes


@dataclass(slots=True)
class Recording:
    """Everything that was seen, and the folder as it was before."""

    before: dict[str, bytes]
    """Path below the folder -> content; durable."""
    folders: list[str]
    steps: list[Step]
    index: bytes = b""
    """The index of the write-ahead log as the process left it, when it did: something stale to leave lying around."""


class Tracer:
    """Listens to strace through a pipe and keeps what concerns the folder and TCP."""

    def __init__(self, folder: Path, pipe: Path) -> None:
        self._pipe = pipe
        self._marks = (_hex(str(folder)), "<TCP", "bind(")
        self._lines: list[tuple[int, str]] = []
        os.mkfifo(pipe)
        # A daemon: without strace nobody ever opens the other end, and the wait for it must not outlive the test.
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def command(self, program: tuple[str, ...]) -> tuple[str, ...]:
        """Return `program` under strace; it stays a child of ours, with strace beside it (-D)."""
        calls = ",".join([*MODELLED.split(), *UNMODELLED.split()])
        options = ("-D", "-f", "--seccomp-bpf", "-yy", "-xx", "-s", "100000000", "-e", f"trace={calls}")
        return ("strace", *options, "-e", "signal=none", "-o", str(self._pipe), *program)

    def lines(self) -> list[tuple[int, str]]:
        """Return what was kept, when strace has ended; it ends with the process."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "strace did not end"
        self._pipe.unlink()
        return self._lines

    def _listen(self) -> None:
        unfinished: set[str] = set()
        with self._pipe.open("r", encoding="ascii", errors="replace") as pipe:
            for number, line in enumerate(pipe):
                pid = line.partition(" ")[0]
                if "resumed>" in line:
                    wanted = pid in unfinished
                    unfinished.discard(pid)
                else:
                    wanted = any(mark in line for mark in self._marks)
                    if wanted and line.endswith("<unfinished ...>\n"):
                        unfinished.add(pid)
                if wanted:
                    self._lines.append((number, line))


def _hex(text: str) -> str:
    return "".join(f"\\x{octet:02x}" for octet in text.encode())


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def calls(lines: Iterable[tuple[int, str]]) -> Iterator[Call]:
    """Put the two halves of interrupted calls together; yields in the order of their ends."""
    begun: dict[str, tuple[int, str]] = {}
    for number, line in lines:
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise Unmodelled(f"a line of the trace cannot be read: {line[:120]!r}")
        pid, text = matched.groups()
        entry = number
        if (resumed := _RESUMED.fullmatch(text)) is not None:
            entry, first = begun.pop(pid)
            text = first + resumed[2]
        elif text.endswith("<unfinished ...>"):
            begun[pid] = (number, text.removesuffix("<unfinished ...>").rstrip())
            continue
        call = _CALL.fullmatch(text)
        if call is None:
            raise Unmodelled(f"a call of the trace cannot be read: {text[:120]!r}")
        # "?" is a call that the end of the process cut off: what it did, if anything, nobody was told.
        result = -1 if call[3] == "?" else int(call[3])
        yield Call(entry, number, call[1], call[2], result)


@dataclass(slots=True)
class _Reader:
    """Follows names and descriptors through the calls."""

    folder: str
    files: dict[str, int]
    steps: list[Step] = field(default_factory=list)
    _open: dict[int, int] = field(default_factory=dict)
    _sockets: set[str] = field(default_factory=set)
    """Names of sockets in the folder: nothing is ever stored in one."""
    _next: int = 0

    def read(self, trace: Iterable[Call]) -> list[Step]:
        self._next = len(self.files)
        moments = []
        for call in trace:
            if call.result >= 0:
                # A descriptor is given back at the beginning of a close and given out at the end of an open.
                moments.append((call.exit if call.name in {"openat", "recvfrom"} else call.entry, call))
        for _, call in sorted(moments, key=lambda moment: moment[0]):
            self._take(call)
        return sorted(self.steps, key=lambda step: step.at)

    def _take(self, call: Call) -> None:
        name = call.name
        if name in UNMODELLED.split():
            raise Unmodelled(f"{name}({call.arguments[:80]})")
        if name in {"sendto", "recvfrom"}:
            self._say(call)
        elif name == "openat":
            self._open_file(call)
        elif name in {"rename", "renameat", "unlink", "unlinkat", "mkdir", "rmdir", "link"}:
            self._name(call)
        elif name == "bind":
            # By their last name: a long path is bound through /proc/self/fd.
            self._sockets.update(Path(path).name for path in _paths(call.arguments) if "AF_UNIX" in call.arguments)
        elif name == "mmap":
            shown = _FD.search(call.arguments)
            path = self._inside(shown[2]) if shown else None
            is_written = "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments
            if path and is_written and not path.endswith(LOG_INDEX):
                raise Unmodelled(f"{path} is written through a map")
        else:
            self._change(call)

    def _change(self, call: Call) -> None:
        descriptor = _FD.match(call.arguments)
        assert descriptor is not None, call
        number, shown = int(descriptor[1]), descriptor[2]
        if call.name == "close":
            self._open.pop(number, None)
            return
        if shown.startswith("TCP"):
            if call.name == "write":
                self._say(call)
            return
        if call.name in {"fsync", "fdatasync"} and (folder := self._inside(shown)) is not None:
            file = self._open.get(number)
            is_folder = file is None
            step = Flushed(call.exit, file, folder if is_folder else None, call.entry)
            self.steps.append(step)
            return
        file = self._open.get(number)
        if file is None:
            return
        rest = call.arguments[descriptor.end() :]
        if call.name == "ftruncate":
            self.steps.append(Cut(call.entry, file, int(rest.rpartition(",")[2]), call.exit))
        elif call.name == "fallocate":
            mode, offset, size = rest.strip(", ").split(", ")
            if mode != "0":
                raise Unmodelled(f"fallocate with mode {mode}")
            self.steps.append(Cut(call.entry, file, int(offset) + int(size), call.exit, only_grows=True))
        elif call.name == "pwrite64":
            data = _unhex(_text(rest)[0])[: call.result]
            self.steps.append(Written(call.entry, file, int(rest.rpartition(",")[2]), data, call.exit))
        else:
            data = _unhex(_text(rest)[0])[: call.result]
            at = self._ends.get(file, 0)
            self._ends[file] = at + len(data)
            self.steps.append(Written(call.entry, file, at, data, call.exit))

    _ends: dict[int, int] = field(default_factory=dict)
    """Where a plain write goes: whoever uses it here writes a new file from its beginning."""

    def _open_file(self, call: Call) -> None:
        path = self._inside_plain(_paths(call.arguments)[0])
        if path is None:
            return
        if "O_DIRECTORY" in call.arguments or (path not in self.files and "O_CREAT" not in call.arguments):
            return
        if path not in self.files:
            self._next += 1
            self.files[path] = self._next
            self.steps.append(Named(call.entry, "create", path, self._next, "", call.exit))
        file = self.files[path]
        if "O_TRUNC" in call.arguments:
            self.steps.append(Cut(call.entry, file, 0, call.exit))
        if "O_APPEND" in call.arguments:
            raise Unmodelled(f"{path} is appended to")
        self._ends[file] = 0
        self._open[call.result] = file

    def _name(self, call: Call) -> None:
        paths = [self._inside_plain(path) for path in _paths(call.arguments) if Path(path).name not in self._sockets]
        if all(path is None for path in paths):
            return
        if None in paths:
            raise Unmodelled(f"{call.name} leaves the folder")
        first, last = str(paths[0]), str(paths[-1])
        if call.name in {"mkdir", "rmdir"} or "AT_REMOVEDIR" in call.arguments:
            what: Literal["mkdir", "rmdir"] = "mkdir" if call.name == "mkdir" else "rmdir"
            self.steps.append(Named(call.entry, what, first, -1, "", call.exit))
        elif call.name in {"unlink", "unlinkat"}:
            self.steps.append(Named(call.entry, "unlink", first, self.files.pop(first), "", call.exit))
        else:
            file = self.files[first] if call.name == "link" else self.files.pop(first)
            self.files[last] = file
            how: Literal["link", "rename"] = "link" if call.name == "link" else "rename"
            self.steps.append(Named(call.entry, how, last, file, first, call.exit))

    def _say(self, call: Call) -> None:
        shown = _FD.match(call.arguments)
        if shown is None or not shown[2].startswith("TCP"):
            return
        ports = re.findall(r":(\d+)\b", shown[2])
        if len(ports) != 2 or call.result == 0:
            return
        sent = call.name != "recvfrom"
        data = _unhex(_text(call.arguments[shown.end() :])[0])[: call.result]
        self.steps.append(Said(call.entry if sent else call.exit, sent, int(ports[0]), int(ports[1]), data))

    def _inside(self, shown: str) -> str | None:
        return self._inside_plain(_unhex(shown).decode()) if shown.startswith("\\x") else None

    def _inside_plain(self, path: str) -> str | None:
        path = path.removesuffix(" (deleted)")
        if path == self.folder:
            return ""
        return path.removeprefix(self.folder + "/") if path.startswith(self.folder + "/") else None


def _text(arguments: str) -> list[str]:
    found: list[str] = _TEXT.findall(arguments)
    return found


def _paths(arguments: str) -> list[str]:
    """Return the paths of a call, those that count from a folder's descriptor put behind it."""
    return [
        str(Path(_unhex(folder).decode() or "/") / _unhex(text).decode()) for folder, text in _PATH.findall(arguments)
    ]


def read_steps(folder: Path, before: Iterable[str], lines: Iterable[tuple[int, str]]) -> list[Step]:
    """Return what the lines of a trace say about a folder that held the files `before`, numbered in their order."""
    files = {path: number for number, path in enumerate(before, start=1)}
    return _Reader(str(folder), files).read(calls(lines))
