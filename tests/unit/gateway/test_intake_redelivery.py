"""The same message again: exactly one event for a device that numbers its messages."""

import asyncio
import json
import random
from typing import Any

import pytest
from event_check import checked
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_fake import OutboxFake

from buffer.errors import OutboxFull
from drivers.contract import StorageUnavailable
from drivers.reading import Reading, Verdict
from gateway.capture.intake import Intake
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.events.cloudevents import EventIds

SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [Station("floor", "pick"), Station("dock-3", "receipt")],
    [DeviceEntry("hh-*", "floor", "handheld"), DeviceEntry("s-1", "dock-3", "serial-scanner")],
    [LabelPattern("document", r"PL-\d+")],
)


def started(outbox: OutboxFake, seed: int = 1) -> Intake:
    return Intake(
        SITE,
        outbox,
        wall=lambda: 1_795_248_000_000,
        monotonic=lambda: 0.0,
        ids=EventIds(lambda: 1_795_248_000_000, random.Random(seed)),
        clock_quality=lambda: "unsynchronised",
    )


@pytest.fixture
async def outbox() -> OutboxFake:
    return OutboxFake()


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def scan(code: str = "X", number: str | None = "1", device: str = "hh-1", **more: Any) -> Reading:
    return Reading(device, "scan", code.encode("utf-8", "replace"), code=code, message_id=number, **more)


def codes(outbox: OutboxFake) -> list[str]:
    return [checked(draft.payload)["data"]["item"]["code"] for draft in outbox.entries]


async def test_a_message_sent_again_gets_its_first_verdict_and_stores_nothing(outbox: OutboxFake) -> None:
    """The acknowledgement was lost on the radio; the handheld sends the scan again."""
    intake = started(outbox)
    (first,) = await intake.take([scan()])
    (again,) = await intake.take([scan()])
    assert again == Verdict("stored", first.events, redelivered=True)
    assert len(outbox.entries) == 1
    assert outbox.commits == 1


async def test_a_message_sent_again_after_a_restart_keeps_its_event_id(outbox: OutboxFake) -> None:
    """kill -9 between the commit and the acknowledgement."""
    (first,) = await started(outbox, 1).take([scan()])
    (again,) = await started(outbox, 2).take([scan()])
    assert again.events == first.events
    assert again.redelivered
    assert len(outbox.entries) == 1


async def test_a_second_copy_waits_for_the_commit_of_the_first(outbox: OutboxFake) -> None:
    intake = started(outbox)
    outbox.hold = True
    tasks = [asyncio.create_task(intake.take([scan()])) for _ in range(3)]
    await turn()
    assert not any(task.done() for task in tasks)
    assert len(outbox.queue) == 1
    outbox.commit()
    verdicts = [(await task)[0] for task in tasks]
    assert [verdict.redelivered for verdict in verdicts] == [False, True, True]
    assert len({verdict.events for verdict in verdicts}) == 1
    assert len(outbox.entries) == 1


async def test_when_the_first_copy_fails_the_second_is_not_acknowledged_and_a_third_is_stored(
    outbox: OutboxFake,
) -> None:
    intake = started(outbox)
    outbox.hold = True
    tasks = [asyncio.create_task(intake.take([scan()])) for _ in range(2)]
    await turn()
    outbox.fail(OutboxFull("disk full"))
    for task in tasks:
        with pytest.raises(StorageUnavailable):
            await task
    outbox.hold = False
    (third,) = await intake.take([scan()])
    assert not third.redelivered
    assert len(outbox.entries) == 1


async def test_copies_inside_one_list(outbox: OutboxFake) -> None:
    first, again, other = await started(outbox).take([scan(), scan(), scan("Y", "2")])
    assert again == Verdict("stored", first.events, redelivered=True)
    assert other.events != first.events
    assert codes(outbox) == ["X", "Y"]


async def test_a_number_used_for_another_message_is_another_message(outbox: OutboxFake) -> None:
    """A handheld was reset and counts from 1 again."""
    intake = started(outbox)
    (first,) = await intake.take([scan("X")])
    (reused,) = await intake.take([scan("Y")])
    assert reused.result == "stored_with_exception"
    assert [remark.code for remark in reused.exceptions] == ["message_id_reused"]
    assert reused.events != first.events
    assert codes(outbox) == ["X", "Y"]
    (again,) = await intake.take([scan("Y")])
    assert (again.events, again.redelivered, again.exceptions) == (reused.events, True, reused.exceptions)
    assert codes(outbox) == ["X", "Y"]


async def test_a_number_used_for_another_message_after_a_restart_is_another_message(outbox: OutboxFake) -> None:
    """The gateway knows the first message from its disk only."""
    await started(outbox).take([scan("X")])
    (reused,) = await started(outbox).take([scan("Y")])
    assert [remark.code for remark in reused.exceptions] == ["message_id_reused"]
    assert codes(outbox) == ["X", "Y"]


async def test_a_number_used_again_while_in_flight_and_inside_one_list(outbox: OutboxFake) -> None:
    intake = started(outbox)
    outbox.hold = True
    first = asyncio.create_task(intake.take([scan("X")]))
    await turn()
    second = asyncio.create_task(intake.take([scan("Y"), scan("Z"), scan("Z")]))
    await turn()
    outbox.commit(1)
    await first
    third = asyncio.create_task(intake.take([scan("Z")]))
    await turn()
    assert not third.done(), "what is in flight goes before what is committed"
    outbox.commit()
    assert [verdict.redelivered for verdict in await second + await third] == [False, False, True, True]
    assert codes(outbox) == ["X", "Y", "Z"]


async def test_two_devices_may_use_the_same_number(outbox: OutboxFake) -> None:
    verdicts = await started(outbox).take([scan(device="hh-1"), scan(device="hh-2")])
    assert [verdict.redelivered for verdict in verdicts] == [False, False]


async def test_a_context_scan_sent_again_sets_nothing_twice(outbox: OutboxFake) -> None:
    intake = started(outbox)
    await intake.take([scan("PL-1", "1"), scan("PL-2", "2"), scan("PL-1", "1"), scan("A", "3")])
    await intake.take([scan("PL-1", "1"), scan("B", "4")])
    documents = [checked(draft.payload)["data"]["document"]["id"] for draft in outbox.entries]
    assert documents == ["PL-2", "PL-2"]


async def test_an_unreadable_message_with_a_number_is_known_again(outbox: OutboxFake) -> None:
    intake = started(outbox)
    reading = Reading("hh-1", "unreadable", b"{", message_id="1", reason="not JSON")
    (first,) = await intake.take([reading])
    (again,) = await intake.take([reading])
    assert (again.events, again.exceptions, again.redelivered) == (first.events, first.exceptions, True)


async def test_a_number_that_is_no_text_still_identifies(outbox: OutboxFake) -> None:
    intake = started(outbox)
    await intake.take([scan(number="\ud800")])
    assert (await intake.take([scan(number="\ud800")]))[0].redelivered


def flags(outbox: OutboxFake) -> list[bool]:
    return [checked(draft.payload)["data"].get("possible_redelivery", False) for draft in outbox.entries]


async def test_an_unnumbered_scan_that_may_be_a_repetition_is_stored_and_flagged(outbox: OutboxFake) -> None:
    """The link broke before the scanner heard the acknowledgement; it sends the label again."""
    intake = started(outbox)
    await intake.take([scan("X", None, "s-1")])
    (again,) = await intake.take([scan("X", None, "s-1", may_repeat=True)])
    assert again.result == "stored"
    assert not again.redelivered
    assert flags(outbox) == [False, True]
    assert intake.counts().possible_redeliveries == 1


async def test_two_deliberate_equal_scans_are_two_events(outbox: OutboxFake) -> None:
    intake = started(outbox)
    await intake.take([scan("X", None, "s-1"), scan("X", None, "s-1")])
    assert flags(outbox) == [False, False]


async def test_only_the_last_reading_of_a_device_can_repeat(outbox: OutboxFake) -> None:
    intake = started(outbox)
    await intake.take([scan("X", None, "s-1"), scan("Y", None, "s-1"), scan("X", None, "s-1", may_repeat=True)])
    assert flags(outbox) == [False, False, False]


async def test_what_a_device_said_last_is_known_after_a_restart(outbox: OutboxFake) -> None:
    """The daemon is killed between the commit and the ACK byte; the scanner repeats to the new one."""
    await started(outbox, 1).take([scan("X", None, "s-1")])
    await started(outbox, 2).take([scan("X", None, "s-1", may_repeat=True)])
    assert flags(outbox) == [False, True]


async def test_a_fragment_does_not_hide_what_a_device_said_last(outbox: OutboxFake) -> None:
    """Stored, killed before the ACK byte; the first repeat is cut after a byte, which is kept as evidence; the second
    arrives whole."""
    intake = started(outbox)
    fragment = Reading("s-1", "unreadable", b"]", reason="the link ended in the middle of a frame")
    await intake.take([scan("X", None, "s-1")])
    await intake.take([fragment])
    await intake.take([scan("X", None, "s-1", may_repeat=True)])
    assert flags(outbox)[::2] == [False, True]


async def test_a_scan_whose_commit_failed_was_not_said_last(outbox: OutboxFake) -> None:
    intake = started(outbox)
    outbox.hold = True
    task = asyncio.create_task(intake.take([scan("X", None, "s-1")]))
    await turn()
    outbox.fail(OutboxFull("disk full"))
    with pytest.raises(StorageUnavailable):
        await task
    outbox.hold = False
    await intake.take([scan("X", None, "s-1", may_repeat=True)])
    assert flags(outbox) == [False], "nothing was stored before, so nothing is repeated"


class Line:
    """Devices that keep a scan until they hear an answer, a radio that loses answers, a power switch and a disk that
    fills: every scan must be stored exactly once."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.outbox = OutboxFake(hold=True)
        self.intake = started(self.outbox, seed)
        self.unanswered = [scan(f"C{n}", str(n), f"hh-{n % 3}") for n in range(30)]
        self.tasks: list[tuple[list[Reading], asyncio.Task[list[Verdict]]]] = []
        self.heard: dict[tuple[str, str | None], set[tuple[str, ...]]] = {}

    async def run(self) -> None:
        while self.unanswered or self.tasks:
            self.send()
            await turn()
            match self.rng.choice(["commit", "commit", "part", "fail", "kill", "wait"]):
                case "commit":
                    self.outbox.commit()
                case "part":
                    self.outbox.commit(self.rng.randint(0, len(self.outbox.queue)))
                case "fail":
                    self.outbox.fail(OutboxFull("disk full"))
                case "kill":
                    self.kill()
            await turn()
            self.listen()

    def send(self) -> None:
        for _ in range(self.rng.randint(0, 4)):
            batch = self.rng.sample(self.unanswered, min(len(self.unanswered), self.rng.randint(1, 6)))
            if batch:
                self.tasks.append((batch, asyncio.create_task(self.intake.take(batch))))

    def kill(self) -> None:
        for _, task in self.tasks:
            task.cancel()
        self.tasks.clear()
        self.outbox.queue.clear()
        self.intake = started(self.outbox, self.rng.randint(0, 10**9))

    def listen(self) -> None:
        for batch, task in [one for one in self.tasks if one[1].done()]:
            self.tasks.remove((batch, task))
            if task.exception() is not None:
                continue
            for reading, verdict in zip(batch, task.result(), strict=True):
                self.heard.setdefault((reading.device, reading.message_id), set()).add(verdict.events)
                assert {draft.id for draft in self.outbox.entries} >= set(verdict.events), "acknowledged, not on disk"
                if reading in self.unanswered and self.rng.random() < 0.5:  # else the answer is lost on the radio
                    self.unanswered.remove(reading)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_every_numbered_scan_is_stored_exactly_once_whatever_happens(seed: int) -> None:
    async def voyage() -> Line:
        line = Line(seed)
        await line.run()
        return line

    line = asyncio.run(voyage())
    assert sorted(codes(line.outbox)) == sorted(f"C{n}" for n in range(30))
    assert all(len(answers) == 1 for answers in line.heard.values()), "a message is answered the same each time"


async def test_a_redelivery_whose_answer_was_damaged_on_the_disk_is_stored_and_flagged(outbox: OutboxFake) -> None:
    """Nobody can say whether this scan is known: it is kept, and whoever reads it is told that it may be a repeat."""
    await started(outbox, 1).take([scan()])
    damaged = {key: one._replace(fingerprint=b"", verdict=b"") for key, one in outbox.answers.items()}
    outbox.answers.update(damaged)
    (again,) = await started(outbox, 2).take([scan()])
    assert again.result == "stored"
    assert not again.redelivered
    first, second = (json.loads(entry.payload) for entry in outbox.entries)
    assert "possible_redelivery" not in first["data"]
    assert second["data"]["possible_redelivery"] is True
