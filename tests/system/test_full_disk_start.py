"""A start on a disk that is full to the last byte: promise 6 and promise 9 at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_process import CONFIG, GatewayProcess, gateway, until
from small_disk import SmallDisk, tmpfs

MIB = 1024 * 1024
SPARE = 4 * MIB
KEYS = f"reserve_bytes = {6 * MIB}\nspare_bytes = {SPARE}"
CODE = "]C10109521234543213"


def scan(daemon: GatewayProcess, first: int, count: int) -> int:
    body = [{"id": f"hh-1-{number}", "code": CODE, "device": "hh-1"} for number in range(first, first + count)]
    return daemon.ask("POST", "/v1/scans", body).status


@contextmanager
def filled_site(folder: Path) -> Iterator[tuple[GatewayProcess, SmallDisk]]:
    """A gateway with forty events pending that was killed, on a disk that something else has filled since."""
    with tmpfs(folder / "disk", 32) as disk:
        state = disk.path / "state"
        config = CONFIG.replace("{state}", str(state)).replace("[limits]", f"{KEYS}\n[limits]")
        with gateway(folder / "site", config) as daemon:
            daemon.state = state
            daemon.start()
            assert scan(daemon, 0, 40) == 200
            until((state / "outbox.spare").exists, "room is set aside")
            assert (state / "outbox.spare").stat().st_size == SPARE
            daemon.signal(signal.SIGKILL)
            daemon.wait()
            (state / "outbox.db-shm").unlink()  # the computer was restarted: its index is made anew, and needs room
            disk.fill()
            assert disk.free < 4096
            yield daemon, disk


@pytest.mark.fault(7)
def test_a_start_on_a_full_disk_refuses_scans_and_drains_what_it_has(tmp_path: Path) -> None:
    """The log of another program fills the disk over night; at six the power fails. The morning shift hears no, the
    centre still gets yesterday's events, and when somebody makes room scans are taken without a restart."""
    with filled_site(tmp_path) as (daemon, disk):
        daemon.start()
        found = daemon.ask("GET", "/v1/status").json
        assert "storage_full" in {alarm["code"] for alarm in found["alarms"]}
        assert found["storage"]["head_seq"] >= 40
        assert not (daemon.state / "outbox.spare").exists()
        assert scan(daemon, 100, 1) == 503
        disk.empty()
        until(lambda: scan(daemon, 100, 1) == 200, "scans are taken again")
        assert daemon.ask("GET", "/v1/status").json["upstreams"][0]["imbalance"] == 0
        assert daemon.stop() == 0


@pytest.mark.fault(14)
def test_a_damaged_outbox_on_a_full_disk_is_salvaged_in_the_room_set_aside(tmp_path: Path) -> None:
    with filled_site(tmp_path) as (daemon, disk):
        descriptor = os.open(daemon.state / "outbox.db", os.O_RDWR)
        os.pwrite(descriptor, bytes(4096), 0)
        os.close(descriptor)
        daemon.start()
        found = daemon.ask("GET", "/v1/status").json
        assert "outbox_salvaged" in {alarm["code"] for alarm in found["alarms"]}
        assert "outbox_incident code=outbox_salvaged" in daemon.log()
        assert (found["incidents"][0]["missing"], found["storage"]["entries"] >= 40) == (0, True)
        disk.empty()
        until(lambda: scan(daemon, 100, 1) == 200, "scans are taken again")
        assert daemon.command("audit", "verify").returncode == 0
        assert daemon.stop() == 0
