"""A real gateway between devices that post scans and strict consumers, one behind each upstream.

    async with consumer_site(tmp_path, {"centre": {}, "mirror": {"required": False}}) as site:
        await site.post(200)                 # each answered: on disk
        await site.kill()                    # SIGKILL, and started again
        await site.settled()
        reading = site.judge("centre")       # every rule of docs/delivery.md, or an AssertionError

`judge` knows what devices heard, what the centre took and in which requests, and which breaks there were. Nothing of it
is asked of the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import re
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from daemon_process import command
from strict_consumer import GAP, UNWRITTEN_MAX, Break, Reading, read, repeats
from troubled_site import BOUND_S, LOOK_S, QUICK, describe, until

from gateway.cli.child import GatewayProcess, free_port
from gateway.events.epcis import decode
from simulators.centre import Centre, Policy
from simulators.centre_ledger import CentreLedger
from simulators.network import Network

BAD = "BAD"
"""In a code: a centre with the policy `picky()` refuses the event."""

CAP = 1048576
"""The smallest cap there is, in bytes; some seven hundred scans fill it."""
EVERYTHING = 10**9
"""All requests may come again: somebody wants that, or the position was lost."""
RELOADED = re.compile("configuration_applied")

_CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{folder}/state"
reserve_bytes = 0
{storage}

[api]
bind = "127.0.0.1:{api}"
unauthenticated = "accept-in-lab"

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""


def picky() -> Policy:
    """A centre that refuses some events."""
    return Policy(poison=(BAD,))


@dataclass
class Line:
    """One upstream, the line to it, and what befell that."""

    keys: dict[str, object]
    centre: Centre
    network: Network
    breaks: list[Break] = field(default_factory=list)
    sorts: bool = False
    """The consumer has several requests in flight, and sorts by sequence before it looks."""
    _refused: dict[str, tuple[str, int]] = field(default_factory=dict)
    _looked: int = 0

    @contextlib.contextmanager
    def broken(self, reach: int = UNWRITTEN_MAX) -> Iterator[None]:
        """Note that what was not written down before the end of the block may come again."""
        began = len(self.centre.attempts)
        reach += int(str(self.keys.get("in_flight_max", 1))) - 1
        yield
        self.breaks.append(Break(began, len(self.centre.attempts), reach))

    def cut(self) -> None:
        """Break the connections: the answer under way is lost."""
        with self.broken(reach=0):
            self.network.cut()

    def restore(self, count: int) -> None:
        """Put the centre back to a backup that ends with its first `count` events; it says so, as it should."""
        kept, self.centre.ledger = self.centre.ledger.events[:count], CentreLedger()
        for event in kept:
            self.centre.ledger.take(json.loads(event.body))
        self.centre.policy.instance += " restored"

    def reading(self) -> Reading:
        """Return what was taken so far."""
        events = self.centre.ledger.events
        if self.sorts:
            begun = list(self.centre.ledger.sources)
            events = sorted(events, key=lambda event: (begun.index(event.source), event.sequence))
        return read([event.body for event in events], refused=self.refused.values())

    def untold(self, reading: Reading) -> list[str]:
        """Return what was refused and is not named by a record."""
        refused = self.refused.values()
        return [f"{seq} of {name} is not named" for name, seq in refused if not reading.sources[name].knows(seq)]

    @property
    def refused(self) -> dict[str, tuple[str, int]]:
        """Source and sequence of what the centre said no to, by id."""
        if self.centre.policy.poison:
            for attempt in self.centre.attempts[self._looked :]:
                for event in json.loads(attempt.body or b"[]"):
                    if event["type"] != GAP and BAD in json.dumps(event["data"]):
                        self._refused[event["id"]] = (event["source"], int(event["sequence"]))
            self._looked = len(self.centre.attempts)
        return self._refused


@dataclass
class ConsumerSite:
    """What a test holds of a site; made by `consumer_site`."""

    folder: Path
    gateway: GatewayProcess
    api: int
    http: httpx2.AsyncClient
    storage: dict[str, object]
    lines: dict[str, Line]
    stack: contextlib.AsyncExitStack
    acknowledged: set[str] = field(default_factory=set)
    """Ids of the events whose devices heard that they are held."""
    refusals: int = 0
    """Times that a device heard that there is no room."""
    _numbers: int = 0

    # -- devices

    async def post(self, count: int, *, note: str = "", bad: Set[int] = frozenset()) -> None:
        """Scan so much in one message; say it again until it is answered. `bad`: which of them are unacceptable."""
        scans = []
        for place in range(count):
            self._numbers += 1
            code = f"CARTON {self._numbers} {BAD if place in bad else ''} {note}".rstrip()
            scans.append({"id": f"hh-1-{self._numbers:06d}", "code": code, "device": "hh-1", "activity": "pick"})
        async with asyncio.timeout(BOUND_S):
            while not await self._is_answered(scans):
                await asyncio.sleep(LOOK_S)

    async def _is_answered(self, scans: list[dict[str, str]]) -> bool:
        try:
            answer = await self.http.post("/v1/scans", json=scans)
        except httpx2.TransportError:
            return False
        if answer.status_code == 503:
            self.refusals += 1
            return False
        assert answer.status_code == 200, answer.text
        for each in answer.json():
            assert each["result"] == "stored", each
            self.acknowledged.update(each["events"])
        return True

    @contextlib.asynccontextmanager
    async def flow(
        self, count: int, *, pause_s: float = 0.0, note: str = "", bad: Set[int] = frozenset()
    ) -> AsyncIterator[None]:
        """Scan all the while, `count` in a message; the people rest for `pause_s` between two."""
        stop = asyncio.Event()

        async def scan() -> None:
            while not stop.is_set():
                await self.post(count, note=note, bad=bad)
                await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as group:
            group.create_task(scan())
            try:
                yield
            finally:
                stop.set()

    # -- the gateway

    async def add(self, name: str, keys: Mapping[str, object], policy: Policy | None = None) -> None:
        """Set up an upstream and the consumer behind it; in force with the next start, or `reload`."""
        centre = await self.stack.enter_async_context(Centre(policy=policy or Policy()))
        network = await self.stack.enter_async_context(Network(centre.host, centre.port, seed=7))
        self.lines[name] = Line(dict(keys), centre, network)

    def configure(self) -> None:
        """Write the configuration as the lines say it now."""
        text = _CONFIG.format(folder=self.folder, storage=describe(self.storage), api=self.api)
        for name, line in self.lines.items():
            url = f"http://127.0.0.1:{line.network.port}/v1/events"
            keys = {"name": name, "url": url, **QUICK, **line.keys}
            text += f"\n[[upstream]]\n{describe(keys)}\n"
        self.gateway.config.write_text(text)

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever is under way, and a start."""
        with self.broken():
            await self.gateway.kill()
            await self.gateway.start()  # a slow line hands over what was under way meanwhile

    async def reload(self) -> None:
        """Have the file that `configure` writes applied; return when it is."""
        self.configure()
        assert self.gateway.process is not None
        before = len(RELOADED.findall(self.log()))
        with self.broken():
            self.gateway.process.send_signal(signal.SIGHUP)
            await until(lambda: len(RELOADED.findall(self.log())) > before, "the file is applied")

    @contextlib.contextmanager
    def broken(self, reach: int = UNWRITTEN_MAX) -> Iterator[None]:
        """Note for every line that something happened to the gateway."""
        with contextlib.ExitStack() as stack:
            for line in self.lines.values():
                stack.enter_context(line.broken(reach))
            yield

    async def command(self, *words: str) -> str:
        """Run a command line against this gateway; return what it printed."""
        done = await asyncio.to_thread(command, *words, "--config", str(self.gateway.config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def export(self) -> Reading:
        """Return what an export says, after the same rules were held against it."""
        reading = read((await self._exported("ndjson")).splitlines())
        assert reading.problems == [], "\n".join(reading.problems[:10])
        return reading

    async def export_in_all_formats(self) -> Reading:
        """Do so while nothing leaves the outbox; all formats have to tell the same."""
        reading = await self.export()
        last = ("--to-sequence", str(max(source.highest for source in reading.sources.values())))
        events = [json.loads(line) for line in (await self._exported("ndjson", *last)).splitlines()]
        document, table = json.loads(await self._exported("epcis", *last)), await self._exported("csv", *last)
        assert [decode(event) for event in document["epcisBody"]["eventList"]] == events
        assert [row["id"] for row in csv.DictReader(table.splitlines())] == [event["id"] for event in events]
        return reading

    async def _exported(self, kind: str, *words: str) -> str:
        await self.command("events", "export", "--format", kind, "--out", str(self.folder / kind), *words)
        return (self.folder / kind).read_text()

    def log(self) -> str:
        return self.gateway.log.read_text(errors="replace")

    async def upstream(self, name: str) -> Any:
        """Return what the status says of an upstream."""
        status = (await self.http.get("/v1/status")).json()
        return next(line for line in status["upstreams"] if line["name"] == name)

    async def settled(self, *names: str) -> None:
        """Return when nothing is pending, and the consumers have no hole that is still to be told of."""
        for name in names or self.lines:
            end = time.monotonic() + BOUND_S
            while True:
                pending = (await self.upstream(name))["pending"]
                untold = [] if pending else self._untold(name)
                if not pending and not untold:
                    break
                assert time.monotonic() < end, f"{name}: {pending} events are pending, holes are {untold[:5]}"
                await asyncio.sleep(LOOK_S)

    def _untold(self, name: str) -> list[str]:
        """Return what a consumer has to be told yet."""
        line, reading = self.lines[name], self.lines[name].reading()
        holes = [f"{seq} of {source}" for source, known in reading.sources.items() for seq in known.holes]
        return holes + line.untold(reading)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the outbox."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/state/outbox.db?mode=ro", uri=True)) as outbox:
            return outbox.execute(query).fetchall()

    # -- judgement

    def judge(self, name: str, *, owed: Set[str] | None = None) -> Reading:
        """Return what a consumer has, after every rule of docs/delivery.md was held against it.

        `owed`: ids of the events that it has to have, or there is a record for each; all that devices heard of.
        """
        line = self.lines[name]
        reading, refused = line.reading(), line.refused
        problems = reading.problems + line.untold(reading)
        problems += repeats(line.centre.attempts, line.breaks, excused=refused)
        assert problems == [], f"{name}: " + "\n".join(problems[:10])
        missing = (self.acknowledged if owed is None else owed) - reading.events
        gone = sum(len(source.gone) for source in reading.sources.values())
        assert len(missing) <= gone, f"{name}: {len(missing)} scans are gone, {gone} sequences are named"
        return reading

    async def judge_books(self, name: str, **terms: int) -> None:
        """The books of an upstream balance, and say this."""
        line = await self.upstream(name)
        assert line["imbalance"] == 0, line
        assert {term: line[term] for term in terms} == terms, line


@contextlib.asynccontextmanager
async def consumer_site(
    folder: Path,
    upstreams: Mapping[str, dict[str, object]],
    *,
    policies: Mapping[str, Policy] | None = None,
    **storage: object,
) -> AsyncIterator[ConsumerSite]:
    """Lend a running site; afterwards the gateway has stopped in order. `storage` are keys of its `[storage]`."""
    policies = policies or {}
    async with contextlib.AsyncExitStack() as stack:
        api = free_port()
        client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api}", timeout=BOUND_S, trust_env=False)
        http = await stack.enter_async_context(client)
        gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log", start_timeout_s=BOUND_S)
        site = ConsumerSite(folder, gateway, api, http, storage, {}, stack)
        for name, keys in upstreams.items():
            await site.add(name, keys, policies.get(name))
        site.configure()
        await gateway.start()
        try:
            yield site
        finally:
            code = await gateway.stop()
        assert code == 0, gateway.last_words()
        assert "Traceback" not in site.log()
