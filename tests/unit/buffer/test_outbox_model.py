"""The outbox against a model that fits on a page.

Hypothesis calls in any order what the gateway, the pump, an operator, time and a crash may do, and compares everything
that can be seen with lists and dictionaries.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from outbox_rig import Rig, drafts, fail_disk, redelivery, sqlite_error

from buffer import Limits, Outbox, OutboxFull, StateRow

T = TypeVar("T")
UPSTREAMS = ("a", "b")
LIMITS = Limits(disk_reserve_bytes=0, retention_ms=24 * 3_600_000)
DAY_MS = 24 * 3_600_000


class Model:
    """What an outbox is, in memory."""

    def __init__(self) -> None:
        self.committed_ms: list[int] = []  # by seq - 1
        self.state: dict[str, bytes] = {}
        self.answers: dict[tuple[str, str], int] = {}
        self.cursor = dict.fromkeys(UPSTREAMS, 0)
        self.quarantine: dict[str, dict[int, str]] = {name: {} for name in UPSTREAMS}
        self.delivered: dict[str, set[int]] = {name: set() for name in UPSTREAMS}

    @property
    def head(self) -> int:
        return len(self.committed_ms)

    def open_cases(self) -> list[tuple[str, int]]:
        cases = [(name, seq, state) for name in UPSTREAMS for seq, state in self.quarantine[name].items()]
        return sorted((name, seq) for name, seq, state in cases if state == "open")


class OutboxMachine(RuleBasedStateMachine):
    """Everybody who touches an outbox, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.rig = Rig(self.folder / "state", inline=True)
        self.model = Model()
        self.operating_ms = 0
        self.outbox: Outbox

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        async def work() -> Outbox:
            outbox = await self.rig.open(limits=LIMITS)
            for name in UPSTREAMS:
                await outbox.register(name, required=True, start="now")
            return outbox

        self.outbox = self.do(work())

    @rule(count=st.integers(0, 5), key=st.sampled_from("xyz"), value=st.none() | st.binary(max_size=3))
    def append(self, count: int, key: str, value: bytes | None) -> None:
        first = self.model.head + 1
        answers = [redelivery(number) for number in range(first, first + count)]

        async def work() -> None:
            await self.outbox.append(drafts(first, count), state=[StateRow(key, value)], redeliveries=answers)

        self.do(work())
        self.model.committed_ms += [self.operating_ms] * count
        if value is None:
            self.model.state.pop(key, None)
        else:
            self.model.state[key] = value
        self.model.answers.update({(one.device, one.message_id): self.operating_ms for one in answers})

    @rule(statement=st.sampled_from(["BEGIN IMMEDIATE", "INSERT INTO entry", "UPDATE ledger", "COMMIT"]))
    def append_to_a_full_disk(self, statement: str) -> None:
        async def work() -> None:
            disk = fail_disk(self.outbox)
            once = iter([sqlite_error(13)])
            disk.fail_on = lambda sql: next(once, None) if sql.startswith(statement) else None
            future = self.outbox.append(drafts(900, 3), state=[StateRow("x", b"lost")], redeliveries=[redelivery(900)])
            try:
                await future
            except OutboxFull:
                pass
            else:
                raise AssertionError("a commit that failed was acknowledged")
            self.rig.monotonic_s += 2
            await self.outbox._group.submit(lambda writer: writer.measure())
            await asyncio.sleep(0)

        self.do(work())
        self.operating_ms += 2000
        assert self.outbox.full_reason is None

    @rule(upstream=st.sampled_from(UPSTREAMS), data=st.data())
    def settle(self, upstream: str, data: st.DataObject) -> None:
        model = self.model
        cursor = model.cursor[upstream]
        through = data.draw(st.integers(cursor, model.head))
        later = range(cursor + 1, model.head + 1)
        rejected = data.draw(st.sets(st.sampled_from(later), max_size=2)) if later else set()
        known = model.quarantine[upstream]
        self.do(self.outbox.settle(upstream, through=through, rejected=[(seq, "no") for seq in rejected]))
        for seq in rejected:
            if known.get(seq) in (None, "open", "retry"):
                known[seq] = "open"
        model.delivered[upstream] |= {seq for seq in range(cursor + 1, through + 1) if seq not in known}
        model.cursor[upstream] = through

    @precondition(lambda self: self.model.open_cases())
    @rule(data=st.data(), retry=st.booleans())
    def decide(self, data: st.DataObject, retry: bool) -> None:
        upstream, seq = data.draw(st.sampled_from(self.model.open_cases()))
        if retry:
            self.do(self.outbox.quarantine_retry(upstream, [seq], actor="op"))
        else:
            self.do(self.outbox.quarantine_discard(upstream, [seq], actor="op", note=""))
        self.model.quarantine[upstream][seq] = "retry" if retry else "discarded"

    @rule(upstream=st.sampled_from(UPSTREAMS), takes=st.booleans())
    def deliver_retries(self, upstream: str, takes: bool) -> None:
        held = self.model.quarantine[upstream]
        due = sorted(seq for seq, state in held.items() if state == "retry")
        assert [entry.seq for entry in self.do(self.outbox.retries(upstream, count_max=100))] == due
        self.do(self.outbox.settle_retry(upstream, due if takes else [], [] if takes else [(seq, "no") for seq in due]))
        for seq in due:
            held[seq] = "delivered" if takes else "open"
            if takes:
                self.model.delivered[upstream].add(seq)

    @rule(hours=st.integers(1, 20))
    def time_passes(self, hours: int) -> None:
        self.rig.advance(hours=hours)
        self.operating_ms += hours * 3_600_000

    @rule(years=st.integers(-400, 400))
    def wall_clock_jumps(self, years: int) -> None:
        self.rig.wall_ms += years * 365 * DAY_MS

    @rule()
    def reopen(self) -> None:
        self.do(self.outbox.close(5))
        self.open()

    @rule()
    def crash(self) -> None:
        """Go on with a copy of the files as they are: what kill -9 leaves."""
        crashed = self.rig.folder.with_name(f"{self.rig.folder.name}x")
        shutil.copytree(self.rig.folder, crashed)
        self.do(self.outbox.close(5))
        shutil.rmtree(self.rig.folder)
        self.rig.folder = crashed
        ((stored,),) = self.rig.query("SELECT operating_ms FROM ledger")
        self.operating_ms = stored
        self.open()

    @invariant()
    def books_balance(self) -> None:
        model = self.model
        for name in UPSTREAMS:
            census = self.do(self.outbox.census(name))
            states = list(model.quarantine[name].values())
            assert census.imbalance == 0
            assert (census.accepted, census.delivered) == (model.head, len(model.delivered[name]))
            assert census.quarantined == states.count("open") + states.count("retry")
            assert census.discarded == states.count("discarded")
            assert self.do(self.outbox.cursor(name)) == model.cursor[name]

    @invariant()
    def everything_due_is_offered(self) -> None:
        model = self.model
        for name in UPSTREAMS:
            cursor = model.cursor[name]
            head = self.do(self.outbox.head(name, after=cursor, count_max=1000, bytes_max=10**6))
            held = model.quarantine[name]
            assert [entry.seq for entry in head] == list(range(cursor + 1, model.head + 1))
            assert [entry.seq for entry in head if entry.gap_reason is not None] == [
                seq for seq in range(cursor + 1, model.head + 1) if held.get(seq, "delivered") != "delivered"
            ]
            assert all(entry.id == drafts(entry.seq, 1)[0].id for entry in head)

    @invariant()
    def state_and_answers_are_the_committed_ones(self) -> None:
        assert {row.key: row.value for row in self.outbox.states()} == self.model.state
        keys = [*self.model.answers, ("hh-7", "hh-7-000900")]
        assert set(self.outbox.redeliveries(keys)) == {
            key for key, at in self.model.answers.items() if at > self.operating_ms - LIMITS.redelivery_window_ms
        }

    @invariant()
    def only_what_may_leave_has_left(self) -> None:
        model = self.model
        here = {seq for (seq,) in self.rig.query("SELECT seq FROM entry")}
        for seq, at in enumerate(model.committed_ms, 1):
            needed = any(
                seq > model.cursor[name] or model.quarantine[name].get(seq) in ("open", "retry") for name in UPSTREAMS
            )
            if needed or self.operating_ms - at < LIMITS.retention_ms:
                assert seq in here, f"{seq} left too early"

    def teardown(self) -> None:
        try:
            verification = self.do(self.outbox.verify())
            assert verification.problems == ()
            assert verification.head.seq == self.model.head
            assert self.rig.fatal == []
            self.do(self.outbox.close(5))
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)


OutboxMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutboxAgainstModel = OutboxMachine.TestCase
