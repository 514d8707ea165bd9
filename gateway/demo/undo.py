"""Undo: an operator takes scans back, and everybody who was told of them knows.

A wrong carton and one too many are undone by a label; a power cut comes between a scan and its undoing. The centre gets
void events; an EPCIS repository gets each voided event again, under the same id, with an error declaration. Whoever
adds up what they have, in whatever order and however often it came, has what stands on the dock.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from gateway.demo.eight_percent_under import gtin
from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from simulators.labels import carton
from simulators.token import Token

ADVICE = "ASN-3001"
WRONG = 9
"""The item that is not on the advice."""
ARRIVED = {1: 4, 2: 2}
"""What stands on the dock when all is done, as the advice says."""
STATIONS = """
[[station]]
id = "dock-1"
activity = "receipt"
"""


def advice() -> dict[str, Any]:
    """Return what the supplier announced."""
    lines = [{"line": str(item), "item": {"gtin": gtin(item)}, "quantity": many} for item, many in ARRIVED.items()]
    return {"id": ADVICE, "type": "asn", "version": "1", "scope": "gateway", "lines": lines}


async def play(stage: Stage) -> None:
    """Receive, scan wrong things, take them back, and try to take back more than there is."""
    first, second = stage.scanners["dock-1-left"], stage.scanners["dock-1-right"]
    number = 0

    async def receive(item: int, many: int = 1) -> None:
        nonlocal number
        for _ in range(many):
            number += 1
            await first.scan(carton(gtin(item), Token("s1", number)))

    await second.scan("]C0DL:undo")
    await first.scan(f"]C0{ADVICE}")
    await second.scan(carton(gtin(2), Token("s2", 1)))
    await receive(1, 3)
    await receive(WRONG)
    stage.tell("a carton that nobody announced is scanned")
    await stage.power_cut()
    await first.scan("]C0DL:undo")
    stage.tell("it is taken back")
    await receive(1, 2)
    stage.tell("one more than announced is scanned")
    await first.scan("]C0DL:undo")
    await receive(2)
    await first.scan("]C0DL:close")
    await first.scan("]C0DL:undo")
    stage.tell("the advice is closed; what was closed cannot be undone")


def judge(stage: Stage) -> list[Claim]:
    """Compare the dock, the centre and the repository."""
    voids, receipts = stage.data("void"), {body["id"]: body for body in stage.events("receipt")}
    voided = [receipts[one["voids"]]["data"]["item"] for one in voids if one["voids"] in receipts]
    cases = stage.data("exception")
    lines = [
        (line["line"], line["observed"], line["result"]) for tally in stage.data("tally") for line in tally["lines"]
    ]
    return [
        Claim("what is void: the wrong carton, and the one too many",
              [(gtin(WRONG), str(Token("s1", 4))), (gtin(1), str(Token("s1", 6)))],
              [(item["gtin"], item["serial"]) for item in voided]),
        Claim("exceptions they had begun, which are over",
              [("unexpected_item", "open"), ("unexpected_item", "resolved"),
               ("receiving_variance", "open"), ("receiving_variance", "resolved")],
              [(one["code"], one["state"]) for one in cases]),
        Claim("tally of the advice", [(str(item), str(many), "matched") for item, many in ARRIVED.items()], lines),
        Claim("what the left scanner sounded: the wrong carton, the one too many, nothing left to undo",
              "ggggaggaggga", stage.tones("dock-1-left")),
        Claim("what the right scanner sounded: nothing to undo, and its own carton stays", "ag",
              stage.tones("dock-1-right")),
        *_consumers(stage),
    ]  # fmt: skip


def _consumers(stage: Stage) -> list[Claim]:
    """What a consumer has that adds up what it was sent, in any order, also thrice."""
    goods = {gtin(item): many for item, many in ARRIVED.items()}
    events = [json.loads(event.body) for event in stage.centre.ledger.events]
    captured = [json.loads(event.body)["data"]["epcis"] for event in stage.repository.ledger.events]
    declared = [one for one in captured if "errorDeclaration" in one]
    originals = {one["eventID"]: one for one in captured if "errorDeclaration" not in one}
    voids = sorted(f"urn:uuid:{one['voids']}" for one in stage.data("void"))
    dice = random.Random(stage.seed)
    return [
        Claim("error declarations, each with the id of the event it is about", voids,
              sorted(one["eventID"] for one in declared)),
        Claim("the events they are about were captured before", True, all(one in originals for one in voids)),
        Claim("what they declare", ["did_not_occur"] * len(voids),
              [one["errorDeclaration"]["reason"] for one in declared]),
        Claim("besides the declaration they say what the event said", [],
              [one["eventID"] for one in declared if not _is_told_again(originals.get(one["eventID"], {}), one)]),
        Claim("goods by the events, as they came", goods, by_events(events)),
        Claim("goods by the events, thrice and in any order", goods, by_events(_shuffled(events * 3, dice))),
        Claim("goods by the repository, as they came", goods, by_epcis(captured)),
        Claim("goods by the repository, thrice and in any order", goods, by_epcis(_shuffled(captured * 3, dice))),
    ]  # fmt: skip


def by_events(events: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return what a consumer of CloudEvents has on stock: it knows events by their id, and takes back what is void."""
    receipts: dict[str, str] = {}
    void: set[str] = set()
    for one in events:
        if one["type"] == "dockline.receipt.v1":
            receipts[one["id"]] = one["data"]["item"]["gtin"]
        elif one["type"] == "dockline.void.v1":
            void.add(one["data"]["voids"])
    return dict(Counter(item for event_id, item in receipts.items() if event_id not in void))


def by_epcis(events: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return what a consumer of EPCIS has on stock: it knows events by their id and by whether they are declared
    wrong, as the standard asks (EPCIS 2.0, section 7.4.1.4)."""
    receipts: dict[str, str] = {}
    wrong: set[str] = set()
    for one in events:
        if one.get("bizStep") != "receiving" or one["type"] != "ObjectEvent" or not one.get("epcList"):
            continue
        if "errorDeclaration" in one:
            wrong.add(one["eventID"])
        elif one["dockline:event"]["dockline:type"] == "dockline.receipt.v1":
            receipts[one["eventID"]] = _gtin_of(one["epcList"][0])
    return dict(Counter(item for event_id, item in receipts.items() if event_id not in wrong))


def _gtin_of(link: str) -> str:
    """Return the GTIN of a GS1 Digital Link URI."""
    return link.partition("/01/")[2].partition("/")[0]


def _is_told_again(original: dict[str, Any], declared: dict[str, Any]) -> bool:
    said = {name: value for name, value in declared.items() if name != "errorDeclaration"}
    return bool(original) and all(original.get(name) == value for name, value in said.items())


def _shuffled(events: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    dice.shuffle(events)
    return events


SCENARIO = Scenario(
    "undo",
    "Scans are taken back; the centre and an EPCIS repository know it",
    (
        PostPlan(
            STATIONS,
            (("dock-1-left", "dock-1"), ("dock-1-right", "dock-1")),
            (advice(),),
            has_repository=True,
        ),
    ),
    play,
    judge,
)
