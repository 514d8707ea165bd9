"""Undo against a model: whatever happens between scan and undo, it voids what the model says, and once.

The model is a list of what each device stored and heard confirmed. The gateway has to agree over restarts, failed
commits, messages sent again, and two devices that share a session.
"""

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from outbox_fake import OutboxFake

from buffer.errors import CommitUnknown
from drivers.contract import StorageUnavailable
from drivers.reading import Reading, ScanContext, Verdict
from gateway.capture.intake import Intake
from gateway.capture.label_pattern import LabelPattern
from gateway.capture.site_map import DeviceEntry, SiteMap, Station
from gateway.events.cloudevents import EventIds

SITE = SiteMap(
    "dc07",
    "dock-pc-1",
    [Station("table", "receipt"), Station("floor", "pick")],
    [
        DeviceEntry("fixed", "table", "tcp-scanner"),
        DeviceEntry("hand", "table", "handheld", session="station"),
        DeviceEntry("hh-1", "floor", "handheld"),
    ],
    [LabelPattern("document", r"D-\d")],
    "DL:",
)
SHARED = {"fixed": "table", "hand": "table", "hh-1": "hh-1"}


@dataclass
class Model:
    """What a person would say happened."""

    document: dict[str, str | None] = field(default_factory=dict)
    done: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Device, event, document; newest last."""

    def voided_by(self, device: str, stated: str | None) -> str | None:
        """Return the event that an undo of the device voids, and forget it."""
        meant = stated or self.document.get(SHARED[device])
        for one in reversed(self.done):
            if one[0] == device and meant in (None, one[2]):
                self.done.remove(one)
                return one[1]
        return None

    def close(self, device: str, stated: str | None) -> None:
        session = SHARED[device]
        closed = stated or self.document.get(session)
        if closed is None:
            return
        if closed == self.document.get(session):
            self.document[session] = None
            self.done = [one for one in self.done if SHARED[one[0]] != session]
        else:
            self.done = [one for one in self.done if SHARED[one[0]] != session or one[2] != closed]


class World:
    """An intake that can be killed at any moment."""

    def __init__(self) -> None:
        self.outbox = OutboxFake()
        self.starts = self.numbers = 0
        self.restart()

    def restart(self) -> None:
        self.starts += 1
        self.outbox.queue.clear()
        self.outbox.hold = False
        self.intake = Intake(
            SITE,
            self.outbox,
            wall=lambda: 1_795_248_000_000,
            monotonic=lambda: 0.0,
            ids=EventIds(lambda: 1_795_248_000_000, random.Random(self.starts)),
            clock_quality=lambda: "synchronised",
        )

    def reading(self, device: str, code: str, stated: str | None) -> Reading:
        self.numbers += 1
        number = None if device == "fixed" else f"n-{self.numbers}"
        context = None if stated is None else ScanContext(document=stated)
        return Reading(device, "scan", code.encode(), code=code, message_id=number, context=context)

    async def lost(self, reading: Reading) -> None:
        """The disk fails under this one."""
        self.outbox.hold = True
        task = asyncio.create_task(self.intake.take([reading]))
        for _ in range(5):
            await asyncio.sleep(0)
        self.outbox.fail(CommitUnknown("the disk"))
        with contextlib.suppress(StorageUnavailable):
            await task
        self.outbox.hold = False


_STEP = st.tuples(
    st.sampled_from(["item", "item", "item", "undo", "undo", "document", "close"]),
    st.sampled_from(["fixed", "hand", "hh-1"]),
    st.sampled_from([None, None, "D-1", "D-2"]),
    st.sampled_from(["", "", "", "killed before", "lost before", "said again"]),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(_STEP, max_size=24))
def test_undo_voids_what_a_person_would_say(steps: list[tuple[str, str, str | None, str]]) -> None:
    asyncio.run(_sail(steps))


async def _sail(steps: list[tuple[str, str, str | None, str]]) -> None:
    world, model = World(), Model()
    for what, device, document, trouble in steps:
        stated = document if device != "fixed" and what != "document" else None
        code = {"item": "X", "undo": "DL:undo", "close": "DL:close", "document": document or "D-3"}[what]
        reading = world.reading(device, code, stated)
        if trouble == "lost before":
            await world.lost(reading)
        elif trouble == "killed before":
            world.restart()
        (verdict,) = await world.intake.take([reading])
        if trouble == "said again" and reading.message_id:
            assert await world.intake.take([reading]) == [verdict._replace(redelivered=True)]
        expect(world, model, what, device, code, stated, verdict)
    voids = [json.loads(one.payload)["data"]["voids"] for one in world.outbox.entries if "void" in one.type]
    assert len(voids) == len(set(voids)), "no event is voided twice"


def expect(world: World, model: Model, what: str, device: str, code: str, stated: str | None, verdict: Verdict) -> None:
    match what:
        case "item":
            (event,) = verdict.events
            model.done.append((device, event, stated or model.document.get(SHARED[device])))
            own = [one for one in model.done if one[0] == device]
            if len(own) > 12:
                model.done.remove(own[0])
        case "document":
            model.document[SHARED[device]] = code
        case "close":
            model.close(device, stated)
        case "undo":
            wanted = model.voided_by(device, stated)
            if wanted is None:
                assert [remark.code for remark in verdict.exceptions] == ["nothing_to_undo"]
            else:
                (void,) = verdict.events
                assert json.loads(world.outbox.entries[-1].payload)["data"]["voids"] == wanted
                assert world.outbox.entries[-1].id == void
