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
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from daemon_process import command
from strict_consumer import GAP, UNWRITTEN_MAX, Break, Reading, read, repeats
from troubled_site import BOUND_S, LOOK_S, QUICK, describe, until

from gateway.cli.child import GatewayProcess, free_port
from simulators.centre import Centre, Policy
from simulators.network import Network

BAD = "BAD"
"""In a code: a centre with the policy `picky()` refuses the event."""

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

    def note_break(self, reach: int = UNWRITTEN_MAX + 1) -> None:
        """Note that what was not written down until now may come again."""
        self.breaks.append(Break(len(self.centre.attempts), reach))

    def cut(self) -> None:
        """Break the connections: the answer under way is lost."""
        self.network.cut()
        self.note_break(reach=1)

    def reading(self) -> Reading:
        """Return what was taken so far."""
        return read([event.body for event in self.centre.ledger.events], refused=self.refused.values())

    @property
    def refused(self) -> dict[str, tuple[str, int]]:
        """Source and sequence of what the centre said no to, by id."""
        found = {}
        if self.centre.policy.poison:
            for attempt in self.centre.attempts:
                for event in json.loads(attempt.body or b"[]"):
                    if event["type"] != GAP and BAD in json.dumps(event["data"]):
                        found[event["id"]] = (event["source"], int(event["sequence"]))
        return found


@dataclass
class ConsumerSite:
    """What a test holds of a site; made by `consumer_site`."""

    folder: Path
    gateway: GatewayProcess
    api: int
    storage: dict[str, object]
    lines: dict[str, Line]
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
            async with httpx2.AsyncClient(trust_env=False, timeout=BOUND_S) as http:
                answer = await http.post(f"http://127.0.0.1:{self.api}/v1/scans", json=scans)
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
    async def flow(self, count: int = 20, *, note: str = "", bad: Set[int] = frozenset()) -> AsyncIterator[None]:
        """Scan all the while, `count` in a message."""
        stop = asyncio.Event()

        async def scan() -> None:
            while not stop.is_set():
                await self.post(count, note=note, bad=bad)

        task = asyncio.create_task(scan())
        try:
            yield
        finally:
            stop.set()
            await task

    # -- the gateway

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
        await self.crash()
        await self.gateway.start()

    async def crash(self) -> None:
        """SIGKILL."""
        await self.gateway.kill()
        for line in self.lines.values():
            line.note_break()

    async def reload(self) -> None:
        """Have the file that `configure` wrote applied; return when it is."""
        self.configure()
        before = self.log().count("settings_reloaded")
        assert self.gateway.process is not None
        self.gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: self.log().count("settings_reloaded") > before, "the file is applied")

    async def command(self, *words: str) -> str:
        """Run a command line against this gateway; return what it printed."""
        done = await asyncio.to_thread(command, *words, "--config", str(self.gateway.config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self) -> str:
        return self.gateway.log.read_text(errors="replace")

    async def upstream(self, name: str) -> Any:
        """Return what the status says of an upstream."""
        async with httpx2.AsyncClient(trust_env=False, timeout=BOUND_S) as http:
            status = (await http.get(f"http://127.0.0.1:{self.api}/v1/status")).json()
        return next(line for line in status["upstreams"] if line["name"] == name)

    async def settled(self, *names: str) -> None:
        """Return when nothing is pending, and the consumers have no hole that is still to be told of."""
        for name in names or self.lines:
            async with asyncio.timeout(BOUND_S):
                while (await self.upstream(name))["pending"] or self._is_short(name):
                    await asyncio.sleep(LOOK_S)

    def _is_short(self, name: str) -> bool:
        return any(source.holes for source in self.lines[name].reading().sources.values())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the outbox."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/state/outbox.db?mode=ro", uri=True)) as outbox:
            return outbox.execute(query).fetchall()

    # -- judgement

    def judge(self, name: str) -> Reading:
        """Return what a consumer has, after every rule of docs/delivery.md was held against it."""
        line = self.lines[name]
        reading, refused = line.reading(), line.refused
        problems = reading.problems + repeats(line.centre.attempts, line.breaks, excused=refused)
        assert problems == [], f"{name}: " + "\n".join(problems[:10])
        missing = self.acknowledged - reading.events
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
        lines = {}
        for name, keys in upstreams.items():
            centre = await stack.enter_async_context(Centre(policy=policies.get(name, Policy())))
            network = await stack.enter_async_context(Network(centre.host, centre.port, seed=7))
            lines[name] = Line(dict(keys), centre, network)
        gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log", start_timeout_s=BOUND_S)
        site = ConsumerSite(folder, gateway, free_port(), storage, lines)
        site.configure()
        await gateway.start()
        try:
            yield site
        finally:
            code = await gateway.stop()
        assert code == 0, gateway.last_words()
        assert "Traceback" not in site.log()
