"""The daemon from inside: its vital sign, its deadline, and what it does when the outbox fails it."""

import asyncio
import json
import random
import re
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from daemon_texts import SMALLEST
from outbox_rig import fail_disk, sqlite_error

from buffer import Entry, StateRow
from buffer.errors import CommitUnknown, OutboxFull
from buffer.lock import boot_id
from drivers import Emit, Reading, StorageUnavailable
from gateway import checks_service, report
from gateway import daemon as module
from gateway.daemon import EXIT_IO, EXIT_OK, Daemon
from gateway.front_door import FrontDoor
from gateway.health import Hysteresis
from gateway.notify import Notifier
from gateway.report import Report
from gateway.settings import Settings, load_settings
from gateway.status import AlarmStatus
from gateway.supervisor import Link
from gateway.web.session import IDLE_S
from gateway.wiring import World
from simulators.plc import Plc, Signal
from sync import HttpEventsSettings, Upstream
from sync.http_events import HttpEvents

BOUND_S = 60.0


PRESS = """
[[device]]
id = "press"
station = "dock-3"
driver = "modbus-poller"
url = "modbus-tcp://127.0.0.1:{port}?unit=1"
poll_interval_s = 0.05

[[device.points]]
name = "parts"
address = 0
type = "uint16"
means = "count"
rollover = 65536
delta_max = 1000
"""


class Manager(Notifier):
    """Remembers what systemd would hear."""

    def __init__(self, watchdog_s: float | None = 0.01) -> None:
        super().__init__({}, pid=1)
        self.watchdog_interval_s = watchdog_s
        self.said: list[str] = []
        self.is_ready = asyncio.Event()

    def _send(self, message: str) -> None:
        self.said.append(message.split("\n")[0])
        if message.startswith("READY=1"):
            self.is_ready.set()

    @property
    def fed(self) -> int:
        return self.said.count("WATCHDOG=1")


def open_upstream(settings: HttpEventsSettings) -> Upstream:
    return HttpEvents(settings, wall=lambda: time.time_ns() // 1_000_000)


class House:
    """A daemon in this process."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.file = folder / "gateway.toml"
        text = SMALLEST.replace("/var/lib/dockline", str(folder / "state")).replace(
            "https://wms.example", "http://127.0.0.1:9"
        )
        self.file.write_text(text.replace("serial:///dev/ttyUSB0?baudrate=9600", f"serial://{folder}/no-port") + more)
        self.manager = Manager()
        self.pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
        world = World(
            wall=lambda: time.time_ns() // 1_000_000,
            monotonic=time.monotonic,
            rng=random.Random(7),
            writer=self.pools[0],
            reader=self.pools[1],
            is_synchronised=lambda: True,
        )
        self.daemon = Daemon(
            load_settings(self.file, environ={}),
            world,
            load=self.load,
            open_upstream=open_upstream,
            notifier=self.manager,
            serve_api=False,
            handle_signals=False,
        )
        self.task: asyncio.Task[int] | None = None

    def load(self) -> Settings:
        return load_settings(self.file, environ={})

    async def start(self) -> None:
        self.task = asyncio.create_task(self.daemon.run())
        async with asyncio.timeout(BOUND_S):
            await self.manager.is_ready.wait()

    async def end(self) -> int:
        assert self.task is not None
        async with asyncio.timeout(BOUND_S):
            return await self.task

    async def fed_again(self, times: int = 3) -> None:
        before = self.manager.fed
        async with asyncio.timeout(BOUND_S):
            while self.manager.fed < before + times:
                await asyncio.sleep(0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, "[limits]\nstop_deadline_s = 2.0\n")
    yield made
    if made.task is not None and not made.task.done():
        made.daemon.request_stop()
        await made.end()
    for pool in made.pools:
        pool.shutdown()


async def test_an_idle_gateway_without_upstream_feeds_the_watchdog(house: House) -> None:
    await house.start()
    await house.fed_again()
    house.daemon.request_stop()
    assert await house.end() == EXIT_OK
    assert house.manager.said[-1] == "STOPPING=1" or "STOPPING=1" in house.manager.said


async def test_after_a_night_of_sleep_nobody_scans_on_the_document_of_yesterday(tmp_path: Path) -> None:
    """The lid was closed over an open document: the monotonic clock of the kernel stands still meanwhile."""
    slept = [0.0]
    house = House(tmp_path, '[[labels.patterns]]\nkind = "document"\nexpression = "(?P<id>PO-.*)"\n')
    house.daemon.world = replace(house.daemon.world, boottime=lambda: time.monotonic() + slept[0])
    await house.start()
    try:
        take = house.daemon.intake.take
        await take([Reading("dock-3-scanner", "scan", b"PO-1", code="PO-1")])
        assert house.daemon.intake.session("dock-3-scanner").document is not None
        slept[0] = 12 * 3600.0
        assert house.daemon.intake.session("dock-3-scanner").document is None
    finally:
        house.daemon.request_stop()
        assert await house.end() == EXIT_OK
        for pool in house.pools:
            pool.shutdown()


async def test_a_page_that_was_left_open_over_a_night_of_sleep_is_signed_out(tmp_path: Path) -> None:
    """The lid was closed at the end of the shift: whoever opens it in the morning is not the one who signed in."""
    slept = [0.0]
    house = House(tmp_path)
    house.daemon.world = replace(house.daemon.world, boottime=lambda: time.monotonic() + slept[0])
    door = FrontDoor(house.daemon)
    begun = door._sessions.begin(door._cli_token)
    assert begun is not None
    assert door._sessions.find(begun[0]) is not None
    slept[0] = IDLE_S + 1
    assert door._sessions.find(begun[0]) is None
    for pool in house.pools:
        pool.shutdown()


async def test_what_a_plc_made_while_the_computer_slept_is_a_gap(tmp_path: Path) -> None:
    """Its counter says how much; that nobody looked for hours only the clock that counts sleep knows."""
    slept = [0.0]
    plc = Plc([Signal("parts", 0, "uint16")])
    await plc.start_tcp()
    house = House(tmp_path, PRESS.format(port=plc.port))
    house.daemon.world = replace(house.daemon.world, boottime=lambda: time.monotonic() + slept[0])
    await house.start()
    try:
        async with asyncio.timeout(BOUND_S):
            while not house.daemon.outbox.states("modbus/press/parts"):
                await asyncio.sleep(0.005)
            while not any(b'"gap"' in one.payload and b"slept" in one.payload for one in await stored(house)):
                slept[0] += 3600.0  # again and again: a computer may also fall asleep in mid-request
                await asyncio.sleep(0.005)
    finally:
        house.daemon.request_stop()
        assert await house.end() == EXIT_OK
        await plc.stop()
        for pool in house.pools:
            pool.shutdown()


async def test_a_clock_that_is_set_while_a_plc_is_away_makes_no_gap_of_years(tmp_path: Path) -> None:
    """What was away is measured by the clock that nobody sets, as long as the computer is not started anew."""
    years_ms, away_s = [0], [0.0]
    plc = Plc([Signal("parts", 0, "uint16")])
    await plc.start_tcp()
    port = plc.port
    house = House(tmp_path, PRESS.format(port=port))
    house.daemon.world = replace(
        house.daemon.world,
        wall=lambda: time.time_ns() // 1_000_000 + years_ms[0],
        boottime=lambda: time.monotonic() + away_s[0],
        boot=boot_id(),
    )
    await house.start()
    try:
        async with asyncio.timeout(BOUND_S):
            while not house.daemon.outbox.states("modbus/press/parts"):
                await asyncio.sleep(0.005)
            await plc.stop()
            while not await gaps(house):
                await asyncio.sleep(0.005)
            years_ms[0], away_s[0] = 400 * 86_400_000, 100.0
            await plc.start_tcp(port=port)
            while len(told := await gaps(house)) < 2:
                await asyncio.sleep(0.005)
        duration = re.search(r"missed within (\d+\.\d) s", told[1])
        assert duration is not None, told
        assert 100 <= float(duration[1]) < 100 + BOUND_S
    finally:
        house.daemon.request_stop()
        assert await house.end() == EXIT_OK
        await plc.stop()
        for pool in house.pools:
            pool.shutdown()


async def gaps(house: House) -> list[str]:
    events = [json.loads(one.payload) for one in await stored(house)]
    return [one["data"]["reason"] for one in events if one["data"].get("state") == "gap"]


async def stored(house: House) -> list[Entry]:
    return await house.daemon.outbox.head("centre", after=0, count_max=100, bytes_max=2**20)


async def test_a_writer_that_hangs_starves_the_watchdog(house: House) -> None:
    """The disk does not answer: systemd must be allowed to notice."""
    await house.start()
    await house.fed_again()
    release = asyncio.Event()

    async def hangs() -> None:
        await release.wait()

    alive, house.daemon.outbox.alive = house.daemon.outbox.alive, hangs  # type: ignore[method-assign]
    await asyncio.sleep(0.05)
    before = house.manager.fed
    await asyncio.sleep(0.2)
    assert house.manager.fed == before
    house.daemon.outbox.alive = alive  # type: ignore[method-assign]
    release.set()
    await house.fed_again()


async def test_an_unknown_commit_ends_the_process_with_74(house: House) -> None:
    await house.start()
    house.daemon._on_fatal(CommitUnknown("fdatasync: I/O error"))
    assert await house.end() == EXIT_IO


async def test_a_driver_that_will_not_end_does_not_hold_the_stop_up(house: House) -> None:
    """A driver of somebody else swallows its cancellation; the stop goes on without it, within its deadline."""
    swallowed = asyncio.Event()

    class Stubborn:
        async def run(self, emit: Emit) -> None:
            while not swallowed.is_set():
                try:
                    await swallowed.wait()
                except asyncio.CancelledError:
                    continue

    await house.start()
    house.daemon.supervisor.start(Link("stubborn", "x", Stubborn, Hysteresis(1.0, 1.0)))
    await asyncio.sleep(0)
    began = time.monotonic()
    house.daemon.request_stop()
    try:
        assert await house.end() == EXIT_OK
        assert house.daemon.is_stuck
        assert time.monotonic() - began < 10
    finally:
        swallowed.set()


async def test_device_events_are_stored_like_any_other(house: House) -> None:
    await house.start()
    async with asyncio.timeout(BOUND_S):
        await house.daemon._announce(module.DeviceChange("dock-3-scanner", "down", None, "not there"))
        await house.daemon.outbox.appended(0)
    (entry,) = (await house.daemon.outbox.head("centre", after=0, count_max=10, bytes_max=1 << 20))[:1]
    assert entry.type == "dockline.device.v1"


async def test_a_full_disk_is_no_reason_to_end(house: House) -> None:
    """The vital sign shares a commit with a delivery's settle, and the disk has no room for that commit."""
    await house.start()

    async def refused() -> None:
        raise OutboxFull("the disk is full")

    house.daemon.outbox.alive = refused  # type: ignore[method-assign]
    await house.fed_again()
    house.daemon.request_stop()
    assert await house.end() == EXIT_OK


async def test_a_full_disk_ends_neither_a_reload_nor_the_status(house: House) -> None:
    """An upstream is added while the disk takes nothing: the gateway lives, and says what waits for what."""
    await house.start()
    disk = fail_disk(house.daemon.outbox)
    disk.fail_on = lambda sql: sqlite_error(sqlite3.SQLITE_FULL, "full") if sql == "COMMIT" else None
    house.file.write_text(house.file.read_text() + '\n[[upstream]]\nname = "second"\nurl = "http://127.0.0.1:9/"\n')
    house.manager.is_ready.clear()
    house.daemon.request_reload()
    async with asyncio.timeout(BOUND_S):
        await house.manager.is_ready.wait()
    status = await Report(house.daemon).status()
    assert [upstream.name for upstream in status.upstreams] == ["centre"]
    assert {alarm.code: alarm.subject for alarm in status.alarms}["upstream_waits"] == "second"
    disk.fail_on = lambda _: None
    house.daemon.request_stop()
    assert await house.end() == EXIT_OK


async def test_alarms_of_many_devices_stand_behind_those_about_everything(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A screen and the page show the first of them: forty links without power hid that nobody may ask the gateway."""
    many = tuple(AlarmStatus("device_down", f"s-{number}", "no power") for number in range(40))
    monkeypatch.setattr(report, "link_alarms", lambda _: many)
    monkeypatch.setattr(report, "checks_alarms", lambda _: (AlarmStatus("exceptions_overdue", "checks", "late"),))
    await house.start()
    house.daemon.refused_reload = "a broken file"
    status = await Report(house.daemon).status()
    codes = [alarm.code for alarm in status.alarms]
    assert codes[-42:-39] == ["configuration_refused", "exceptions_overdue", "device_down"]
    house.daemon.request_stop()
    assert await house.end() == EXIT_OK


async def test_a_counter_value_on_its_way_to_disk_is_not_recalled_yet(house: House) -> None:
    """A reload replaces a poller whose last count hangs in a slow disk: its successor must not begin from the value
    before that and count the same parts again. It waits for the disk like any driver."""
    await house.start()
    disk = threading.Event()
    house.pools[0].submit(disk.wait)
    row = Reading("dock-3-scanner", "baseline", b"", state_key="modbus/plc/parts", state=b"110")
    taking = asyncio.create_task(house.daemon.intake.take([row]))
    try:
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable):
            house.daemon.recall("modbus/plc/parts")
        assert house.daemon.recall("modbus/plc/others") is None
    finally:
        disk.set()
    await taking
    assert house.daemon.recall("modbus/plc/parts") == b"110"


async def test_rows_that_cannot_be_read_are_the_storage_and_no_bug_of_the_driver(house: House) -> None:
    await house.start()

    def broken(prefix: str = "") -> list[StateRow]:
        raise CommitUnknown(f"{prefix} cannot be read", hint="see the kernel log")

    house.daemon.outbox.states = broken  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable) as caught:
        house.daemon.recall("modbus/plc/parts")
    assert caught.value.hint == "see the kernel log"


async def test_a_reload_in_the_middle_of_a_stop_is_not_begun(house: House) -> None:
    await house.start()
    house.daemon.request_reload()
    house.daemon.request_stop()
    assert await house.end() == EXIT_OK
    assert not any(said.startswith("RELOADING") for said in house.manager.said)


async def test_a_restart_while_the_centre_is_away_ends_no_alarm_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers for an hour, and somebody restarts the gateway: that is no sign of life of the centre."""
    monkeypatch.setattr(checks_service, "WATCH_S", 0.01)
    monkeypatch.setattr(checks_service, "CLEAN_PAUSE_S", 0.01)
    checks = "[checks]\nenabled = true\nsync_failure_after_s = 0.05\n"

    async def failures(house: House) -> list[str]:
        found = [json.loads(one.payload)["data"] for one in await stored(house) if b'"sync_failure"' in one.payload]
        return [one["state"] for one in found]

    for life in range(2):
        house = House(tmp_path, checks)
        await house.start()
        try:
            async with asyncio.timeout(BOUND_S):
                await house.daemon.intake.take([Reading("dock-3-scanner", "scan", b"1", code="09521234543213")])
                while await failures(house) != ["open"] or house.daemon.deliveries.states()[0][1].failures < 2 * life:
                    assert "resolved" not in await failures(house)
                    await asyncio.sleep(0.005)
        finally:
            house.daemon.request_stop()
            assert await house.end() == EXIT_OK
            for pool in house.pools:
                pool.shutdown()


async def test_a_file_that_a_kill_left_half_written_keeps_no_command_out(tmp_path: Path) -> None:
    """Commands find the gateway by small files, each written under another name first."""
    house = House(tmp_path)
    folder = house.daemon.settings.storage.path
    folder.mkdir()
    (folder / ".cli.token.new").write_text("half")
    FrontDoor(house.daemon)._write("cli.token", "whole\n")
    assert (folder / "cli.token").read_text() == "whole\n"
    assert sorted(path.name for path in folder.iterdir()) == ["cli.token"]
    for pool in house.pools:
        pool.shutdown()
