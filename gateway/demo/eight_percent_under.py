"""Eight per cent under: 250 cartons on six lines are announced, 230 arrive, and the line to the centre is down.

Receiving goes on through the outage and through a power cut. At close there is one exception for procurement, with the
advice and the scans as evidence; another dock is not held up. When the line returns the centre learns all of it, once,
in order.
"""

from __future__ import annotations

from typing import Any

from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from gateway.events.check_digit import check_digit
from simulators.labels import carton
from simulators.token import Token

ADVICE = "ASN-1001"
OTHER = "ASN-1002"
ANNOUNCED = (50, 50, 50, 40, 40, 20)
ARRIVED = (50, 44, 50, 36, 40, 10)
PRICE = 12.5
STATIONS = """
[[station]]
id = "dock-1"
activity = "receipt"

[[station]]
id = "dock-2"
activity = "receipt"
"""


def gtin(line: int) -> str:
    """Return the trade item of a line; the company prefix is one that GS1 keeps for examples."""
    digits = f"0952123{line:06d}"
    return f"{digits}{check_digit(digits)}"


def advice() -> dict[str, Any]:
    """Return what the supplier announced."""
    lines = [
        {"line": str(number), "item": {"gtin": gtin(number)}, "quantity": cartons, "price": PRICE}
        for number, cartons in enumerate(ANNOUNCED, start=1)
    ]
    return {
        "id": ADVICE,
        "type": "asn",
        "version": "1",
        "scope": "gateway",
        "supplier": "9521230000008",
        "currency": "EUR",
        "lines": lines,
    }


async def play(stage: Stage) -> None:
    """Receive what arrives, close, and let the line return."""
    first, second = stage.scanners["dock-1-scanner"], stage.scanners["dock-2-scanner"]
    await first.scan(f"]C0{ADVICE}")
    stage.uplink.cut()
    stage.tell("the uplink is cut")
    number = 0
    for line, cartons in enumerate(ARRIVED, start=1):
        for _ in range(cartons):
            number += 1
            await first.scan(carton(gtin(line), Token("s1", number)))
            if number == 120:
                await stage.power_cut()
    stage.tell(f"{number} cartons are received; the document is closed")
    await first.scan("]C0DL:close")
    await second.scan(f"]C0{OTHER}")
    for number in range(1, 11):
        await second.scan(carton(gtin(9), Token("s2", number)))
    stage.tell("the other dock goes on")
    await stage.uplink.mend()
    stage.tell("the uplink returns")


def judge(stage: Stage) -> list[Claim]:
    """Compare the dock, the announcement and the centre."""
    exceptions, tallies = stage.events("exception"), stage.data("tally")
    receipts = [body for body in stage.events("receipt") if body["data"].get("document", {}).get("id") == ADVICE]
    found = exceptions[0]["data"] if exceptions else {}
    variance = found.get("variance", {})
    under = [
        (str(number), str(arrived), str(arrived - announced))
        for number, (announced, arrived) in enumerate(zip(ANNOUNCED, ARRIVED, strict=True), start=1)
        if arrived != announced
    ]
    missing = sum(ANNOUNCED) - sum(ARRIVED)
    sequences = [str(body["sequence"]) for body in receipts]
    tally = tallies[0] if tallies else {"lines": []}
    return [
        Claim("exceptions at the centre", 1, len(exceptions)),
        Claim("what it is, whose, and whether the invoice waits", ("receiving_variance", "open", "procurement", True),
              (found.get("code"), found.get("state"), found.get("owner"), found.get("invoice_relevant"))),
        Claim("announced, arrived, per cent", (str(sum(ANNOUNCED)), str(sum(ARRIVED)), "-8"),
              (variance.get("expected"), variance.get("observed"), variance.get("percent"))),
        Claim("what is missing is worth", (f"-{missing * PRICE:g}", "EUR"),
              (variance.get("value"), variance.get("currency"))),
        Claim("lines that differ", under,
              [(one["line"], one["observed"], one["difference"]) for one in found.get("lines", [])]),
        Claim("advice it refers to", (ADVICE, "1"),
              (found.get("document", {}).get("id"), found.get("expectation", {}).get("version"))),
        Claim("scans it has as evidence", sorted(body["id"] for body in receipts), sorted(found.get("events", []))),
        Claim("it comes after every scan it is about", True,
              bool(exceptions) and str(exceptions[0]["sequence"]) > max(sequences, default="")),
        Claim("tally of the advice, line by line", [str(cartons) for cartons in ARRIVED],
              [one["observed"] for one in tally["lines"]]),
        Claim("dock 1 heard that something is wrong, once, at close", 1, stage.tones("dock-1-scanner").count("a")),
        Claim("dock 2 was not held up (all good tones)", "g" * 11, stage.tones("dock-2-scanner")),
    ]  # fmt: skip


SCENARIO = Scenario(
    "eight-percent-under",
    "An advice of 250 cartons, 230 arrive, the uplink is down",
    (PostPlan(STATIONS, (("dock-1-scanner", "dock-1"), ("dock-2-scanner", "dock-2")), (advice(),)),),
    play,
    judge,
)
