"""Picking: two people, one list. Something is short, something is wrong, and one carton is picked by both at once.

A wrong item is put back and undone, so nobody has to deal with it. A wrong lot and an expired one are for quality. The
same carton on two handhelds within a second counts once, whoever was first; after a power cut it is still known, on
another list too.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from gateway.demo.eight_percent_under import gtin
from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from simulators.token import Token

LIST, OTHER = "PL-2001", "PL-2002"
LOT, WRONG_LOT = "LOT-A", "LOT-B"
FRESH, EXPIRED = "491231", "200131"
SAME = "SN-4711"
"""Serial number of the carton that both pick; no token, since it is scanned more than once on purpose."""
TOGETHER_S = 1.0
STATIONS = """
[[station]]
id = "floor"
activity = "pick"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""


def pick_list() -> dict[str, Any]:
    """Return what the order needs."""
    lines = [
        {"line": "1", "item": {"gtin": gtin(1)}, "quantity": 3, "lots": [LOT], "locations": ["A-01-01"]},
        {"line": "2", "item": {"gtin": gtin(2)}, "quantity": 2},
        {"line": "3", "item": {"gtin": gtin(3)}, "quantity": 4},
        {"line": "4", "item": {"gtin": gtin(4)}, "quantity": 1},
    ]
    return {"id": LIST, "type": "pick_list", "version": "1", "scope": "gateway", "lines": lines}


def other_list() -> dict[str, Any]:
    """Return what another order needs: the same kind of carton."""
    lines = [{"line": "1", "item": {"gtin": gtin(4)}, "quantity": 1}]
    return {"id": OTHER, "type": "pick_list", "version": "1", "scope": "gateway", "lines": lines}


def label(line: int, serial: str, *, lot: str = "", expiry: str = "") -> str:
    """Return a GS1-128 label: item, expiry (AI 17), lot (AI 10), serial number (AI 21)."""
    dated = f"17{expiry}" if expiry else ""
    of_lot = f"10{lot}\x1d" if lot else ""
    return f"]C101{gtin(line)}{dated}{of_lot}21{serial}"


async def play(stage: Stage) -> None:
    """Pick, put one thing back, pick one thing twice, and close with something missing."""
    first, second = await stage.post.handheld("hh-1"), await stage.post.handheld("hh-2")
    numbers = iter(range(1, 100))

    def token() -> str:
        return str(Token("h1", next(numbers)))

    for _ in range(2):
        first.scan(label(1, token(), lot=LOT, expiry=FRESH), document=LIST, location="A-01-01")
    first.scan(label(1, token(), lot=WRONG_LOT, expiry=FRESH), document=LIST, location="A-01-01")
    first.scan(label(9, token()), document=LIST)
    first.scan("DL:undo", document=LIST)
    first.scan(label(2, token(), expiry=EXPIRED), document=LIST)
    first.scan(label(2, token(), expiry=FRESH), document=LIST)
    for _ in range(3):
        first.scan(label(3, token()), document=LIST)
    await first.all_answered()
    stage.tell("a wrong lot, a wrong item that is put back, an expired lot; one carton is not to be found")
    first.scan(label(4, SAME), document=LIST)
    second.scan(label(4, SAME), document=LIST)
    await asyncio.gather(first.all_answered(), second.all_answered())
    stage.tell("one carton is picked on two handhelds at once")
    await stage.power_cut()
    second.scan(label(4, SAME), document=OTHER)
    await second.all_answered()
    first.scan("DL:close", document=LIST)
    await first.all_answered()
    stage.tell(f"{LIST} is closed")


def judge(stage: Stage) -> list[Claim]:
    """Compare the handhelds, the list and the centre."""
    return [*_heard(stage), *_twice(stage), *_closed(stage)]


def _heard(stage: Stage) -> list[Claim]:
    """What was said to the first handheld, scan by scan, and what became of it."""
    found = [one for one in stage.data("exception") if one["code"] in ("wrong_item", "lot_mismatch", "expired")]
    heard = [
        (str(line["result"]), list(line["exceptions"])) for line in _answers(stage, "hh-1") if SAME not in line["code"]
    ]
    good: tuple[str, list[str]] = ("stored", [])
    return [
        Claim(
            "what the first picker heard, scan by scan",
            [good, good, ("stored_with_exception", ["lot_mismatch"]), ("stored_with_exception", ["wrong_item"]), good,
             ("stored_with_exception", ["expired"]), good, good, good, good,
             ("stored_with_exception", ["short_pick"])],
            heard,
        ),
        Claim(
            "whose it is now",
            [("lot_mismatch", "open", "quality"), ("wrong_item", "open", "supervisor"),
             ("wrong_item", "resolved", "supervisor"), ("expired", "open", "quality")],
            [(one["code"], one["state"], one["owner"]) for one in found],
        ),
        Claim("the item that was put back is void", [one["data"]["item"]["gtin"] for one in _voided(stage)], [gtin(9)]),
        Claim(
            "lot and date that are wrong",
            [(WRONG_LOT, "mismatch_class"), (None, "expired")],
            [(one["item"].get("lot"), one["disposition"]) for one in found if one["code"] != "wrong_item"],
        ),
    ]  # fmt: skip


def _twice(stage: Stage) -> list[Claim]:
    """The carton that was picked by both, and tried once more on another list."""
    picks = [body for body in stage.events("pick") if body["data"]["item"].get("serial") == SAME]
    times = [datetime.fromisoformat(body["data"]["captured_at"]) for body in picks]
    devices = [body["data"]["device"]["id"] for body in picks]
    results = {
        device: [line["result"] for line in _answers(stage, device) if SAME in line["code"]]
        for device in ("hh-1", "hh-2")
    }
    cases = [one for one in stage.data("exception") if one["code"] == "duplicate_pick"]
    ids = [body["id"] for body in picks]
    together = len(times) == 3 and abs((times[1] - times[0]).total_seconds()) < TOGETHER_S
    return [
        Claim("the same carton on two handhelds, within a second, and once more", (True, ["hh-1", "hh-2"], "hh-2"),
              (together, sorted(devices[:2]), devices[-1] if devices else None)),
        Claim("what it is", [gtin(4)] * 3, [body["data"]["item"]["gtin"] for body in picks]),
        Claim("who was first heard stored, the other one duplicate", ["stored", "duplicate"],
              [results[device][0] for device in devices[:2]]),
        Claim("after the power cut, on another list, it is a duplicate too", "duplicate", results["hh-2"][-1]),
        Claim("exceptions about it, with what they show", [(LIST, ids[:2]), (OTHER, [*ids[:1], *ids[2:]])],
              [(one["document"]["id"], one["events"]) for one in cases]),
    ]  # fmt: skip


def _closed(stage: Stage) -> list[Claim]:
    """What the list came to."""
    short = [one for one in stage.data("exception") if one["code"] == "short_pick"]
    tallies = stage.data("tally")
    lines = [(line.get("line"), line["observed"], line["result"]) for tally in tallies for line in tally["lines"]]
    return [
        Claim("exceptions that something is short, and whose", [("open", "supervisor")],
              [(one["state"], one["owner"]) for one in short]),
        Claim("what is short", [("3", "4", "3")],
              [(line["line"], line["expected"], line["observed"]) for one in short for line in one["lines"]]),
        Claim("tally of the list: the carton that was picked twice counts once",
              [("1", "3", "matched"), ("2", "2", "matched"), ("3", "3", "short"), ("4", "1", "matched")], lines),
    ]  # fmt: skip


def _answers(stage: Stage, device: str) -> list[dict[str, Any]]:
    return [dict(line) for line in stage.post.handhelds[device].journal.lines if line["what"] == "heard"]


def _voided(stage: Stage) -> list[dict[str, Any]]:
    undone = {one["voids"] for one in stage.data("void")}
    return [body for body in stage.events("pick") if body["id"] in undone]


SCENARIO = Scenario(
    "picking",
    "Short, wrong item, wrong lot, expired, and one carton on two handhelds at once",
    (PostPlan(STATIONS, expected=(pick_list(), other_list())),),
    play,
    judge,
)
