"""The stage of a scenario: the real program in one process or several, their devices, an uplink, a centre."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from gateway.demo.post import Post, PostPlan
from gateway.events.catalogue import DATA
from simulators.centre import Centre
from simulators.ledger import Ledger
from simulators.network import Network


class Stage:
    """`async with Stage(...)` has a centre, an uplink and devices; `begin` starts the gateways."""

    def __init__(self, folder: Path, posts: Sequence[PostPlan], *, seed: int = 1, speed: float = 1.0) -> None:
        """`speed` 10 has what takes its time on a real site (pallets that drive) ten times as fast."""
        self.folder = folder
        self.seed = seed
        self.speed = speed
        self.centre = Centre(ledger_file=folder / "centre.ndjson")
        self.repository = Centre(ledger_file=folder / "repository.ndjson")
        self.uplink = Network("127.0.0.1", 0, seed=seed)
        self.posts = [
            Post(plan, folder / plan.gateway if number else folder, seed=seed, tell=self.tell)
            for number, plan in enumerate(posts)
        ]
        self.scanners = {name: scanner for post in self.posts for name, scanner in post.scanners.items()}
        self.on_tell: Callable[[str], object] = lambda _: None
        """Called with each sentence of the story."""
        self.exit_codes: list[int] = []
        """Of the gateways, when they have ended."""
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.centre)
        await self._open.enter_async_context(self.repository)
        self.uplink = Network("127.0.0.1", self.centre.port, seed=self.seed)
        await self._open.enter_async_context(self.uplink)
        for post in self.posts:
            await post.start(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def begin(self) -> None:
        """Return when the gateways take scans and know the expected documents. Raises ChildFailed."""
        for post in self.posts:
            await post.begin(uplink=self.uplink.port, repository=self.repository.port)

    async def end(self) -> None:
        """Stop the gateways."""
        for post in self.posts:
            if post.gateway.process is not None:
                self.exit_codes.append(await post.gateway.stop())

    @property
    def post(self) -> Post:
        """The first gateway, which is the only one of most scenarios."""
        return self.posts[0]

    async def power_cut(self) -> None:
        """Kill the first gateway with SIGKILL and start it again. Raises ChildFailed."""
        await self.post.power_cut()

    async def delivered(self) -> None:
        """Return when the centre has every event the gateways have, or when they will not come any more."""
        for post in self.posts:
            await post.delivered(self.centre, *([self.repository] if post.plan.has_repository else []))
        self.tell(f"the centre has {len(self.centre.ledger.by_id)} events")

    def tell(self, what: str) -> None:
        """Go on with the story."""
        self.on_tell(what)

    # -- what devices and centre remember

    def ledgers(self) -> list[Ledger]:
        """Return by gateway the fate of every scan that carries a token."""
        return [post.ledger(self.centre) for post in self.posts]

    def events(self, name: str, *, site: str | None = None) -> list[dict[str, Any]]:
        """Return the events of a name at the centre, by sequence, each once; of one site or of all."""
        found = {}
        for event in self.centre.ledger.events:
            body = json.loads(event.body)
            if body["type"] == f"dockline.{name}.v1" and site in (None, body["data"].get("site")):
                found[event.id] = body
        return sorted(found.values(), key=lambda body: str(body["sequence"]))

    def data(self, name: str, *, site: str | None = None) -> list[dict[str, Any]]:
        """Return the data of these events."""
        return [body["data"] for body in self.events(name, site=site)]

    def tones(self, scanner: str) -> str:
        """Return what a scanner was made to sound, in order, one letter a scan."""
        return "".join(str(line["bytes"]) for line in self.scanners[scanner].journal.lines if line["what"] == "tone")

    def misdirected(self) -> list[str]:
        """Return the exceptions about an item that no event they show, or another step of theirs, is about. One about
        how much a line has names the item as the line does: its members have to be those of an event."""
        bodies = {event.id: json.loads(event.body)["data"] for event in self.centre.ledger.events}
        found = []
        for event_id, data in bodies.items():
            shown = [bodies[one].get("item") for one in data.get("events", ()) if one in bodies]
            opened = bodies.get(data.get("exception", ""), data).get("item")
            if "code" not in data or "item" not in data:
                continue
            item = data["item"]
            if "variance" in data:
                is_shown = any(one is not None and item.items() <= one.items() for one in shown or [opened])
            else:
                is_shown = item in (shown or [opened])
            if not is_shown or item != opened:
                found.append(f"{event_id} {data['code']}: {data['item']}")
        return found

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
