"""Row 13: what a check adds to a scan, with 100,000 expected lines on disk.

The same scans go through two whole intakes, one with checks and one without, each with an outbox of its own on this
disk; the difference in processor time is the price of a check: looking up the line, counting, comparing, and one more
row in the commit. Lines are drawn at random, so that nearly every look-up is the first of its line.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from buffer import Limits, Outbox
from drivers.reading import Reading, ScanContext
from gateway.capture.intake import Intake
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.checks.checker import Checker
from gateway.checks.docket import Identity
from gateway.checks.expectation import Expectation, read_expectation
from gateway.checks.policy import Policy
from gateway.checks.shelf import chunked, rows_of
from gateway.events.check_digit import check_digit
from gateway.events.cloudevents import EventIds
from gateway.rings import expect_few_rings

if TYPE_CHECKING:
    from gateway.bench.rows import Row, Size

LINES = 100_000
LINES_QUICK = 10_000
SCANS_A_TAKE = 50
DOCUMENT = "PL-100000"
CEILING_US = 60.0


def gtin(number: int) -> str:
    """Return the `number`th GTIN of a made-up company."""
    digits = f"0952123{number:06d}"
    return f"{digits}{check_digit(digits)}"


def document(lines: int) -> Expectation:
    """Return a pick list of so many lines."""
    return read_expectation(
        {
            "id": DOCUMENT,
            "type": "pick_list",
            "lines": [
                {"line": str(number), "item": {"gtin": gtin(number)}, "quantity": 1000, "lots": [f"L{number % 97}"]}
                for number in range(lines)
            ],
        }
    )


def scans(count: int, seed: int, lines: int = LINES) -> list[Reading]:
    """Return scans of lines drawn at random, as handhelds say them."""
    rng = random.Random(seed)
    context = ScanContext("pick", DOCUMENT, "A-01-03", "1", None, "op7")
    found = []
    for number in range(count):
        line = rng.randrange(lines)
        code = f"01{gtin(line)}10L{line % 97}"
        found.append(Reading("hh-1", "scan", b"", code, "]C1", f"n{seed}-{number}", None, context))
    return found


async def checks(folder: Path, size: Size, say: Callable[[str], None]) -> AsyncIterator[Row]:
    """Row 13: processor time that checks add to a scan."""
    from gateway.bench.rows import Row

    count = max(size.events // 4, 2_000)
    expect_few_rings()  # as the daemon does
    lines = LINES if size.events >= LINES_QUICK * 4 else LINES_QUICK
    say(f"a document of {lines:,} lines")
    expected = document(lines)
    added, plain = [], []
    async with _Bench(folder / "with", expected) as checked, _Bench(folder / "without", None) as bare:
        for number in range(size.rounds):
            say(f"checks, round {number + 1} of {size.rounds}")
            readings = scans(count, number, lines)
            without = await bare.cost_us(readings)
            plain.append(without)
            added.append(await checked.cost_us(readings) - without)
    cost = statistics.median(added)
    detail = (
        f"a scan without checks {statistics.median(plain):.0f} us, {count:,} scans a round, each line drawn at random"
    )
    yield Row("13", f"a check, with {lines:,} expected lines", cost, "us", CEILING_US, is_upper=True, detail=detail)


class _Bench:
    """One intake over one outbox, with the document or without any checks."""

    def __init__(self, folder: Path, expected: Expectation | None) -> None:
        self._folder = folder
        self._expected = expected
        self._writer = ThreadPoolExecutor(1)
        self._reader = ThreadPoolExecutor(1)

    async def __aenter__(self) -> _Bench:
        self._outbox = await Outbox.open(
            self._folder,
            source="//bench/bench-pc",
            limits=Limits(disk_reserve_bytes=0),
            executor=self._writer,
            reader=self._reader,
            wall=_wall_ms,
            monotonic=time.monotonic,
            new_epoch=lambda: "bench",
            on_fatal=_fail,
        )
        site = SiteMap("bench", "bench-pc", [Station("floor", "pick")], [DeviceEntry("hh-*", "floor", "handheld")])
        ids = EventIds(_wall_ms, random.Random(1))
        checker = None
        if self._expected is not None:
            lines, header = rows_of(self._expected, 1, "bench")
            for rows in (*chunked(lines), header):
                await self._outbox.keep(rows)
            checker = Checker(
                self._outbox, Policy(), Identity("bench", "bench-pc"), ids=ids, clock_quality=lambda: "synchronised"
            )
        self._intake = Intake(
            site,
            self._outbox,
            wall=_wall_ms,
            monotonic=time.monotonic,
            ids=ids,
            clock_quality=lambda: "synchronised",
            checks=checker,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outbox.close(30.0)
        self._writer.shutdown()
        self._reader.shutdown()

    async def cost_us(self, readings: list[Reading]) -> float:
        """Return the processor time a scan, all threads together."""
        began = time.process_time()
        for at in range(0, len(readings), SCANS_A_TAKE):
            verdicts = await self._intake.take(readings[at : at + SCANS_A_TAKE])
            if any(verdict.result != "stored" for verdict in verdicts):
                raise RuntimeError(f"a scan of the bench is not as expected: {verdicts[0]}")
        return (time.process_time() - began) / len(readings) * 1e6


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _fail(error: Exception) -> None:
    raise RuntimeError("the outbox of the bench failed") from error
