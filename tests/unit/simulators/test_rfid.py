"""The portal is a fair witness: what it says passed did pass, in the shape a reader would tell it."""

import json
import random
from pathlib import Path

import pytest

from drivers.reader_message import parse_tags
from drivers.tag_mapping import TagMapping
from gateway.capture.event_cycle import EventCycle, EventCycleSpec
from gateway.capture.tag import decode_tag
from simulators.journal import Journal
from simulators.rfid import (
    Message,
    PassJournal,
    PortalClock,
    PortalPlan,
    Shape,
    heartbeat,
    messages,
    passed_tags,
    records,
    run_portal,
)
from simulators.rfid_endpoint import Unreached
from simulators.token import find_tokens

WALL = 1_795_000_000_000
ZEBRA = TagMapping(
    epc_hex="data.idHex",
    tid_hex="data.TID",
    antenna="data.antenna",
    rssi="data.peakRssi",
    seen_count="data.reads",
    time="timestamp",
)


def seeded() -> random.Random:
    return random.Random(20261121)


async def no_wait(_seconds: float) -> None:
    """Time passes at once."""


CLOCK = PortalClock(wall=lambda: WALL, sleep=no_wait)


def told(plan: PortalPlan) -> list[Message]:
    return list(messages(records(plan, seeded()), plan.shape, WALL))


def test_the_same_seed_tells_the_same_story() -> None:
    assert [message.body for message in told(PortalPlan())] == [message.body for message in told(PortalPlan())]
    other = list(messages(records(PortalPlan(), random.Random(1)), "array", WALL))
    assert [message.body for message in other] != [message.body for message in told(PortalPlan())]


def test_every_tag_of_every_pallet_passes_and_is_read_again_and_again() -> None:
    plan = PortalPlan(pallets=3, tags_per_pallet=20, strays=2)
    reads: dict[int, int] = {}
    for record in records(plan, seeded()):
        reads[record.tag.token.number] = reads.get(record.tag.token.number, 0) + record.reads
    strays = {record.tag.token.number for record in records(plan, seeded()) if record.tag.is_stray}
    assert sorted(reads) == list(range(1, 63))
    assert len(strays) == 2
    assert all(reads[number] == (1 if number in strays else 20) for number in reads)


def test_tags_are_numbered_in_the_order_they_are_first_reported() -> None:
    first: list[int] = []
    for record in records(PortalPlan(), seeded()):
        if record.tag.token.number not in first:
            first.append(record.tag.token.number)
    assert first == sorted(first)


@pytest.mark.parametrize("shape", ["single", "array"])
def test_the_gateway_understands_what_the_portal_says(shape: Shape) -> None:
    for message in told(PortalPlan(shape=shape)):
        parsed = parse_tags("portal", ZEBRA, message.body)
        assert parsed.problem is None
        for reading, record in zip(parsed.readings, message.records, strict=True):
            assert reading.tag is not None
            assert (reading.tag.epc, reading.tag.tid) == (record.tag.epc, record.tag.tid)
            assert (reading.tag.antenna, reading.tag.rssi_dbm) == (record.antenna, record.peak_rssi_dbm)
            assert reading.tag.seen_count == record.reads
            assert reading.at is not None


def test_single_and_array_tell_the_same_tags() -> None:
    single = [json.loads(message.body) for message in told(PortalPlan(shape="single"))]
    array = [event for message in told(PortalPlan(shape="array")) for event in json.loads(message.body)]
    assert single == array
    assert [event["data"]["eventNum"] for event in array] == list(range(1, len(array) + 1))


def test_a_token_can_be_read_off_the_identity_of_every_tag() -> None:
    for record in records(PortalPlan(tag="r1"), seeded()):
        assert find_tokens(decode_tag(record.tag.epc).epc).whole == (record.tag.token,)


def test_event_cycles_turn_a_portal_full_of_reads_into_one_observation_a_tag() -> None:
    plan = PortalPlan(pallets=4, tags_per_pallet=50)
    cycle, first, reads = EventCycle("dock-3", EventCycleSpec(depart_after_s=5.0)), [], 0
    for message in told(plan):
        for reading in parse_tags("portal", ZEBRA, message.body).readings:
            assert reading.tag is not None
            reads += 1
            if cycle.admits(reading.tag.epc, "receipt|PO-1|", message.at_s).is_first:
                cycle.cover(reading.tag.epc, "e")
                first.append(reading.tag.epc)
    assert len(first) == len(set(first)) == 202
    assert reads > 10 * len(first)


def test_a_heartbeat_is_a_management_event() -> None:
    assert json.loads(heartbeat(5, WALL)) == {
        "component": "RG",
        "data": {"radio_control": {"radioActivity": "active", "status": "running"}},
        "eventNum": 5,
        "timestamp": "2026-11-18T11:06:40.000+0000",
        "type": "heartbeat",
    }


async def test_the_portal_says_a_message_again_until_it_is_answered(tmp_path: Path) -> None:
    plan, heard, rng = PortalPlan(pallets=1, strays=0), [], seeded()

    async def send(body: bytes) -> bool:
        heard.append(body)
        if rng.random() < 0.4:
            raise Unreached("no answer")
        return True

    journal = Journal("portal", tmp_path / "portal.ndjson")
    sent = await run_portal(plan, send, PassJournal(journal), CLOCK, seeded())
    journal.close()
    said = [message.body for message in told(plan)]
    assert sent == len(heard) > len(said)
    assert list(dict.fromkeys(heard)) == said
    lines = [json.loads(line) for line in (tmp_path / "portal.ndjson").read_text().splitlines()]
    scans = passed_tags(lines)
    assert [scan.token.number for scan in scans] == list(range(1, 21))
    assert all(scan.acknowledged and not scan.refused and not scan.numbered for scan in scans)


async def test_a_refusal_is_remembered_as_one() -> None:
    plan = PortalPlan(pallets=1, tags_per_pallet=3, strays=0, shape="single")

    async def refuse(_body: bytes) -> bool:
        return False

    journal = Journal("portal")
    await run_portal(plan, refuse, PassJournal(journal), CLOCK, seeded())
    scans = passed_tags(journal.lines)
    assert [(scan.acknowledged, scan.refused) for scan in scans] == [(False, True)] * 3


async def test_a_tag_is_in_the_journal_before_it_is_sent() -> None:
    """The gateway may deliver it before the portal hears of it; a tag nobody wrote down would count as invented."""
    journal, seen = Journal("portal"), []

    async def send(body: bytes) -> bool:
        passed = {line["epc"] for line in journal.lines if line["what"] == "passed"}
        seen.append({event["data"]["idHex"] for event in json.loads(body)} <= passed)
        return True

    await run_portal(PortalPlan(pallets=1), send, PassJournal(journal), CLOCK, seeded())
    assert seen
    assert all(seen)
