"""Intake on the real outbox: what was answered is in the file, what explains it too."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from event_check import checked
from outbox_rig import SMALL, Rig

from buffer import Outbox
from drivers.contract import StorageUnavailable
from drivers.reading import Reading, TagRead, Verdict
from gateway.capture.intake import Intake
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.outbox_port import OutboxPort
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.events.cloudevents import EventIds

SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [Station("dock-3", "receipt"), Station("floor", "pick"), Station("gate")],
    [
        DeviceEntry("s-1", "dock-3", "serial-scanner"),
        DeviceEntry("hh-*", "floor", "handheld"),
        DeviceEntry("gate-1", "gate", "rfid-reader"),
    ],
    [LabelPattern("document", r"ASN-\d+")],
)
TAG = bytes.fromhex("3074257bf7194e4000001a85")


class Gateway:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.starts = 0

    async def start(self, **limits: Any) -> None:
        self.starts += 1
        self.outbox = await self.rig.open(limits=replace(SMALL, **limits))
        port: OutboxPort = self.outbox
        self.intake = Intake(
            SITE,
            port,
            wall=lambda: self.rig.wall_ms,
            monotonic=lambda: self.rig.monotonic_s,
            ids=EventIds(lambda: self.rig.wall_ms, random.Random(self.starts)),
            clock_quality=lambda: "synchronised",
        )

    async def restart(self) -> None:
        await self.outbox.close(5)
        await self.start()

    def events(self) -> list[dict[str, Any]]:
        rows = self.rig.query("SELECT payload FROM entry ORDER BY seq")
        return [checked(bytes(row[0])) for row in rows]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    running = Gateway(Rig(tmp_path))
    await running.start()
    yield running
    await running.outbox.close(5)


def scan(device: str, code: str, number: str | None = None, **more: Any) -> Reading:
    return Reading(device, "scan", code.encode("utf-8", "replace"), code=code, message_id=number, **more)


async def test_what_is_answered_is_in_the_file(gateway: Gateway) -> None:
    readings = [
        scan("hh-1", "A", "1"),
        scan("hh-1", "A", "1"),
        scan("s-1", "ASN-9"),
        scan("s-1", "B"),
        scan("hh-1", "", "2"),
    ]
    verdicts = await gateway.intake.take(readings)
    assert [event["id"] for event in gateway.events()] == [
        verdicts[0].events[0],
        *verdicts[3].events,
        *verdicts[4].events,
    ]
    assert gateway.events()[1]["data"]["document"] == {"id": "ASN-9"}
    assert gateway.events()[0]["source"] == gateway.outbox.source


async def test_everything_that_explains_events_outlives_the_process(gateway: Gateway) -> None:
    reading = Reading("gate-1", "tag", b"", tag=TagRead(TAG))
    first = await gateway.intake.take([scan("hh-1", "A", "1"), scan("s-1", "ASN-9"), scan("s-1", "B"), reading])
    await gateway.restart()
    again = await gateway.intake.take([scan("hh-1", "A", "1"), scan("s-1", "B", may_repeat=True), reading])
    assert again[0] == Verdict("stored", first[0].events, redelivered=True)
    assert again[2] == Verdict("repeat_read", first[3].events)
    flagged = gateway.events()[-1]["data"]
    assert (flagged["document"], flagged["possible_redelivery"]) == ({"id": "ASN-9"}, True)


async def test_many_takes_at_once_keep_their_order_and_their_numbers(gateway: Gateway) -> None:
    """Forty handhelds, each scan sent twice at once."""
    takes = [
        gateway.intake.take([scan(f"hh-{device}", f"C{number}", str(number)) for device in range(40)])
        for number in range(10)
        for _ in range(2)
    ]
    answers = [verdict for verdicts in await asyncio.gather(*takes) for verdict in verdicts]
    assert sum(verdict.redelivered for verdict in answers) == 400
    events = gateway.events()
    assert {event["id"] for event in events} == {one for verdict in answers for one in verdict.events}
    for device in range(40):
        own = [event["data"]["item"]["code"] for event in events if event["data"]["device"]["id"] == f"hh-{device}"]
        assert own == [f"C{number}" for number in range(10)]


async def test_a_full_outbox_answers_nobody_and_then_goes_on(gateway: Gateway) -> None:
    await gateway.outbox.close(5)
    await gateway.start(queue_entries_max=10)
    await gateway.intake.take([scan("s-1", "ASN-1")])
    flood = [gateway.intake.take([scan("hh-1", f"C{n}-{k}", f"{n}-{k}") for k in range(8)]) for n in range(50)]
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert any(isinstance(one, StorageUnavailable) for one in outcomes)
    stored = {draft for one in outcomes if isinstance(one, list) for verdict in one for draft in verdict.events}
    assert {event["id"] for event in gateway.events()} == stored
    (verdict,) = await gateway.intake.take([scan("s-1", "A")])
    assert verdict.result == "stored"
    assert gateway.events()[-1]["data"]["document"] == {"id": "ASN-1"}


async def test_a_closed_outbox_is_storage_that_is_unavailable(gateway: Gateway) -> None:
    await gateway.outbox.close(5)
    with pytest.raises(StorageUnavailable):
        await gateway.intake.take([scan("hh-1", "A", "1")])
    await gateway.start()


async def test_numbers_and_codes_of_any_text_can_be_stored(gateway: Gateway) -> None:
    texts = ["\ud800", "\x00", "ä" * 200, "'; DROP TABLE entry; --", "🙂"]
    first = await gateway.intake.take([scan("hh-1", text, text) for text in texts])
    again = await gateway.intake.take([scan("hh-1", text, text) for text in texts])
    assert [verdict.redelivered for verdict in first + again] == [False] * 5 + [True] * 5
    assert len(gateway.events()) == 5


async def test_the_outbox_reads_what_intake_wrote(gateway: Gateway) -> None:
    (verdict,) = await gateway.intake.take([scan("hh-1", "A", "1")])
    entry = await gateway.outbox.entry(verdict.events[0])
    assert entry is not None
    assert (entry.station, entry.device, entry.type) == ("floor", "hh-1", "dockline.pick.v1")
    assert json.loads(entry.payload)["id"] == verdict.events[0]


def test_the_outbox_has_what_intake_needs() -> None:
    needed = {name for name in vars(OutboxPort) if not name.startswith("_")}
    assert needed == {"source", "failed_commits", "append", "one_look", "redeliveries", "states"}
    assert needed - {"source"} <= set(dir(Outbox))
