"""The power of a computer with a real kernel fails while people scan: row 3 of the fault matrix.

The file system is ext4 on a block device. It is stopped in the middle of its work, as tests of file systems do it for
a power cut: what was not flushed is gone with the page cache, the journal holds what it held. The process is killed at
the same moment, the disk carried to another device and mounted, and the kernel replays its journal before the gateway
replays its own. The kill comes a blink before the stop: while ext4 stops it still confirms a flush, now and then, and
keeps nothing of it (in 7 of 260 stops on Linux 6.18). A power cut leaves nobody who could hear that and pass it on, so
nobody may here. What is being flushed when the process is killed is still being flushed when the disk stops.
What this does not take away is what a disk has taken and not yet written: the flush of the disk itself is believed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fault_plugin import Figure
from fault_site import FaultSite
from small_disk import loop_ext4

from simulators.ledger import Ledger, reconcile


async def power_cuts(folder: Path, rounds: int, planted: str) -> Ledger:
    """Return the ledger of a site whose centre is away until the last of so many power cuts is over."""
    boot = folder / "boot"
    boot.write_text("boot-0")
    environ = {"DOCKLINE_TEST_BOOT": str(boot)}
    with loop_ext4(folder / "disk", 32) as disk:
        async with FaultSite(
            folder / "site", storage=disk.path / "state", planted=planted, environ=environ, is_centre_up=False
        ) as site:
            for number in range(1, rounds + 1):
                await site.scans(40)
                site.manager.hold()
                site.manager.kill()
                disk.cut_power()
                await site.manager.ended(site.manager.life)
                disk.unmount()
                disk.mount()
                boot.write_text(f"boot-{number}")
                await site.back()
            await site.centre.start()
            await site.scans(20)
            if planted == "boots":
                return await site.verdict()
            scans = await site.answers()
            await site.status_when(lambda found: found["upstreams"][0]["pending"] == 0, "what is left is delivered")
            return reconcile(scans, site.centre.ledger.events)


@pytest.mark.fault(3)
@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.long)])
async def test_what_was_acknowledged_is_there_after_every_power_cut(
    rounds: int, tmp_path: Path, figure: Figure
) -> None:
    """A forklift charger pulls the mains again and again, and there is no centre that could have had any of it."""
    ledger = await power_cuts(tmp_path, rounds, "boots")
    assert ledger.injected > rounds * 40
    figure("power cuts", rounds)
    figure("scans", ledger.injected)
    figure("lost", len(ledger.lost))


async def test_a_gateway_that_does_not_flush_would_have_been_noticed(tmp_path: Path) -> None:
    """Planted: commits are written and not flushed. A kill does not show that, a power cut does."""
    ledger = await power_cuts(tmp_path, 1, "no-flush")
    assert ledger.lost


def test_a_disk_loses_its_power_whoever_has_copied_its_mount(tmp_path: Path) -> None:
    """A container starts beside the test and takes every mount along: what comes back must not be what was stopped."""
    with loop_ext4(tmp_path / "disk", 16) as disk:
        command = ["unshare", "--mount", "sh", "-c", "echo copied; read _"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline() == b"copied\n"
            disk.cut_power()
            disk.unmount()
            disk.mount()
            (disk.path / "scan").write_text("a disk that was stopped could not take this")
            other.communicate()
