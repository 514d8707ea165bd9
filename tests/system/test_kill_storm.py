"""The real daemon is killed with SIGKILL again and again while handhelds scan; nothing may be lost or doubled."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_plugin import Figure
from site_under_test import Progress, SiteUnderTest

from simulators.broker import Broker
from simulators.centre import Centre
from simulators.centre_script import Act, Rule, Script
from simulators.handheld import Handheld, HandheldPlan
from simulators.ledger import Ledger, reconcile
from simulators.token import Token

HANDHELDS = 4
UNANSWERED_MAX = 24
BROKER = "allow_anonymous true\npersistence true\nmax_queued_messages 0\nmax_inflight_messages 200\n"


class Storm:
    """Handhelds scan as fast as they are answered, while the gateway dies and comes back."""

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.progress = Progress()
        self.rng = random.Random(seed)
        self.is_over = False
        self.ready_s: list[float] = []
        """How long each start took until scans were taken."""
        self.handhelds = [
            Handheld(
                HandheldPlan(f"hh-{number}", "dc07", port, backoff_max_s=0.2, ack_timeout_s=2.0),
                folder,
                rng=random.Random(seed + number),
                on_line=self.progress.note,
            )
            for number in range(1, HANDHELDS + 1)
        ]

    def answered(self) -> int:
        return sum(len(handheld.answers) for handheld in self.handhelds)

    async def scan(self, handheld: Handheld, tag: str) -> None:
        """Scan until the storm is over, with a bounded number of scans unanswered."""
        waiting: deque[str] = deque()
        number = 0
        async with handheld:
            while not self.is_over:
                number += 1
                waiting.append(handheld.scan(f"CARTON {Token(tag, number)}", activity="pick"))
                if len(waiting) >= UNANSWERED_MAX:
                    await handheld.answer(waiting.popleft())
            await handheld.all_answered()

    async def rage(self, site: SiteUnderTest, kills: int) -> None:
        """Kill the gateway `kills` times, each time after some more scans were answered."""
        async with asyncio.TaskGroup() as group:
            for number, handheld in enumerate(self.handhelds, start=1):
                group.create_task(self.scan(handheld, f"h{number}"))
            for _ in range(kills):
                target = self.answered() + self.rng.randint(20, 90)
                await self.progress.until(lambda target=target: self.answered() >= target)  # type: ignore[misc]
                await site.gateway.kill()
                began = asyncio.get_running_loop().time()
                await site.gateway.start()
                self.ready_s.append(asyncio.get_running_loop().time() - began)
            self.is_over = True


@contextlib.asynccontextmanager
async def centre(seed: int) -> AsyncIterator[Centre]:
    lost = Rule(Act("answer_lost"), probability=0.2)
    async with Centre(script=Script([lost], rng=random.Random(seed))) as one:
        yield one


async def storm(
    folder: Path,
    kills: int,
    *,
    broker: Broker | None = None,
    planted: str | None = None,
    figure: Figure = lambda name, value: None,
) -> Ledger:
    """Return the ledger of a storm."""
    async with centre(seed=kills) as far_end:
        site = SiteUnderTest(folder, far_end.url, broker.port if broker else None, planted=planted)
        await site.gateway.start()
        try:
            raging = Storm(folder, broker.port if broker else site.listener, seed=kills)
            await raging.rage(site, kills)
            scans = [scan for handheld in raging.handhelds for scan in handheld.device_scans()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30 if planted is None else 3):
                    await far_end.until(lambda one: len(one.ledger.by_id) >= len(scans))
        finally:
            exit_code = await site.gateway.stop()
        assert exit_code == 0, site.gateway.last_words()
        ledger = reconcile(scans, far_end.ledger.events)
        assert ledger.injected > kills * 20
        figure("kills", kills)
        figure("scans", ledger.injected)
        figure("deliveries repeated", ledger.redeliveries)
        figure("p95 from start to ready, s", sorted(raging.ready_s)[int(kills * 0.95)])
        return ledger


@pytest.mark.fault(4)
async def test_twenty_kills_through_the_listener_lose_and_double_nothing(tmp_path: Path, figure: Figure) -> None:
    """The power fails twenty times in the middle of the shift."""
    ledger = await storm(tmp_path, 20, figure=figure)
    assert ledger.violations() == {name: [] for name in ledger.violations()}
    assert ledger.acknowledged == ledger.injected == ledger.delivered


@pytest.mark.fault(4, 37)
async def test_twenty_kills_through_a_site_broker_lose_and_double_nothing(tmp_path: Path, figure: Figure) -> None:
    """The same, with the site's own mosquitto between handhelds and gateway."""
    async with Broker(tmp_path / "broker", BROKER) as broker:
        ledger = await storm(tmp_path, 20, broker=broker, figure=figure)
    assert ledger.violations() == {name: [] for name in ledger.violations()}
    assert ledger.acknowledged == ledger.injected == ledger.delivered


async def test_the_storm_finds_an_acknowledgement_before_the_commit(tmp_path: Path) -> None:
    """Planted: PUBACK and answer leave before the commit. The judge must name the scans that this loses."""
    ledger = await storm(tmp_path, 3, planted="acknowledge-first")
    assert ledger.lost


async def test_the_storm_finds_a_gateway_that_forgets_what_it_has_heard(tmp_path: Path) -> None:
    """Planted: no redelivery is recognised. The judge must name the scans that this doubles."""
    ledger = await storm(tmp_path, 6, planted="forget-redeliveries")
    assert ledger.duplicated


@pytest.mark.fault(4)
@pytest.mark.long
@pytest.mark.parametrize("kills", [250, 1000])
async def test_a_year_of_kills_loses_and_doubles_nothing(kills: int, tmp_path: Path, figure: Figure) -> None:
    """A year of power cuts."""
    ledger = await storm(tmp_path, kills, figure=figure)
    assert ledger.violations() == {name: [] for name in ledger.violations()}
