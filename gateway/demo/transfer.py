"""Transfer: two gateways, one document. Less is shipped than was asked for, and less arrives than was shipped.

The sending site names what it did not load. The centre makes of its tally what is announced to the receiving site, by
serial number; that one names what got lost on the road, and the carton that was not announced at all. The two
gateways know nothing of each other, and what both say explains the whole difference.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from gateway.demo.eight_percent_under import gtin
from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from simulators.labels import carton
from simulators.token import Token

TRANSFER: Final = "TR-501"
EAST, WEST = "dc-east", "dc-west"
ASKED: Final = {1: 5, 2: 4, 3: 3}
NOT_LOADED: Final = 12
"""Number of the carton that is not there when the lorry is loaded: the last of line 3."""
LOST: Final = 7
"""Number of the carton that gets lost on the road; it is of line 2."""
STRAY: Final = 99
"""A carton of somebody else's, of the first item."""
LOADING = """
[[station]]
id = "dock-out"
activity = "shipment"
"""
UNLOADING = """
[[station]]
id = "dock-in"
activity = "receipt"
"""


def asked_for() -> dict[str, Any]:
    """Return what the receiving site asked for."""
    lines = [
        {"line": str(line), "item": {"gtin": gtin(line)}, "quantity": many, "price": "8.00"}
        for line, many in ASKED.items()
    ]
    return {
        "id": TRANSFER,
        "type": "transfer",
        "version": "asked",
        "scope": "gateway",
        "supplier": EAST,
        "currency": "EUR",
        "lines": lines,
    }


def shipped(stage: Stage) -> dict[str, Any]:
    """Return what a centre announces to the receiving site: the tally of the sending one, carton by carton."""
    serials: dict[str, list[str]] = defaultdict(list)
    for one in stage.data("shipment", site=EAST):
        serials[one["item"]["gtin"]].append(one["item"]["serial"])
    lines = [
        {
            "line": line["line"],
            "item": line["item"],
            "quantity": line["observed"],
            "serials": serials[line["item"]["gtin"]],
            "price": "8.00",
        }
        for tally in stage.data("tally", site=EAST)
        for line in tally["lines"]
    ]
    return {**asked_for(), "version": "shipped", "lines": lines}


def cartons() -> dict[int, str]:
    """Return the labels of all cartons that were asked for, by number."""
    items = [line for line, many in ASKED.items() for _ in range(many)]
    return {number: carton(gtin(item), Token("s1", number)) for number, item in enumerate(items, start=1)}


async def play(stage: Stage) -> None:
    """Load at one site, drive, unload at the other."""
    loading, unloading = stage.scanners["out-scanner"], stage.scanners["in-scanner"]
    sender, receiver = stage.posts
    loaded = {number: label for number, label in cartons().items() if number != NOT_LOADED}
    await loading.scan(f"]C0{TRANSFER}")
    for label in loaded.values():
        await loading.scan(label)
    await loading.scan("]C0DL:close")
    await sender.delivered(stage.centre)
    stage.tell(f"{len(loaded)} of {sum(ASKED.values())} cartons are on the road; one falls off")
    await receiver.expect(shipped(stage))
    await unloading.scan(f"]C0{TRANSFER}")
    for number, label in loaded.items():
        if number != LOST:
            await unloading.scan(label)
    await receiver.power_cut()
    await unloading.scan(carton(gtin(1), Token("s9", STRAY)))
    await unloading.scan("]C0DL:close")
    stage.tell("the lorry is unloaded")


def judge(stage: Stage) -> list[Claim]:
    """Compare both docks and the centre."""
    east, west = stage.data("exception", site=EAST), stage.data("exception", site=WEST)
    missing = [one for one in west if one["code"] == "receiving_variance"]
    strange = [one for one in west if one["code"] == "serial_mismatch"]
    out, into = _observed(stage, EAST), _observed(stage, WEST)
    return [
        Claim("what the sending site says is missing", [("short_pick", TRANSFER, "asked", [("3", "3", "2")])],
              [_told(one) for one in east]),
        Claim("what the receiving site says is missing",
              [("receiving_variance", TRANSFER, "shipped", [("2", "4", "3")])],
              [_told(one) for one in missing]),
        Claim("the very carton that is missing there", [[str(Token("s1", LOST))]],
              [line.get("missing_serials") for one in missing for line in one["lines"]]),
        Claim("the very carton that nobody announced", [str(Token("s9", STRAY))],
              [one["item"]["serial"] for one in strange]),
        Claim("exceptions at both sites, and no more", (1, 2), (len(east), len(west))),
        Claim("what is missing is worth", ["-8", "-8"], [one["variance"].get("value") for one in [*east, *missing]]),
        Claim("they name the sender", [EAST] * 3, [one.get("supplier") for one in [*east, *west]]),
        Claim("asked for, less what each site says is missing, is what arrived",
              {str(line): many - _short(east, str(line)) - _short(missing, str(line)) for line, many in ASKED.items()},
              into),
        Claim("on the road and never there, by both tallies", {"2": 1},
              {line: many - into.get(line, 0) for line, many in out.items() if many != into.get(line, 0)}),
        Claim("tallies: what was shipped and what was received is complete", [(EAST, "complete"), (WEST, "complete")],
              [(one["site"], one["coverage"]) for site in (EAST, WEST) for one in stage.data("tally", site=site)]),
        Claim("both docks heard that something is wrong: at close, and at the carton nobody announced", (1, 2),
              (stage.tones("out-scanner").count("a"), stage.tones("in-scanner").count("a"))),
    ]  # fmt: skip


def _told(one: dict[str, Any]) -> tuple[str, str, str, list[tuple[str, str, str]]]:
    lines = [(line["line"], line["expected"], line["observed"]) for line in one.get("lines", [])]
    return one["code"], one["document"]["id"], one["expectation"]["version"], lines


def _observed(stage: Stage, site: str) -> dict[str, int]:
    """Return what a site's tally says was there, by line."""
    return {
        line["line"]: int(line["observed"])
        for tally in stage.data("tally", site=site)
        for line in tally["lines"]
        if "line" in line
    }


def _short(cases: list[dict[str, Any]], name: str) -> int:
    return -sum(int(line["difference"]) for one in cases for line in one.get("lines", []) if line["line"] == name)


SCENARIO = Scenario(
    "transfer",
    "Shipped by one gateway, received by another; each names what is missing",
    (
        PostPlan(LOADING, (("out-scanner", "dock-out"),), (asked_for(),), site=EAST, gateway="east-pc"),
        PostPlan(UNLOADING, (("in-scanner", "dock-in"),), site=WEST, gateway="west-pc"),
    ),
    play,
    judge,
)
