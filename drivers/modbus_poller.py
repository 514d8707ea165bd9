"""Polls a Modbus device, or several on one bus: parts counted, states changed, and what was missed.

Theory of operation. A round reads every block of every unit, one request at a time, then hands on what moved, unit
by unit, and waits for the commit before it goes on: nothing queues here. What the device shows is compared with
what is *on disk*, so an event that could not be stored is not lost: the next round finds the same difference, or a
larger one. After `StorageUnavailable` nobody knows whether the reading is on disk; then the rows are read again
before anything is counted. For the same reason a driver that is cancelled during a commit waits for its outcome.

One bad thing is one bad thing: a silent slave costs its budget and rests (see `modbus_outage`), a point that is
refused rests too, while the others are read on. Only when nobody brings anything does `run` raise: `LinkLost` when all
are silent (reopening may help), `DeviceFault` when one refuses all it is asked (a person has to look).

The gateway never writes to a PLC: there are four requests, and each of them reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from drivers.contract import DeviceFault, DriverError, Emit, LinkLost, StorageUnavailable
from drivers.modbus_link import Answer, ModbusLink, Refusal, Silence, Sleep
from drivers.modbus_map import Block, unit_of
from drivers.modbus_outage import GAP_OPEN_S, Outage
from drivers.modbus_settings import ModbusPollerSettings
from drivers.modbus_track import Said, Track, Unknown, values_of
from drivers.modbus_unit import Unit, in_words
from drivers.moment import Moment
from drivers.reading import Reading, Verdict

_log = logging.getLogger(__name__)

Recall = Callable[[str], bytes | None]
"""The committed row of a key, or None. Called only while no emit of this driver is under way."""

SILENT_ROUNDS_MAX = 3
"""When nobody on the link answered so many times in a row, the link is at fault, not the units."""
REFUSED_REST_S = 60.0
STOOD_STILL = "the gateway asked nothing: it was stopped, or its computer slept"
EMIT_GRACE_S = 4.0
"""How long a cancelled driver waits for the outcome of its last emit; less than a service manager waits to kill."""

NOT_CONFIGURED = frozenset({1, 2, 3})
"""Exception codes that no repetition cures: illegal function, illegal data address, illegal data value."""
NOBODY_HOME = frozenset({10, 11})
"""Exception codes by which a bus gateway says that the slave behind it is silent."""
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "the device behind the gateway does not answer",
}
"""MODBUS Application Protocol V1.1b3, 7."""


class ModbusPoller:
    """Driver `modbus-poller`.

    `recall` gives back what a reading's `state` committed, `monotonic` seconds, `moment` now by every clock;
    `elapsed` is as `monotonic` and goes on while the computer sleeps.
    """

    def __init__(
        self,
        device: str,
        settings: ModbusPollerSettings,
        *,
        recall: Recall,
        monotonic: Callable[[], float],
        moment: Callable[[], Moment],
        elapsed: Callable[[], float] | None = None,
        sleep: Sleep = asyncio.sleep,
        emit_grace_s: float = EMIT_GRACE_S,
    ) -> None:
        self._device = device
        self._settings = settings
        self._recall = recall
        self._monotonic = monotonic
        self._elapsed = elapsed or monotonic
        self._moment = moment
        self._sleep = sleep
        self._emit_grace_s = emit_grace_s
        default_unit = settings.target.unit_id
        self._tracks = {p.name: Track(device, p, unit_of(p, default_unit)) for p in settings.points}
        blocks = settings.blocks
        ids = dict.fromkeys(block.unit_id for block in blocks)
        self._units = [Unit(device, i, [block for block in blocks if block.unit_id == i]) for i in ids]
        self._must_recall = True
        self._link: ModbusLink | None = None

    def last_byte(self) -> float | None:
        """Return when something last arrived, on the loop's clock."""
        return self._link.last_byte if self._link is not None else None

    async def run(self, emit: Emit) -> None:
        """Poll until the link is lost or the device refuses. Never returns normally.

        Raises LinkLost, DeviceFault.
        """
        self._link = link = self._new_link()
        try:
            await link.open()
            self._resume_outages()
            try:
                await self._poll(link, emit)
            except DriverError as end:
                await self._record_ending(end, emit)
                raise
        finally:
            link.close()

    async def probe(self) -> str:
        """Return the value of every point; raise LinkLost or DeviceFault when one does not come."""
        link = self._new_link()
        try:
            await link.open()
            lines = [await self._probe_unit(link, unit) for unit in self._units]
        finally:
            link.close()
        return "; ".join(lines)

    async def _probe_unit(self, link: ModbusLink, unit: Unit) -> str:
        values = [value for block in unit.blocks for value in await self._probe_block(link, block)]
        return f"unit {unit.unit_id} answers: {', '.join(values)}"

    async def _probe_block(self, link: ModbusLink, block: Block) -> list[str]:
        await link.reopen()
        match await link.read(block):
            case Answer(registers=registers):
                return values_of(block, registers)
            case Refusal(code=code) if len(block.points) > 1 and code in NOT_CONFIGURED:
                return [value for one in _singly(block) for value in await self._probe_block(link, one)]
            case Refusal(code=code):
                raise _fault(block, code)
            case Silence(reason=reason):
                raise LinkLost(f"unit {block.unit_id}: {reason}", hint="is it switched on, is this its unit id?")

    def _new_link(self) -> ModbusLink:
        return ModbusLink(self._settings.target, timeout_s=self._settings.timeout_s, sleep=self._sleep)

    def _resume_outages(self) -> None:
        for unit in self._units:
            unit.outage, unit.refusal = Outage(unit.unit_id), Outage(unit.unit_id)
            unit.has_answered, unit.refused = False, {}
            for window, key in unit.windows:
                window.resume(self._recall(key), self._monotonic(), self._moment())

    async def _poll(self, link: ModbusLink, emit: Emit) -> None:
        due = self._monotonic()
        while True:
            is_whole = True
            for unit in self._units:
                is_whole &= await self._visit(unit, link, emit)
            if not is_whole:
                self._raise_when_nobody_is_left()
            now = self._monotonic()
            due = max(due + self._settings.poll_interval_s, now)
            asleep = self._elapsed()
            await self._sleep(due - now)
            self._note_standstill(self._elapsed() - asleep - (due - now))

    def _note_standstill(self, late_s: float) -> None:
        """Nobody was asked for so long: what did not arrive is a gap, though no PLC is to blame."""
        if late_s < GAP_OPEN_S:
            return
        since = self._monotonic() - late_s
        for unit in self._units:
            if unit.has_answered:
                unit.outage.missed(since, STOOD_STILL)

    async def _visit(self, unit: Unit, link: ModbusLink, emit: Emit) -> bool:
        """Read what a unit has to say and hand it on; return whether every value arrived."""
        begun, before = self._monotonic(), unit.complaint
        if unit.outage.rests(begun):
            (unit.outage if unit.fault is None else unit.refusal).missed(begun, "")
            unit.has_brought = False
            self._log_change(before, unit.complaint)
            await self._commit([], unit, emit)
            return False
        said: list[Said] = []
        problem: str | None = None
        unit.has_brought = False
        for block in tuple(unit.blocks):
            until, fault = unit.refused.get(block, (begun, None))
            if fault is not None and begun < until:
                continue
            outcome = await self._read(unit, block, link)
            if isinstance(outcome, Answer):
                unit.has_brought = True
                problem = self._listen(block, outcome, said) or problem
            elif isinstance(outcome, Silence):
                problem = outcome.reason
                if unit.outage.strikes:
                    break
        self._note(unit, begun, problem)
        self._log_change(before, unit.complaint)
        if unit.fault is not None and len(self._units) > 1:
            unit.outage.rest(self._monotonic(), REFUSED_REST_S)
        if said or any(window.is_pending for window, _ in unit.windows):
            await self._commit(said, unit, emit)
        return problem is None and not unit.refused

    def _note(self, unit: Unit, begun: float, problem: str | None) -> None:
        """A round that was begun then is over; `problem` is why not everything that was asked for came."""
        now = self._monotonic()
        if problem is None:
            unit.outage.answered(now)
        else:
            unit.outage.missed(begun, problem)
        if unit.refused:
            unit.refusal.missed(begun, in_words(next(fault for _, fault in unit.refused.values())))
        else:
            unit.refusal.answered(now)

    def complaints(self) -> Sequence[str]:
        """Return what is refused, and the units that have brought no value for several polls, and why."""
        return [complaint for unit in self._units if (complaint := unit.complaint) is not None]

    def _log_change(self, before: str | None, now: str | None) -> None:
        if before is None and now is not None:
            _log.warning("unit_troubled device_id=%s reason=%r", self._device, now)
        elif before is not None and now is None:
            _log.info("unit_recovered device_id=%s was=%r", self._device, before)

    async def _read(self, unit: Unit, block: Block, link: ModbusLink) -> Answer | Silence | DeviceFault:
        """One block, and what its failure means for the unit."""
        begun = self._monotonic()
        await link.reopen()
        outcome = await link.read(block)
        if isinstance(outcome, Answer):
            unit.has_answered = True
            unit.refused.pop(block, None)
            if unit.outage.strikes:
                unit.outage.spoke()
            return outcome
        is_silent = isinstance(outcome, Silence) or outcome.code in NOBODY_HOME
        if is_silent:
            now = self._monotonic()
            # Alone on its link there is nobody to protect: it is asked at every round until the link is reopened.
            unit.outage.struck(now, now - begun if len(self._units) > 1 else 0.0)
        else:
            unit.outage.spoke()
        if isinstance(outcome, Silence):
            return outcome
        if outcome.code in NOT_CONFIGURED:
            return await self._isolate(unit, block, outcome.code, link)
        return Silence(_exception_text(block, outcome.code))

    async def _isolate(self, unit: Unit, block: Block, code: int, link: ModbusLink) -> Silence | DeviceFault:
        """Find the point that is refused among those that were joined; from now on ask for each by itself."""
        single = _singly(block)
        if len(single) == 1:
            return self._leave_out(unit, block, code)
        unit.blocks = [b for b in unit.blocks if b != block] + single
        found: DeviceFault | None = None
        for candidate in single:
            await link.reopen()
            outcome = await link.read(candidate)
            if isinstance(outcome, Silence):
                return outcome
            if isinstance(outcome, Refusal) and outcome.code in NOT_CONFIGURED:
                found = self._leave_out(unit, candidate, outcome.code)
        return found or Silence(_exception_text(block, code))

    def _leave_out(self, unit: Unit, block: Block, code: int) -> DeviceFault:
        fault = _fault(block, code)
        unit.refused[block] = (self._monotonic() + REFUSED_REST_S, fault)
        return fault

    def _listen(self, block: Block, answer: Answer, said: list[Said]) -> str | None:
        """Collect what the points of a block have to say; return why one of them has no value."""
        problem = None
        now = self._monotonic()
        if self._must_recall:
            self._remember(now)
        for point in block.points:
            match self._tracks[point.name].look(block, answer.registers, now):
                case Said() as one:
                    said.append(one)
                case Unknown(reason=reason):
                    problem = reason
        return problem

    def _remember(self, now: float) -> None:
        for track in self._tracks.values():
            track.recall(self._recall(track.key), now)
        self._must_recall = False

    async def _commit(self, said: list[Said], unit: Unit, emit: Emit, *, is_ending: bool = False) -> None:
        """Return when everything is on disk, or when it is not: then it is said again in the next round."""
        now = self._monotonic()
        gaps = [(window, key, window.due(now, is_ending=is_ending)) for window, key in unit.windows]
        readings = [one.reading for one in said]
        for _, key, gap in gaps:
            if gap is not None:
                row = gap.encode(now, self._moment())
                readings.append(Reading(self._device, "gap", b"", reason=gap.describe(), state_key=key, state=row))
        if not readings:
            return
        try:
            verdicts = await self._emit(emit, readings)
        except StorageUnavailable:
            self._must_recall = True
            return
        refused = next((verdict for verdict in verdicts if not verdict.is_positive), None)
        if refused is not None:
            raise DeviceFault("the gateway refuses what this device says", hint=refused.reason)
        for one in said:
            one.settle()
        for window, _, gap in gaps:
            if gap is not None:
                window.recorded(now, gap)

    async def _emit(self, emit: Emit, readings: Sequence[Reading]) -> list[Verdict]:
        """Hand on. When cancelled meanwhile, wait for the outcome: the next driver begins from what is on disk."""
        task = asyncio.ensure_future(emit(readings))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=self._emit_grace_s)
            if task.done() and not task.cancelled():
                task.exception()
            task.cancel()
            raise

    async def _record_ending(self, end: DriverError, emit: Emit) -> None:
        """Nobody polls from here on; what is missed until the link is open again is a gap that begins now."""
        now = self._monotonic()
        for unit in self._units:
            if not unit.has_answered:
                continue
            if not unit.outage.is_silent:
                unit.outage.missed(now, str(end))
            with contextlib.suppress(DeviceFault):
                await self._commit([], unit, emit, is_ending=True)

    def _raise_when_nobody_is_left(self) -> None:
        outages = [unit.outage for unit in self._units]
        if all(outage.strikes >= SILENT_ROUNDS_MAX for outage in outages):
            where = self._settings.target.describe()
            units = ", ".join(str(outage.unit_id) for outage in outages)
            what = f"no answer from unit {units}"
            if len(outages) == 1:
                what += f" ({outages[0].last_reason})"
            raise LinkLost(f"{where}: {what}", hint="is it switched on, is this its unit id?")
        fault = next((unit.fault for unit in self._units if unit.fault is not None), None)
        if fault is not None and not any(unit.has_brought for unit in self._units):
            raise fault


def _singly(block: Block) -> list[Block]:
    return [replace(block, address=p.address, count=p.size, points=(p,)) for p in block.points]


def _exception_text(block: Block, code: int) -> str:
    name = EXCEPTION_NAMES.get(code, "not in the standard")
    return f"exception code {code} ({name}) to {block.describe()}"


def _fault(block: Block, code: int) -> DeviceFault:
    hint = f"no such {block.table} address {block.address} in unit {block.unit_id}: check address and table"
    if code == 2:
        hint += "; addresses count from 0, a manual's 40001 is holding address 0"
    return DeviceFault(_exception_text(block, code), hint=f"{hint} of point {block.points[0].name}")
