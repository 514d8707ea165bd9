"""A post of a scenario: one gateway in a process of its own, with the scanners, handhelds and portals around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.child import GatewayProcess, free_port
from gateway.cli.client import Site as Client
from simulators.centre import Centre
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.ledger import DeviceScan, Ledger, reconcile
from simulators.rfid import PassJournal, PortalClock, PortalPlan, passed_tags, run_portal
from simulators.rfid_endpoint import MqttEndpoint, MqttSender
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.site import scanner_scans
from simulators.token import find_tokens

DELIVERY_TIMEOUT_S = 60.0
GOOD, ATTENTION, AGAIN = "g", "a", "d"
"""What a scanner of a scenario is made to sound: counted, something is wrong, was here before."""

_HEAD = """\
# Written by `dockline demo`. Any of this can be pasted into a gateway.toml of your own.
[site]
id = "{site}"
gateway = "{gateway}"

[storage]
path = "{state}"
reserve_bytes = 10485760

[labels]
command_prefix = "DL:"

[[labels.patterns]]
kind = "document"
expression = "(?P<id>(ASN|PL|CS|RMA|TR)-[0-9]+)"

[[labels.patterns]]
kind = "operator"
expression = "OP-[0-9]+"

[[labels.patterns]]
kind = "location"
expression = "[A-Z]-[0-9][0-9]-[0-9][0-9]"

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:0"
unauthenticated = "accept-in-lab"

[[upstream]]
name = "centre"
url = "http://127.0.0.1:{uplink}/v1/events"
timeout_s = 2.0
backoff_base_s = 0.2
backoff_max_s = 1.0
"""

_REPOSITORY = """
[[upstream]]
name = "repository"
kind = "epcis-capture"
url = "http://127.0.0.1:{port}/capture"
timeout_s = 2.0
backoff_base_s = 0.2
backoff_max_s = 1.0
"""

_SCANNER = """
[[device]]
id = "{id}"
station = "{station}"
driver = "serial-scanner"
url = "{url}"
acknowledge = "ack-nak"
answer_stored = "{good}"
answer_exception = "{attention}"
answer_duplicate = "{again}"
"""


@dataclass(frozen=True, slots=True)
class PostPlan:
    """What one gateway of a scenario is set up with."""

    stations: str
    """TOML of its stations, and of devices that are no scanners."""
    scanners: tuple[tuple[str, str], ...] = ()
    """Each scanner and its station."""
    expected: tuple[dict[str, Any], ...] = ()
    """Documents that the gateway has before the work begins."""
    site: str = "demo"
    gateway: str = "demo-pc"
    has_repository: bool = False
    """It delivers to an EPCIS repository as well."""


class Post:
    """One gateway and its devices. `start` plugs them in, `begin` starts the gateway."""

    def __init__(self, plan: PostPlan, folder: Path, *, seed: int, tell: Callable[[str], None]) -> None:
        self.plan = plan
        self.folder = folder
        self.listener = free_port()
        folder.mkdir(exist_ok=True)
        self.gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log")
        self.stations = dict(plan.scanners)
        self.scanners = {name: self._scanner(name, seed) for name in self.stations}
        self.handhelds: dict[str, Handheld] = {}
        self.portals: dict[str, Journal] = {}
        self._seed = seed
        self._tell = tell

    async def start(self, opened: AsyncExitStack) -> None:
        """Plug the scanners in; what has to be closed again goes on the stack."""
        self._opened = opened
        for scanner in self.scanners.values():
            await scanner.start()
            opened.push_async_callback(scanner.close)

    async def begin(self, *, uplink: int, repository: int) -> None:
        """Return when the gateway takes scans and knows the expected documents. Raises ChildFailed."""
        plan = self.plan
        text = _HEAD.format(
            site=plan.site,
            gateway=plan.gateway,
            state=self.folder / "state",
            listener=self.listener,
            uplink=uplink,
        )
        if plan.has_repository:
            text += _REPOSITORY.format(port=repository)
        text += plan.stations
        for name, scanner in self.scanners.items():
            text += _SCANNER.format(
                id=name,
                station=self.stations[name],
                url=scanner.port.url,
                good=GOOD,
                attention=ATTENTION,
                again=AGAIN,
            )
        self.gateway.config.write_text(text)
        await self.gateway.start()
        self._tell(f"{plan.gateway} takes scans")
        for document in plan.expected:
            await self.expect(document)

    async def expect(self, document: dict[str, Any]) -> None:
        """Return when the gateway has an expected document."""
        client = Client(self.gateway.config)
        await asyncio.to_thread(client.put, f"/v1/expectations/{document['id']}", document)
        self._tell(f"{self.plan.gateway} expects {document['id']}: {len(document['lines'])} lines")

    async def handheld(self, name: str) -> Handheld:
        """Switch a handheld on; it is on until the end."""
        plan = HandheldPlan(device=name, site=self.plan.site, port=self.listener, backoff_max_s=0.5)
        found = Handheld(plan, self.folder, rng=random.Random(f"{self._seed} {name}"))
        self.handhelds[name] = await self._opened.enter_async_context(found)
        return found

    async def drive_through(self, name: str, plan: PortalPlan, rng: random.Random, *, speed: float) -> None:
        """Let pallets pass an RFID portal; return when the gateway has taken everything it said of them."""
        journal = self.portals[name] = Journal(name, self.folder / f"{name}.ndjson")
        self._opened.callback(journal.close)
        sender = MqttSender(MqttEndpoint("127.0.0.1", self.listener, f"zebra/{name}/tags", name))
        clock = PortalClock(wall=lambda: time.time_ns() // 1_000_000, speed=speed)
        try:
            await run_portal(plan, sender, PassJournal(journal), clock, rng)
        finally:
            await sender.aclose()

    async def power_cut(self) -> None:
        """Kill the gateway with SIGKILL and start it again. Raises ChildFailed."""
        await self.gateway.kill()
        self._tell(f"{self.plan.gateway} is killed (SIGKILL)")
        await self.gateway.start()
        self._tell(f"{self.plan.gateway} is back")

    async def delivered(self, *takers: Centre) -> None:
        """Return when each taker has every event the gateway has, or when they will not come any more."""
        status = await asyncio.to_thread(Client(self.gateway.config).get, "/v1/status")
        head = status["storage"]["head_seq"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                for taker in takers:
                    await taker.until(lambda one: self._at(one) >= head)

    def ledger(self, centre: Centre) -> Ledger:
        """Return the fate of every scan that carries a token, by what the centre has of this gateway."""
        events = [event for event in centre.ledger.events if event.source.startswith(self._source)]
        return reconcile(self.device_scans(), events)

    def device_scans(self) -> list[DeviceScan]:
        """Return what every device did and heard, in the order each did it."""
        scans = [scan for scanner in self.scanners.values() for scan in scanner_scans(scanner.journal)]
        scans += [scan for handheld in self.handhelds.values() for scan in handheld.device_scans()]
        return scans + [scan for journal in self.portals.values() for scan in passed_tags(journal.lines)]

    def mislabelled(self, centre: Centre) -> list[str]:
        """Return the events about goods whose item is not the one on the label that was scanned."""
        journals = [scanner.journal for scanner in self.scanners.values()]
        journals += [handheld.journal for handheld in self.handhelds.values()]
        codes = [str(line.get("code", "")) for journal in journals for line in journal.lines]
        labels = {token: code for code in codes for token in find_tokens(code).whole}
        found = []
        for event in centre.ledger.events:
            for token in () if event.is_finding else find_tokens(event.body).whole:
                gtin = json.loads(event.body)["data"].get("item", {}).get("gtin")
                if token in labels and f"01{gtin}" not in labels[token]:
                    found.append(f"{event.id}: {gtin} of {labels[token]}")
        return found

    @property
    def _source(self) -> str:
        return f"//{self.plan.site}/{self.plan.gateway}/"

    def _at(self, centre: Centre) -> int:
        ours = [one for name, one in centre.ledger.sources.items() if name.startswith(self._source)]
        return max((one.through for one in ours), default=0)

    def _scanner(self, name: str, seed: int) -> Scanner:
        return Scanner(
            PtyPort(self.folder / "dev" / name),
            Journal(name, self.folder / f"{name}.ndjson"),
            ScannerHabits(acknowledge="ack-nak", answer_timeout_s=2.0),
            rng=random.Random(f"{seed} {name}"),
        )
