"""A site that works while something goes wrong: handhelds scan, a gateway under a service manager, a centre, a verdict.

    async with FaultSite(tmp_path) as site:
        await site.scans(50)            # 50 more scans were answered
        ...the fault...
        await site.alarm("storage_full")
        ...its end...
        await site.scans(50)
        ledger = await site.verdict()   # every scan is answered and delivered, and nothing else is

Handhelds number their messages and keep a scan until it is answered, so a fault may cost time and nothing else. The
verdict is `reconcile`'s, which knows only what the handhelds did and heard and what the centre received.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from service_manager import ServiceManager
from site_under_test import PLANTED, Progress

from gateway.cli.child import free_port
from simulators.centre import Centre
from simulators.centre_script import Script
from simulators.handheld import Handheld, HandheldPlan
from simulators.ledger import Ledger, reconcile
from simulators.token import Token, find_tokens

BOUND_S = 120.0
UNANSWERED_MAX = 24
_CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{storage}"
{storage_keys}
[limits]
link_up_after_s = 0.0

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:{api}"
unauthenticated = "accept-in-lab"

[[upstream]]
name = "centre"
url = "{upstream}"
timeout_s = 5.0
backoff_base_s = 0.05
backoff_max_s = 0.2
{upstream_keys}

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""


class FaultSite:
    """One site under load."""

    def __init__(
        self,
        folder: Path,
        *,
        handhelds: int = 4,
        storage: Path | None = None,
        storage_keys: str = "reserve_bytes = 0",
        upstream_keys: str = "",
        more: str = "",
        planted: str | None = None,
        environ: Mapping[str, str] | None = None,
        watchdog_s: float | None = None,
        centre: Centre | None = None,
        is_centre_up: bool = True,
        unanswered_max: int = UNANSWERED_MAX,
        log: Path | None = None,
        seed: int = 1,
    ) -> None:
        """`storage` and `log` are folders; `planted` is a bug of planted_gateway.py; `more` further TOML."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.storage = storage or folder / "state"
        self.listener, self.api = free_port(), free_port()
        self.centre = centre or Centre(script=Script(rng=random.Random(seed)))
        self.centre.port = self.centre.port or free_port()
        self._is_centre_up = is_centre_up
        self._storage_keys, self._upstream_keys, self._more = storage_keys, upstream_keys, more
        self.config = folder / "gateway.toml"
        self.configure()
        program = (sys.executable, str(PLANTED), planted) if planted else (sys.executable, "-m", "gateway")
        self.manager = ServiceManager(self.config, folder, program=program, environ=environ, watchdog_s=watchdog_s)
        self.manager.log_file = (log or folder) / "gateway.log"
        self.progress = Progress()
        self._unanswered_max = unanswered_max
        self.handhelds = [
            Handheld(
                HandheldPlan(f"hh-{number}", "dc07", self.listener, backoff_max_s=0.2, ack_timeout_s=2.0),
                folder,
                rng=random.Random(seed * 100 + number),
                on_line=self.progress.note,
            )
            for number in range(1, handhelds + 1)
        ]
        self._working: list[asyncio.Task[None]] = []
        self._is_over = False
        self._may_scan = asyncio.Event()
        self._may_scan.set()
        self._seen = 0
        self._arrived: set[Token] = set()
        self._stack = contextlib.AsyncExitStack()

    def configure(self, more: str | None = None) -> None:
        """Write the configuration, with other further TOML."""
        self._more = self._more if more is None else more
        text = _CONFIG.format(
            storage=self.storage,
            storage_keys=self._storage_keys,
            listener=self.listener,
            api=self.api,
            upstream=self.centre.url,
            upstream_keys=self._upstream_keys,
        )
        self.config.write_text(text + self._more)

    async def __aenter__(self) -> Self:
        try:
            if self._is_centre_up:
                await self.centre.start()
            self._stack.push_async_callback(self.centre.stop)
            await self._stack.enter_async_context(self.manager)
            await self.manager.ready(1)
            for number, handheld in enumerate(self.handhelds, start=1):
                await self._stack.enter_async_context(handheld)
                self._working.append(asyncio.create_task(self._scan(handheld, f"h{number}")))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._working:
            task.cancel()
        if self._working:
            await asyncio.wait(self._working)
        await self._stack.aclose()

    async def _scan(self, handheld: Handheld, tag: str) -> None:
        """Scan until the end, with a bounded number of scans unanswered."""
        waiting: deque[str] = deque()
        number = 0
        while not self._is_over:
            if not self._may_scan.is_set():
                await self._may_scan.wait()
                continue
            number += 1
            waiting.append(handheld.scan(f"CARTON {Token(tag, number)}", activity="pick"))
            if len(waiting) >= self._unanswered_max:
                await handheld.answer(waiting.popleft())
        await handheld.all_answered()

    # -- what the test waits for

    def answered(self) -> int:
        """How many scans were answered so far."""
        return sum(len(handheld.answers) for handheld in self.handhelds)

    def answered_tokens(self) -> set[Token]:
        """Return the tokens of the scans that heard a positive answer so far."""
        scans = [scan for handheld in self.handhelds for scan in handheld.device_scans()]
        return {scan.token for scan in scans if scan.acknowledged}

    async def scans(self, more: int) -> None:
        """Return when so many more scans were answered."""
        target = self.answered() + more
        await self.until(lambda: self.answered() >= target, f"{more} more scans are answered")

    async def rest(self, *, delivered: bool = True) -> None:
        """Have nobody scan; return when every scan so far is answered, and delivered if so wished."""
        self._may_scan.clear()
        await self.until(lambda: not any(one.file.pending for one in self.handhelds), "every scan is answered")
        if delivered:
            owed = self.answered_tokens()
            async with asyncio.timeout(BOUND_S):
                await self.centre.until(lambda _: self.arrived() >= owed)
            await self.status_when(lambda found: found["upstreams"][0]["pending"] == 0, "everything is settled")

    def work(self) -> None:
        """Scan again after a rest."""
        self._may_scan.set()

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Return when `is_so` holds; looked at whenever a handheld does or hears something."""
        try:
            async with asyncio.timeout(BOUND_S):
                await self.progress.until(is_so)
        except TimeoutError:
            raise AssertionError(f"never: {what}; the gateway wrote:\n{self.manager.log()[-3000:]}") from None

    async def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself."""
        return await asyncio.to_thread(self._status)

    def _status(self) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.api}/v1/status", timeout=BOUND_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    async def status_when(self, is_so: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Return the first status that `is_so` holds for, asked again and again."""
        said: object = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BOUND_S):
                while True:
                    try:
                        said = found = await self.status()
                    except OSError as error:  # it is being started again
                        said = error
                        await asyncio.sleep(0.05)
                        continue
                    if is_so(found):
                        return found
                    await asyncio.sleep(0.02)
        raise AssertionError(
            f"never: {what}; the status is {said}\nand the gateway wrote:\n{self.manager.log()[-3000:]}"
        )

    async def alarm(self, code: str) -> dict[str, Any]:
        """Return the alarm with this code as soon as the status shows it."""
        found = await self.status_when(lambda status: code in codes(status), f"the alarm {code}")
        alarm: dict[str, Any] = next(one for one in found["alarms"] if one["code"] == code)
        return alarm

    async def no_alarm(self, code: str) -> None:
        """Return when the status does not show it any more."""
        await self.status_when(lambda status: code not in codes(status), f"the end of the alarm {code}")

    def arrived(self) -> set[Token]:
        """Return the tokens that the centre has."""
        for event in self.centre.ledger.events[self._seen :]:
            self._arrived.update(find_tokens(event.body).whole)
        self._seen = len(self.centre.ledger.events)
        return self._arrived

    async def kill(self) -> None:
        """SIGKILL, and no new start before `manager.release`: somebody is about to do something to the files."""
        self.manager.hold()
        self.manager.kill()
        await self.manager.ended(self.manager.life)

    async def end(self) -> None:
        """The same with an orderly stop."""
        self.manager.hold()
        self.manager.kill(signal.SIGTERM)
        assert await self.manager.ended(self.manager.life) == 0

    async def back(self) -> None:
        """Start the gateway again; returns when it is ready."""
        number = len(self.manager.lives) + 1
        self.manager.release()
        await self.manager.ready(number)

    async def answers(self) -> list[Any]:
        """Stop scanning and return what every device remembers, when all its scans are answered."""
        self._is_over = True
        self._may_scan.set()
        try:
            async with asyncio.timeout(BOUND_S):
                await asyncio.gather(*self._working)
        except TimeoutError:
            raise AssertionError(f"scans are never answered; it wrote:\n{self.manager.log()[-3000:]}") from None
        return [scan for handheld in self.handhelds for scan in handheld.device_scans()]

    async def verdict(self, *, excused: Sequence[str] = ()) -> Ledger:
        """Have all scans answered and delivered, and the gateway stopped; assert that every promise held.

        `excused` are kinds of violation that the fault itself makes; the test has to judge those.
        """
        scans = await self.answers()
        owed = {scan.token for scan in scans if scan.acknowledged}
        if "lost" not in excused:
            async with asyncio.timeout(BOUND_S):
                await self.centre.until(lambda _: self.arrived() >= owed)
        status = await self.status_when(
            lambda found: all(one["pending"] == 0 for one in found["upstreams"]), "everything is delivered"
        )
        assert {one["name"]: one["imbalance"] for one in status["upstreams"]} == {"centre": 0}
        code = await self.manager.stop()
        log = self.manager.log()
        assert code == 0, log[-3000:]
        assert "Traceback" not in log
        ledger = reconcile(scans, self.centre.ledger.events)
        found = {name: what for name, what in ledger.violations().items() if name not in excused}
        assert found == {name: [] for name in found}, log[-3000:]
        return ledger


def codes(status: dict[str, Any]) -> set[str]:
    """Return the codes of the alarms of a status."""
    return {alarm["code"] for alarm in status["alarms"]}
