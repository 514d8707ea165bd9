"""The one step in which a scan becomes a fact."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from event_check import checked
from outbox_fake import OutboxFake

from buffer.entry import StateRow
from buffer.errors import CommitUnknown, OutboxFull
from drivers.contract import StorageUnavailable
from drivers.reading import Measurement, Reading, ScanContext, TagRead, Verdict
from gateway.capture.event_cycle import EventCycleSpec
from gateway.capture.intake import Intake
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.events.cloudevents import EventIds

SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [Station("dock-3", "receipt", session_idle_s=100.0), Station("floor", "pick"), Station("gate")],
    [
        DeviceEntry("s-1", "dock-3", "serial-scanner"),
        DeviceEntry("s-2", "dock-3", "serial-scanner"),
        DeviceEntry("old", "dock-3", "serial-scanner", enabled=False),
        DeviceEntry("hh-*", "floor", "handheld"),
        DeviceEntry("gate-1", "gate", "rfid-reader"),
        DeviceEntry("plc", "dock-3", "modbus-poller"),
    ],
    [LabelPattern("document", r"(ASN|PL)-\d+"), LabelPattern("quantity", r"QTY(\d+)")],
    "DL:",
)
TAG = bytes.fromhex("3074257bf7194e4000001a85")
OTHER_TAG = bytes.fromhex("3074257bf7194e4000001a86")


class World:
    """An intake with an outbox in memory, clocks that are set by hand, and a power switch."""

    def __init__(self, site: SiteMap = SITE) -> None:
        self.outbox = OutboxFake()
        self.site = site
        self.ms = 1_795_248_000_000
        self.seconds = 0.0
        self.starts = 0
        self.restart()

    def restart(self) -> None:
        """What was not committed is gone, and so is memory."""
        self.starts += 1
        self.outbox.queue.clear()
        self.outbox.hold = False
        self.intake = Intake(
            self.site,
            self.outbox,
            wall=lambda: self.ms,
            monotonic=lambda: self.seconds,
            ids=EventIds(lambda: self.ms, random.Random(self.starts)),
            clock_quality=lambda: "synchronised",
        )

    def passes(self, seconds: float) -> None:
        self.seconds += seconds
        self.ms += int(seconds * 1000)

    async def take(self, *readings: Reading) -> list[Verdict]:
        return await self.intake.take(readings)

    def begin(self, *readings: Reading) -> asyncio.Task[list[Verdict]]:
        return asyncio.create_task(self.intake.take(readings))

    def events(self) -> list[dict[str, Any]]:
        return [checked(draft.payload) for draft in self.outbox.entries]


@pytest.fixture
async def world() -> World:
    return World()


async def turn() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def scan(device: str, code: str = "X", number: str | None = None, **more: Any) -> Reading:
    return Reading(device, "scan", code.encode(), code=code, message_id=number, **more)


def tag(epc: bytes = TAG, device: str = "gate-1", **more: Any) -> Reading:
    return Reading(device, "tag", epc, tag=TagRead(epc, antenna=1), **more)


def unreadable(prefix: str = "") -> list[StateRow]:
    raise CommitUnknown(f"{prefix} cannot be read")


async def test_a_verdict_comes_after_the_commit_and_not_before(world: World) -> None:
    """Heard means held: power fails between the append and its commit."""
    world.outbox.hold = True
    task = world.begin(scan("hh-1", number="1"))
    await turn()
    assert not task.done()
    assert world.outbox.entries == []
    world.outbox.commit()
    (verdict,) = await task
    assert verdict == Verdict("stored", (world.outbox.entries[0].id,))


async def test_a_list_is_one_commit_with_one_verdict_each_in_order(world: World) -> None:
    verdicts = await world.take(
        scan("hh-1", "A", "1"), scan("ghost"), scan("s-1", "9521234543210"), scan("hh-1", "B", "2")
    )
    assert [verdict.result for verdict in verdicts] == ["stored", "refused", "stored_with_exception", "stored"]
    assert world.outbox.commits == 1
    assert [event["id"] for event in world.events()] == [one for verdict in verdicts for one in verdict.events]
    assert world.outbox.lookups == 1, "numbers are looked up together"


async def test_nothing_to_store_commits_nothing(world: World) -> None:
    assert await world.take() == []
    assert (await world.take(scan("ghost")))[0].result == "refused"
    assert world.outbox.commits == 0


async def test_unknown_and_disabled_devices_are_refused_counted_and_listed(world: World) -> None:
    verdicts = await world.take(scan("ghost", number="1"), scan("old"))
    assert [verdict.result for verdict in verdicts] == ["refused", "refused"]
    assert all(verdict.reason and not verdict.is_positive for verdict in verdicts)
    assert world.intake.counts().refused == {"unknown_device": 1, "device_disabled": 1}
    (knock,) = world.intake.knocks()
    assert (knock.device, knock.readings) == ("ghost", 1)
    assert world.outbox.entries == []


async def test_a_reload_admits_the_device_that_knocked(world: World) -> None:
    await world.take(scan("ghost"))
    world.intake.adopt(replace(SITE, devices=[*SITE.devices, DeviceEntry("ghost", "floor", "tcp-scanner")]))
    assert (await world.take(scan("ghost")))[0].result == "stored"
    assert world.intake.knocks() == []


async def test_context_labels_are_on_disk_before_their_beep_and_are_no_event(world: World) -> None:
    assert await world.take(scan("s-1", "ASN-9")) == [Verdict("stored")]
    assert world.outbox.entries == []
    world.restart()
    await world.take(scan("s-2", "X"))
    assert world.events()[0]["data"]["document"] == {"id": "ASN-9"}


async def test_a_session_within_one_list(world: World) -> None:
    await world.take(scan("s-1", "ASN-9"), scan("s-1", "QTY12"), scan("s-1", "A"), scan("s-1", "B"))
    assert [event["data"]["quantity"]["value"] for event in world.events()] == ["12", "1"]
    assert {event["data"]["document"]["id"] for event in world.events()} == {"ASN-9"}


async def test_a_session_is_forgotten_when_nobody_scans(world: World) -> None:
    await world.take(scan("s-1", "ASN-9"))
    world.passes(99)
    await world.take(scan("s-1", "A"))
    world.passes(99)
    await world.take(scan("s-1", "B"))
    world.passes(101)
    await world.take(scan("s-1", "C"))
    assert ["document" in event["data"] for event in world.events()] == [True, True, False]


async def test_a_session_in_use_survives_a_restart_long_after_its_document_was_scanned(world: World) -> None:
    await world.take(scan("s-1", "ASN-9"))
    for _ in range(10):
        world.passes(60)
        await world.take(scan("s-1", "A"))
    world.restart()
    await world.take(scan("s-1", "B"))
    assert world.events()[-1]["data"]["document"] == {"id": "ASN-9"}


async def test_handhelds_do_not_share_a_session(world: World) -> None:
    await world.take(
        scan("hh-1", "PL-1", "1"), scan("hh-2", "PL-2", "1"), scan("hh-1", "A", "2"), scan("hh-2", "A", "2")
    )
    assert [event["data"]["document"]["id"] for event in world.events()] == ["PL-1", "PL-2"]


async def test_state_of_a_driver_commits_with_its_event(world: World) -> None:
    measurement = Measurement("good_parts", "12")
    count = Reading("plc", "count", b"", measurement=measurement, state_key="counter/plc/good_parts", state=b"112")
    baseline = Reading("plc", "baseline", b"", state_key="counter/plc/good_parts", state=b"100")
    assert await world.take(baseline) == [Verdict("stored")]
    assert world.outbox.rows["counter/plc/good_parts"] == b"100"
    assert world.outbox.entries == []
    world.outbox.hold = True
    task = world.begin(count)
    await turn()
    assert world.outbox.rows["counter/plc/good_parts"] == b"100"
    world.outbox.commit()
    await task
    assert world.outbox.rows["counter/plc/good_parts"] == b"112"
    assert world.events()[0]["data"]["quantity"]["value"] == "12"


async def test_a_device_event_is_on_disk_when_its_id_returns(world: World) -> None:
    world.outbox.hold = True
    task = asyncio.create_task(world.intake.device_event("s-1", "down", "unplugged"))
    await turn()
    assert not task.done()
    world.outbox.commit()
    assert await task == world.events()[0]["id"]
    assert world.events()[0]["subject"] == "dock-3"


async def test_a_link_that_is_no_device_reports_at_the_gateway(world: World) -> None:
    await world.intake.device_event("mqtt-listener", "up")
    assert world.events()[0]["subject"] == "dock-pc-1"


@pytest.mark.parametrize("error", [OutboxFull("disk full", hint="make room"), CommitUnknown("EIO")])
async def test_a_failed_commit_answers_nobody_and_leaves_no_trace(world: World, error: Exception) -> None:
    """The disk fills while a document label and two scans are on their way."""
    await world.take(scan("s-1", "ASN-1"))
    world.outbox.hold = True
    tasks = [world.begin(scan("s-1", "ASN-2")), world.begin(scan("s-1", "A")), world.begin(scan("hh-1", "B", "1"))]
    await turn()
    world.outbox.fail(error)  # type: ignore[arg-type]
    for task in tasks:
        with pytest.raises(StorageUnavailable):
            await task
    world.outbox.hold = False
    verdicts = await world.take(scan("s-1", "C"), scan("hh-1", "B", "1"))
    assert not any(verdict.redelivered for verdict in verdicts)
    assert world.events()[0]["data"]["document"] == {"id": "ASN-1"}, "the document that failed was never set"


async def test_state_is_reloaded_even_before_the_failure_is_delivered(world: World) -> None:
    """A scan is taken in the very turn of the event loop in which the commit before it fails."""
    world.outbox.hold = True
    task = world.begin(scan("s-1", "ASN-2"), scan("hh-1", "B", "1"))
    await turn()
    world.outbox.fail(OutboxFull("disk full"))
    world.outbox.hold = False
    following = await world.take(scan("s-1", "A"), scan("hh-1", "B", "1"))
    assert "document" not in world.events()[0]["data"]
    assert [verdict.redelivered for verdict in following] == [False, False]
    with pytest.raises(StorageUnavailable):
        await task


async def test_a_full_outbox_refuses_at_once_and_recovers(world: World) -> None:
    world.outbox.refuse = OutboxFull("the reserve is reached", hint="free 2 GB")
    with pytest.raises(StorageUnavailable) as caught:
        await world.take(scan("s-1", "ASN-1"), tag(), scan("hh-1", "A", "1"))
    assert caught.value.hint == "free 2 GB"
    assert world.intake.counts().refused == {"storage": 3}
    world.outbox.refuse = None
    verdicts = await world.take(scan("s-1", "A"), tag(), scan("hh-1", "A", "1"))
    assert [verdict.result for verdict in verdicts] == ["stored"] * 3
    assert not any(verdict.redelivered for verdict in verdicts)
    assert "document" not in world.events()[0]["data"]
    with pytest.raises(StorageUnavailable):
        world.outbox.refuse = OutboxFull("again")
        await world.intake.device_event("s-1", "up")


async def test_a_cancelled_driver_takes_the_answer_from_nobody(world: World) -> None:
    world.outbox.hold = True
    first, second = world.begin(scan("hh-1", "A", "1")), world.begin(scan("hh-1", "A", "1"))
    await turn()
    first.cancel()
    await turn()
    world.outbox.commit()
    assert (await second)[0].redelivered
    assert first.cancelled()
    assert len(world.outbox.entries) == 1
    await turn()
    assert world.intake.counts().accepted == 1
    assert (await world.take(scan("hh-1", "A", "1")))[0].redelivered


async def test_counts_are_of_what_is_on_disk(world: World) -> None:
    world.outbox.hold = True
    task = world.begin(scan("hh-1", "A", "1"), Reading("s-1", "unreadable", b"\x00"), scan("hh-1", "A", "1"))
    await turn()
    assert world.intake.counts().accepted == 0
    world.outbox.commit()
    await task
    counts = world.intake.counts()
    assert (counts.accepted, counts.redelivered, counts.unrecognised) == (2, 1, {"s-1": 1})


async def test_memory_of_flights_is_empty_when_everything_landed(world: World) -> None:
    for number in range(50):
        await world.take(scan("hh-1", "A", str(number)))
    await turn()
    assert world.intake._in_flight == {}
    assert world.intake._steps == {}


async def test_repeat_reads_are_one_observation(world: World) -> None:
    first, again, other = await world.take(tag(), tag(), tag(OTHER_TAG))
    assert (first.result, again.result, other.result) == ("stored", "repeat_read", "stored")
    assert again.events == first.events
    world.passes(5)
    (later,) = await world.take(tag())
    assert later == Verdict("repeat_read", first.events)
    world.passes(11)
    assert (await world.take(tag()))[0].result == "stored"
    assert len(world.outbox.entries) == 3


async def test_a_repeat_read_is_answered_when_the_entry_that_covers_it_is_on_disk(world: World) -> None:
    world.outbox.hold = True
    first, again = world.begin(tag()), world.begin(tag())
    await turn()
    assert not first.done()
    assert not again.done()
    world.outbox.commit()
    assert [verdict.result for verdict in await first + await again] == ["stored", "repeat_read"]


async def test_a_tag_whose_entry_was_lost_is_seen_for_the_first_time_again(world: World) -> None:
    world.outbox.hold = True
    tasks = [world.begin(tag()), world.begin(tag()), world.begin(tag(OTHER_TAG))]
    await turn()
    world.outbox.fail(OutboxFull("disk full"))
    for task in tasks:
        with pytest.raises(StorageUnavailable):
            await task
    world.outbox.hold = False
    assert [verdict.result for verdict in await world.take(tag(), tag(OTHER_TAG))] == ["stored", "stored"]


async def test_a_bug_over_one_reading_does_not_follow_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag that trips a bug after it was admitted fails alone: its reader's next read is a first sight like any."""

    def trip(_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as planted:
        planted.setattr("gateway.capture.normalise.decode_tag", trip)
        with pytest.raises(ZeroDivisionError):
            await world.take(tag())
    assert [verdict.result for verdict in await world.take(tag(), tag(OTHER_TAG))] == ["stored", "stored"]
    assert len(world.events()) == 2


async def test_state_that_could_not_be_read_back_is_read_before_the_next_take(world: World) -> None:
    """The disk refuses a document label and then, for a moment, the reading of what is true: the label never held."""
    world.outbox.hold = True
    told = world.begin(scan("s-1", "ASN-1"))
    await turn()
    world.outbox.fail(OutboxFull("disk full"))
    world.outbox.hold = False
    with pytest.raises(StorageUnavailable):
        await told
    states, world.outbox.states = world.outbox.states, unreadable  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await world.take(scan("s-1", "A"))
    world.outbox.states = states  # type: ignore[method-assign]
    await world.take(scan("s-1", "B"))
    assert "document" not in world.events()[0]["data"]


async def test_open_passes_that_could_not_be_read_are_read_again(world: World) -> None:
    (first,) = await world.take(tag())
    world.passes(1)
    world.restart()
    states, world.outbox.states = world.outbox.states, unreadable  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await world.take(tag())
    world.outbox.states = states  # type: ignore[method-assign]
    assert await world.take(tag()) == [Verdict("repeat_read", first.events)]


async def test_a_pass_goes_on_over_a_restart(world: World) -> None:
    (first,) = await world.take(tag())
    world.passes(3)
    world.restart()
    assert await world.take(tag()) == [Verdict("repeat_read", first.events)]
    world.passes(60)
    world.restart()
    assert (await world.take(tag()))[0].result == "stored"


async def test_a_new_document_makes_a_standing_tag_new(world: World) -> None:
    """A correction is never taken for a repeat read."""
    first = tag(device="s-1")
    assert (await world.take(scan("s-1", "ASN-1"), first))[1].result == "stored"
    assert (await world.take(scan("s-1", "ASN-2"), first))[1].result == "stored"
    assert [event["data"]["document"]["id"] for event in world.events()] == ["ASN-1", "ASN-2"]


async def test_a_read_the_site_filters_out_is_not_stored(world: World) -> None:
    stations = [replace(one, event_cycle=EventCycleSpec(reads_min=2)) for one in SITE.stations]
    world.intake.adopt(replace(SITE, stations=stations))
    stray, present = (await world.take(tag())), (await world.take(tag()))
    assert (stray[0].result, stray[0].events) == ("repeat_read", ())
    assert present[0].result == "stored"


async def test_a_handheld_with_context_does_not_touch_its_session(world: World) -> None:
    stated = ScanContext(document="PL-9", location="B-1")
    await world.take(scan("hh-1", "PL-1", "1"), scan("hh-1", "A", "2", context=stated), scan("hh-1", "A", "3"))
    assert [event["data"]["document"]["id"] for event in world.events()] == ["PL-9", "PL-1"]


async def test_order_of_takes_is_order_of_entries(world: World) -> None:
    world.outbox.hold = True
    tasks: Sequence[asyncio.Task[list[Verdict]]] = [world.begin(scan("hh-1", f"C{n}", str(n))) for n in range(20)]
    await turn()
    world.outbox.commit(7)
    await turn()
    assert [task.done() for task in tasks] == [True] * 7 + [False] * 13
    world.outbox.commit()
    await asyncio.gather(*tasks)
    assert [event["data"]["item"]["code"] for event in world.events()] == [f"C{n}" for n in range(20)]


async def test_a_gateway_that_wakes_up_in_1970_reads_dates_right() -> None:
    world = World()
    world.ms = 60_000
    await world.take(scan("s-1", "010952123454321317271231", symbology="]C1"))
    data = world.events()[0]["data"]
    assert data["item"]["expiry"] == "2027-12-31"
    assert data["captured_at"].startswith("1970-01-01")


def voided(world: World) -> list[str]:
    """The numbers in order of the events that were undone."""
    ids = [event["id"] for event in world.events()]
    return [str(ids.index(event["data"]["voids"])) for event in world.events() if "voids" in event["data"]]


async def test_undo_reaches_back_over_a_restart_one_event_at_a_time(world: World) -> None:
    """The power fails between the scan and the undo."""
    await world.take(scan("s-1", "ASN-9"), scan("s-1", "A"), scan("s-1", "B"), scan("s-2", "C"))
    world.restart()
    (first,) = await world.take(scan("s-1", "DL:undo"))
    world.restart()
    await world.take(scan("s-1", "DL:undo"))
    assert voided(world) == ["1", "0"]
    assert first == Verdict("stored", (world.events()[3]["id"],))
    world.restart()
    (vain,) = await world.take(scan("s-1", "DL:undo"))
    assert (vain.result, vain.events) == ("stored_with_exception", ())
    assert vain.exceptions[0].code == "nothing_to_undo"
    await world.take(scan("s-2", "DL:undo"))
    assert voided(world) == ["1", "0", "2"]


async def test_an_undo_that_is_sent_again_undoes_once(world: World) -> None:
    """A handheld that heard no answer to its undo repeats it: the scan before must not be lost to that."""
    await world.take(scan("hh-1", "A", "1"), scan("hh-1", "B", "2"))
    (first,) = await world.take(scan("hh-1", "DL:undo", "3"))
    (again,) = await world.take(scan("hh-1", "DL:undo", "3"))
    assert again == first._replace(redelivered=True)
    assert voided(world) == ["1"]


async def test_an_undo_whose_commit_fails_undoes_nothing(world: World) -> None:
    await world.take(scan("s-1", "A"), scan("s-1", "B"))
    world.outbox.hold = True
    task = world.begin(scan("s-1", "DL:undo"))
    await turn()
    world.outbox.fail(CommitUnknown("the disk"))
    with pytest.raises(StorageUnavailable):
        await task
    world.outbox.hold = False
    await world.take(scan("s-1", "DL:undo"))
    assert voided(world) == ["1"]


async def test_what_was_closed_can_not_be_undone(world: World) -> None:
    await world.take(scan("s-1", "ASN-9"), scan("s-1", "A"), scan("s-1", "DL:close"))
    (vain,) = await world.take(scan("s-1", "DL:undo"))
    assert vain.exceptions[0].code == "nothing_to_undo"
    assert voided(world) == []


async def test_devices_share_what_was_scanned_where_the_site_says_so() -> None:
    """A table with a fixed scanner and a handheld: the document label goes under the scanner."""
    shared = [
        DeviceEntry("s-1", "dock-3", "serial-scanner"),
        DeviceEntry("hh-1", "dock-3", "handheld", session="station"),
    ]
    apart = [DeviceEntry("s-1", "dock-3", "serial-scanner", session="own"), DeviceEntry("hh-1", "dock-3", "handheld")]
    for devices, documents in ((shared, ["ASN-9", "ASN-9"]), (apart, ["ASN-9", None])):
        world = World(replace(SITE, devices=devices))
        await world.take(scan("s-1", "ASN-9"), scan("s-1", "A"), scan("hh-1", "B", "1"))
        assert [event["data"].get("document", {}).get("id") for event in world.events()] == documents


async def test_one_scanner_serves_several_activities_by_command_label(world: World) -> None:
    await world.take(scan("s-1", "A"), scan("s-1", "DL:putaway"), scan("s-1", "A"))
    world.restart()
    await world.take(scan("s-1", "A"), scan("s-1", "DL:receipt"), scan("s-1", "A"))
    assert [event["data"]["activity"] for event in world.events()] == ["receipt", "putaway", "putaway", "receipt"]
