"""Builds the states that power cuts could have left of a recording, and has each judged.

A state is an image of the folder and what had been said by then; two moments with the same of both are one state, and
are counted once. Which states are looked at is drawn from a seed: first every moment in every mode, then further draws
of the modes that leave something to chance.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import multiprocessing
import pickle
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from crash_disk import BY_CHANCE, MODES, Disk, Image, Mode, restart_computer, write_image
from crash_history import History
from crash_judge import judge
from crash_site import Take

from buffer.lock import boot_id

MEMORY = Path("/dev/shm")
"""Where states are written when there is such a place: a flush costs nothing there."""
PART = 50
"""Power cuts that one process looks at before it tells."""
AHEAD = 4
"""Parts handed to each process at once."""
DRAWS_MAX = 100


class Cut(NamedTuple):
    """A power cut: behind which step, and what is left to chance."""

    step: int
    """How many steps had begun."""
    mode: Mode
    draw: int

    def __str__(self) -> str:
        return f"step {self.step} {self.mode}/{self.draw}"


class Bad(NamedTuple):
    """A state that breaks a promise."""

    take: str
    cut: Cut
    broken: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.take}, {self.cut}: {'; '.join(self.broken[:3])}"


@dataclass(slots=True)
class Figures:
    """What came of a number of states."""

    keys: set[bytes] = field(default_factory=set)
    """One for each state that was judged."""
    modes: Counter[str] = field(default_factory=Counter)
    bad: list[Bad] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Take another's figures in; a state that both have seen counts once."""
        self.keys |= other.keys
        self.modes += other.modes
        self.bad += other.bad

    @property
    def states(self) -> int:
        """How many different states were judged."""
        return len(self.keys)


def plan(takes: Sequence[Take], count: int, seed: int) -> Iterator[tuple[int, list[Cut]]]:
    """Yield power cuts without end, in parts of one recording each and in the order of their moments.

    First every moment of every recording in every mode, in a drawn order, then new draws of what is left to chance.
    """
    rng = random.Random(seed)
    every = [
        (number, moment, mode)
        for number, take in enumerate(takes)
        for moment in range(len(take.recording.steps) + 1)
        for mode in MODES
    ]
    for draw in range(DRAWS_MAX):
        rng.shuffle(every)
        for start in range(0, len(every), count):
            parts: dict[int, list[Cut]] = {}
            for number, moment, mode in every[start : start + count]:
                parts.setdefault(number, []).append(Cut(moment, mode, draw))
            for number, cuts in parts.items():
                cuts.sort()
                for first in range(0, len(cuts), PART):
                    yield number, cuts[first : first + PART]
        every = [one for one in every if one[2] in BY_CHANCE]


def states(take: Take, cuts: Sequence[Cut], seed: int, seen: set[bytes]) -> Iterator[tuple[Cut, bytes, Image, History]]:
    """Yield what each power cut leaves, with its key and what had been said by then; not what was `seen` before."""
    disk, done = Disk.of(take.recording), 0
    boot = boot_id()
    for cut in cuts:
        for step in take.recording.steps[done : cut.step]:
            disk.take(step)
        done = max(done, cut.step)
        rng = random.Random(f"{take.name} {seed} {cut}")
        image = disk.after_power_cut(cut.mode, rng)
        told = take.history.until(take.recording.steps[cut.step - 1].at if cut.step else -1)
        key = _key(take.name, image, told)
        if key not in seen:
            seen.add(key)
            yield cut, key, restart_computer(image, boot, rng, take.recording.index), told


def _key(name: str, image: Image, told: History) -> bytes:
    sizes = (name, len(told.scanned), len(told.heard), len(told.sent), len(told.answered))
    digest = hashlib.blake2b(repr(sizes).encode(), digest_size=16)
    for path, content in sorted(image.items()):
        digest.update(path.encode() + b"\0" + content)
    return digest.digest()


async def examine(
    take: Take, cuts: Sequence[Cut], seed: int, *, keep: Path | None = None, seen: set[bytes] | None = None
) -> Figures:
    """Judge what power cuts leave of a recording, but not what was `seen`. Images of bad states are kept in `keep`."""
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as temporary:
        folder = Path(temporary) / "state"
        for cut, key, image, told in states(take, cuts, seed, set() if seen is None else seen):
            write_image(image, folder)
            broken = await _judged(take, told, folder)
            shutil.rmtree(folder)
            figures.keys.add(key)
            figures.modes[cut.mode] += 1
            if broken:
                figures.bad.append(Bad(take.name, cut, tuple(broken)))
                if keep is not None:
                    write_image(image, keep / f"{take.name}-{cut.step}-{cut.mode}-{cut.draw}")
    return figures


async def _judged(take: Take, told: History, folder: Path) -> list[str]:
    try:
        return await judge(take, told, folder)
    except Exception as error:  # whatever keeps the judge from going on is a verdict, too
        return [f"the start failed: {type(error).__name__}: {error}"]


# -- many, on several processors

_takes: list[Take] = []
_seen: set[bytes] = set()
"""What this process has judged: of a recording that writes little, most draws leave a state that was there before."""


def _load(path: Path) -> None:
    _takes[:] = pickle.loads(path.read_bytes())


def _examine(work: tuple[int, list[Cut], int, Path | None]) -> Figures:
    number, cuts, seed, keep = work
    return asyncio.run(examine(_takes[number], cuts, seed, keep=keep, seen=_seen))


def examine_many(
    takes: Sequence[Take], count: int, seed: int, jobs: int, *, keep: Path | None = None
) -> Iterator[Figures]:
    """Yield the growing figures until `count` different states were judged, or all there are."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "takes"
        path.write_bytes(pickle.dumps(list(takes)))
        with multiprocessing.get_context("spawn").Pool(jobs, _load, (path,)) as pool:
            work = ((number, cuts, seed, keep) for number, cuts in plan(takes, count, seed))
            while figures.states < count and (part := list(itertools.islice(work, AHEAD * jobs))):
                for one in pool.imap_unordered(_examine, part):
                    figures.add(one)
                    yield figures
                    if figures.states >= count:
                        return
