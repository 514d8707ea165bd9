"""Returns: a customer sends back what was allowed, and one thing that was not; some of it is damaged.

What shall become of each item is said at the station, or stands in the RMA; something damaged that nobody decided about
is to be looked at. The tally says it line by line, also where a line has two fates.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.demo.eight_percent_under import gtin
from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from simulators.labels import carton
from simulators.token import Token

RMA = "RMA-77"
CUSTOMER = "9521230000015"
STATIONS = """
[[station]]
id = "returns"
activity = "return"
"""
SENT_BACK: tuple[tuple[int, tuple[str, ...]], ...] = (
    (1, ("restock",)),
    (1, ("restock",)),
    (1, ("damaged",)),
    (2, ()),
    (3, ("damaged", "disposal")),
    (4, ("vendor-return",)),
    (9, ()),
)
"""Each carton that comes back: its item, and what the person at the station says of it first."""
FATES = {
    "1": {"restock": "2", "refurbish": "1"},
    "2": {"restock": "1"},
    "3": {"disposal": "1"},
    "4": {"vendor_return": "1"},
}
"""What shall become of the lines; that of line 2 stands in the RMA."""


def rma() -> dict[str, Any]:
    """Return what the customer may send back."""
    lines: list[dict[str, Any]] = [
        {"line": "1", "item": {"gtin": gtin(1)}, "quantity": 3},
        {"line": "2", "item": {"gtin": gtin(2)}, "quantity": 1, "return_disposition": "restock"},
        {"line": "3", "item": {"gtin": gtin(3)}, "quantity": 1, "return_disposition": "restock"},
        {"line": "4", "item": {"gtin": gtin(4)}, "quantity": 2},
    ]
    return {"id": RMA, "type": "rma", "version": "1", "scope": "gateway", "supplier": CUSTOMER, "lines": lines}


async def play(stage: Stage) -> None:
    """Take in what comes back, say what shall become of it, and close."""
    scanner = stage.scanners["returns-scanner"]
    await scanner.scan(f"]C0{RMA}")
    for number, (item, words) in enumerate(SENT_BACK, start=1):
        for word in words:
            await scanner.scan(f"]C0DL:{word}")
        if number == len(SENT_BACK) - 1:
            await stage.power_cut()
        await scanner.scan(carton(gtin(item), Token("s1", number)))
    stage.tell(f"{len(SENT_BACK)} cartons are back; {RMA} is closed")
    await scanner.scan("]C0DL:close")


def judge(stage: Stage) -> list[Claim]:
    """Compare the station, the RMA and the centre."""
    returns, cases, tallies = stage.data("return"), stage.data("exception"), stage.data("tally")
    lines = [line for tally in tallies for line in tally["lines"]]
    damaged = Counter(item for item, words in SENT_BACK if "damaged" in words)
    return [
        Claim("cartons, whether damaged, and what was said of them",
              [(gtin(item), _state(words), _said(words)) for item, words in SENT_BACK],
              [(one["item"]["gtin"], one["disposition"], one.get("return_disposition")) for one in returns]),
        Claim("what is done, for what", [("receiving", RMA)] * len(SENT_BACK),
              [(one["biz_step"], one["document"]["id"]) for one in returns]),
        Claim("damaged: whose, and what shall become of it",
              [("quality", gtin(1), "refurbish"), ("quality", gtin(3), "disposal")],
              [(one["owner"], one["item"]["gtin"], one["return_disposition"])
               for one in cases if one["code"] == "damaged"]),
        Claim("not on the RMA", [gtin(9)], [one["item"]["gtin"] for one in cases if one["code"] == "unexpected_item"]),
        Claim("what did not come back", [("4", "2", "1")],
              [(line["line"], line["expected"], line["observed"])
               for one in cases if one["code"] == "receiving_variance" for line in one["lines"]]),
        Claim("exceptions, and no more", 4, len(cases)),
        Claim("they name the customer", [CUSTOMER] * 4, [one.get("supplier") for one in cases]),
        Claim("what shall become of each line", FATES,
              {line["line"]: _fates(line) for line in lines if "line" in line}),
        Claim("damaged by line", {gtin(item): str(many) for item, many in damaged.items()},
              {line["item"]["gtin"]: line["damaged"] for line in lines if "damaged" in line}),
        Claim("what is on no line", [(gtin(9), "unexpected")],
              [(line["item"]["gtin"], line["result"]) for line in lines if "line" not in line]),
        Claim("tones of the cartons that are not as they should be: damaged twice, not on the RMA, the close", 4,
              stage.tones("returns-scanner").count("a")),
    ]  # fmt: skip


def _state(words: tuple[str, ...]) -> str:
    return "damaged" if "damaged" in words else "returned"


def _said(words: tuple[str, ...]) -> str | None:
    return next((word.replace("-", "_") for word in words if word != "damaged"), None)


def _fates(line: dict[str, Any]) -> dict[str, str]:
    """Return what the tally says shall become of a line, with quantities."""
    if "return_disposition" in line:
        return {line["return_disposition"]: line["observed"]}
    return {one["return_disposition"]: one["quantity"] for one in line.get("return_dispositions", [])}


SCENARIO = Scenario(
    "returns",
    "An RMA comes in: restock, damaged, disposal, one thing nobody allowed",
    (PostPlan(STATIONS, (("returns-scanner", "returns"),), (rma(),)),),
    play,
    judge,
)
