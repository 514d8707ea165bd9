"""The stage of a scenario: the real program in a process, scanners, handhelds, an uplink, a centre."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from gateway.cli.child import GatewayProcess, free_port
from gateway.cli.client import Site as Client
from gateway.events.catalogue import DATA
from simulators.centre import Centre
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.ledger import Ledger, reconcile
from simulators.network import Network
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.site import scanner_scans

DELIVERY_TIMEOUT_S = 60.0
GOOD, ATTENTION, AGAIN = "g", "a", "d"
"""What a scanner of a scenario is made to sound: counted, something is wrong, was here before."""

_HEAD = """\
# Written by `dockline demo`. Any of this can be pasted into a gateway.toml of your own.
[site]
id = "demo"
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


class Stage:
    """`async with Stage(...)` has a centre, an uplink and devices; `begin` starts the gateway."""

    def __init__(self, folder: Path, *, seed: int = 1, scanners: Sequence[tuple[str, str]] = ()) -> None:
        """`scanners` names each scanner and its station."""
        self.folder = folder
        self.seed = seed
        self.listener = free_port()
        self.centre = Centre(ledger_file=folder / "centre.ndjson")
        self.uplink = Network("127.0.0.1", 0, seed=seed)
        self.gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log")
        self.stations = dict(scanners)
        self.scanners = {name: self._scanner(name) for name in self.stations}
        self.handhelds: dict[str, Handheld] = {}
        self.on_tell: Callable[[str], object] = lambda _: None
        """Called with each sentence of the story."""
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.centre)
        self.uplink = Network("127.0.0.1", self.centre.port, seed=self.seed)
        await self._open.enter_async_context(self.uplink)
        for scanner in self.scanners.values():
            await scanner.start()
            self._open.push_async_callback(scanner.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def begin(self, stations: str, expected: Sequence[dict[str, Any]]) -> None:
        """Return when the gateway takes scans and knows the expected documents. Raises ChildFailed."""
        text = _HEAD.format(
            gateway="demo-pc", state=self.folder / "state", listener=self.listener, uplink=self.uplink.port
        )
        text += stations
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
        self.tell("the gateway takes scans")
        for document in expected:
            client = Client(self.gateway.config)
            await asyncio.to_thread(client.put, f"/v1/expectations/{document['id']}", document)
            self.tell(f"it expects {document['id']}: {len(document['lines'])} lines")

    async def handheld(self, name: str) -> Handheld:
        """Switch a handheld on; it is on until the end."""
        plan = HandheldPlan(device=name, site="demo", port=self.listener)
        found = Handheld(plan, self.folder, rng=random.Random(f"{self.seed} {name}"))
        self.handhelds[name] = await self._open.enter_async_context(found)
        return found

    async def power_cut(self) -> None:
        """Kill the gateway with SIGKILL and start it again. Raises ChildFailed."""
        await self.gateway.kill()
        self.tell("the gateway is killed (SIGKILL)")
        await self.gateway.start()
        self.tell("the gateway is back")

    async def delivered(self) -> None:
        """Return when the centre has every event the gateway has, or when they will not come any more."""
        status = await asyncio.to_thread(Client(self.gateway.config).get, "/v1/status")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self.centre.holds(status["storage"]["head_seq"])
        self.tell(f"the centre has {len(self.centre.ledger.by_id)} events")

    def tell(self, what: str) -> None:
        """Go on with the story."""
        self.on_tell(what)

    # -- what devices and centre remember

    def ledger(self) -> Ledger:
        """Return the fate of every scan that carries a token."""
        scans = [scan for scanner in self.scanners.values() for scan in scanner_scans(scanner.journal)]
        scans += [scan for handheld in self.handhelds.values() for scan in handheld.device_scans()]
        return reconcile(scans, self.centre.ledger.events)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name at the centre, by sequence, each once."""
        found = {}
        for event in self.centre.ledger.events:
            body = json.loads(event.body)
            if body["type"] == f"dockline.{name}.v1":
                found[event.id] = body
        return sorted(found.values(), key=lambda body: str(body["sequence"]))

    def data(self, name: str) -> list[dict[str, Any]]:
        """Return the data of these events."""
        return [body["data"] for body in self.events(name)]

    def tones(self, scanner: str) -> str:
        """Return what a scanner was made to sound, in order, one letter a scan."""
        return "".join(str(line["bytes"]) for line in self.scanners[scanner].journal.lines if line["what"] == "tone")

    def misshapen(self) -> list[str]:
        """Return the events at the centre that are not what the models say."""
        found = []
        for event in self.centre.ledger.events:
            body = json.loads(event.body)
            name = body["type"].split(".")[1]
            try:
                DATA[name].model_validate_json(json.dumps(body["data"]))
            except (KeyError, ValidationError) as error:
                found.append(f"{event.id} {name}: {error}")
        return found

    def _scanner(self, name: str) -> Scanner:
        return Scanner(
            PtyPort(self.folder / "dev" / name),
            Journal(name, self.folder / f"{name}.ndjson"),
            ScannerHabits(acknowledge="ack-nak", answer_timeout_s=2.0),
            rng=random.Random(f"{self.seed} {name}"),
        )
