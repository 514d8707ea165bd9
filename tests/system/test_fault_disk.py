"""The disk under a working site fills up, turns read-only, fails and slows down: rows 7 to 12 of the fault matrix."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fault_plugin import Figure
from fault_site import BOUND_S, FaultSite, codes
from small_disk import loop_ext4, tmpfs
from strace import SENDS, Trace, prefix, strace

from simulators.load import LoadPlan, load

EXIT_IO = 74


@pytest.mark.fault(7)
async def test_a_disk_full_to_the_last_byte_refuses_and_the_site_goes_on_when_there_is_room(
    tmp_path: Path, figure: Figure
) -> None:
    """The log of another program eats the disk in mid-shift: scanners say no, the centre still gets what is there."""
    with tmpfs(tmp_path / "disk", 8) as disk:
        async with FaultSite(tmp_path / "site", storage=disk.path / "state") as site:
            await site.scans(100)
            disk.fill()
            alarm = await site.alarm("storage_full")
            assert "full" in alarm["message"]
            held = site.answered_tokens()
            async with asyncio.timeout(BOUND_S):
                await site.centre.until(lambda _: site.arrived() >= held)
            assert site.answered_tokens() == held
            disk.empty()
            await site.scans(100)
            await site.no_alarm("storage_full")
            ledger = await site.verdict()
            assert len(site.manager.lives) == 1
    figure("scans", ledger.injected)
    figure("answered before it was full", len(held))


@pytest.mark.fault(8)
async def test_the_alarm_comes_well_before_the_first_refusal_and_nothing_is_dropped(
    tmp_path: Path, figure: Figure
) -> None:
    """The centre is away over the week-end: the alarm is there while there still is room, and all of it drains."""
    keys = "reserve_bytes = 0\nbytes_max = 1_200_000"
    async with FaultSite(tmp_path, storage_keys=keys, is_centre_up=False) as site:
        await load(LoadPlan(port=site.listener, site="dc07", devices=8, count=760))
        early = await site.status_when(lambda found: "storage_nearly_full" in codes(found), "the alarm")
        late = await site.status_when(lambda found: "storage_full" in codes(found), "the refusal")
        left = 1 - early["storage"]["bytes_used"] / early["storage"]["bytes_max"]
        assert left >= 0.15
        taken = late["upstreams"][0]["accepted"]
        await site.centre.start()
        await site.no_alarm("storage_full")
        await site.scans(50)
        await site.verdict()
        assert len(site.centre.ledger.by_id) >= taken
    figure("room left at the alarm, %", round(left * 100, 1))
    figure("events kept for the centre", taken)


async def fail_once(site: FaultSite, trace: Path, inject: str) -> tuple[int, Trace]:
    """Have one call of the running gateway fail; return its exit code and the trace."""
    life = site.manager.life
    async with strace(life.process.pid, trace, inject, watch=SENDS) as seen:
        code = await site.manager.ended(life)
    return code, seen


@pytest.mark.fault(9)
async def test_one_write_that_fails_is_an_unknown_commit_and_another_process_goes_on(
    tmp_path: Path, figure: Figure
) -> None:
    """A bad sector under the log: what was being written is unknown, so nobody hears yes for it."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        code, seen = await fail_once(site, tmp_path / "trace", "pwrite64:error=EIO:when=9")
        assert code == EXIT_IO
        assert "commit_unknown" in site.manager.log()
        again = await site.manager.ready(2)
        await site.scans(50)
        ledger = await site.verdict()
        assert len(seen.injected()) == 1
        assert again.ready_s is not None and site.manager.lives[0].ended_s is not None
    figure("scans", ledger.injected)
    figure("redeliveries at the centre", ledger.redeliveries)
    figure("outage, s", again.ready_s - site.manager.lives[0].ended_s)


@pytest.mark.fault(10)
async def test_nobody_hears_yes_after_a_flush_has_failed(tmp_path: Path, figure: Figure) -> None:
    """One handheld, one scan at a time, no centre: any yes after the failed flush would be for the scan in it."""
    async with FaultSite(tmp_path, handhelds=1, unanswered_max=1, is_centre_up=False) as site:
        await site.scans(20)
        code, seen = await fail_once(site, tmp_path / "trace", "fdatasync:error=EIO:when=5")
        assert code == EXIT_IO
        assert len(seen.injected()) == 1, "the flush was tried again"
        assert len(seen.acknowledged_after(0)) >= 3, "the trace does not show who is told yes"
        after = seen.acknowledged_after(seen.injected()[0])
        assert after == []
        await site.centre.start()
        await site.manager.ready(2)
        await site.scans(20)
        ledger = await site.verdict()
    figure("acknowledgements after the first EIO", len(after))
    figure("scans", ledger.injected)


@pytest.mark.fault(10)
async def test_while_flushes_go_on_failing_no_start_succeeds_and_nothing_is_lost(
    tmp_path: Path, figure: Figure
) -> None:
    """The disk is dying for three starts, then somebody replaces the cable."""
    async with FaultSite(tmp_path) as site:
        await site.scans(50)
        failing = "fdatasync:error=EIO:when=1+"
        site.manager.prefixes.extend(prefix(failing, tmp_path / f"start-{number}") for number in range(2))
        code, _ = await fail_once(site, tmp_path / "trace", failing)
        assert code == EXIT_IO
        await site.manager.ready(2)
        lives = site.manager.lives
        assert [(life.exit_code, life.is_ready) for life in lives[1:3]] == [(EXIT_IO, False)] * 2
        assert site.manager.log().count("outbox_refused") >= 2
        await site.scans(50)
        ledger = await site.verdict()
    figure("starts that failed", len(lives) - 2)
    figure("scans", ledger.injected)


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("flush_s", "count"),
    [(0.05, 2000), *(pytest.param(flush_s, 1000, marks=pytest.mark.long) for flush_s in (0.5, 5.0))],
)
async def test_slow_flushes_are_shared_and_memory_stays_bounded(
    flush_s: float, count: int, tmp_path: Path, figure: Figure
) -> None:
    """Cheap flash: every flush takes that long. Many scans share one, and nobody waits in vain."""
    async with FaultSite(tmp_path, handhelds=2) as site:
        await site.scans(10)
        pid = site.manager.pid
        delay = f"fdatasync:delay_enter={int(flush_s * 1_000_000)}"
        async with strace(pid, tmp_path / "trace", delay) as seen:
            done = await load(LoadPlan(port=site.listener, site="dc07", devices=8, count=count))
        assert (done.acknowledged, done.refused) == (count, 0)
        flushes = sum("fdatasync" in line for line in seen.lines())
        assert count / flushes > 10
        memory_mb = resident_mb(pid)
        assert memory_mb < 150
        ledger = await site.verdict()
        assert len(site.manager.lives) == 1
    name = f"at {flush_s * 1000:g} ms"
    figure(f"scans/s {name}", done.acknowledged / done.seconds)
    figure(f"scans a flush {name}", count / flushes)
    figure(f"resident MB {name}", memory_mb)
    figure("scans by handhelds", ledger.injected)


def resident_mb(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@pytest.mark.fault(12)
async def test_a_file_system_that_turns_read_only_is_named_and_work_goes_on_when_it_is_mended(
    tmp_path: Path, figure: Figure
) -> None:
    """The kernel finds its file system broken and protects it, open files and all; somebody checks and mounts it.

    Between two scans: in the moment in which ext4 gives up its journal it still confirms a flush and keeps nothing of
    it, and nobody who flushes can tell (docs/durability.md).
    """
    with loop_ext4(tmp_path / "disk", 16) as disk:
        async with FaultSite(tmp_path / "site", storage=disk.path / "state") as site:
            await site.scans(100)
            await site.rest()
            first = site.manager.life
            disk.fail()
            site.work()
            assert await site.manager.ended(first) == EXIT_IO
            assert "read-only" in site.manager.log()
            tried = len(site.manager.lives)
            await site.manager.until(lambda: len(site.manager.lives) > tried, "another start is tried")
            site.manager.hold()
            assert await site.manager.ended(site.manager.life) == EXIT_IO
            refusal = next(line for line in site.manager.log().splitlines() if "outbox_refused" in line)
            assert "Read-only" in refusal and "mount it again" in refusal
            disk.mend()
            site.manager.release()
            await site.scans(100)
            ledger = await site.verdict()
    figure("scans", ledger.injected)
    figure("starts while it was read-only", len(site.manager.lives) - 2)
