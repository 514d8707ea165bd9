"""Damages copies of an outbox in thousands of ways, opens each with the real open, and judges what came of it.

Usage: python tests/support/damage_storm.py --count 10000 --seed 1, from the repository.

The judge does not use the code that it judges. It knows the outbox before the damage and finds each entry's digest in
the bytes of the files: an entry is undamaged when a page with it is still as it was, and then it must still be there.
Nothing may be handed out that is not what was committed; the start must never be refused; the second open must find
nothing; the books must balance and the journal be whole but for what is announced.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from outbox_rig import SMALL, Rig, draft, drafts, redelivery, state

from buffer import Entry
from buffer.digest import is_whole

PAGE = 4096
ENTRIES = 180
FILES = ("outbox.db", "outbox.db-wal")
GAPS = {"missing", "skipped", "damaged"}


class Original(NamedTuple):
    """An outbox as a kill left it."""

    folder: Path
    entries: dict[int, Entry]
    places: dict[int, list[tuple[str, int]]]
    """Where each entry stands: file and the offset of its page."""
    content: dict[str, bytes]
    cursor: int


async def make_original(folder: Path) -> Original:
    """Fill an outbox: most of it in the file, some in the log, quarantine, state, answers; then kill it."""
    rig = Rig(folder / "life", inline=True)
    outbox = await rig.open()
    await outbox.register("centre", required=True, start="now")
    for first in range(1, 121, 20):
        last = draft(first + 19, payload=b"{" + b"y" * (9000 if first == 41 else 90) + b"}")
        batch = [*drafts(first, 19, size=300), last]
        await outbox.append(batch, state=state(**{f"s{first}": b"v"}), redeliveries=[redelivery(first)])
    await outbox.settle("centre", through=40, rejected=[(7, "no"), (9, "no")])
    await outbox.quarantine_discard("centre", [9], actor="op", note="old")
    await outbox._group.submit(lambda writer: writer.checkpoint("TRUNCATE"), writes=False)
    for first in range(121, ENTRIES + 1, 20):
        await outbox.append(drafts(first, 20, size=300), redeliveries=[redelivery(first)])
    await outbox.settle("centre", through=60)
    entries = {entry.seq: entry for entry in await outbox.head("centre", after=0, count_max=999, bytes_max=10**9)}
    entries = {seq: entry._replace(gap_reason=None) for seq, entry in entries.items()}
    shutil.copytree(rig.folder, folder / "original")
    await outbox.close(5)
    content = {name: (folder / "original" / name).read_bytes() for name in FILES}
    places = {seq: list(_places(entry, content)) for seq, entry in entries.items()}
    assert len(entries) == ENTRIES and all(places.values())
    return Original(folder / "original", entries, places, content, 60)


def _places(entry: Entry, content: dict[str, bytes]) -> Iterator[tuple[str, int]]:
    if len(entry.payload) > 4000:
        # It takes several pages; the judge knows them all only where they are next to each other.
        yield "outbox.db", -1
        return
    for name, octets in content.items():
        head, step = (32 + 24, PAGE + 24) if name.endswith("-wal") else (0, PAGE)
        for match in re.finditer(re.escape(entry.digest + entry.chain), octets):
            if match.start() >= head:
                yield name, head + (match.start() - head) // step * step


Damage = Callable[[random.Random, dict[str, bytearray]], str]


def flip(rng: random.Random, files: dict[str, bytearray]) -> str:
    """One to four bits of one file."""
    name = rng.choice(FILES)
    for _ in range(rng.choice((1, 1, 1, 4))):
        at = rng.randrange(len(files[name]))
        files[name][at] ^= 1 << rng.randrange(8)
    return "flip"


def flip_head(rng: random.Random, files: dict[str, bytearray]) -> str:
    """A bit where it hurts: the head of the file, the schema, the head of the log."""
    name = rng.choice(FILES)
    at = rng.randrange(4096 if name == "outbox.db" else 64)
    files[name][at] ^= 1 << rng.randrange(8)
    return "flip head"


def lose_page(rng: random.Random, files: dict[str, bytearray]) -> str:
    """A page, or a sector of it, reads as zeros or as noise."""
    name = rng.choice(FILES)
    size = rng.choice((512, PAGE, PAGE))
    at = rng.randrange(max(1, len(files[name]) // size)) * size
    files[name][at : at + size] = bytes(size) if rng.random() < 0.7 else rng.randbytes(size)
    return "lose page"


def truncate(rng: random.Random, files: dict[str, bytearray]) -> str:
    """A file ends early, at a page or anywhere; sometimes at once."""
    name = rng.choice(FILES)
    at = rng.randrange(len(files[name]))
    if rng.random() < 0.5:
        at = at // PAGE * PAGE
    del files[name][at:]
    return "truncate"


def several(rng: random.Random, files: dict[str, bytearray]) -> str:
    """Two to five pages at once."""
    for _ in range(rng.randrange(2, 6)):
        lose_page(rng, files)
    return "several"


DAMAGES: tuple[Damage, ...] = (flip, flip, flip, flip_head, lose_page, truncate, several)


class Verdict(NamedTuple):
    """What became of one damaged copy."""

    kind: str
    salvaged: bool
    lost: int


@contextmanager
def _seen(seed: int, kind: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {seed}, {kind}")
        raise


async def judge(original: Original, folder: Path, seed: int) -> Verdict:
    """Damage one copy, open it, and compare. Raises AssertionError for a broken promise."""
    rng = random.Random(seed)
    files = {name: bytearray(octets) for name, octets in original.content.items()}
    kind = rng.choice(DAMAGES)(rng, files)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original.folder, folder)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    with _seen(seed, kind):
        return await _judge(original, folder, files, kind)


async def _judge(original: Original, folder: Path, files: dict[str, bytearray], kind: str) -> Verdict:
    rig = Rig(folder, inline=True)
    rig.epochs = 1
    outbox = await rig.open(limits=SMALL)
    await outbox.register("centre", required=True, start="now")
    found = await outbox.head("centre", after=0, count_max=999, bytes_max=10**9)
    whole = {entry.seq: entry for entry in found if entry.gap_reason is None}
    held = {entry.seq for entry in found if entry.gap_reason and entry.gap_reason not in GAPS}
    for seq in sorted(held):
        # Held for this upstream and therefore not handed out; shown to people, who see whether it is damaged.
        if (entry := await outbox.entry(seq)) is not None and is_whole(entry):
            whole[seq] = entry._replace(gap_reason=None)
    for seq, entry in whole.items():
        expected = original.entries.get(seq)
        assert expected is not None, f"entry {seq} was never committed"
        assert entry._replace(chain=b"") == expected._replace(chain=b""), f"entry {seq} is not what was committed"
    intact = {seq for seq, places in original.places.items() if any(_is_intact(p, original, files) for p in places)}
    assert intact <= set(whole), f"undamaged entries are gone: {sorted(intact - set(whole))}"
    incidents = await outbox.incidents()
    salvaged = bool(incidents)
    head = (await outbox.head_of_chain()).seq
    told = [range(entry.gap_first or entry.seq, entry.seq + 1) for entry in found if entry.gap_reason]
    covered = set(whole) | {seq for run in told for seq in run}
    assert covered == set(range(1, head + 1)), "a sequence is neither there nor announced"
    assert salvaged or head == ENTRIES, "commits are gone and nobody says so"
    if salvaged:
        assert outbox.source.endswith("/e2")
        assert (await outbox.census("centre", fresh=True)).imbalance == 0
        assert (await outbox.verify()).problems == ()
        assert await outbox.cursor("centre") <= max(original.cursor, min(whole, default=head + 1) - 1)
    await outbox.append([draft(900)])
    await outbox.close(5)
    kept = sorted(path.name for path in folder.iterdir())
    again = await rig.open(limits=SMALL)
    assert len(await again.incidents()) == len(incidents), "the second open was not clean"
    assert (await again.head_of_chain()).seq == head + 1
    await again.close(5)
    assert sorted(path.name for path in folder.iterdir()) == kept
    return Verdict(kind, salvaged, ENTRIES - len(whole))


def _is_intact(place: tuple[str, int], original: Original, files: dict[str, bytearray]) -> bool:
    name, at = place
    if at < 0:
        return False
    return files[name][at : at + PAGE] == original.content[name][at : at + PAGE] and len(files[name]) >= at + PAGE


async def storm(folder: Path, seeds: range) -> Counter[str]:
    """Judge every seed; return how often each kind of damage was, was salvaged, and how many entries it cost."""
    original = await make_original(folder)
    counts: Counter[str] = Counter()
    for seed in seeds:
        verdict = await judge(original, folder / "damaged", seed)
        counts["damages"] += 1
        counts[verdict.kind] += 1
        counts["salvaged"] += verdict.salvaged
        counts["entries lost with their page"] += verdict.lost
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        counts = asyncio.run(storm(Path(folder), range(asked.seed, asked.seed + asked.count)))
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")


if __name__ == "__main__":
    main()
