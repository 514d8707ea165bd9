"""Devices and the wires to them fail, at a real gateway: broker, handhelds, serial scanners, a PLC.

Both ends are judged as on a bad day of the uplink (`troubled_site`): the devices' own records against the centre's.
"""

import asyncio
import json
import os
import random
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from troubled_site import BOUND_S, SITE, TroubledSite, troubled_site, until

from simulators.broker import Broker
from simulators.handheld import Handheld, HandheldPlan
from simulators.journal import Journal
from simulators.labels import GTINS, carton
from simulators.ledger import CentreEvent
from simulators.network import Network
from simulators.parts import count_parts
from simulators.plc import Plc
from simulators.plc_signal import Signal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.site import scanner_scans
from simulators.token import Token, find_tokens

Figure = Callable[[str, int | float | str], None]
BROKER = "allow_anonymous true\npersistence true\nmax_queued_messages 0\nmax_inflight_messages 200\n"


# The site's broker, and handhelds.


@pytest.mark.fault(37)
async def test_a_broker_that_is_killed_and_forgets_us_loses_nothing(tmp_path: Path, figure: Figure) -> None:
    """SIGKILL in mid-shift, four times; the second and fourth time its disk is empty as well."""
    async with Broker(tmp_path / "broker", BROKER) as broker:
        more = f'[mqtt.broker]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        async with troubled_site(tmp_path, more=more, handhelds=0) as site:
            plan = HandheldPlan("hh-1", SITE, broker.port, backoff_max_s=0.1, ack_timeout_s=1.0)
            async with Handheld(plan, tmp_path, rng=random.Random(1)) as handheld:
                site.handhelds.append(handheld)
                await site.scan(5)
                for kill in range(4):
                    for number in range(10):
                        handheld.scan(f"CARTON {Token('b1', 10 * kill + number + 1)}", activity="pick")
                    await until(lambda: len(handheld.file.pending) < 8, "some scans are answered")
                    await broker.kill()
                    if kill % 2:
                        for saved in (tmp_path / "broker").glob("*.db*"):
                            saved.unlink()
                    alarm = await site.alarm("device_down", subject="mqtt-broker", logged=False)
                    assert str(broker.port) in alarm["message"]
                    await until(lambda: "link_lost" in site.log(), "the loss is logged")
                    await broker.start()
                    async with asyncio.timeout(BOUND_S):
                        await handheld.all_answered()
                ledger = await site.verdict()
                links = (await site.status())["shared_links"]["mqtt-broker"]
    figure("kills", 4)
    figure("scans", ledger.injected)
    figure("sessions the broker had forgotten", links["sessions_lost"])
    assert links["sessions_lost"] >= 2


@pytest.mark.fault(38)
async def test_a_lost_answer_is_one_event_and_a_second_scan_is_two(tmp_path: Path, figure: Figure) -> None:
    """The radio dies between the scan and its answer, again and again: each scan is one event, and the handheld hears
    the first answer once more. Then the same label is scanned ten times on purpose: ten events."""
    async with troubled_site(tmp_path, handhelds=0) as site, Network("127.0.0.1", site.listener, seed=38) as radio:
        # Impatient: who asks again too early on a slow machine only hears the first answer once more.
        plan = HandheldPlan("hh-1", SITE, radio.port, backoff_max_s=0.05, ack_timeout_s=1.0)
        async with Handheld(plan, tmp_path, rng=random.Random(1)) as handheld:
            site.handhelds.append(handheld)
            await site.scan(5)
            for _ in range(10):
                known = radio.connections
                radio.blow(loses_answers=True)
                message = handheld.scan(f"CARTON {Token('r1', len(handheld.answers) + 1)}", activity="pick")
                await until(lambda known=known: radio.connections > known, "the radio died")
                radio.clear_up()
                async with asyncio.timeout(BOUND_S):
                    await handheld.answer(message)
            again = sum(answer.redelivered for answer in handheld.answers.values())
            for _ in range(10):
                async with asyncio.timeout(BOUND_S):
                    assert (await handheld.answer(handheld.scan("CARTON 7", activity="pick"))).tone == "good"
            await site.verdict()
            same = [event.id for event in site.centre.ledger.events if '"CARTON 7"' in event.body]
    figure("answers heard only at the second time", again)
    figure("events of ten equal scans", len(set(same)))
    assert again >= 5
    assert len(set(same)) == 10
    assert set(same) == {event for answer in handheld.answers.values() for event in answer.events} & set(same)


# Serial scanners.


def dock(port: PtyPort, name: str) -> str:
    return (
        f'[[device]]\nid = "{name}"\nstation = "floor"\ndriver = "serial-scanner"\nurl = "{port.url}"\n'
        'acknowledge = "ack-nak"\nidle_gap_s = 2.0\n'
    )


class Docks:
    """Two scanners with serial numbers, on ports that are numbered as they come."""

    def __init__(self, folder: Path) -> None:
        self.ports = [PtyPort(folder / "by-id" / f"usb-Zebra_{name}-if00") for name in ("S1", "S2")]
        habits = ScannerHabits(answer_timeout_s=1.0)
        self.scanners = [
            Scanner(port, Journal(f"dock-{number}"), habits, rng=random.Random(number))
            for number, port in enumerate(self.ports, 1)
        ]
        self.counts = [0, 0]

    @property
    def more(self) -> str:
        return "".join(dock(port, f"dock-{number}") for number, port in enumerate(self.ports, 1))

    async def scan(self, index: int, count: int = 1) -> None:
        for _ in range(count):
            self.counts[index] += 1
            async with asyncio.timeout(BOUND_S):
                label = carton(GTINS[0], Token(f"s{index + 1}", self.counts[index]))
                assert await self.scanners[index].scan(label) == "acked"

    def scans(self) -> Iterator[Any]:
        for scanner in self.scanners:
            yield from scanner_scans(scanner.journal)

    def numbers(self) -> list[str]:
        """Return the terminals that the names point to now."""
        return [str(Path(port.url.removeprefix("serial://").partition("?")[0]).readlink()) for port in self.ports]

    async def close(self) -> None:
        for scanner in self.scanners:
            await scanner.close()


async def up(site: TroubledSite, *devices: str) -> None:
    """Return once these links are up."""
    async with asyncio.timeout(BOUND_S):
        while not set(devices) <= {row["device"] for row in (await site.status())["links"] if row["state"] == "up"}:
            await asyncio.sleep(0.02)


def device_of(site: TroubledSite) -> dict[str, set[str]]:
    """Return which devices the centre saw under each scanner's tag."""
    found: dict[str, set[str]] = {}
    for event in site.centre.ledger.events:
        for token in find_tokens(event.body).whole:
            found.setdefault(token.tag, set()).add(json.loads(event.body)["data"]["device"]["id"])
    return found


@pytest.mark.fault(39)
async def test_a_plug_that_is_pulled_joins_no_halves_and_swaps_no_scanners(tmp_path: Path, figure: Figure) -> None:
    docks = Docks(tmp_path)
    for scanner in docks.scanners:
        await scanner.start()
    async with troubled_site(tmp_path, more=docks.more, handhelds=0) as site:
        site.more_scans.append(docks.scans)
        await up(site, "dock-1", "dock-2")
        await docks.scan(0, 3)
        await docks.scan(1, 3)
        reopened = []
        for number in range(3):
            # In mid-frame: the beginning of a label, the plug, and the end of another. What was before the beginning
            # in the same write is at the centre, so the beginning has been read.
            await docks.scanners[0].send_raw(b"]C0BEFORE-%d\r]C1010952123454321321s1.0" % number)
            await until(
                lambda number=number: any(f"BEFORE-{number}" in event.body for event in site.centre.ledger.events),
                "the gateway has read the half",
            )
            await docks.scanners[0].unplug()
            alarm = await site.alarm("device_down", subject="dock-1", logged=False)
            assert "usb-Zebra_S1-if00" in alarm["message"]
            await docks.scan(1, 2)
            await docks.scanners[0].plug()
            began = time.monotonic()
            await up(site, "dock-1")
            reopened.append(time.monotonic() - began)
            await docks.scanners[0].send_raw(b"0002.12345678\r")
            await docks.scan(0, 2)
        # Out both, in again the other way round: what was /dev/pts/N of one is now that of the other, unless somebody
        # else on this computer opened a terminal in between.
        swapped = 0
        for _ in range(3):
            names = docks.numbers()
            for scanner in docks.scanners:
                await scanner.unplug()
            for device in ("dock-1", "dock-2"):
                await site.alarm("device_down", subject=device, logged=False)
            for scanner in reversed(docks.scanners):
                await scanner.plug()
            swapped += docks.numbers() == names[::-1]
            await up(site, "dock-1", "dock-2")
            await docks.scan(0, 3)
            await docks.scan(1, 3)
        await docks.close()
        await site.verdict(alarms=["device_down"])
        seen = device_of(site)
        halves = [event.id for event in site.centre.ledger.events if ":unrecognised:" in event.body]
    assert seen == {"s1": {"dock-1"}, "s2": {"dock-2"}}
    assert len(halves) == 6, "each half is evidence of its own"
    figure("times two ports exchanged their numbers", swapped)
    figure("half frames kept as evidence", len(halves))
    figure("scans under the wrong scanner's name", 0)
    figure("seconds from plug to open, longest", round(max(reopened), 2))


async def pour(port: PtyPort, data: bytes) -> None:
    """Write all of it, as fast as the gateway reads."""

    def write() -> None:
        rest = memoryview(data)
        assert port._master is not None
        while rest:
            select.select([], [port._master], [], BOUND_S)
            rest = rest[os.write(port._master, rest[:512]) :]

    await asyncio.to_thread(write)


@pytest.mark.fault(40)
async def test_noise_is_bounded_counted_and_over_when_it_is_over(tmp_path: Path, figure: Figure) -> None:
    """A printer in the scanner's socket, a motor beside the cable, a wrong baud rate: the scan after it is read."""
    docks = Docks(tmp_path)
    rng = random.Random(40)
    for scanner in docks.scanners:
        await scanner.start()
    noises = {
        "a megabyte without an end": b"x" * 1_000_000,
        "a megabyte that begins like a label": b"]C1" + b"0" * 1_000_000,
        "noise": rng.randbytes(100_000),
        "a wrong baud rate": bytes(rng.choice((0x00, 0x80, 0xF8, 0xFE, 0xFF, 0x0D)) for _ in range(50_000)),
    }
    async with troubled_site(tmp_path, more=docks.more, handhelds=0) as site:
        site.more_scans.append(docks.scans)
        await up(site, "dock-1", "dock-2")
        await docks.scan(0, 5)
        # Once before it counts: buffers grow to the size they have under load.
        await pour(docks.ports[0], noises["noise"][:20_000] + b"\r")
        await docks.scan(0, 5)
        before = site.gateway.memory_mb(peak=True)
        for name, noise in noises.items():
            stored = len(site.centre.ledger.by_id)
            await pour(docks.ports[0], noise)
            await docks.scan(1, 2)
            await docks.scan(0, 2)
            await site.settled()
            figure(f"records of {name}", len(site.centre.ledger.by_id) - stored - 4)
        grown = site.gateway.memory_mb(peak=True) - before
        figure("megabytes grown", round(grown, 1))
        assert grown < 15
        await docks.close()
        await site.verdict(alarms=["device_down"])
        raw = max(len(event.body) for event in site.centre.ledger.events)
        figure("largest record, bytes", raw)
        assert raw < 4000


# A PLC.


def parts_of(plc: Plc, site: TroubledSite) -> Any:
    return count_parts(plc.journal.lines, site.centre.ledger.events, "good_parts")


def device_events(events: list[CentreEvent], state: str) -> list[str]:
    return [
        event.body
        for event in events
        if "dockline.device.v1" in event.body and json.loads(event.body)["data"].get("state") == state
    ]


@pytest.mark.fault(41)
async def test_a_plc_that_lies_and_falls_silent_makes_no_parts_up(tmp_path: Path, figure: Figure) -> None:
    """Time-outs, another slave's answers, exceptions, half frames, a counter over its end, and a gateway that is killed
    and started again in between: parts counted are parts delivered."""
    counter = Signal("good_parts", 0, "uint16", shows=65_500, rollover=65_536)
    plc = Plc([counter], journal=Journal("press-plc"))
    await plc.start_tcp()
    url = f"modbus-tcp://127.0.0.1:{plc.port}?unit=1"
    more = f"""
[[device]]
id = "press-plc"
station = "floor"
driver = "modbus-poller"
url = "{url}"
poll_interval_s = 0.05
timeout_s = 0.3
points = [{{ name = "good_parts", address = 0, type = "uint16", means = "count", rollover = 65536 }}]
"""
    troubles: dict[str, tuple[str, Any, Any]] = {
        "no answer": ("silent_units", {1}, set()),
        "an exception": ("exceptions", {1: 6}, {}),
        "half answers": ("half_next", 1_000_000, 0),
        "another unit's answers": ("wrong_unit_next", 1_000_000, 0),
        "another request's answers": ("wrong_transaction_next", 1_000_000, 0),
    }

    async def delivered() -> None:
        await until(lambda: parts_of(plc, site).missing == 0, "parts counted to be parts delivered")

    async with troubled_site(tmp_path, more=more, handhelds=1) as site:
        await until(lambda: any(line["what"] == "first_read" for line in plc.journal.lines), "the first poll")
        await site.settled()
        for name, (fault, wrong, right) in troubles.items():
            counter.count(7)
            await delivered()
            setattr(plc.faults, fault, wrong)
            counter.count(3)
            found = await trouble_of(site, "press-plc")
            assert found["message"], name
            counter.count(2)
            await site.scan(2)
            assert parts_of(plc, site).missing == 5, name
            setattr(plc.faults, fault, right)
            await delivered()
            await site.verdict()
        # Killed while parts come out; the counter goes over its end meanwhile.
        await site.gateway.kill()
        counter.count(40)
        await site.gateway.start()
        await delivered()
        await site.verdict()
        parts = parts_of(plc, site)
        gaps = device_events(site.centre.ledger.events, "gap")
    await plc.stop()
    figure("parts counted", parts.counted)
    figure("parts invented", max(-parts.missing, 0))
    figure("parts lost", max(parts.missing, 0))
    figure("gaps recorded", len(set(gaps)))
    assert counter.shows < 65_500, "it went over its end"
    assert gaps
    assert set(plc.functions) <= {1, 2, 3, 4}


async def trouble_of(site: TroubledSite, device: str) -> Any:
    """Return the alarm about this device, whatever its name."""
    async with asyncio.timeout(BOUND_S):
        while True:
            found = [one for one in (await site.status())["alarms"] if one["subject"] == device]
            if found:
                return found[0]
            await asyncio.sleep(0.02)
