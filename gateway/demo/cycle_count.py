"""Cycle count: a place holds less than the books say; a second person counts again, blind, before it is final."""

from __future__ import annotations

from typing import Any

from gateway.demo.eight_percent_under import gtin
from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from simulators.labels import carton
from simulators.token import Token

SHEET = "CS-7"
BOOKS = {1: 12, 2: 8, 3: 5}
FIRST = {1: 12, 2: 5, 3: 5}
"""What the first person counts; the second line is beyond tolerance."""
SECOND = 6
"""What the second person counts on that line."""
STATIONS = """
[[station]]
id = "aisle-a"
activity = "count"

[[checks.rules]]
id = "one-is-no-matter"
version = 3
author = "inventory@demo"
code = "count_variance"
tolerance_absolute = 1
"""


def sheet() -> dict[str, Any]:
    """Return what the books say."""
    lines = [
        {"line": str(number), "item": {"gtin": gtin(number)}, "quantity": many, "locations": [f"A-01-{number:02d}"]}
        for number, many in BOOKS.items()
    ]
    return {"id": SHEET, "type": "count_sheet", "version": "1", "scope": "gateway", "lines": lines}


async def play(stage: Stage) -> None:
    """Count, close, try to recount oneself, and have somebody else do it."""
    scanner = stage.scanners["aisle-a-scanner"]
    number = 0

    async def count(operator: str, line: int, many: int) -> None:
        nonlocal number
        for label in (SHEET, operator, f"A-01-{line:02d}"):
            await scanner.scan(f"]C0{label}")
        for _ in range(many):
            number += 1
            await scanner.scan(carton(gtin(line), Token("c1", number)))

    for line, many in FIRST.items():
        await count("OP-1", line, many)
    await scanner.scan("]C0DL:close")
    stage.tell("OP-1 has counted and closed; one line is to be counted again")
    await count("OP-1", 2, 1)
    await scanner.scan("]C0DL:close")
    stage.tell("OP-1 may not do that")
    await stage.power_cut()
    await count("OP-2", 2, SECOND)
    await scanner.scan("]C0DL:close")
    stage.tell("OP-2 has counted again and closed")


def judge(stage: Stage) -> list[Claim]:
    """Compare the aisle, the books and the centre."""
    tallies, exceptions = stage.data("tally"), stage.data("exception")
    last = exceptions[-1] if exceptions else {}
    first_tones = stage.tones("aisle-a-scanner")
    refused = 2  # the scan and the close of the person who may not recount
    return [
        Claim("closings, and whether they were final", [False, True], [tally["final"] for tally in tallies]),
        Claim("first count", ["matched", "recount", "matched"],
              [line["result"] for tally in tallies[:1] for line in tally["lines"]]),
        Claim("final count", [("12", "matched"), (str(SECOND), "short"), ("5", "matched")],
              [(line["observed"], line["result"]) for tally in tallies[1:] for line in tally["lines"]]),
        Claim("exceptions, and whether they were final", [("open", False), ("open", True)],
              [(one["state"], one["final"]) for one in exceptions]),
        Claim("they are one exception", 1, len({one["exception"] for one in exceptions})),
        Claim("rule that raised it", {"id": "one-is-no-matter", "version": 3, "author": "inventory@demo"},
              last.get("rule")),
        Claim("what is missing after the recount", [("2", "8", str(SECOND))],
              [(line["line"], line["expected"], line["observed"]) for line in last.get("lines", [])]),
        Claim("who decided", "OP-2", last.get("operator")),
        Claim("tones that said: look", 2 + refused, first_tones.count("a")),
    ]  # fmt: skip


SCENARIO = Scenario(
    "cycle-count",
    "A count beyond tolerance, and a blind recount by a second person",
    (PostPlan(STATIONS, (("aisle-a-scanner", "aisle-a"),), (sheet(),)),),
    play,
    judge,
)
