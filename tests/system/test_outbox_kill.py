"""kill -9 in the middle of commits: what was promised is there, numbers have no gap, the chain verifies.

A killed process leaves what it wrote to the kernel; a flush is not put to the test here. That the flush is asked for is
checked by reading `synchronous` back.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from outbox_rig import Rig, draft, redelivery

from buffer import OutboxReader

SUPPORT = Path(__file__).parents[1] / "support"
CHILD = SUPPORT / "outbox_child.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{SUPPORT.parents[1]}{os.pathsep}{SUPPORT}"}
ROUNDS = 20


def run_and_kill(folder: Path, first: int, held_min: int, bug: str = "") -> tuple[int, int]:
    """Let a child write until it has promised so many lists, then kill it.

    Returns the seq at which it opened and the number of the last draft that it promised.
    """
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(first), bug],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as child:
        guard = threading.Timer(60, child.kill)
        guard.start()
        assert child.stdout is not None
        opened = int(child.stdout.readline().split()[1])
        said = [child.stdout.readline() for _ in range(held_min)]
        child.kill()
        guard.cancel()
        said += child.stdout.read().splitlines()
        child.wait(60)
    promised = [int(line.split()[1]) for line in said if re.fullmatch(r"held \d+\n?", line)]
    assert len(promised) >= held_min
    return opened, max(promised, default=first - 1)


@pytest.mark.fault(4)
async def test_twenty_kills_lose_nothing_and_number_without_gaps(tmp_path: Path) -> None:
    """A power strip with a loose plug, all day: entries, state and answers of everything promised are there."""
    rng = random.Random(20261121)
    folder = tmp_path / "state"
    head = 0
    for _ in range(ROUNDS):
        opened, promised = run_and_kill(folder, head + 1, rng.randrange(1, 60))
        assert opened == head
        # A reader after the crash sees all that was promised, before any daemon has touched the file.
        reader = OutboxReader.open(folder)
        verification, census = reader.verify(), reader.census("centre")
        head = verification.head.seq
        reader.close()
        assert head >= promised
        assert verification.problems == ()
        assert (census.accepted, census.imbalance) == (head, 0)
    rig = Rig(folder, inline=True)
    outbox = await rig.open()
    last = outbox.states("last")[0].value
    assert int(last) == head
    assert outbox.redeliveries([("hh-7", f"hh-7-{head:06d}")]) == {("hh-7", f"hh-7-{head:06d}"): redelivery(head)}
    await outbox.append([draft(head + 1)])
    assert (await outbox.head_of_chain()).seq == head + 1
    await outbox.close(5)


@pytest.mark.parametrize("held_min", [1, 3, 8])
def test_the_check_sees_an_acknowledgement_before_the_commit(tmp_path: Path, held_min: int) -> None:
    """Planted: the child promises a round before it commits. Whenever the kill comes, something promised is missing."""
    folder = tmp_path / "state"
    _, promised = run_and_kill(folder, 1, held_min, bug="early")
    reader = OutboxReader.open(folder)
    head = reader.head_of_chain().seq
    reader.close()
    assert promised > head
