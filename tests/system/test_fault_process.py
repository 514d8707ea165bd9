"""The process is stopped, hangs, runs out of something, is badgered and badly configured: rows 5, 6, 18, 42 to 46."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import command
from fault_plugin import Figure
from fault_site import FaultSite
from service_manager import ServiceManager
from small_disk import run, tmpfs

from simulators.load import LoadPlan, load

WATCHDOG_S = 3.0
READY = """\
import os, signal, socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""
"""A program that has nothing else to say."""


async def test_the_last_words_of_a_life_are_not_taken_for_those_of_the_next(tmp_path: Path) -> None:
    """It is killed while it says goodbye: whoever plays systemd must not believe that its successor is leaving."""
    program = (sys.executable, "-c", READY)
    async with ServiceManager(tmp_path / "gateway.toml", tmp_path, program=program) as manager:
        await manager.ready(1)
        manager.hold()
        manager.kill()
        await manager.ended(manager.life)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as late:
            late.sendto(b"STOPPING=1", manager.environ["NOTIFY_SOCKET"])
        manager.release()
        await manager.ready(2)


@pytest.mark.fault(5)
async def test_stopped_under_load_it_ends_in_order_and_no_fate_is_unknown(tmp_path: Path, figure: Figure) -> None:
    """`systemctl restart` in the middle of the shift, three times."""
    async with FaultSite(tmp_path) as site:
        took = []
        for number in range(1, 4):
            await site.scans(40)
            life = site.manager.life
            asked = asyncio.get_running_loop().time()
            site.manager.kill(signal.SIGTERM)
            assert await site.manager.ended(life) == 0
            assert life.ended_s is not None
            took.append(life.ended_s - asked)
            await site.manager.ready(number + 1)
        ledger = await site.verdict()
    figure("orderly stops", len(took))
    figure("longest stop, s", max(took))
    figure("scans", ledger.injected)


@pytest.mark.fault(6)
@pytest.mark.parametrize("part", ["loop", pytest.param("writer", marks=pytest.mark.long)])
async def test_what_hangs_is_killed_by_the_watchdog_and_the_site_goes_on(
    part: str, tmp_path: Path, figure: Figure
) -> None:
    """A call that never returns, in the event loop or in the thread that writes: only systemd is left to notice."""
    trigger = tmp_path / "hang"
    environ = {"DOCKLINE_TEST_HANG": str(trigger)}
    async with FaultSite(tmp_path, planted=f"hang-{part}", environ=environ, watchdog_s=WATCHDOG_S) as site:
        await site.scans(50)
        life = site.manager.life
        began = asyncio.get_running_loop().time()
        trigger.touch()
        assert await site.manager.ended(life) == -signal.SIGABRT
        assert life.is_starved
        assert life.ended_s is not None
        await site.manager.ready(2)
        await site.scans(50)
        ledger = await site.verdict()
    figure(f"{part}: watchdog periods until it was killed", (life.ended_s - began) / WATCHDOG_S)
    figure(f"{part}: scans", ledger.injected)


@pytest.mark.fault(18)
@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.long)])
async def test_commands_all_the_time_meet_no_lock_and_disturb_nobody(
    rounds: int, tmp_path: Path, figure: Figure
) -> None:
    """A script of the site calls us every few seconds, while everybody scans."""
    calls = [
        ("status", "--json"),
        ("events", "list", "--json"),
        ("quarantine", "list", "--json"),
        ("audit", "list"),
        ("audit", "verify"),
        ("replay", "centre", "--from-sequence", "1", "--to-sequence", "20", "--reason", "asked"),
    ]
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        said: list[str] = []
        for number in range(rounds):
            for call in [*calls, ("backup", str(tmp_path / f"backup-{number}"))]:
                done = await asyncio.to_thread(command, *call, "--config", str(site.config))
                said.append(done.stdout + done.stderr)
                expected = (0, 1) if call[0] == "status" else (0,)
                assert done.returncode in expected, f"{call}: {done.stdout}{done.stderr}"
            await site.scans(10)
        status = await site.status()
        assert status["storage"]["failed_commits"] == 0
        assert not any("locked" in text or "busy" in text for text in [*said, site.manager.log()])
        ledger = await site.verdict()
    figure("commands", rounds * (len(calls) + 1))
    figure("that met a lock", 0)
    figure("scans meanwhile", ledger.injected)


@pytest.mark.fault(42)
async def test_without_memory_it_is_another_kill_and_no_more(tmp_path: Path, figure: Figure) -> None:
    """Something else on the PC takes all memory: what the gateway asks for, it does not get."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        life = site.manager.life
        pid = life.process.pid
        held = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        run("prlimit", "--pid", str(pid), f"--as={held}")
        with contextlib.suppress(OSError):
            await load(LoadPlan(port=site.listener, site="dc07", devices=1, count=1, prefix="m"))
        await site.scans(200)
        survived = life.ended_s is None
        assert survived or life.exit_code == 71
        if survived:
            await site.kill()
            await site.back()
        await site.scans(50)
        ledger = await site.verdict()
    figure("without memory", "went on" if survived else f"ended with {life.exit_code}, started again")
    figure("scans", ledger.injected)


@contextlib.contextmanager
def memory_group(name: str, limit_mb: int) -> Iterator[Path]:
    """A control group with a memory limit, of either version."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    group = (first if first.is_dir() else second) / name
    group.mkdir()
    try:
        limit = group / ("memory.limit_in_bytes" if first.is_dir() else "memory.max")
        limit.write_text(str(limit_mb * 1024 * 1024))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


@pytest.mark.fault(42)
@pytest.mark.long
async def test_killed_by_the_kernel_for_its_memory_it_goes_on(tmp_path: Path, figure: Figure) -> None:
    """MemoryMax= far below what it needs: the kernel kills it in the middle of its work, again and again.

    What the process has already stays on the account of the group that it comes from, so the limit is for what it asks
    for from then on.
    """
    async with FaultSite(tmp_path) as site:
        kills = 0
        with memory_group(f"dockline-test-{os.getpid()}", 1) as procs:
            for _ in range(5):
                await site.scans(30)
                life = site.manager.life
                procs.write_text(str(life.process.pid))
                Path(f"/proc/{life.process.pid}/oom_score_adj").write_text("1000")
                pressed = asyncio.create_task(press(site))
                code = await site.manager.ended(life)
                pressed.cancel()
                await asyncio.wait([pressed])
                assert code == -signal.SIGKILL
                kills += 1
                await site.manager.ready(life.number + 1)
        ledger = await site.verdict()
    figure("kills for memory", kills)
    figure("scans", ledger.injected)


async def press(site: FaultSite) -> None:
    """Ask for enough to need memory that is not there."""
    while True:
        with contextlib.suppress(OSError):
            await site.status()


@pytest.mark.fault(42)
@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_memory_does_not_grow_with_what_went_through(count: int, tmp_path: Path, figure: Figure) -> None:
    """Queues, tables in memory, caches: each is bounded, so the second and the fourth load cost the same."""
    async with FaultSite(tmp_path, handhelds=1) as site:
        resident = []
        for number in range(4):
            plan = LoadPlan(port=site.listener, site="dc07", devices=8, count=count, prefix=f"r{number}")
            assert (await load(plan)).refused == 0
            await site.status_when(lambda found: found["upstreams"][0]["pending"] < 100, "it drains")
            resident.append(resident_mb(site.manager.pid))
        growth = resident[-1] - resident[1]
        assert growth < 0.15 * resident[1]
        await site.verdict()
    figure(f"resident MB after {count:,} and {4 * count:,} scans", f"{resident[0]:.0f} and {resident[-1]:.0f}")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


@pytest.mark.fault(43)
async def test_two_thousand_strangers_at_both_doors_keep_no_handheld_from_scanning(
    tmp_path: Path, figure: Figure
) -> None:
    """A port scan, or a switch gone mad: the connections that work go on, the process keeps its descriptors."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        descriptors = Path(f"/proc/{site.manager.pid}/fd")
        most = count = 0
        with contextlib.ExitStack() as strangers:
            for _ in range(10):
                for port in [site.listener, site.api] * 100:
                    strangers.enter_context(await stranger(port))
                    count += 1
                await site.scans(10)
                most = max(most, len(list(descriptors.iterdir())))
        assert most < 1500
        await site.scans(20)
        ledger = await site.verdict()
        assert len(site.manager.lives) == 1
    figure("connections of strangers", count)
    figure("descriptors at most", most)
    figure("scans meanwhile", ledger.injected)


async def stranger(port: int) -> socket.socket:
    """Connect and say nothing."""
    made = socket.socket()
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


@pytest.mark.fault(43)
async def test_without_descriptors_what_is_connected_goes_on(tmp_path: Path, figure: Figure) -> None:
    """The limit of open files is reached: no new connection, and no scan that suffers from it."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        pid = site.manager.pid
        held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        run("prlimit", "--pid", str(pid), f"--nofile={held + 3}:20000")
        with contextlib.ExitStack() as strangers:
            for _ in range(30):
                strangers.enter_context(await stranger(site.listener))
            await site.scans(200)
            assert "connections_refused" in site.manager.log()
        assert len(site.manager.lives) == 1
        run("prlimit", "--pid", str(pid), "--nofile=4096:20000")
        alarm = await site.alarm("connections_refused")
        await site.scans(20)
        ledger = await site.verdict()
    figure("alarm", alarm["code"])
    figure("scans with no descriptor left", 200)
    figure("scans", ledger.injected)


@pytest.mark.fault(45)
async def test_a_broken_file_changes_nothing_while_it_runs_and_stops_a_start_for_good(
    tmp_path: Path, figure: Figure
) -> None:
    """A quote too few, saved and reloaded; later the PC is restarted with it."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        whole = site.config.read_text()
        broken = whole.replace('id = "floor"', 'id = "floor')
        site.config.write_text(broken)
        os.kill(site.manager.pid, signal.SIGHUP)
        alarm = await site.alarm("configuration_refused")
        line = broken.splitlines().index('id = "floor') + 1
        assert f"gateway.toml:{line}" in alarm["message"]
        await site.scans(50)
        site.manager.kill()
        await site.manager.ended(site.manager.life)
        await site.manager.until(lambda: len(site.manager.lives) == 2, "systemd tries")
        assert await site.manager.ended(site.manager.life) == 78
        site.config.write_text(whole)
        await site.manager.start_anew()
        assert len(site.manager.lives) == 3, "systemd went on trying"
        await site.scans(50)
        ledger = await site.verdict()
    figure("starts with the broken file", 1)
    figure("scans", ledger.injected)


@pytest.mark.fault(46)
async def test_a_full_disk_for_the_log_costs_lines_and_no_scan(tmp_path: Path, figure: Figure) -> None:
    """/var/log is full of something else: what the gateway has to say does not fit, and that is said when it fits."""
    with tmpfs(tmp_path / "var-log", 1) as disk:
        async with FaultSite(tmp_path / "site", log=disk.path) as site:
            await site.scans(50)
            disk.fill()
            for _ in range(60):
                os.kill(site.manager.pid, signal.SIGHUP)
                await site.scans(4)
            alarm = await site.alarm("log_lines_lost")
            disk.empty()
            os.kill(site.manager.pid, signal.SIGHUP)
            await site.scans(50)
            ledger = await site.verdict()
            assert "log_lines_lost" in site.manager.log()
            assert len(site.manager.lives) == 1
    figure("scans", ledger.injected)
    figure("alarm", alarm["message"])
