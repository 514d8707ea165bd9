"""What the upstream contract needs of the other side, and one such side per kind of upstream.

A further kind of upstream joins the contract by one class here: how to build the upstream, and how its far end is made
to misbehave. What a kind cannot do by its nature it says in `names`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from upstream_events import entry

from gateway.epcis_encoder import EpcisEncoder
from simulators.centre import Centre, Policy
from simulators.centre_script import Act, Script
from simulators.network import Network
from sync import EpcisCaptureSettings, HttpEventsSettings, Upstream
from sync.batch import ENTRY_OVERHEAD_BYTES
from sync.epcis_capture import EpcisCapture
from sync.http_events import HttpEvents

WALL_MS = 1_795_248_000_000


class FarEnd(Protocol):
    """The other side of one upstream."""

    upstream: Upstream
    names: bool
    """The acknowledgement names events, so that a part of a batch can be left open."""
    believes_any_2xx: bool
    """By its settings any 2xx counts as an acknowledgement."""
    asks_first: bool
    """Its first request is a question, so that the batch meets a connection that has served, and is sent once more when
    that ends under it."""

    def ids(self) -> list[str]:
        """Ids it has, in the order of first arrival."""

    def deliveries(self, id: str) -> int:
        """How often an event arrived."""

    def conflicts(self) -> list[str]:
        """Contradictions it saw."""

    def will(self, *days: str) -> None:
        """Queue what happens to the next requests, by the names in DAYS."""

    def wants_at_most(self, body_bytes: int) -> None:
        """Refuse larger requests from now on."""

    def dislikes(self, text: str) -> None:
        """Reject events that hold this text from now on."""

    async def close(self) -> None:
        """Go away."""

    async def open(self) -> None:
        """Come back."""


DAYS = {
    "lost answer": Act("answer_lost"),
    "lost request": Act("request_lost"),
    "half answer": Act("half_answer"),
    "applied, then 503": Act("applied_status", 503),
    "unavailable": Act("status", 503),
    "throttled": Act("status", 429, retry_after="7"),
    "no credential": Act("status", 401),
    "not allowed": Act("status", 403),
    "wrong address": Act("status", 404),
    "wrong method": Act("status", 405),
    "gone": Act("status", 410),
    "redirect": Act("redirect", location="http://127.0.0.1:9/elsewhere"),
    "portal": Act("portal"),
    "partial": Act("partial", share=0.5),
    "first rejected": Act("reject_first"),
    "never answers": Act("hang"),
}


@dataclass
class HttpFarEnd:
    centre: Centre
    network: Network
    upstream: Upstream
    names: bool

    @property
    def believes_any_2xx(self) -> bool:
        return not self.names

    @property
    def asks_first(self) -> bool:
        return False

    def ids(self) -> list[str]:
        return list(self.centre.ledger.by_id)

    def deliveries(self, id: str) -> int:
        return self.centre.ledger.by_id[id].deliveries

    def conflicts(self) -> list[str]:
        return self.centre.ledger.conflicts

    def will(self, *days: str) -> None:
        self.centre.script.then(*(DAYS[day] for day in days))

    def wants_at_most(self, body_bytes: int) -> None:
        self.centre.policy.body_bytes_max = body_bytes

    def dislikes(self, text: str) -> None:
        self.centre.policy.poison = (text,)
        self.centre.policy.poison_answer = "named" if self.names else "422"

    async def close(self) -> None:
        self.network.cut()

    async def open(self) -> None:
        await self.network.mend()


@contextlib.asynccontextmanager
async def http_events(acknowledge: str, **settings: object) -> AsyncIterator[HttpFarEnd]:
    names = acknowledge == "named"
    policy = Policy(answers="both" if names else "plain")
    async with Centre(policy, Script()) as centre, Network(centre.host, centre.port) as network:
        upstream = HttpEvents(
            HttpEventsSettings.model_validate(
                {
                    "name": "centre",
                    "url": f"http://127.0.0.1:{network.port}/v1/events",
                    "acknowledge": acknowledge,
                    "timeout_s": 2,
                    **settings,
                }
            ),
            wall=lambda: WALL_MS,
        )
        try:
            yield HttpFarEnd(centre, network, upstream, names)
        finally:
            await upstream.aclose()


@dataclass
class CaptureFarEnd(HttpFarEnd):
    """The capture interface. A document is another size than the batch it is made of, and no part of one is named."""

    @property
    def believes_any_2xx(self) -> bool:
        return False

    @property
    def asks_first(self) -> bool:
        return True

    def wants_at_most(self, body_bytes: int) -> None:
        count = round(body_bytes / (len(entry(1).payload) + ENTRY_OVERHEAD_BYTES))
        self.centre.capture_policy.events_max = count
        self.centre.capture_policy.announces = False


@contextlib.asynccontextmanager
async def epcis_capture(event_ids: str, **settings: object) -> AsyncIterator[CaptureFarEnd]:
    async with Centre(Policy(), Script()) as centre, Network(centre.host, centre.port) as network:
        url = f"http://127.0.0.1:{network.port}/capture"
        made = EpcisCaptureSettings.model_validate(
            {"name": "centre", "url": url, "timeout_s": 2, "job_poll_s": 0.001, **settings}
        )
        encoder = EpcisEncoder(nothing_found, hash_ids=event_ids == "hash", wall=lambda: WALL_MS, sleep=asyncio.sleep)
        upstream = EpcisCapture(
            made,
            encoder,
            wall=lambda: WALL_MS,
            monotonic=asyncio.get_running_loop().time,
            sleep=asyncio.sleep,
        )
        try:
            yield CaptureFarEnd(centre, network, upstream, names=False)
        finally:
            await upstream.aclose()


async def nothing_found(event_id: str) -> None:
    """No voided event is in the outbox of a contract test."""
    del event_id


FAR_ENDS: dict[str, Callable[..., contextlib.AbstractAsyncContextManager[FarEnd]]] = {
    "http-events, named": lambda **settings: http_events("named", **settings),
    "http-events, status": lambda **settings: http_events("status", **settings),
    "epcis-capture, uuid": lambda **settings: epcis_capture("uuid", **settings),
}
