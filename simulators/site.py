"""A whole site without hardware: scanners, handhelds, an RFID portal, a PLC, a centre, and the uplink between.

The site knows nothing of the gateway but addresses: where handhelds connect. It says in return where its scanners, its
PLC and its uplink are. Everything a device does is drawn from the seed; every scan carries a token. At the end the site
hands out two histories, what the devices did and heard and what the centre received, for `reconcile`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from simulators.centre import Centre
from simulators.centre_script import Act, Rule, Script
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.labels import GTINS, carton
from simulators.ledger import CentreEvent, DeviceScan
from simulators.network import Network
from simulators.parts import PartsCount, count_parts, is_watched
from simulators.plc import Plc, work
from simulators.plc_signal import Signal
from simulators.rfid import PassJournal, PortalClock, PortalPlan, passed_tags, run_portal
from simulators.rfid_endpoint import MqttEndpoint, MqttSender
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.token import Token, find_tokens

DOCUMENTS = ("ASN-1001", "ASN-1002", "ASN-1003")
PRESS, COUNTER = "press-plc", "good_parts"
ACTIVITIES = ("pick", "pick", "count", "pick")


@dataclass(frozen=True, slots=True)
class SitePlan:
    """How large the site is and how much happens."""

    seed: int = 1
    scans: int = 400
    """Scans of all scanners and handhelds together."""
    scanners: int = 3
    handhelds: int = 4
    pallets: int = 4
    tags_per_pallet: int = 15
    seconds: float = 18.0
    """About how long the devices are busy."""
    answers_lost: float = 0.15
    """Share of the centre's answers that never arrive."""


class Site:
    """`async with Site(...)` has ports and addresses; `work()` returns when every device has done its share."""

    def __init__(self, folder: Path, plan: SitePlan, *, listener_port: int, site_id: str = "demo") -> None:
        self.plan = plan
        self._folder = folder
        self._listener_port = listener_port
        self._site_id = site_id
        self._rng = random.Random(plan.seed)
        self._open = AsyncExitStack()
        self._background: set[asyncio.Task[None]] = set()
        lost = Rule(Act("answer_lost"), probability=plan.answers_lost)
        self.centre = Centre(script=Script([lost], rng=random.Random(plan.seed)), ledger_file=folder / "centre.ndjson")
        self.uplink = Network("127.0.0.1", 0, seed=plan.seed)
        self.counter = Signal(COUNTER, 0, rollover=2**32, shows=2**32 - 40)
        self.plc = Plc([self.counter], journal=Journal(PRESS, folder / f"{PRESS}.ndjson"))
        self.scanners = [self._scanner(number) for number in range(1, plan.scanners + 1)]
        self.handhelds = [self._handheld(number) for number in range(1, plan.handhelds + 1)]
        self.portal_journal = Journal("portal-1", folder / "portal-1.ndjson")
        self.list_of: Callable[[int], str] = lambda handheld: f"PL-{handheld}"
        """The pick list that a handheld works by, asked at each scan."""
        self.note_of: Callable[[int], str] = lambda scanner: DOCUMENTS[scanner % len(DOCUMENTS)]
        """The delivery note at the dock of a scanner, asked at each scan; another one is scanned first."""

    @property
    def tokens_expected(self) -> int:
        """Scans and tags that carry a token."""
        return self.plan.scans + self.plan.pallets * self.plan.tags_per_pallet

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.centre)
        self.uplink = Network("127.0.0.1", self.centre.port, seed=self.plan.seed)
        await self._open.enter_async_context(self.uplink)
        await self.plc.start_tcp()
        self._open.push_async_callback(self.plc.stop)
        for scanner in self.scanners:
            await scanner.start()
            self._open.push_async_callback(scanner.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._open.aclose()
        for journal in (self.portal_journal, self.plc.journal):
            journal.close()

    async def work(self) -> None:
        """Return when every scanner, handheld and the portal has had an answer to everything it said."""
        machine = asyncio.create_task(self.press(), name="press")
        self._background.add(machine)
        shares = _shares(self.plan.scans, len(self.scanners) + len(self.handhelds))
        async with asyncio.TaskGroup() as group:
            for scanner, share in zip(self.scanners, shares, strict=False):
                group.create_task(self._scan_at_dock(scanner, share))
            for handheld, share in zip(self.handhelds, shares[len(self.scanners) :], strict=True):
                group.create_task(self._walk(handheld, share))
            group.create_task(self._pallets_pass())
        machine.cancel()

    async def press(self) -> None:
        """Make parts, from the moment the centre hears that the gateway reads the counter. Never returns.

        Nobody outside a PLC knows of the parts before the first answer that came in time, and only the gateway knows
        which one did. So that every part has to arrive, none is made until it has told.
        """
        await self.centre.until(lambda centre: is_watched(centre.ledger.events, PRESS))
        await work(self.counter, rng=self._rng, sleep=asyncio.sleep, interval_s=0.12, parts_max=3)

    def done(self) -> int:
        """Scans and tags that have heard a positive answer so far."""
        return sum(scan.acknowledged for scan in self.device_scans())

    def device_scans(self) -> list[DeviceScan]:
        """Return what every device did and heard, in the order each did it."""
        scans = [scan for scanner in self.scanners for scan in scanner_scans(scanner.journal)]
        scans += [scan for handheld in self.handhelds for scan in handheld.device_scans()]
        return scans + passed_tags(self.portal_journal.lines)

    def centre_events(self) -> list[CentreEvent]:
        """Return every delivery the centre took, in order."""
        return self.centre.ledger.events

    def parts(self) -> PartsCount:
        """Return what the PLC counted and what the centre heard of it."""
        return count_parts(self.plc.journal.lines, self.centre.ledger.events, COUNTER)

    def _scanner(self, number: int) -> Scanner:
        name = f"dock-{number}-scanner"
        return Scanner(
            PtyPort(self._folder / "dev" / name),
            Journal(name, self._folder / f"{name}.ndjson"),
            ScannerHabits(acknowledge="ack-nak", answer_timeout_s=1.0),
            rng=random.Random(self.plan.seed * 100 + number),
        )

    def _handheld(self, number: int) -> Handheld:
        name = f"hh-{number}"
        plan = HandheldPlan(device=name, site=self._site_id, port=self._listener_port)
        return Handheld(plan, self._folder, rng=random.Random(self.plan.seed * 200 + number))

    async def _scan_at_dock(self, scanner: Scanner, share: int) -> None:
        """An operator at a dock: scans the delivery note, then its cartons."""
        number = self.scanners.index(scanner) + 1
        note = ""
        for index in range(1, share + 1):
            if (there := self.note_of(number)) != note:
                note = there
                await scanner.scan(f"]C0{note}")
            await self._pause(share)
            await scanner.scan(carton(self._rng.choice(GTINS), Token(f"s{number}", index)))

    async def _walk(self, handheld: Handheld, share: int) -> None:
        """A picker on the way: scans without waiting for the network; the handheld keeps what is unanswered."""
        number = self.handhelds.index(handheld) + 1
        activity = ACTIVITIES[(number - 1) % len(ACTIVITIES)]
        async with handheld:
            for index in range(1, share + 1):
                await self._pause(share)
                code = carton(self._rng.choice(GTINS), Token(f"h{number}", index))
                handheld.scan(code, activity=activity, document=self.list_of(number), location=f"A-{number:02d}-03")
            await handheld.all_answered()

    async def _pallets_pass(self) -> None:
        plan = self.plan
        whole_s = plan.seconds / max(plan.pallets, 1)
        portal = PortalPlan(
            pallets=plan.pallets,
            tags_per_pallet=plan.tags_per_pallet,
            strays=0,
            field_s=whole_s * 0.6,
            gap_s=whole_s * 0.4,
        )
        sender = MqttSender(MqttEndpoint("127.0.0.1", self._listener_port, "zebra/portal-1/tags", "portal-1"))
        try:
            clock = PortalClock(wall=lambda: time.time_ns() // 1_000_000)
            await run_portal(portal, sender, PassJournal(self.portal_journal), clock, self._rng)
        finally:
            await sender.aclose()

    async def _pause(self, share: int) -> None:
        await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self.plan.seconds / max(share, 1))


def scanner_scans(journal: Journal) -> list[DeviceScan]:
    """Return a scanner's scans that carry a token, in the order in which they were made."""
    heard: dict[Token, set[str]] = {}
    for line in journal.lines:
        for token in find_tokens(str(line.get("code", ""))).whole:
            heard.setdefault(token, set()).add(str(line["what"]))
    return [DeviceScan(token, "acked" in whats, numbered=False) for token, whats in heard.items()]


def _shares(count: int, devices: int) -> list[int]:
    return [count // devices + (index < count % devices) for index in range(devices)]
