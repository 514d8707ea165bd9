"""The way over HTTP in a voyage: the real application of the local API, without sockets.

A request is a call of the application in the life that answers it, with a latency before and behind it. A process that
dies answers nobody; a request that got lost on the way was never heard; an answer that got lost was.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from starlette.types import ASGIApp
from voyage_handheld import Heard
from voyage_loop import LIFE
from voyage_world import Life, VoyageWorld

from gateway.report import Report
from gateway.web.app import build_app
from gateway.web.auth import Tokens
from gateway.web.guard import Policy
from gateway.web.session import Sessions
from simulators.labels import GTINS, carton
from simulators.ledger import DeviceScan
from simulators.rfid_endpoint import Unreached
from simulators.token import Token

TIMEOUT_S = 4.0


class HttpWire:
    """Carries requests to whichever life of the gateway is there."""

    def __init__(self, world: VoyageWorld, rng: Random) -> None:
        self.world = world
        self.down_until = 0.0
        self.lost = 0.03
        """Chance that a request, or else its answer, does not arrive."""
        self._rng = rng
        self._apps: dict[int, ASGIApp] = {}

    async def send_tags(self, body: bytes) -> bool:
        """Be the endpoint of an RFID portal. Raises Unreached."""
        status, _ = await self.post("/v1/readers/portal-1/tags", body)
        if status == 503:
            raise Unreached("no room")
        return status == 200

    async def pause(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def post(self, path: str, body: bytes, method: str = "POST") -> tuple[int, Any]:
        """Return status and body. Raises Unreached when no answer came; nobody knows then whether it was heard."""
        rng, loop = self._rng, self.world.loop
        fate, before_s, behind_s = rng.random(), rng.uniform(0.001, 0.01), rng.uniform(0.001, 0.01)
        await asyncio.sleep(before_s)
        life = self.world.life
        if life is None or life.daemon is None or not life.daemon.is_open or loop.time() < self.down_until:
            raise Unreached("connection refused")
        if fate < self.lost / 2:
            await asyncio.sleep(TIMEOUT_S)
            raise Unreached("the request got lost")
        found = await self._ask(life, method, path, body)
        await asyncio.sleep(behind_s)
        if found is None or life.is_dead or fate < self.lost:
            await asyncio.sleep(TIMEOUT_S)
            raise Unreached("no answer")
        status, answer = found
        return status, json.loads(answer) if answer else None

    async def _ask(self, life: Life, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        """Call the application in the process that answers; None when that died over it."""
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        assert life.daemon is not None
        app = self._apps.get(life.number)
        if app is None:
            settings, tokens = life.daemon.settings, Tokens(None)
            policy = Policy.of(settings.api, settings.expectations.bytes_max)
            sessions = Sessions(tokens, life.daemon.world.monotonic)
            app = self._apps[life.number] = build_app(Report(life.daemon), policy, tokens, sessions)
        heard: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 8470),
            "client": ("127.0.0.1", 1),
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            heard.append(message)

        async def answer() -> None:
            await app(scope, receive, send)  # type: ignore[arg-type]

        task = self.world.loop.create_task(answer(), context=context)
        done, _ = await asyncio.wait([task], timeout=30.0)
        if not done or task.cancelled() or task.exception() is not None or not heard:
            return None
        return heard[0]["status"], b"".join(message.get("body", b"") for message in heard[1:])


class Poster(Protocol):
    """Something that posts numbered scans, as the judge sees it."""

    scans: dict[Token, Heard]

    def device_scans(self) -> list[DeviceScan]:
        """Return its scans and what it heard."""


@dataclass
class HttpHandheld:
    """A handheld that numbers its scans and posts each until it is answered, one at a time."""

    wire: HttpWire
    device: str
    tag: str
    scans_wanted: int
    interval_s: float
    rng: Random
    scans: dict[Token, Heard] = field(default_factory=dict)
    is_done: bool = False

    async def work(self) -> None:
        installation = f"{self.rng.getrandbits(24):06x}"
        for number in range(1, self.scans_wanted + 1):
            await asyncio.sleep(self.rng.uniform(0.3, 1.7) * self.interval_s)
            token = Token(self.tag, number)
            self.scans[token] = Heard()
            message = {
                "id": f"{self.device}-{installation}-{number:06d}",
                "code": carton(GTINS[number % len(GTINS)], token),
                "device": self.device,
                "activity": "pick",
            }
            await self._until_answered(token, json.dumps(message).encode())
        self.is_done = True

    async def _until_answered(self, token: Token, body: bytes) -> None:
        while True:
            try:
                status, answer = await self.wire.post("/v1/scans", body)
            except Unreached:
                await asyncio.sleep(self.rng.uniform(0.1, 1.0))
                continue
            if status == 200:
                heard = self.scans[token]
                heard.results.append(answer["result"])
                heard.events.append(tuple(answer.get("events", ())))
                self.wire.world.note(self.device, "hears", token.number, answer["result"])
                return
            await asyncio.sleep(self.rng.uniform(0.5, 2.0))  # 503: no room now

    def device_scans(self) -> list[DeviceScan]:
        return [DeviceScan(token, bool(heard.results), refused=False) for token, heard in self.scans.items()]
