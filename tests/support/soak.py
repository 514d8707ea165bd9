"""A gateway that works for hours, with people looking, strangers knocking and an uplink that comes and goes.

Usage: python tests/support/soak.py --minutes 60, from the repository.

One process, never restarted: what is looked for is what only time brings, such as memory that is not given back,
sockets that are not closed, a queue that is never empty again after a long outage. Devices scan all the time; in
cycles the uplink is cut, silent, a captive portal, and the centre answers 500 or not at all; handhelds lose their
connections, a scanner is unplugged, the configuration is reloaded with a change. Once the uplink is down for an eighth
of the whole time. Pages are opened and closed, metrics read, and strangers send noise and scans under ever new names.

At the end the ledger of devices and centre must hold, and the process be as large as it was (`soak_judge`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import httpx2
import mqtt5
from soak_judge import Finding, Sample, TooShort, judge

from gateway.cli.child import GatewayProcess, free_port
from gateway.demo.configuration import demo_configuration
from simulators.centre_script import Act
from simulators.labels import GTINS
from simulators.ledger import Ledger, reconcile
from simulators.network import Network
from simulators.parts import PartsCount
from simulators.site import Site, SitePlan

CYCLES = 8
OUTAGE_CYCLE = 3
"""The cycle in which the uplink is down from beginning to end."""
LOOKS = 720
ORDERS = 120
"""How often in all there are new pick lists: the gateway remembers 64 documents, and forgets some while it warms up."""
ORDERS_KEPT = 5
SETTLE_S = 300.0
"""For the centre to get everything when all work is done: longer than a drain takes on a busy machine."""
RETENTION_DAYS = 0.002
"""Three minutes: delivered events leave all the time."""
_RETENTION = f"reserve_bytes = 10485760\nretention_days = {RETENTION_DAYS}"
_YARD = '\n[[station]]\nid = "yard"\nactivity = "count"\n'
_NOISE = (b"\x00\xff" * 400, b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x10\x7f\x00\x04MQTT\x05", b'{"id":', b"A" * 70_000)


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, and how much."""

    minutes: float = 60.0
    scans_per_s: float = 20.0
    seed: int = 1
    program: tuple[str, ...] = (sys.executable, "-m", "gateway")

    @property
    def seconds(self) -> float:
        return self.minutes * 60


@dataclass(slots=True)
class Outcome:
    """What became of it."""

    ledger: Ledger
    parts: PartsCount
    samples: list[Sample]
    exit_code: int
    tracebacks: int
    """In the gateway's log."""
    disturbances: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    too_short: str = ""
    """Why growth was not judged; empty when it was."""

    @property
    def promises_hold(self) -> bool:
        """True when everything arrived once, and the gateway ended in good order."""
        ends_well = self.exit_code == 0 and not self.tracebacks
        return self.ledger.holds and self.parts.missing == 0 and self.parts.counted > 0 and ends_well

    @property
    def holds(self) -> bool:
        """True when that is so and nothing has grown, as far as it was judged."""
        return self.promises_hold and all(one.holds for one in self.findings)


class Soak:
    """One run."""

    def __init__(self, folder: Path, plan: SoakPlan, *, say: Callable[[str], object] = lambda _: None) -> None:
        self.folder = folder
        self.plan = plan
        self._say = say
        self._rng = random.Random(plan.seed)
        self._listener, self._api = free_port(), free_port()
        self._air = Network("127.0.0.1", self._listener, seed=plan.seed)
        """Between handhelds and gateway."""
        self._gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log", plan.program)
        self._samples: list[Sample] = []
        self._told: list[str] = []

    async def run(self) -> Outcome:
        """Do all of it; raises ChildFailed when the gateway does not start."""
        plan = self.plan
        async with self._air:
            self._site = Site(
                self.folder,
                SitePlan(
                    seed=plan.seed,
                    scans=max(20, int(plan.seconds * plan.scans_per_s)),
                    pallets=max(2, int(plan.seconds / 30)),
                    seconds=plan.seconds,
                    answers_lost=0.02,
                ),
                listener_port=self._air.port,
            )
            async with self._site:
                self._configure(number=0)
                await self._gateway.start()
                try:
                    await self._live()
                finally:
                    exit_code = await self._gateway.stop()
        return self._outcome(exit_code)

    async def _live(self) -> None:
        others = [self._disturb(), self._watch(), self._order(), self._visit(), self._look(), self._knock()]
        tasks = [asyncio.create_task(one) for one in others]
        try:
            await self._site.work()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._settled()
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _settled(self) -> None:
        """Return when the centre has everything. To find out takes seconds after an hour, and beside it: a loop that
        stands still for longer than the gateway waits for an answer would keep the last parts in the PLC."""
        events, known = self._site.centre_events(), -1

        def is_news(_: object) -> bool:
            return len(events) > known

        while True:
            await self._site.centre.until(is_news)
            known = len(events)
            if await asyncio.to_thread(self._is_complete):
                return

    # -- what goes wrong

    async def _disturb(self) -> None:
        cycle_s = self.plan.seconds / CYCLES
        for number in range(1, CYCLES):  # the last cycle is a quiet one
            began = time.monotonic()
            if number == OUTAGE_CYCLE:
                await self._down(cycle_s)
            else:
                for trouble in self._troubles(number, cycle_s / 18):
                    await trouble
                    await asyncio.sleep(cycle_s / 18)
            await asyncio.sleep(max(0.0, began + cycle_s - time.monotonic()))

    def _troubles(self, number: int, step_s: float) -> list[Coroutine[Any, Any, None]]:
        uplink, centre = self._site.uplink, self._site.centre
        return [
            self._reload(number),
            self._unplug(step_s / 2),
            self._down(2 * step_s),
            self._spoil("the centre answers 500, then not at all", *[Act("status", 500)] * 6, Act("hang")),
            self._do("handhelds lose their connections", self._air.drop),
            self._silent(step_s),
            self._spoil("a captive portal", *[Act("portal")] * 3, Act("status", 429, retry_after="1")),
            self._do("connections to the centre break", uplink.drop),
            self._spoil("answers are lost", *[Act("answer_lost")] * 3),
            self._do("", centre.attempts.clear),  # the harness must not be what grows
        ]

    async def _reload(self, number: int) -> None:
        self._tell("reload with a change")
        self._configure(number)
        os.kill(self._gateway.pid, signal.SIGHUP)

    async def _unplug(self, seconds: float) -> None:
        self._tell("a scanner is unplugged")
        scanner = self._rng.choice(self._site.scanners)
        await scanner.unplug()
        await asyncio.sleep(seconds)
        await scanner.plug()

    async def _down(self, seconds: float) -> None:
        self._tell(f"the uplink is down for {seconds:.1f} s")
        self._site.uplink.cut()
        await asyncio.sleep(seconds)
        await self._site.uplink.mend()

    async def _silent(self, seconds: float) -> None:
        self._tell(f"the uplink is silent for {seconds:.1f} s")
        self._site.uplink.black_hole()
        await asyncio.sleep(seconds)
        await self._site.uplink.mend()

    async def _spoil(self, what: str, *acts: Act) -> None:
        self._tell(what)
        self._site.centre.script.then(*acts)

    async def _do(self, what: str, act: Callable[[], object]) -> None:
        if what:
            self._tell(what)
        act()

    # -- who else is there

    async def _order(self) -> None:
        """New lists and delivery notes every now and then; people go over to them, and old ones are withdrawn, open or
        not."""
        every_s = self.plan.seconds / ORDERS
        lines = [{"line": str(at), "item": {"gtin": gtin}, "quantity": 10**6} for at, gtin in enumerate(GTINS)]
        token = (self.folder / "state" / "cli.token").read_text().strip()
        handhelds = range(1, self._site.plan.handhelds + 1)
        async with self._api_client(headers={"Authorization": f"Bearer {token}"}) as client:
            for number in itertools.count(1):
                for handheld in handhelds:
                    name = f"PL-{handheld}-{number}"
                    document = {"id": name, "type": "pick_list", "lines": lines}
                    (await client.put(f"/v1/expectations/{name}", json=document)).raise_for_status()
                self._site.list_of = partial("PL-{1}-{0}".format, number)
                self._site.note_of = partial("ASN-{1}{0:06}".format, number)
                if number > ORDERS_KEPT:
                    for handheld in handhelds:
                        await client.delete(f"/v1/expectations/PL-{handheld}-{number - ORDERS_KEPT}")
                await asyncio.sleep(every_s)

    async def _visit(self) -> None:
        """A page is opened, its stream read for a while, and closed; some leave without a word."""
        while True:
            request = b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            await _say(self._api, request, for_s=self._rng.uniform(0.2, 10))

    async def _look(self) -> None:
        paths = (
            "/metrics",
            "/v1/status",
            "/v1/events?limit=50",
            "/v1/history",
            "/v1/devices",
            "/v1/exceptions",
            "/healthz",
            "/nothing",
        )
        async with self._api_client() as client:
            for path in itertools.cycle(paths):
                with contextlib.suppress(httpx2.HTTPError):
                    await client.get(path)
                await asyncio.sleep(1.0)

    def _api_client(self, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._api}", timeout=60, trust_env=False, **options)

    async def _knock(self) -> None:
        """Strangers: noise on both doors, and devices nobody configured, under ever new names."""
        for number in itertools.count(1):
            for port in (self._listener, self._api):
                await _say(port, self._rng.choice(_NOISE))
            connect = mqtt5.ConnectPacket(client_id=f"stranger-{number}", clean_start=True, keep_alive=60).write()
            scan = f'{{"id": "s-{number}", "code": "STRANGER {number}"}}'.encode()
            topic = f"dockline/v1/demo/stranger-{number}/scan"
            publish = mqtt5.PublishPacket(topic, scan, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1).write()
            await _say(self._listener, connect + publish)
            await asyncio.sleep(1.0)

    # -- what is seen

    async def _watch(self) -> None:
        state = self.folder / "state"
        every_s = max(0.25, self.plan.seconds / LOOKS)
        began = time.monotonic()
        while True:
            process = Path(f"/proc/{self._gateway.pid}")
            sample = Sample(
                time.monotonic() - began,
                self._gateway.memory_mb(),
                len(list((process / "fd").iterdir())),
                len(list((process / "task").iterdir())),
                _megabytes(state / "outbox.db-wal"),
                _megabytes(state / "outbox.db"),
                self._gateway.cpu_s(),
            )
            self._samples.append(sample)
            with (self.folder / "samples.ndjson").open("a") as file:
                file.write(json.dumps(sample._asdict()) + "\n")
            await asyncio.sleep(every_s)

    def _is_complete(self) -> bool:
        ledger = reconcile(self._site.device_scans(), self._site.centre_events())
        return not ledger.lost and ledger.delivered == ledger.injected and self._site.parts().missing <= 0

    def _configure(self, number: int) -> None:
        text = demo_configuration(self.folder, self._site, listener=self._listener, api=self._api)
        text = text.replace("reserve_bytes = 10485760", _RETENTION)
        self._gateway.config.write_text(text + (_YARD if number % 2 else ""))

    def _tell(self, what: str) -> None:
        self._told.append(what)
        last = self._samples[-1] if self._samples else None
        size = f"{last.rss_mb:.1f} MB, {last.descriptors} descriptors" if last else ""
        self._say(f"{0 if last is None else last.at_s:7.0f} s  {what:45}{size}")

    def _outcome(self, exit_code: int) -> Outcome:
        outcome = Outcome(
            ledger=reconcile(self._site.device_scans(), self._site.centre_events()),
            parts=self._site.parts(),
            samples=self._samples,
            exit_code=exit_code,
            tracebacks=self._gateway.log.read_text(errors="replace").count("Traceback (most recent call last)"),
            disturbances=self._told,
        )
        try:
            outcome.findings = judge(self._samples)
        except TooShort as short:
            outcome.too_short = str(short)
        return outcome


async def _say(port: int, octets: bytes, *, for_s: float = 0.3) -> None:
    """Say something, listen for a while, and leave without a word."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(octets)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    while await reader.read(65_536):
                        continue
        finally:
            writer.transport.abort()


def _megabytes(path: Path) -> float:
    try:
        return path.stat().st_size / 1e6
    except OSError:
        return 0.0


def told(outcome: Outcome) -> str:
    """Return the verdict in words."""
    ledger, last = outcome.ledger, outcome.samples[-1]
    lines = [
        f"{ledger.injected:,} scans and tags, {ledger.acknowledged:,} acknowledged, {ledger.delivered:,} delivered, "
        f"{ledger.redeliveries:,} redelivered, {len(ledger.repeats_named)} repeats named, "
        f"{outcome.parts.counted:,} parts counted",
        f"{len(outcome.disturbances)} disturbances in {last.at_s / 60:.0f} minutes; processor time "
        f"{last.cpu_s:.0f} s, outbox {last.outbox_mb:.0f} MB; exit code {outcome.exit_code}",
    ]
    lines += [f"{name}: {', '.join(found[:5])}" for name, found in ledger.violations().items() if found]
    if outcome.parts.missing:
        lines.append(f"parts missing: {outcome.parts.missing}")
    if outcome.tracebacks:
        lines.append(f"tracebacks in the log: {outcome.tracebacks}")
    lines.append(outcome.too_short or f"{'':28}{'earlier':>9} {'later':>9}")
    lines += [str(one) for one in outcome.findings]
    lines.append("The promises held." if outcome.holds else "A promise was broken.")
    return "\n".join(lines)


async def _main(folder: Path, plan: SoakPlan) -> int:
    soak = Soak(folder, plan, say=lambda text: print(text, flush=True))
    outcome = await soak.run()
    print(told(outcome))
    return 0 if outcome.holds else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20.0, help="scans a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for journals, samples, log and outbox")
    asked = parser.parse_args()
    plan = SoakPlan(asked.minutes, asked.rate, asked.seed)
    if asked.keep is not None:
        asked.keep.mkdir(parents=True)
        sys.exit(asyncio.run(_main(asked.keep, plan)))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(asyncio.run(_main(Path(folder), plan)))


if __name__ == "__main__":
    main()
