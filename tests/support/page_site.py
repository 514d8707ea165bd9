"""A simulated site with people before its page: a real daemon, devices on their wires, a centre that is fussy, tokens.

Tests drive a browser and wait for what it shows, so they are no coroutines; devices and centre are. They live on a loop
in a thread of their own, and a test says what they shall do:

    with page_site(folder) as site:
        site.scan("]C101095212345432132110")      # at dock-3, answered when this returns
        site.carry("hh-1", "CARTON 7", activity="pick")
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import random
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from daemon_process import until
from site_under_test import SiteUnderTest

from simulators.centre import Centre
from simulators.centre_policy import Policy
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort

T = TypeVar("T")
BOUND_S = 60.0
POISON = "UNWANTED"
"""In a code: the centre will never take the event."""
TOKENS = {"vera": ("token-of-vera-the-viewer", "viewer"), "otto": ("token-of-otto-the-operator", "operator"),
          "tina": ("token-of-tina-the-technician", "technician")}  # fmt: skip
_MORE = """
[[labels.patterns]]
kind = "document"
expression = "(?P<id>(ASN|PL)-[0-9]+)"

[[station]]
id = "dock-3"
activity = "receipt"

[[device]]
id = "dock-3-scanner"
station = "dock-3"
driver = "serial-scanner"
url = "{url}"
acknowledge = "ack-nak"

[[station]]
id = "line-1"
"""


class PageSite:
    """What a test holds of it; made by `page_site`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="site", daemon=True)
        self._open = AsyncExitStack()
        self._handhelds: dict[str, Handheld] = {}
        self.centre: Centre
        self.under_test: SiteUnderTest
        self.scanner: Scanner

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.under_test.api}"

    def start(self) -> None:
        """Return when the daemon takes scans and the scanner is plugged in."""
        self._thread.start()
        self.do(self._start())

    def stop(self) -> None:
        """End everything that was started."""
        self.do(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND_S)
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, done on the loop of the site."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND_S)

    def scan(self, code: str) -> None:
        """Pull the trigger at dock 3; returns when the scanner heard its answer."""
        assert self.do(self.scanner.scan(code)) == "acked"

    def carry(self, device: str, code: str, **context: str | int) -> str:
        """Scan with a handheld; returns the tone it was told to sound, "" when nobody answered in its time."""
        return self.do(self._carry(device, code, context))

    def ask(self, method: str, path: str, body: object = None, *, who: str | None = None) -> tuple[int, Any]:
        """One request to the API, perhaps with somebody's token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.under_test.api, timeout=BOUND_S)
        headers = {"Content-Type": "application/json"}
        if who is not None:
            headers["Authorization"] = f"Bearer {TOKENS[who][0]}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def until_quarantined(self, count: int) -> None:
        """Return when the centre has refused so many: several at once would look like a broken centre."""
        until(lambda: len(self.ask("GET", "/v1/quarantine")[1]["quarantine"]) == count, f"{count} in quarantine")

    async def _start(self) -> None:
        self.centre = await self._open.enter_async_context(Centre(policy=Policy(poison=(POISON,))))
        port = PtyPort(self.folder / "dev" / "dock-3-scanner")
        journal = Journal("dock-3-scanner", self.folder / "dock-3-scanner.ndjson")
        self.scanner = Scanner(port, journal, ScannerHabits(acknowledge="ack-nak"), rng=random.Random(3))
        await self.scanner.start()
        self._open.push_async_callback(self.scanner.close)
        tokens = self.folder / "tokens.toml"
        lines = [
            f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\nrole = "{role}"\n'
            for name, (token, role) in TOKENS.items()
        ]
        tokens.write_text("".join(lines))
        tokens.chmod(0o600)
        self.under_test = SiteUnderTest(
            self.folder,
            f"http://127.0.0.1:{self.centre.port}/v1/events",
            more=_MORE.format(url=port.url),
            api_access=f'tokens_file = "{tokens}"',
        )
        await self.under_test.gateway.start()
        self._open.push_async_callback(self._end)

    async def _end(self) -> None:
        process = self.under_test.gateway.process
        if process is not None and process.returncode is None:
            await self.under_test.gateway.stop()

    async def _carry(self, device: str, code: str, context: dict[str, str | int]) -> str:
        handheld = self._handhelds.get(device)
        if handheld is None:
            plan = HandheldPlan(device, "dc07", self.under_test.listener)
            handheld = self._handhelds[device] = Handheld(plan, self.folder, rng=random.Random(device))
            await self._open.enter_async_context(handheld)
        return (await handheld.answer(handheld.scan(code, **context))).tone


@contextmanager
def page_site(folder: Path) -> Iterator[PageSite]:
    """A site that is gone afterwards, whatever happens."""
    site = PageSite(folder)
    site.start()
    try:
        yield site
    finally:
        site.stop()
