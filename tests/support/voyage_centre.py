"""The way from the gateway to the centre, without sockets: the real HTTP upstream over a line with weather.

`HttpEvents` makes its request and reads its answer as ever; only the wire between is a function call in virtual time.
At the other end stands the simulated centre with its strict ledger and its script of wrong answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from random import Random
from urllib.parse import parse_qs, urlsplit

from voyage_world import Life, VoyageWorld

from simulators.centre import EVENTS_PATH, Centre
from simulators.centre_http import Reply
from simulators.centre_http import Request as Asked
from sync.answer import Answer
from sync.http_exchange import BrokenConnection, NoConnection, Request


class Uplink:
    """The line between this site and the centre."""

    def __init__(self, world: VoyageWorld, centre: Centre, rng: Random) -> None:
        self.world = world
        self.centre = centre
        self.rng = rng
        self.refused_until = 0.0
        self.black_hole_until = 0.0
        self.latency_s = (0.005, 0.05)
        self.requests = 0
        self.turned_away = 0
        """Attempts that found no road to the centre."""
        self.refused: set[str] = set()
        """Ids of events that the centre ever said no to: it may get them late, and owes that to itself."""

    def carrier(self, life: Life) -> UplinkCarrier:
        return UplinkCarrier(self, life)

    async def exchange(self, request: Request, life: Life) -> Answer:
        """Carry a request there and its answer back."""
        world, loop = self.world, self.world.loop
        now = loop.time()
        if life.is_dead or now < self.black_hole_until:
            await loop.create_future()
        if now < self.refused_until:
            self.turned_away += 1
            raise NoConnection("no route")
        await asyncio.sleep(self.rng.uniform(*self.latency_s))
        if life.is_dead:
            await loop.create_future()
        self.requests += 1
        reply = self._ask(request)
        if not reply.hang:
            world.moment("applied", life)
        await asyncio.sleep(self.rng.uniform(*self.latency_s))
        if reply.hang or life.is_dead:
            await loop.create_future()
        if reply.silent or loop.time() < self.refused_until:
            raise BrokenConnection("the server closed the connection without an answer")
        world.moment("answered", life)
        if life.is_dead:
            await loop.create_future()
        if reply.is_cut:
            raise BrokenConnection("the connection broke in mid-answer")
        headers = {name.lower(): value for name, value in dict(reply.headers).items()}
        return Answer(reply.status, headers, reply.body[: request.answer_bytes_max + 1], request.answer_bytes_max)

    def _ask(self, request: Request) -> Reply:
        body = request.body
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(request.method, parts.path, query, headers, body, len(body))
        if parts.path == EVENTS_PATH:
            reply = self.centre._take_request(asked)
            if reply.status in (400, 413, 422):
                self.refused.update(self.centre.attempts[-1].ids)
            elif b'"rejected"' in reply.body[:200_000]:
                self.refused.update(row["id"] for row in json.loads(reply.body)["rejected"])
            self.world.note(
                "centre", hashlib.blake2b(body, digest_size=6).hexdigest(), len(self.centre.attempts[-1].ids),
                reply.status, "silent" * reply.silent, "hangs" * reply.hang,
            )  # fmt: skip
        else:
            reply = self.centre._answer_position(asked)
            self.world.note("position", reply.body)
        return reply


class UplinkCarrier:
    """What `HttpEvents` takes for the network. Implements `Carrier`."""

    def __init__(self, uplink: Uplink, life: Life) -> None:
        self._uplink = uplink
        self._life = life

    async def exchange(self, request: Request) -> Answer:
        return await self._uplink.exchange(request, self._life)

    def close(self) -> None:
        pass
