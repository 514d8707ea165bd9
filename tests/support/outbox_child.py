"""A process that fills an outbox until it is killed, and says what it was promised.

Usage: outbox_child.py FOLDER FIRST [BUG], with the repository and this folder on PYTHONPATH. Prints `ready SEQ`, then
`held N` after each append whose future resolved (N is the number of its last draft); settles as it goes. BUG `early`
says `held` a whole round before it commits: whenever the kill comes, something promised is missing, and the check must
see that.
"""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from outbox_rig import drafts, redelivery

from buffer import Limits, Outbox, StateRow


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(folder: Path, number: int, bug: str) -> None:
    outbox = await Outbox.open(
        folder,
        source="//dc07/dock-pc-1",
        limits=Limits(disk_reserve_bytes=0, retention_ms=0),
        executor=ThreadPoolExecutor(1),
        reader=ThreadPoolExecutor(1),
        wall=lambda: time.time_ns() // 1_000_000,
        monotonic=time.monotonic,
        new_epoch=lambda: "e1",
        on_fatal=lambda error: sys.exit(f"fatal: {error}"),
    )
    await outbox.register("centre", required=True, start="retained")
    say(f"ready {(await outbox.head_of_chain()).seq}")

    async def scan(first: int, count: int) -> None:
        last = first + count - 1
        future = outbox.append(
            drafts(first, count, size=300),
            state=[StateRow("last", b"%d" % last)],
            redeliveries=[redelivery(last)],
        )
        await future
        if not bug:
            say(f"held {last}")

    promised: list[tuple[int, int]] = []
    while True:
        scans = []
        for size in (1, 7, 30, 2):
            scans.append((number, size))
            number += size
        if bug == "early":
            for first, count in scans:
                say(f"held {first + count - 1}")
            scans, promised = promised, scans
        await asyncio.gather(*(scan(first, count) for first, count in scans))
        head = await outbox.head("centre", after=await outbox.cursor("centre"), count_max=25, bytes_max=10**6)
        if head:
            await outbox.settle(
                "centre", through=head[-1].seq, rejected=[(head[0].seq, "no")] if number % 7 == 0 else []
            )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""))
