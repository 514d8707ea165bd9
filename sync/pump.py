"""Moves events from the outbox to one upstream, for ever.

Theory of operation. There are two positions, the outbox's newest entry and this upstream's cursor, and a loop over the
gap between them: read behind the cursor, send, settle what the answer allows. In flight is memory: on any error the
position in memory is dropped and asked again from the outbox, so that the next round starts from what is true on disk
instead of from what was believed. The cursor moves after the answer and never before; a crash in between repeats
events under their own ids, which a consumer knows.

Who is at fault decides what follows: nobody answers -> back off with jitter; the upstream refuses us -> hold, look
again slowly, and at once when a credential changes; an event is refused -> `Window` finds it, `Guard` decides whether
to believe it. The pump touches nothing but its own cursor, so a dead upstream costs intake and the other upstreams
nothing.

Linger. A request costs about as much as fifty events, so a trickle must share requests. The pump paces the *starts*
of requests that are not full: what arrives after a quiet spell leaves at once, what follows within `linger_s` leaves
together. A backlog fills its requests and is not paced at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

from buffer.entry import Entry, Outcome, Rejected
from sync.announcements import Announcements
from sync.backoff import Backoff
from sync.batch import Batch, join_batch
from sync.errors import BatchRefused, BatchTooLarge, SyncError, Unanswered, UpstreamHolds, UpstreamUnavailable
from sync.guard import Guard, Settlement
from sync.outbox_port import OutboxPort
from sync.position import PositionFinder
from sync.pump_state import Alarm, Health, PumpState
from sync.retries import Retries
from sync.settings import PumpSettings
from sync.settler import Settler
from sync.upstream import Upstream
from sync.waiting import first_of
from sync.window import Window

_log = logging.getLogger(__name__)

CREDENTIAL_LOOK_S = 5.0
"""While on hold the credential files are looked at this often: `stat` is cheap, a waiting site is not."""
IDLE_LOOK_S = 30.0
"""An idle pump looks for retries this often, should nobody have told it."""

SHORT_PAUSE_S = 0.1
"""A pause of this length between two requests need not be ended by whoever wakes us."""

POSITION_EVERY_S = 300.0
"""How often the upstream is asked where it is though nothing failed: one that was restored from a backup over night, or
between two requests, tells nobody by itself."""

_Span = tuple[Sequence[Entry], Batch]


class Pump:
    """Delivers the outbox to one upstream."""

    def __init__(
        self,
        outbox: OutboxPort,
        upstream: Upstream,
        settings: PumpSettings,
        *,
        rng: Random,
        monotonic: Callable[[], float],
        on_state: Callable[[PumpState], None] = lambda _state: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Touch nothing yet. `on_state` is called with every new state and must not raise."""
        self._outbox = outbox
        self._upstream = upstream
        self._settings = settings
        self._name = settings.name
        self._monotonic = monotonic
        self._rng = rng
        self._sleep = sleep
        self._on_state = on_state
        self._backoff = Backoff(
            rng,
            base_s=settings.backoff_base_s,
            cap_s=settings.backoff_max_s,
            retry_after_max_s=settings.retry_after_max_s,
        )
        self._window = Window(
            count_max=settings.batch_events_max, bytes_max=settings.batch_bytes_max, monotonic=monotonic
        )
        self._guard = Guard(settings.reject_max)
        self._finder = PositionFinder(outbox, upstream, settings.name)
        self._settler = Settler(
            outbox,
            settings,
            rng=rng,
            sleep=sleep,
            on_settled=self._settled,
            on_refused=lambda alarm: self._show(alarm=alarm),
        )
        self._announcements = Announcements(outbox, upstream, settings.name, self._settler.record, monotonic)
        self._retries = Retries(outbox, upstream, settings.name, self._settler.record)
        self._position = 0
        """The cursor, as the outbox last said or took it; believed while `_is_placed`."""
        self._is_placed = False
        self._ask_again_at = 0.0
        self._heed_again_at = float("-inf")
        self._standing_alarm: Alarm | None = None
        """Lasts although the upstream answers."""
        self._has_more = True
        self._retries_due = True
        self._last_start = float("-inf")
        self._nudged = asyncio.Event()
        self._pause: asyncio.Future[None] | None = None
        """Between two requests."""
        self._is_stopping = False
        self.state = PumpState(settings.name)

    async def run(self) -> None:
        """Deliver until `stop`. Raises OutboxError when the outbox cannot go on; network trouble never ends it.

        Errors lose their traceback here: it holds frames, and frames hold the error and the answer it is about, so that
        each would keep up to a megabyte until the collector of cycles runs, which in a quiet gateway is hours.
        """
        self._is_placed = False
        try:
            while not self._is_stopping:
                try:
                    await self._round()
                except UpstreamUnavailable as error:
                    await self._stay_away(error.with_traceback(None))
                except UpstreamHolds as error:
                    await self._hold(error.with_traceback(None))
            await self._settler.settled()
        finally:
            self._settler.drop()
            self._show(health="stopped", next_attempt_at=None)

    def nudge(self) -> None:
        """Try at once and look for retries: a person decided something, or the configuration changed."""
        self._retries_due = True
        self._announcements.wake()
        self._nudged.set()

    def stop(self) -> None:
        """Let `run` return when the request under way is settled. Cancelling it instead is safe, too."""
        self._is_stopping = True
        self._wake()

    def _wake(self) -> None:
        self._nudged.set()
        if self._pause is not None:
            self._pause.cancel()

    # One round: find the position, announce, retry, wait for entries, send, settle.

    async def _round(self) -> None:
        after = await self._find_position()
        if await self._announcements.run_once(self._finder.instance):
            self._answered()
            self._show(requests=self.state.requests + 1)
        if self._retries_due:
            await self._retry()
        if not self._has_more and not self._guard.is_wary:
            # First, because what is to be sent comes meanwhile: looked for before, it would have to be waited for.
            await self._pace()
            if not await self._await_entries(after):
                return
        spans = await self._read(after)
        if not spans:
            self._has_more = False
            if self._guard.is_wary:
                await self._apply(self._guard.nothing_behind())
            return
        self._last_start = self._monotonic()
        self._show(requests=self.state.requests + len(spans))
        if len(spans) == 1:
            await self._deliver(spans[0], await self._attempt(spans[0][1]))
            return
        answers = await asyncio.gather(*(self._attempt(batch) for _, batch in spans))
        for span, answer in zip(spans, answers, strict=True):
            # The first span that is not settled whole ends the wave: what follows is read and sent again.
            if not await self._deliver(span, answer):
                return

    async def _find_position(self) -> int:
        if not self._is_placed or self._monotonic() >= self._ask_again_at:
            await self._settler.settled()
            cursor = await self._outbox.cursor(self._name)
            newest = (await self._outbox.head_of_chain()).seq
            self._show(settled_through=cursor, newest=newest)
            start = await self._finder.find(cursor)
            self._standing_alarm = start.alarm or self._finder.surprise
            # Behind a rewind there are entries that a person had tried again, and the centre has forgotten.
            self._retries_due = self._retries_due or start.is_rewind
            if start.after != self._position:
                # Answers about events elsewhere. At the same place they still count: a centre that throttles after
                # every request would otherwise make us ask for the same rejection for ever.
                self._guard.drop()
            self._position, self._is_placed, self._has_more = start.after, True, True
            self._ask_again_at = self._monotonic() + POSITION_EVERY_S
        withheld = self._guard.withheld_through
        return self._position if withheld is None else withheld

    async def _retry(self) -> None:
        self._retries_due = False
        retried = await self._retries.run_once(self._finder.instance)
        self._retries_due = retried.has_more
        if retried.is_answered:
            self._answered()
            delivered, rejected = self.state.delivered + retried.delivered, self.state.rejected + retried.rejected
            self._show(requests=self.state.requests + 1, delivered=delivered, rejected=rejected)

    async def _await_entries(self, after: int) -> bool:
        """Return True when an entry behind `after` is on disk; False when something else is to be looked at."""
        if self._outbox.newest > after and not self._nudged.is_set():
            return True  # three tasks less: in a steady trickle something is always there
        await self._settler.settled()
        if self.state.health != "idle" and self.state.answered_at is not None:
            self._show(health="idle", alarm=self._standing_alarm)
        woken_by = await first_of(self._outbox.appended(after), self._nudged.wait(), self._sleep(IDLE_LOOK_S))
        self._nudged.clear()
        if woken_by == 2:
            self._retries_due = True
            self._announcements.wake()
        return woken_by == 0

    async def _pace(self) -> None:
        wait_s = self._last_start + self._settings.linger_s - self._monotonic()
        if wait_s <= 0 or self._nudged.is_set():
            return
        if wait_s <= SHORT_PAUSE_S:
            await self._sleep(wait_s)
            return
        pause = self._pause = asyncio.ensure_future(self._sleep(wait_s))
        try:
            await asyncio.wait([pause])
        finally:
            pause.cancel()

    async def _read(self, after: int) -> list[_Span]:
        settings, window = self._settings, self._window
        flights = settings.in_flight_max if settings.orders_by == "sequence" else 1
        if not window.is_open or self._guard.is_wary:
            flights = 1
        count_max = window.count * flights
        # Before the entries: what is appended in between must not look like a backlog, or a trickle is never paced.
        head = await self._outbox.head_of_chain()
        entries: Sequence[Entry] = await self._outbox.head(
            self._name, after=after, count_max=count_max, bytes_max=window.bytes * flights
        )
        if not entries:
            return []
        newest, chain_hex = head.seq, head.chain_hex
        if entries[-1].seq > newest and entries[-1].chain:
            newest, chain_hex = entries[-1].seq, entries[-1].chain.hex()
        chain = f"{head.source}:{newest}:{chain_hex}"
        self._show(newest=newest)
        spans: list[_Span] = []
        rest = entries
        while rest and len(spans) < flights:
            part = window.cut(rest)
            batch = join_batch(self._outbox.source_of, part, chain=chain, instance=self._finder.instance)
            spans.append((part, batch))
            rest = rest[len(part) :]
        # Full by count, by bytes (the outbox or the window stopped before the newest entry), or cut.
        self._has_more = len(entries) >= count_max or bool(rest) or entries[-1].seq < newest
        return spans

    async def _attempt(self, batch: Batch) -> list[Outcome] | SyncError:
        try:
            return await self._upstream.send(batch)
        except SyncError as error:
            return error.with_traceback(None)

    async def _deliver(self, span: _Span, answer: list[Outcome] | SyncError) -> bool:
        """Do what the answer asks for; return whether the whole span is behind us."""
        entries, batch = span
        if isinstance(answer, BatchRefused | BatchTooLarge):
            if len(entries) > 1:
                self._has_more = True
                if isinstance(answer, BatchRefused):
                    self._window.refused(entries)
                    self._guard.refused()
                else:
                    self._window.too_large(entries, len(batch.body))
                return False
            self._window.isolated()
            await self._apply(self._guard.judge(entries, [Rejected(str(answer))]))
            return True
        took_s = self._monotonic() - self._last_start
        if isinstance(answer, Unanswered):
            self._window.unanswered(entries, took_s)
        if isinstance(answer, SyncError):
            raise answer
        self._heed()
        settlement = self._guard.judge(entries, answer)
        await self._apply(settlement)
        if settlement.released is None:
            self._window.passed(entries, took_s)
            return True
        self._has_more = True
        passed = sum(1 for entry in entries if settlement.through is not None and entry.seq <= settlement.through)
        if not passed or settlement.released.retry_after_s is not None:
            raise UpstreamUnavailable(
                "the upstream left events open",
                retry_after_s=settlement.released.retry_after_s,
                code="upstream_partial",
            )
        self._window.partly_passed(passed)
        return False

    def _heed(self) -> None:
        """Ask at once where an upstream is that claims more than it was sent, but not after every request."""
        now = self._monotonic()
        if self._finder.heed(self._upstream.claimed_through) and now >= self._heed_again_at:
            self._ask_again_at, self._heed_again_at = now, now + POSITION_EVERY_S
        self._standing_alarm = self._standing_alarm or self._finder.surprise

    # Settling.

    async def _apply(self, settlement: Settlement) -> None:
        """Settle what is allowed. Raises UpstreamHolds when the centre is not to be believed."""
        for seq in settlement.unannounced:
            _log.warning("gap_record_refused upstream=%s seq=%d count=1", self._name, seq)
        if settlement.through is not None:
            # In a trickle the next request is not due before the linger is over, so the cursor can wait that long for a
            # commit that a scan pays for anyway.
            await self._settler.settle(settlement, patience_s=0.0 if self._has_more else self._settings.linger_s)
            self._position = settlement.through
            self._answered()
            self._announcements.answered()
        if settlement.broken is not None:
            raise UpstreamHolds(
                f"the centre looks broken: {settlement.broken}",
                hint="nothing was quarantined. Ask the centre's operator; if the events are bad, raise reject_max",
                code="centre_broken",
            )

    def _settled(self, settlement: Settlement) -> None:
        if settlement.rejected or settlement.unannounced:
            self._announcements.wake()
        self._show(
            settled_through=settlement.through,
            delivered=self.state.delivered + settlement.accepted,
            rejected=self.state.rejected + len(settlement.rejected),
        )

    # Waiting.

    async def _stay_away(self, error: UpstreamUnavailable) -> None:
        await self._settler.settled()
        delay_s = self._backoff.failed(error.retry_after_s)
        self._forget(error, "unavailable", delay_s)
        await first_of(self._sleep(delay_s), self._nudged.wait())
        self._nudged.clear()

    async def _hold(self, error: UpstreamHolds) -> None:
        await self._settler.settled()
        remaining_s = self._settings.hold_retry_s * self._rng.uniform(0.5, 1.0)
        self._forget(error, "on_hold", remaining_s)
        while remaining_s > 0:
            step_s = min(remaining_s, CREDENTIAL_LOOK_S)
            woken_by = await first_of(self._sleep(step_s), self._nudged.wait())
            # Looked at after the step, not before: a file that changes all the time must not turn this into a storm.
            if woken_by == 1 or self._upstream.refreshed():
                break
            remaining_s -= step_s
        self._nudged.clear()

    def _forget(self, error: SyncError, health: Health, delay_s: float) -> None:
        """Drop what is only believed and say what is wrong."""
        self._is_placed = False
        if self.state.alarm is None or self.state.alarm.code != error.code:
            _log.warning("delivery_interrupted upstream=%s code=%s reason=%r", self._name, error.code, str(error))
        self._show(
            health=health,
            alarm=Alarm(error.code, str(error), error.hint),
            failures=self.state.failures + 1,
            next_attempt_at=self._monotonic() + delay_s,
        )

    def _answered(self) -> None:
        self._backoff.succeeded()
        if self.state.alarm is not None and self.state.alarm != self._standing_alarm:
            _log.info("delivery_resumed upstream=%s", self._name)
        self._show(
            health="delivering",
            alarm=self._standing_alarm,
            failures=0,
            next_attempt_at=None,
            answered_at=self._monotonic(),
        )

    def _show(self, **changes: object) -> None:
        state = replace(self.state, **changes)  # type: ignore[arg-type]
        if state != self.state:
            self.state = state
            self._on_state(state)
