"""The press of a simulated site beside a real gateway: every part it makes arrives, and one that does not is seen."""

import asyncio
import contextlib
import sys
from pathlib import Path

from gateway.cli.child import GatewayProcess, free_port
from gateway.demo.configuration import demo_configuration
from simulators.parts import PartsCount
from simulators.plc import Request
from simulators.site import Site, SitePlan

PLANTED = str(Path(__file__).parents[1] / "support" / "planted_gateway.py")
PARTS = 20
LATE_S = 1.5
"""Longer than the gateway waits for an answer."""


async def made(site: Site, parts: int) -> None:
    """Return when the press has made so many."""
    enough = asyncio.Event()
    tell = site.counter.tell

    def told(*what: object, **more: int) -> None:
        tell(*what, **more)
        if site.counter.total >= parts:
            enough.set()

    site.counter.tell = told
    await asyncio.wait_for(enough.wait(), 60)


def is_told(site: Site) -> bool:
    """Whether the centre has heard of what the counter shows now."""
    last = f'"raw":"{int(site.counter.shows)}"'
    return any(last in event.body for event in site.centre_events())


async def shift(folder: Path, program: tuple[str, ...]) -> PartsCount:
    """What was made and heard of when the first answer of the PLC comes after the gateway has given up on it."""
    listener = free_port()
    async with Site(folder, SitePlan(scanners=0, handhelds=0), listener_port=listener) as site:
        gateway = GatewayProcess(folder / "gateway.toml", folder / "gateway.log", program)
        gateway.config.write_text(demo_configuration(folder, site, listener=listener, api=free_port()))

        def answer_in_time(_: Request) -> None:
            site.plc.faults.delay_s = 0.0 if len(site.plc.requests) > 1 else LATE_S

        site.plc.on_request = answer_in_time
        await gateway.start()
        press = asyncio.create_task(site.press())
        try:
            await made(site, PARTS)
            press.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(site.centre.until(lambda _: is_told(site)), 60)
        finally:
            press.cancel()
            assert await gateway.stop() == 0
        return site.parts()


async def test_every_part_arrives_though_the_first_answer_came_too_late(tmp_path: Path) -> None:
    found = await shift(tmp_path, (sys.executable, "-m", "gateway"))
    assert found.counted >= PARTS
    assert found.missing == 0


async def test_parts_that_are_kept_back_are_missed(tmp_path: Path) -> None:
    found = await shift(tmp_path, (sys.executable, PLANTED, "pocket-parts"))
    assert found.counted >= PARTS
    assert 0 < found.missing < found.counted
