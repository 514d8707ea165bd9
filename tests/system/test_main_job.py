"""The main job with real parts: four ways in, one centre, the published schema as the judge of every event."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from site_under_test import SiteUnderTest, check_event, output_of
from troubled_site import until

from simulators.broker import Broker
from simulators.centre import Centre
from simulators.journal import Journal
from simulators.load import LoadPlan, load
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.token import Token

_DOCK = """
[[station]]
id = "dock-3"
activity = "receipt"

[[device]]
id = "dock-3-scanner"
station = "dock-3"
driver = "serial-scanner"
url = "{url}"
terminator = "\\r"
start = "aim"
acknowledge = "ack-nak"
"""
BACKLOG = 100_000
MEMORY_MB_MAX = 150


def message(number: int, tag: str) -> str:
    token = Token(tag, 1)
    return json.dumps({"id": f"{tag}-{number}", "code": f"]C1010952123454321321{token}", "activity": "pick"})


async def test_four_ways_in_arrive_as_valid_cloudevents(tmp_path: Path) -> None:
    """mosquitto_pub to the site's broker, mosquitto_pub to the gateway, a scanner on a pty, and curl."""
    port = PtyPort(tmp_path / "dev" / "dock-3")
    scanner = Scanner(port, Journal("dock-3-scanner"), ScannerHabits(), rng=random.Random(1))
    async with Centre() as centre, Broker(tmp_path / "broker") as broker:
        await scanner.start()
        site = SiteUnderTest(tmp_path, centre.url, broker.port, _DOCK.format(url=port.url))
        await site.gateway.start()
        try:
            async with asyncio.timeout(60):
                # A broker forgets what nobody has subscribed to, and `mosquitto_pub` does not say it again.
                await until(lambda: "Sending SUBACK" in broker.log, "the gateway subscribes at the broker")
                await _say_it_four_ways(site, scanner, broker.port)
                await centre.until(lambda one: len(scans_at(one)) >= 4)
        finally:
            await site.gateway.stop()
            await scanner.close()
    bodies = scans_at(centre)
    for body in bodies:
        check_event(body)
    assert sorted(body["type"] for body in bodies) == ["dockline.pick.v1"] * 3 + ["dockline.receipt.v1"]
    assert {body["data"]["device"]["id"] for body in bodies} == {"hh-1", "hh-2", "hh-3", "dock-3-scanner"}
    assert {body["data"]["item"]["gtin"] for body in bodies} == {"09521234543213"}
    assert len({body["sequence"] for body in bodies}) == 4
    assert not centre.ledger.conflicts
    assert not centre.ledger.missing


def scans_at(centre: Centre) -> list[dict[str, Any]]:
    """What the centre has, without what the gateway says of its devices."""
    bodies = [json.loads(event.body) for event in centre.ledger.events]
    return [body for body in bodies if body["type"] != "dockline.device.v1"]


async def _say_it_four_ways(site: SiteUnderTest, scanner: Scanner, broker_port: int) -> None:
    publish = ("mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1")
    code, said = await output_of(
        *publish, "-p", str(broker_port), "-i", "hh-1", "-t", "dockline/v1/dc07/hh-1/scan", "-m", message(1, "h1")
    )
    assert code == 0, said
    code, said = await output_of(
        *publish, "-p", str(site.listener), "-i", "hh-2", "-t", "dockline/v1/dc07/hh-2/scan", "-m", message(1, "h2")
    )
    assert code == 0, said
    assert await scanner.scan(f"]C1010952123454321321{Token('s3', 1)}") == "acked"
    body = json.loads(message(1, "h3")) | {"device": "hh-3"}
    code, said = await output_of(
        "curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/json", "--data", json.dumps(body),
        f"http://127.0.0.1:{site.api}/v1/scans",
    )  # fmt: skip
    assert code == 0, said
    answer = json.loads(said)
    assert answer["result"] == "stored"
    assert len(answer["events"]) == 1


async def test_a_backlog_gathered_off_line_drains_in_order_within_its_memory(tmp_path: Path) -> None:
    """The uplink was down all weekend: 100,000 events wait, and all leave in order when it returns."""
    async with Centre(fast=True) as centre:
        await centre.stop()
        site = SiteUnderTest(tmp_path, centre.url)
        await site.gateway.start()
        try:
            result = await load(LoadPlan(port=site.listener, site="dc07", count=BACKLOG))
            assert (result.acknowledged, result.refused) == (BACKLOG, 0)
            await centre.start()
            async with asyncio.timeout(300):
                await centre.holds(BACKLOG)
            assert site.gateway.memory_mb(peak=True) < MEMORY_MB_MAX
        finally:
            await site.gateway.stop()
    # What the gateway says of its own links comes on top; how much of it depends on how long all this took.
    assert centre.tally.gaps == 0
    assert BACKLOG <= centre.tally.through < BACKLOG + 10
