"""One voyage: a pump, the HTTP upstream and a centre that misbehaves at random, in virtual time, from a seed.

Everything between the outbox and the centre's ledger is the real code; only the socket is replaced, by a function call.
The verdict is computed from what was put into the outbox and what the centre wrote down, never from what the pump says
about itself.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from random import Random
from urllib.parse import parse_qsl, urlsplit

from upstream_events import entry
from upstream_outbox import FakeOutbox
from upstream_pump import PumpBench
from upstream_time import VirtualTime

from simulators.centre import Centre, Policy
from simulators.centre_http import Request as Asked
from simulators.centre_script import Act, Script
from sync import HttpEventsSettings
from sync.answer import Answer
from sync.http_events import HttpEvents
from sync.http_exchange import BrokenConnection, Request

POISON = "poison"

FAULTS = [
    Act("status", 500),
    Act("status", 503, retry_after="3"),
    Act("status", 429, retry_after="date+4"),
    Act("status", 401),
    Act("status", 404),
    Act("applied_status", 503),
    Act("answer_lost"),
    Act("request_lost"),
    Act("portal"),
    Act("empty"),
    Act("nonsense"),
    Act("wrong_ids"),
    Act("redirect", location="http://elsewhere.example/"),
    Act("partial", share=0.4),
    Act("partial", share=0.9),
    Act("through_beyond"),
    Act("duplicate_409"),
]

FALSE_WITNESS = [Act("status", 400), Act("status", 413), Act("reject_all")]
"""Faults that accuse events nothing is wrong with; one that was alone in its batch may be convicted."""


class InMemory:
    """Hands requests to a centre by a function call. Implements `Carrier`."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    async def exchange(self, request: Request) -> Answer:
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(parse_qsl(parts.query))
        reply = await self._centre._answer(
            Asked(request.method, parts.path, query, headers, request.body, len(request.body))
        )
        if reply.silent:
            raise BrokenConnection("closed without an answer")
        return Answer(
            reply.status,
            {name.lower(): value for name, value in dict(reply.headers).items()},
            reply.body[: request.answer_bytes_max + 1],
            request.answer_bytes_max,
        )

    def close(self) -> None:
        pass


@dataclass
class Verdict:
    """What is wrong. Empty when the promises held."""

    lost: list[int] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    innocent: list[int] = field(default_factory=list)
    """Quarantined although nothing was wrong with them."""
    poison_delivered: list[int] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self == Verdict()


async def sail(seed: int, *, count: int = 120, false_witness: bool = False, **settings: object) -> Verdict:
    """Deliver `count` events through weather, kill the pump now and then, and judge."""
    rng = Random(seed)
    time = VirtualTime()
    poison = {seq for seq in range(1, count + 1) if rng.random() < 0.02}
    centre = Centre(
        Policy(
            poison=(POISON,),
            poison_answer=rng.choice(["named", "400", "422"]),
            answers=rng.choice(["both", "ids", "through"]),
        ),
        Script(rng=rng),
        wall=lambda: time.wall() / 1000,
    )
    outbox = FakeOutbox()
    trouble = rng.uniform(0.1, 0.7)
    faults = FAULTS + FALSE_WITNESS * 3 if false_witness else FAULTS
    centre.script.act_for = lambda _number: rng.choice(faults) if rng.random() < trouble else None  # type: ignore[method-assign]
    how: dict[str, object] = {"batch_events_max": rng.choice([1, 7, 40, 1000]), **settings}
    upstream = HttpEvents(
        HttpEventsSettings(name="centre", url="http://centre.example/v1/events"),
        wall=time.wall,
        carrier=InMemory(centre),
    )
    added = 0
    for _ in range(6):
        bench = PumpBench(outbox, upstream, time=time, seed=rng.randrange(2**32), **how)
        bench.task = asyncio.ensure_future(bench.pump.run())
        for _ in range(10):
            more = rng.randrange(0, 5) if added < count else 0
            outbox.add(
                *(entry(seq, note=POISON if seq in poison else "") for seq in range(added + 1, added + more + 1))
            )
            added += more
            await time.pass_by(rng.uniform(0, 60))
        # A power cut: what was in flight is forgotten, what is settled stays.
        bench.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bench.task
    trouble = 0.0
    bench = PumpBench(outbox, upstream, time=time, seed=seed, **how)
    bench.task = asyncio.ensure_future(bench.pump.run())
    # An event nobody can refuse, so that a withheld rejection at the end is decided.
    outbox.add(entry(added + 1))
    poison.discard(added + 1)
    await time.pass_by(3600)
    bench.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.task
    return judge(outbox, centre, poison)


def judge(outbox: FakeOutbox, centre: Centre, poison: set[int]) -> Verdict:
    """Compare what was put in with what the centre has."""
    put = [row.seq for row in outbox.rows]
    has = {held.sequence for id, held in centre.ledger.by_id.items() if not id.startswith("gap-")}
    return Verdict(
        lost=[seq for seq in put if seq <= outbox.at and seq not in has and seq not in outbox.quarantine],
        conflicts=centre.ledger.conflicts,
        missing=centre.ledger.missing,
        late=[seq for seq in centre.ledger.late if seq not in poison],
        innocent=sorted(set(outbox.quarantine) - poison),
        poison_delivered=sorted(has & poison),
        unfinished=[seq for seq in put if seq > outbox.at],
    )
