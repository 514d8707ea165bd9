"""Readings in, verdicts out: the one step in which a scan becomes a fact.

Theory of operation. `take` works in two halves. The first half has no await: redeliveries are looked up, repeat reads
told apart, labels read, sessions moved on, events encoded, and everything that explains them (session rows, counter
values, event cycles, the answers to numbered messages) goes to the outbox in one append, hence in one commit. So the
memory that the next take works on includes what is not committed yet, and the order of appends is the order of takes.
The second half waits for the commit and answers; nothing is answered that is not on disk.

All readings of a take are captured before the checks see the first of them; they see them in order all the same. A
processor keeps near what it used last: to capture fifty scans and then to check fifty costs less than to do both in
turn fifty times.

A take collects its effects in a `Step` and publishes them only when the append was accepted: a full outbox leaves no
trace. When a commit fails, everything queued behind it fails with it (`OutboxPort.failed_commits` tells at once, before
any future is looked at), and the next take first reloads what is committed.

Redelivery. The answers of committed messages are in the outbox, those in flight here; a message sent again while its
first copy is in flight waits for that copy's commit. A known number with other content is another message of a device
that was reset: stored, with the remark `message_id_reused`, and the number means the new one from then on. A device
without numbers cannot be told from a person who scans twice: when its driver says it may be repeating itself and the
content is that of its last stored reading, the event is stored and flagged.

Every caller waits for a future of its own: one that is cancelled neither undoes the commit nor takes the answer from
others. The outbox tells of a commit by a call (`on_known`), not by a future, and `submit` is no coroutine: each turn of
the loop that a lone scan is spared is a twentieth of what it costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

from buffer.entry import Draft, Redelivery, StateRow
from buffer.errors import OutboxError
from drivers.reading import Reading, Verdict
from gateway.capture.captured import Moment, moment
from gateway.capture.checks_port import Checks, Judged
from gateway.capture.clock_quality import vouched
from gateway.capture.event_cycles import EventCycles, meaning
from gateway.capture.intake_counts import IntakeCounts, Tally
from gateway.capture.knocking import Knock, KnockingRegister
from gateway.capture.label_reader import LabelReader
from gateway.capture.normalise import Normaliser
from gateway.capture.outbox_port import OutboxPort
from gateway.capture.redelivery import again, decode_verdict, encode_verdict, fingerprint, storable
from gateway.capture.session_book import SessionBook, session_rows
from gateway.capture.site_map import Route, SiteMap, Station
from gateway.capture.station import EMPTY, Session
from gateway.capture.station import STATE_PREFIX as SESSION_PREFIX
from gateway.capture.step import Key, Step, Taken, Unanswered, refused, unavailable
from gateway.events.cloudevents import EventIds
from gateway.events.model import ClockQuality, DeviceState

BUILT_IN_YEAR: Final = 2026
"""No clock is earlier than this program: a gateway that starts in 1970 still reads expiry dates right."""
LOOKS_TOGETHER_MIN: Final = 4
"""Readings of one take that are worth a read of the outbox they have in common."""
LAST_PREFIX: Final = "last/"
_MS_PER_YEAR: Final = 31_556_952_000


class Intake:
    """The way of every reading into the outbox. Belongs to the event loop."""

    def __init__(
        self,
        site: SiteMap,
        outbox: OutboxPort,
        *,
        wall: Callable[[], int],
        monotonic: Callable[[], float],
        ids: EventIds,
        clock_quality: Callable[[], ClockQuality],
        knocking: KnockingRegister | None = None,
        checks: Checks | None = None,
        on_commit: Callable[[Sequence[Draft]], None] = lambda _drafts: None,
    ) -> None:
        """`wall` gives milliseconds since 1970 UTC, `monotonic` seconds. Loads the committed state; raises
        OutboxError when that cannot be read."""
        self._checks = checks
        self._on_commit = on_commit
        self._outbox = outbox
        self._wall = wall
        self._monotonic = monotonic
        self._ids = ids
        self._clock_quality = clock_quality
        self._knocking = knocking or KnockingRegister()
        self._tally = Tally()
        self._year = BUILT_IN_YEAR
        self._book = SessionBook()
        self._last: dict[str, bytes] = {}
        self._cycles = EventCycles(outbox, wall=wall, monotonic=monotonic)
        self._in_flight: dict[Key, tuple[bytes, Verdict, Step]] = {}
        self._steps: dict[Step, None] = {}  # appended and not settled, oldest first
        self._appends = 0
        self._failed_commits = 0
        self._is_stale = True
        self.adopt(site)
        self._load()

    def adopt(self, site: SiteMap) -> None:
        """Work by another map of the site from the next take on; sessions and event cycles go on."""
        self._site = site
        self._stations = {station.id: station for station in site.stations}
        labels = LabelReader(site.label_patterns, site.command_prefix, year=lambda: self._year)
        self._source = self._outbox.source
        self._normaliser = Normaliser(site, self._source, self._ids, labels)
        for device in site.devices:
            self._knocking.forget(device.id)
        self._cycles.adopt(self._stations)

    async def take(self, readings: Sequence[Reading]) -> list[Verdict]:
        """Return one verdict a reading, in order, when all of them are on disk; raise StorageUnavailable when they are
        not, or when it is unknown: no device may be acknowledged then."""
        return await self.submit(readings)

    def submit(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        """Decide now; the future has what `take` returns or raises. Cancelling it undoes nothing."""
        try:
            step, verdicts = self._decide(readings)
        except OutboxError as error:
            self._tally.refused["storage"] += len(readings)
            return refused(error)
        self._tally.redelivered += step.redelivered
        return step.answer(verdicts)

    async def device_event(self, device: str, state: DeviceState, reason: str | None = None) -> str:
        """Store that a device went up, down, silent or degraded; return the event's id when it is on disk. Raises
        StorageUnavailable. A link that is no device of its own is a device at the gateway."""
        route = self._site.route(device) or self._gateway_route(device)
        drafts: list[Draft] = []

        def find(at: Moment) -> Judged:
            drafts.append(self._normaliser.device(route, state, reason, at))
            found = None if self._checks is None else self._checks.judge_device(route, state, reason, drafts[0], at)
            return Judged(drafts) if found is None else found._replace(drafts=[*drafts, *found.drafts])

        await self.record(find)
        return drafts[0].id

    async def record(self, find: Callable[[Moment], Judged]) -> None:
        """Store what the gateway finds out by itself, not about a reading; returns when it is on disk.

        `find` runs inside the step, on state that includes what is in flight. Raises StorageUnavailable."""
        step, is_decided = Step(), False
        try:
            self._begin()
            wall_ms, now = self._wall(), self._monotonic()
            try:
                step.adopt(find(moment(wall_ms, self._clock_quality())))
                self._append(step, now, wall_ms)
                is_decided = True
            finally:
                if not is_decided:
                    self._undo(step)
        except OutboxError as error:
            raise unavailable(error) from error
        await step.answer(None)

    def route(self, device: str) -> Route | None:
        """Return where a device belongs; None when nobody configured it."""
        return self._site.route(device)

    def session(self, device: str) -> Session:
        """Return the context that the next scan of a device would have; for looking only."""
        route = self._site.route(device)
        if route is None:
            return EMPTY
        return self._book.session(route.session_key, self._monotonic(), route.station.session_idle_s)

    def is_writing(self, state_key: str) -> bool:
        """Return whether a reading's state row of that key is on its way to disk."""
        return any(state_key in step.state for step in self._steps)

    def counts(self) -> IntakeCounts:
        """Return what was taken since start, for metrics."""
        return self._tally.counts(self._knocking.unlisted, self._cycles.forced_out)

    def knocks(self) -> list[Knock]:
        """Return the devices that spoke and are not configured."""
        return self._knocking.knocks()

    def _decide(self, readings: Sequence[Reading]) -> tuple[Step, list[Verdict]]:
        """The first half of `take`: no await from here to `append`."""
        self._begin()
        wall_ms, now = self._wall(), self._monotonic()
        self._year = max(BUILT_IN_YEAR, 1970 + wall_ms // _MS_PER_YEAR)
        at = moment(wall_ms, self._clock_quality())
        in_flight = self._in_flight
        keys = [
            key
            for reading in readings
            if reading.message_id and (key := (reading.device, storable(reading.message_id))) not in in_flight
        ]
        step, is_decided = Step(), False
        try:
            with self._outbox.one_look() if len(readings) >= LOOKS_TOGETHER_MIN else nullcontext():
                known = self._outbox.redeliveries(keys) if keys else {}
                taken = [self._take_one(reading, step, known, at, now) for reading in readings]
                verdicts = [one if isinstance(one, Verdict) else self._answer(one, step, at) for one in taken]
            step.unanswered.clear()
            self._append(step, now, wall_ms)
            is_decided = True
        finally:
            if not is_decided:  # also for a bug: an uncovered admission would fail every later take of its reader
                self._undo(step)
        return step, verdicts

    def _take_one(self, reading: Reading, step: Step, known: dict[Key, Redelivery], at: Moment, now: float) -> Taken:
        route = self._site.route(reading.device)
        if route is None or not route.enabled:
            return self._refuse(reading, route, at)
        if not reading.message_id:
            return self._take_unnumbered(route, reading, step, at, now)
        key, mark = (reading.device, storable(reading.message_id)), fingerprint(reading)
        was_used = is_repeat = False
        before = step.unanswered.get(key)
        if before is not None:
            was_used = True
            if before.mark == mark:
                step.redelivered += 1
                return before
        elif (flying := self._in_flight.get(key)) is not None:
            was_used = True
            if flying[0] == mark:
                step.lean_on(flying[2])
                step.redelivered += 1
                return again(flying[1])
        elif (committed := known.get(key)) is not None:
            if committed.fingerprint == mark:
                step.redelivered += 1
                return decode_verdict(committed.verdict)
            # Of an answer that was damaged on the disk nobody knows what it answered: stored again, and flagged.
            was_used, is_repeat = not committed.is_damaged, committed.is_damaged
        taken = self._store(route, reading, step, at, now, is_repeat=is_repeat, reused=was_used)
        if isinstance(taken, Unanswered):
            taken.key, taken.mark = key, mark
            step.unanswered[key] = taken
        return taken

    def _take_unnumbered(self, route: Route, reading: Reading, step: Step, at: Moment, now: float) -> Taken:
        if reading.kind not in ("scan", "unreadable"):
            return self._store(route, reading, step, at, now, is_repeat=False, reused=False)
        mark = fingerprint(reading)
        # Apart, because a fragment that a breaking link leaves behind must not hide what the device said before it.
        slot = reading.device if reading.kind == "scan" else f"{reading.device}/unreadable"
        last = step.last.get(slot) or self._last.get(slot)
        is_repeat = reading.may_repeat and mark == last
        taken = self._store(route, reading, step, at, now, is_repeat=is_repeat, reused=False)
        step.last[slot] = mark
        self._tally.possible_redeliveries += is_repeat
        return taken

    def _store(
        self, route: Route, reading: Reading, step: Step, at: Moment, now: float, *, is_repeat: bool, reused: bool
    ) -> Taken:
        key, idle_s = route.session_key, route.station.session_idle_s
        session = step.sessions.get(key) or self._book.session(key, now, idle_s)
        if reading.kind == "tag":
            activity = self._normaliser.activity(route, reading, session)
            repeat = self._cycles.admit(route, reading, meaning(reading, session, activity), step, now)
            if repeat is not None:
                self._tally.repeat_reads += 1
                if repeat.is_in_flight and self._steps:
                    # Commits happen in order: when the last one in flight is on disk, so is the one that covers this.
                    step.lean_on(next(reversed(self._steps)))
                return repeat.verdict
        captured = self._normaliser.capture(route, reading, session, at, is_repeat=is_repeat)
        if captured.session is not session:
            step.sessions[key] = captured.session
        elif session is not EMPTY and self._book.is_due(key, now, idle_s):
            step.sessions[key] = session
        if reading.state_key is not None:
            step.state[reading.state_key] = reading.state
        if reading.kind == "tag" and captured.draft is not None:
            self._cycles.cover(route, reading, captured.draft.id)
        return Unanswered(route, reading, session, captured, reused)

    def _answer(self, one: Unanswered, step: Step, at: Moment) -> Verdict:
        """Have the checks see a reading, and return what is said about it; to one that came twice, the same again."""
        if one.verdict is not None:
            return again(one.verdict)
        judged = None
        if self._checks is not None:
            judged = self._checks.judge(one.route, one.reading, one.session, one.captured, at)
        one.verdict = step.conclude(one, judged)
        if one.key is not None:
            step.answers[one.key] = (one.mark, one.verdict)
        return one.verdict

    def _refuse(self, reading: Reading, route: Route | None, at: Moment) -> Verdict:
        if route is not None:
            self._tally.refused["device_disabled"] += 1
            return Verdict("refused", reason=f'device "{route.device}" is switched off in the configuration')
        self._tally.refused["unknown_device"] += 1
        driver = "rfid-reader" if reading.kind == "tag" else "handheld"
        self._knocking.note(reading.device, driver, tuple(self._stations), at.ms)
        return Verdict("refused", reason="this device is not configured here; `dockline status` shows how to admit it")

    def _append(self, step: Step, now: float, wall_ms: int) -> None:
        """Hand the step to the outbox and publish its effects; raise OutboxError with nothing published."""
        state = [StateRow(key, value) for key, value in step.state.items()]
        if step.sessions:
            state += session_rows(step.sessions, vouched(wall_ms, self._clock_quality()))
        if step.last:
            state += [StateRow(LAST_PREFIX + slot, mark) for slot, mark in step.last.items()]
        for cycle in step.cycles:
            seal = cycle.seal(now, wall_ms)
            if seal is not None:
                step.seals.append((cycle, seal))
                state += seal.rows
        answers = [
            Redelivery(device, number, mark, encode_verdict(verdict))
            for (device, number), (mark, verdict) in step.answers.items()
        ]
        if not (step.drafts or state or answers):
            return
        self._outbox.append(step.drafts, state=state, redeliveries=answers, on_known=partial(self._settle, step))
        self._appends += 1
        step.number, step.is_in_flight = self._appends, True
        self._steps[step] = None
        for key, (mark, verdict) in step.answers.items():
            self._in_flight[key] = (mark, verdict, step)
        self._book.adopt(step.sessions, now)
        self._last.update(step.last)

    def _settle(self, step: Step, error: OutboxError | None) -> None:
        """The commit of a step is known."""
        del self._steps[step]
        for key in step.answers:
            flying = self._in_flight.get(key)
            if flying is not None and flying[2] is step:
                del self._in_flight[key]
        if error is not None:
            self._undo_cycles(step)  # the checks forget everything when the state is loaded again
            self._is_stale = True
            self._tally.refused["storage"] += len(step.drafts)
        else:
            for cycle, seal in step.seals:
                cycle.commit(seal.number)
            self._tally.accept(step.drafts)
            self._on_commit(step.drafts)
            if step.judged and self._checks is not None:
                self._checks.settle(step.judged)
        step.known(error)

    def _undo(self, step: Step) -> None:
        self._undo_cycles(step)
        if step.judged and self._checks is not None:
            self._checks.undo(step.judged)

    def _undo_cycles(self, step: Step) -> None:
        for cycle in step.cycles:
            cycle.rollback(next((seal.number for sealed, seal in step.seals if sealed is cycle), None))

    def _begin(self) -> None:
        """Make sure that memory is what is committed plus what is in flight, and that events name the epoch of now."""
        if self._outbox.source is not self._source:
            self.adopt(self._site)
        if not self._is_stale and self._outbox.failed_commits == self._failed_commits:
            return
        self._load()

    def _load(self) -> None:
        now, wall_ms = self._monotonic(), vouched(self._wall(), self._clock_quality())
        failed_commits = self._outbox.failed_commits
        if self._checks is not None:
            self._checks.forget()
        sessions, last = self._outbox.states(SESSION_PREFIX), self._outbox.states(LAST_PREFIX)
        self._book.load(sessions, self._idle_s, now, wall_ms)
        self._last = {row.key.removeprefix(LAST_PREFIX): row.value for row in last if row.value is not None}
        # Not before: what could not be read has to be read by the next take.
        self._failed_commits, self._is_stale = failed_commits, False

    def _idle_s(self, session_key: str) -> float | None:
        station = self._stations.get(session_key.partition("/")[0])
        return None if station is None else station.session_idle_s

    def _gateway_route(self, device: str) -> Route:
        station = Station(self._site.gateway)
        return Route(device, station, "link", None, True, station.id)
