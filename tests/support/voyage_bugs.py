"""Bugs to plant in a gateway under sail: what voyages must notice, or they prove nothing.

Each is a function that makes one promise untrue with as little as possible, the way a plausible mistake would.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import sync.position
import sync.pump
from buffer.entry import Accepted, Entry, Outcome, Redelivery, Released
from buffer.group_commit import GroupCommit
from buffer.outbox import Outbox
from buffer.writer import Job
from drivers.modbus_track import Track
from drivers.scanner_dialogue import ScannerDialogue
from gateway.capture.intake import Intake
from gateway.capture.step import Step
from gateway.events.cloudevents import EventIds
from sync.batch import Batch, join_batch
from sync.errors import BatchRefused, NotAnAnswer, SyncError, UpstreamHolds
from sync.guard import Guard, Settlement
from sync.http_events import HttpEvents
from sync.position import PositionFinder, Start
from sync.pump import Pump

Patch = pytest.MonkeyPatch


def acknowledge_first(patch: Patch) -> None:
    """The device hears yes before the commit."""

    def at_once(self: Step, value: Any) -> asyncio.Future[Any]:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answered.set_result(value)
        return answered

    patch.setattr(Step, "answer", at_once)


def mark_sent_first(patch: Patch) -> None:
    """The cursor moves before the request leaves."""
    attempt = Pump._attempt

    async def marked(self: Pump, batch: Batch) -> list[Outcome] | SyncError:
        await self._outbox.settle(self._name, through=batch.last)
        return await attempt(self, batch)

    patch.setattr(Pump, "_attempt", marked)


def new_id_on_retry(patch: Patch) -> None:
    """Every attempt gives the events ids of its own."""
    attempts = itertools.count()

    def renamed(*arguments: Any, **options: Any) -> Batch:
        batch = join_batch(*arguments, **options)
        body, ids, attempt = batch.body, [], f"{next(attempts):06x}"
        for one in batch.ids:
            ids.append(one[:-6] + attempt)
            body = body.replace(one.encode(), ids[-1].encode())
        return Batch(batch.source, batch.sequences, tuple(ids), body, chain=batch.chain, retry=batch.retry)

    patch.setattr(sync.pump, "join_batch", renamed)


def no_redelivery_lookup(patch: Patch) -> None:
    """A message that was answered before is not looked up."""

    def nothing(self: Outbox, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Redelivery]:
        return {}

    patch.setattr(Outbox, "redeliveries", nothing)


def second_does_not_await_first(patch: Patch) -> None:
    """A message whose first copy is on its way to disk is taken for a new one."""
    decide = Intake._decide

    def alone(self: Intake, readings: Any) -> Any:
        self._in_flight.clear()
        return decide(self, readings)

    patch.setattr(Intake, "_decide", alone)


def drop_on_client_error(patch: Patch) -> None:
    """4xx means that the centre does not want it: go on."""
    send = HttpEvents.send

    async def drops(self: HttpEvents, batch: Batch) -> list[Outcome]:
        try:
            return await send(self, batch)
        except (UpstreamHolds, BatchRefused):
            return [Accepted() for _ in batch.ids]

    patch.setattr(HttpEvents, "send", drops)


def any_200_is_an_acknowledgement(patch: Patch) -> None:
    """A hotel's log-in page took the batch."""
    send = HttpEvents.send

    async def believes(self: HttpEvents, batch: Batch) -> list[Outcome]:
        try:
            return await send(self, batch)
        except NotAnAnswer:
            return [Accepted() for _ in batch.ids]

    patch.setattr(HttpEvents, "send", believes)


def cursor_past_a_gap(patch: Patch) -> None:
    """What the answer left open is settled with the rest."""
    judge = Guard.judge

    def over(self: Guard, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> Settlement:
        return judge(self, entries, [Accepted() if isinstance(one, Released) else one for one in outcomes])

    patch.setattr(Guard, "judge", over)


def forgotten_quarantine(patch: Patch) -> None:
    """A rejected event is stepped over and noted nowhere."""
    settle = Outbox.settle

    async def forgets(self: Outbox, upstream: str, *, through: int, rejected: Any = (), **more: Any) -> None:
        await settle(self, upstream, through=through, **more)

    patch.setattr(Outbox, "settle", forgets)


def state_kept_after_failed_commit(patch: Patch) -> None:
    """The disk was full; memory goes on as if it had not been."""
    patch.setattr(Intake, "_begin", lambda self: None)


def refusal_taken_for_success(patch: Patch) -> None:
    """A commit that the disk refused is told as one that succeeded."""
    failed = GroupCommit._failed

    def resolved(self: GroupCommit, items: Any, error: Any) -> None:
        for item in items:
            if not isinstance(item, Job) and not item.future.done():
                item.future.set_result(None)
                if item.on_known is not None:
                    item.on_known(None)
                    item.on_known = None
        failed(self, items, error)

    patch.setattr(GroupCommit, "_failed", resolved)


def unordered_pump(patch: Patch) -> None:
    """The batch is joined as the rows happen to come."""

    def backwards(source_of: Any, entries: Sequence[Entry], **options: Any) -> Batch:
        batch = join_batch(source_of, entries, **options)
        turned = join_batch(source_of, list(reversed(entries)), **options)
        return Batch(batch.source, batch.sequences, batch.ids, turned.body, chain=batch.chain, retry=batch.retry)

    patch.setattr(sync.pump, "join_batch", backwards)


def repeat_not_flagged(patch: Patch) -> None:
    """A scanner that says its scan again after a break is believed to have a new one."""
    patch.setattr(ScannerDialogue, "_may_repeat", lambda self, frame: False)


def counter_not_remembered(patch: Patch) -> None:
    """The last value of a counter is taken from the first poll after a restart."""
    patch.setattr(Track, "recall", lambda self, row, now: None)


def ids_without_chance(patch: Patch) -> None:
    """Two processes begin with the same ids."""

    def begin(self: EventIds, ms: int) -> None:
        self._ms, self._head, self._low = ms, "01a1fd1e-0000-7000-8000-", self._low + 1

    patch.setattr(EventIds, "_begin", begin)


def source_kept_in_a_new_epoch(patch: Patch) -> None:
    """Events go on under the old source while their sequences belong to the new one."""

    def begin(self: Intake) -> None:
        self._source = self._outbox.source
        real(self)

    real = Intake._begin
    patch.setattr(Intake, "_begin", begin)


def restored_centre_not_asked(patch: Patch) -> None:
    """Nothing failed, so nobody asks the centre where it is."""
    patch.setattr(Pump, "_ask_again_at", property(lambda self: float("inf"), lambda self, at: None), raising=False)


def no_rewind(patch: Patch) -> None:
    """A centre that is behind is thought to have miscounted."""
    patch.setattr(sync.position, "find_start", lambda told, *, cursor, known_instance: Start(cursor))


def no_new_epoch(patch: Patch) -> None:
    """A centre that is ahead is not believed, and that is all."""

    async def nothing(self: PositionFinder, told: Any, newest: int) -> None:
        return None

    patch.setattr(PositionFinder, "_begin_epoch", nothing)


BUGS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        acknowledge_first, mark_sent_first, new_id_on_retry, no_redelivery_lookup, second_does_not_await_first,
        drop_on_client_error, any_200_is_an_acknowledgement, cursor_past_a_gap, forgotten_quarantine,
        state_kept_after_failed_commit, refusal_taken_for_success, unordered_pump, repeat_not_flagged,
        counter_not_remembered, ids_without_chance, source_kept_in_a_new_epoch, restored_centre_not_asked, no_rewind,
        no_new_epoch,
    )
}  # fmt: skip
