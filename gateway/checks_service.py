"""The checks of one daemon, put together: rules of the configuration, documents of the centre, what time brings.

Nothing here is on the path of a scan; the checker is, and it is handed to intake. A pull that fails, or a watch that
cannot write because the disk is full, is tried again and costs no scan anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from buffer import AnnexRow, Note, Outbox
from buffer.errors import OutboxError
from drivers import StorageUnavailable
from gateway.capture.intake import Intake
from gateway.checks.checker import FAULTS, Checker
from gateway.checks.clerk import Clerk
from gateway.checks.desk import ChecksDesk
from gateway.checks.docket import Identity
from gateway.checks.policy import Policy
from gateway.checks.pull import Get, Pull
from gateway.checks.routing import Router, RoutingRule
from gateway.checks.rule import LocationRule, Rule, RuleBook, Tolerance
from gateway.checks.summary import ChecksStatus, summarise, summarise_suppliers
from gateway.checks.watch import Delivery, Watch
from gateway.deliveries import Deliveries
from gateway.events.cloudevents import EventIds
from gateway.events.model import ClockQuality
from gateway.log import event
from gateway.settings import Settings
from gateway.settings.checks import ChecksSettings, ExpectationsSettings
from gateway.wiring import World

log = logging.getLogger(__name__)

WATCH_S: Final = 5.0
"""How often is looked for what time brought."""
CLEAN_PAUSE_S: Final = 0.1
"""Between two steps of letting old rows go."""
RULE_SPACE: Final = "rule"
OpenGet = Callable[[ExpectationsSettings], Get]
"""Makes what asks the address of expectations; it connects to nothing yet."""


class ChecksService:
    """Builds the checker, and keeps it fed."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        outbox: Outbox,
        *,
        ids: EventIds,
        clock_quality: Callable[[], ClockQuality],
        open_get: OpenGet | None,
    ) -> None:
        self._world = world
        self._outbox = outbox
        self._clock_quality = clock_quality
        self._open_get = open_get
        self._settings = settings
        identity = Identity(settings.site.id, settings.site.gateway)
        self.checker = Checker(outbox, policy_of(settings), identity, ids=ids, clock_quality=clock_quality)
        self.desk: ChecksDesk
        self.pull: Pull | None = None
        self._watch: Watch
        self._tasks: list[asyncio.Task[None]] = []
        self._pulling: asyncio.Task[None] | None = None

    async def start(self, intake: Intake, deliveries: Deliveries) -> None:
        """Begin to watch and to pull; the network is not waited for. Raises OutboxError."""
        world = self._world
        self.desk = ChecksDesk(self._outbox, self.checker, intake.record, aside=self._aside)
        self._watch = Watch(
            self.checker,
            deliveries=lambda: [
                Delivery(state.upstream, state.lag > 0, state.answered_at, state.alarm.message if state.alarm else "")
                for _, state in deliveries.states()
                if state.newest  # else it has not looked at its position yet: nothing is known of what it owes
            ],
            clock_quality=self._clock_quality,
            monotonic=world.monotonic,
            operating_ms=lambda: self._outbox.operating_ms,
        )
        await self._audit_rules(self._settings.checks)
        self._tasks.append(asyncio.create_task(self._keep_watch(intake), name="watch over exceptions"))
        waiting = asyncio.Event()
        waiting.set()  # the last run may have ended between
        self.checker.on_long = waiting.set
        clerk = Clerk(self.checker, intake.record, monotonic=world.monotonic, sleep=world.sleep)
        self._tasks.append(
            asyncio.create_task(self._keep_stepping(clerk, waiting), name="count and close long documents")
        )
        self._tasks.append(asyncio.create_task(self._finish(), name="count what a power cut left uncounted"))
        self._begin_pull()

    async def apply(self, settings: Settings) -> None:
        """Go by changed settings from the next scan on. Raises OutboxError."""
        old, self._settings = self._settings, settings
        self.checker.adopt(policy_of(settings))
        if settings.checks != old.checks:
            await self._audit_rules(settings.checks)
        if settings.expectations != old.expectations:
            if self._pulling is not None:
                self._pulling.cancel()
                self._pulling = None
            self.pull = None
            self._begin_pull()

    def status(self) -> ChecksStatus:
        """Return how the checks are. Raises OutboxError."""
        cases, now_ms = self.checker.docket.open_cases(), self._outbox.operating_ms
        exceptions, suppliers = summarise(cases, now_ms), summarise_suppliers(cases, now_ms)
        if self.pull is None:
            return ChecksStatus(self.checker.is_on, exceptions, suppliers)
        state = self.pull.state
        return ChecksStatus(
            self.checker.is_on,
            exceptions,
            suppliers,
            self._settings.expectations.url,
            state.failures,
            state.problem,
            state.hint,
            None if state.at is None else round(self._world.monotonic() - state.at, 1),
        )

    def stop(self) -> None:
        """Watch and pull no more; what a pull had not finished is asked for again."""
        for task in (*self._tasks, self._pulling):
            if task is not None:
                task.cancel()

    # -- within

    async def _aside(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._world.reader, work)

    def _begin_pull(self) -> None:
        wanted = self._settings.expectations
        if wanted.url is None or self._open_get is None:
            return
        self.pull = Pull(
            wanted.url,
            self._open_get(wanted),
            self.desk,
            self._outbox,
            monotonic=self._world.monotonic,
            aside=self._aside,
        )
        self._pulling = asyncio.create_task(self._keep_pulling(self.pull, wanted.interval_s), name="pull expectations")

    async def _keep_pulling(self, pull: Pull, interval_s: float) -> None:
        while True:
            await _survived(pull.pull, "pull_failed")
            await self._world.sleep(pull.pause_s(interval_s, self._world.rng.random))

    async def _keep_stepping(self, clerk: Clerk, waiting: asyncio.Event) -> None:
        while True:
            await waiting.wait()
            waiting.clear()
            is_done = await _survived(clerk.count, "counting_failed")
            if not await _survived(clerk.close, "closing_failed") or not is_done:
                await self._world.sleep(WATCH_S)
                waiting.set()

    async def _finish(self) -> None:
        while not await _survived(self.desk.finish, "recall_failed"):
            await self._world.sleep(WATCH_S)

    async def _keep_watch(self, intake: Intake) -> None:
        while True:
            if self._watch_is_due():
                await _survived(partial(intake.record, self.checker.own(self._watch.step)), "watch_failed")
            await self._world.sleep(CLEAN_PAUSE_S if self._watch.is_cleaning else WATCH_S)

    def _watch_is_due(self) -> bool:
        try:
            return self._watch.due()
        except OutboxError as error:
            log.warning("%s", event("watch_failed", reason=error, hint=error.hint))
            return False

    async def _audit_rules(self, settings: ChecksSettings) -> None:
        """Write down what changed in the rules since this was last looked at: in a run before, or before a reload."""
        known = {
            row.key: json.loads(row.value) for row in self._outbox.annex_under(RULE_SPACE) if row.value is not None
        }
        current = {
            f"{kind}/{rule.id}": {"version": rule.version, "author": rule.author, "digest": rule.digest}
            for kind, rules in (("rule", rules_of(settings)), ("location", location_rules_of(settings)))
            for rule in rules
        }
        for key in sorted(known.keys() | current.keys()):
            before, now = known.get(key), current.get(key)
            if before == now:
                continue
            value = None if now is None else json.dumps(now).encode()
            try:
                await self._outbox.keep([AnnexRow(RULE_SPACE, key, value)], note=_rule_note(key, before, now))
            except OutboxError as error:  # a full disk must not keep the gateway from starting
                log.warning("%s", event("rules_not_audited", reason=error, hint=error.hint))
                return


async def _survived(work: Callable[[], Awaitable[object]], name: str) -> bool:
    """Do it, or say what kept it from being done: there is a next time."""
    try:
        await work()
        return True
    except (OutboxError, StorageUnavailable) as error:
        log.warning("%s", event(name, reason=error, hint=error.hint))
    except FAULTS as error:
        log.error("%s", event(name, reason=repr(error)), exc_info=error)
    return False


def policy_of(settings: Settings) -> Policy:
    """Return what the settings say about checks."""
    checks = settings.checks
    asked = checks.enabled
    by = (settings.expectations.url, checks.rules, checks.routes, checks.locations, settings.labels.command_prefix)
    if asked is None and any(by):
        asked = True
    return Policy(
        asked,
        RuleBook(rules_of(checks)),
        Router([RoutingRule(**route.model_dump()) for route in checks.routes]),
        location_rules_of(checks),
        checks.sync_failure_after_s,
        checks.clock_after_s,
        checks.keep_days,
    )


def rules_of(checks: ChecksSettings) -> list[Rule]:
    """Return the rules of the configuration."""
    return [
        Rule(
            id=one.id,
            version=one.version,
            author=one.author,
            code=one.code,
            activities=one.activities,
            document_types=one.document_types,
            suppliers=one.suppliers,
            items=one.items,
            tolerance=Tolerance(one.tolerance_absolute, one.tolerance_percent, one.tolerance_value),
            hold=one.hold,
            shelf_life_days_min=one.shelf_life_days_min,
            enabled=one.enabled,
        )
        for one in checks.rules
    ]


def location_rules_of(checks: ChecksSettings) -> list[LocationRule]:
    """Return what the configuration says about places."""
    return [LocationRule(**one.model_dump()) for one in checks.locations]


def _rule_note(key: str, before: dict[str, Any] | None, now: dict[str, Any] | None) -> Note:
    if now is None:
        assert before is not None
        return Note("rule_removed", str(before["author"]), f"{key} version {before['version']}")
    author = str(now["author"])
    if before is None:
        return Note("rule_added", author, f"{key} version {now['version']}")
    versions = f"version {before['version']} to {now['version']}"
    if before["version"] == now["version"]:
        versions = f"version {now['version']}, though its content is another one"
    return Note("rule_changed", author, f"{key} {versions}")
