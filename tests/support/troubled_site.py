"""A whole gateway between handhelds and a centre, one thing about to go wrong, and the verdict of both ends.

    async with troubled_site(tmp_path) as site:
        await site.scan(20)                          # answered: on disk
        site.network.cut()
        await site.alarm("upstream_unavailable")     # in the status and in the log
        await site.scan(20)                          # intake does not care
        await site.network.mend()
        await site.verdict()                         # nothing lost, doubled, invented, damaged; the alarm is gone

The gateway is a process of its own, with a configuration file and nothing else in common with the test. What devices
did and what the centre received are two histories that it does not write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.cli.child import GatewayProcess, free_port
from simulators.centre import Centre, Policy
from simulators.handheld import Handheld, HandheldPlan
from simulators.ledger import DeviceScan, Ledger, reconcile
from simulators.network import Network
from simulators.token import Token

BOUND_S = 60.0
"""Longer than anything takes on a busy machine; who reaches it has failed."""
LOOK_S = 0.02
SITE = "dc07"

_CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{folder}/state"
reserve_bytes = 0

[limits]
link_up_after_s = 0.0
link_down_after_s = 0.0
reopen_s_max = 1.0
fault_retry_s_max = 5.0

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:{api}"
unauthenticated = "accept-in-lab"

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"

[[upstream]]
name = "centre"
{upstream}
"""

QUICK: dict[str, object] = {"timeout_s": 5.0, "backoff_base_s": 0.05, "backoff_max_s": 0.2, "hold_retry_s": 0.2}
"""The waits of an upstream, short enough for a test. What the default ones amount to is shown in virtual time."""


async def until(is_so: Callable[[], Any], what: str) -> Any:
    """Return the first true result, looked for again and again; fail after a generous bound."""
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end:
        if found := is_so():
            return found
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"never: {what}")


@dataclass
class TroubledSite:
    """What a test holds of a site; made by `troubled_site`."""

    folder: Path
    centre: Centre
    network: Network
    gateway: GatewayProcess
    listener: int
    api: int
    handhelds: list[Handheld] = field(default_factory=list)
    more_scans: list[Callable[[], Iterable[DeviceScan]]] = field(default_factory=list)
    """Histories of further devices."""
    is_judged: bool = False
    """Every promise held at the last look, and nothing has happened since."""
    _numbers: int = 0
    _retried: set[int] = field(default_factory=set)
    _log_read: int = 0
    _http: httpx2.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.api}", timeout=BOUND_S, trust_env=False)

    # -- devices

    async def scan(self, count: int = 1, *, note: str = "") -> list[float]:
        """Scan, one after the other, each answered before the next; return how long each answer took, in seconds."""
        return [await self._scan_one(note) for _ in range(count)]

    async def _scan_one(self, note: str) -> float:
        self._numbers += 1
        self.is_judged = False
        handheld = self.handhelds[self._numbers % len(self.handhelds)]
        began = time.perf_counter()
        tag = f"h{self._numbers % len(self.handhelds) + 1}"
        message = handheld.scan(f"CARTON {Token(tag, self._numbers)} {note}".strip(), activity="pick")
        async with asyncio.timeout(BOUND_S):
            answer = await handheld.answer(message)
        assert answer.tone == "good", answer
        return time.perf_counter() - began

    def scans(self) -> list[DeviceScan]:
        """Return what the devices remember."""
        told = [scan for handheld in self.handhelds for scan in handheld.device_scans()]
        return told + [scan for more in self.more_scans for scan in more()]

    # -- what people see

    async def ask(self, path: str) -> Any:
        """Return what the local API says."""
        return (await self._http.get(path)).json()

    async def post(self, path: str, body: object) -> Any:
        """Do something over the local API; with the token of the command line."""
        token = (self.folder / "state" / "cli.token").read_text().strip()
        answer = await self._http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def status(self) -> Any:
        return await self.ask("/v1/status")

    async def upstream(self) -> Any:
        """Return the upstream's line of the status."""
        return (await self.status())["upstreams"][0]

    async def alarm(self, code: str, *, subject: str = "centre", logged: bool = True) -> Any:
        """Return the alarm with this code once it stands in the status; it must be in the log as well."""
        async with asyncio.timeout(BOUND_S):
            while True:
                found = [one for one in (await self.status())["alarms"] if one["subject"] == subject]
                named = [one for one in found if one["code"] == code]
                if named:
                    break
                await asyncio.sleep(LOOK_S)
        (alarm,) = named
        assert alarm["message"]
        if logged:
            await until(lambda: f"code={code}" in self.log(), f"{code} in the log")
        return alarm

    async def quiet(self) -> None:
        """Return once nothing troubles the site any more."""
        async with asyncio.timeout(BOUND_S):
            while (await self.status())["alarms"]:
                await asyncio.sleep(LOOK_S)

    def log(self) -> str:
        """Return what the gateway logged since the last verdict."""
        return self.gateway.log.read_text(errors="replace")[self._log_read :]

    async def settled(self) -> Any:
        """Return the upstream's line once everything is delivered, or in quarantine."""
        async with asyncio.timeout(BOUND_S):
            while True:
                line = await self.upstream()
                if line["pending"] == 0 and not await self._in_retry():
                    return line
                await asyncio.sleep(LOOK_S)

    async def _in_retry(self) -> bool:
        return any(row["state"] == "retry" for row in await self.quarantined())

    async def quarantined(self) -> list[Any]:
        """Return what waits for a person, or is being tried again."""
        rows: list[Any] = (await self.ask("/v1/quarantine"))["quarantine"]
        return [row for row in rows if row["state"] in ("open", "retry")]

    async def retry(self) -> None:
        """A person has seen to it: everything in quarantine goes again. Return once it has arrived."""
        waiting = [row["seq"] for row in await self.quarantined()]
        self._retried |= set(waiting)
        await self.post("/v1/quarantine/centre/retry", {"seqs": waiting, "reason": "the centre was mended"})
        async with asyncio.timeout(BOUND_S):
            while (await self.settled())["quarantined"]:
                await asyncio.sleep(LOOK_S)

    # -- judgement

    async def verdict(self, *, held: Iterable[Token] = (), alarms: Iterable[str] = ()) -> Ledger:
        """Return the ledger once everything is settled, after judging it.

        `held` are the scans that must be in quarantine, and nothing else may be; `alarms` those that last.
        """
        line = await self.settled()
        kept = set(held)
        assert line["quarantined"] == len(kept)
        assert (line["imbalance"], line["lost"], line["discarded"], line["skipped"]) == (0, 0, 0, 0)
        assert line["accepted"] == line["delivered"] + line["quarantined"]
        ledger = reconcile(self.scans(), self.centre.ledger.events)
        found = ledger.violations()
        assert sorted(found.pop("lost")) == sorted(map(str, kept))
        waiting = {row["seq"] for row in await self.quarantined()} | self._retried
        found["out_of_sequence"] = [one for one in found["out_of_sequence"] if int(one.split()[1]) not in waiting]
        assert found == {name: [] for name in found}
        assert ledger.injected == ledger.acknowledged == ledger.delivered + len(kept)
        assert self.centre.ledger.conflicts == []
        assert "Traceback" not in self.log()
        async with asyncio.timeout(BOUND_S):
            while {one["code"] for one in (await self.status())["alarms"]} != set(alarms):
                await asyncio.sleep(LOOK_S)
        self.is_judged = True
        self._log_read = len(self.gateway.log.read_text(errors="replace"))
        return ledger

    async def close(self) -> None:
        await self._http.aclose()


def describe(settings: dict[str, object]) -> str:
    """Return settings as lines of TOML."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())


@contextlib.asynccontextmanager
async def troubled_site(
    folder: Path,
    *,
    policy: Policy | None = None,
    tls: ssl.SSLContext | None = None,
    more: str = "",
    handhelds: int = 1,
    program: tuple[str, ...] | None = None,
    listens: Callable[[int], int] = lambda port: port,
    **upstream: object,
) -> AsyncIterator[TroubledSite]:
    """Lend a running site; afterwards the gateway has stopped in order, with exit code 0.

    `more` is further TOML; `upstream` are keys of its upstream; `listens` may put another port before the listener.
    """
    async with (
        Centre(policy=policy or Policy(), tls=tls) as centre,
        Network(centre.host, centre.port, seed=7) as network,
        contextlib.AsyncExitStack() as stack,
    ):
        scheme = "https" if tls is not None else "http"
        keys = {"url": f"{scheme}://127.0.0.1:{network.port}/v1/events", **QUICK, **upstream}
        listener, api = free_port(), free_port()
        config = folder / "gateway.toml"
        text = _CONFIG.format(folder=folder, listener=listener, api=api, upstream=describe(keys))
        config.write_text(text + more)
        gateway = GatewayProcess(
            config, folder / "gateway.log", *([program] if program else []), start_timeout_s=BOUND_S
        )
        site = TroubledSite(folder, centre, network, gateway, listener, api)
        await gateway.start()
        try:
            for number in range(1, handhelds + 1):
                plan = HandheldPlan(f"hh-{number}", SITE, listens(listener), backoff_max_s=0.2)
                handheld = Handheld(plan, folder, rng=random.Random(number))
                site.handhelds.append(await stack.enter_async_context(handheld))
            yield site
        finally:
            await site.close()
            code = await gateway.stop()
        assert code == 0, gateway.last_words()
