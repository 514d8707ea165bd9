"""RFID portal: ten pallets drive through, each tag answers forty times, and every carton is one receipt.

Some cartons of the advice are not on the pallets, and are named when it is closed; some of the neighbour's are read
through the wall, and are named at once. Nobody has to look at anything else.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any, Final

from gateway.demo.post import PostPlan
from gateway.demo.scenario import Claim, Scenario
from gateway.demo.stage import Stage
from gateway.events.check_digit import check_digit
from simulators.rfid import COMPANY_PREFIX, PassingTag, PortalPlan, TagRecord, records
from simulators.token import Token

ADVICE: Final = "ASN-9001"
SUPPLIER: Final = "9521321000003"
READS: Final = 40
FIELD_S, GAP_S = 2.0, 1.0
PLAN: Final = PortalPlan(
    pallets=10, tags_per_pallet=40, strays=2, field_s=FIELD_S, gap_s=GAP_S, reads_per_s=READS / FIELD_S
)
"""400 cartons in 30 s."""
MISSING: Final = {0: 1, 4: 2}
"""How many cartons are not on a pallet, though they were announced with it."""
_DIGITS: Final = f"0{COMPANY_PREFIX}12345"
GTIN: Final = f"{_DIGITS}{check_digit(_DIGITS)}"
STATIONS = """
[[station]]
id = "portal"
activity = "receipt"

[[device]]
id = "portal-1"
station = "portal"
driver = "rfid-reader"
profile = "zebra-iot-connector"
topic = "zebra/portal-1/tags"
depart_after_s = 60.0
"""


def heard(stage: Stage) -> list[TagRecord]:
    """Return everything the portal will report."""
    return records(PLAN, _dice(stage))


def _dice(stage: Stage) -> random.Random:
    return random.Random(f"{stage.seed} portal-1")


def missing() -> dict[int, list[str]]:
    """Return the serial numbers that were announced and are not there, by pallet."""
    numbers = iter(range(90_001, 100_000))
    return {pallet: [str(Token(PLAN.tag, next(numbers))) for _ in range(many)] for pallet, many in MISSING.items()}


def advice(stage: Stage) -> dict[str, Any]:
    """Return what the supplier announced: a line a pallet, with the serial numbers of its cartons."""
    pallets: dict[int, set[str]] = defaultdict(set)
    for record in heard(stage):
        if not record.tag.is_stray:
            pallets[record.tag.pallet].add(str(record.tag.token))
    for pallet, serials in missing().items():
        pallets[pallet].update(serials)
    lines = [
        {"line": f"pallet-{pallet}", "item": {"gtin": GTIN}, "quantity": len(serials), "serials": sorted(serials)}
        for pallet, serials in sorted(pallets.items())
    ]
    return {"id": ADVICE, "type": "asn", "version": "1", "scope": "gateway", "supplier": SUPPLIER, "lines": lines}


async def play(stage: Stage) -> None:
    """Scan the delivery note, let everything drive through, and close."""
    scanner = stage.scanners["portal-scanner"]
    await stage.post.expect(advice(stage))
    await scanner.scan(f"]C0{ADVICE}")
    stage.tell(f"{PLAN.pallets} pallets with {PLAN.pallets * PLAN.tags_per_pallet} cartons drive through")
    await stage.post.drive_through("portal-1", PLAN, _dice(stage), speed=stage.speed)
    await scanner.scan("]C0DL:close")
    stage.tell("they are through; the advice is closed")


def judge(stage: Stage) -> list[Claim]:
    """Compare the portal, the advice and the centre."""
    tags: dict[str, PassingTag] = {}
    reads: Counter[str] = Counter()
    for record in heard(stage):
        tags[str(record.tag.token)] = record.tag
        reads[str(record.tag.token)] += record.reads
    cartons = {serial for serial, tag in tags.items() if not tag.is_stray}
    strays = sorted(tags.keys() - cartons)
    receipts = Counter(one["item"]["serial"] for one in stage.data("receipt"))
    cases, tallies = stage.data("exception"), stage.data("tally")
    short = [one for one in cases if one["code"] == "receiving_variance"]
    gone = missing()
    return [
        Claim("cartons on the pallets, and reads of each", (PLAN.pallets * PLAN.tags_per_pallet, [READS]),
              (len(cartons), sorted({reads[serial] for serial in cartons}))),
        Claim("cartons without a receipt", [], sorted(cartons - receipts.keys())),
        Claim("cartons with more than one", [], sorted(serial for serial, many in receipts.items() if many > 1)),
        Claim("receipts of anything else than cartons and the neighbour's", [], sorted(receipts.keys() - tags.keys())),
        Claim("what they are", [GTIN], sorted({one["item"]["gtin"] for one in stage.data("receipt")})),
        Claim("the neighbour's cartons, named at once", strays,
              sorted(one["item"]["serial"] for one in cases if one["code"] == "serial_mismatch")),
        Claim("missing cartons, named by pallet, beside what is there",
              {f"pallet-{pallet}": [str(PLAN.tags_per_pallet), *sorted(serials)] for pallet, serials in gone.items()},
              {line["line"]: [line["observed"], *line.get("missing_serials", ())]
               for one in short for line in one["lines"]}),
        Claim("announced, on the pallets",
              (str(len(cartons) + sum(MISSING.values())), str(len(cartons))),
              (short[0]["variance"]["expected"], short[0]["variance"]["observed"]) if short else None),
        Claim("whose it is, and of which supplier", [("procurement", SUPPLIER)],
              [(one["owner"], one.get("supplier")) for one in short]),
        Claim("exceptions, and no more", len(strays) + 1, len(cases)),
        Claim("tally, pallet by pallet",
              [str(PLAN.tags_per_pallet)] * PLAN.pallets,
              [line["observed"] for tally in tallies for line in tally["lines"] if "line" in line]),
        Claim("the scanner said: good, and look", "ga", stage.tones("portal-scanner")),
    ]  # fmt: skip


SCENARIO = Scenario(
    "rfid-portal",
    "400 cartons on ten pallets drive through a portal; three are missing",
    (PostPlan(STATIONS, (("portal-scanner", "portal"),)),),
    play,
    judge,
)
