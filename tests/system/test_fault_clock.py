"""The wall clock of the computer jumps while people scan: rows 19 and 20 of the fault matrix, with real processes.

libfaketime stands between the gateway and the clock of the system: to the whole process it is another time, TLS too.
The clock that never goes back is left alone, as a kernel leaves it alone.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fault_plugin import Figure
from fault_site import FaultSite
from upstream_certificates import Authority, server_context

from simulators.centre import Centre
from simulators.plc import Plc
from simulators.plc_signal import Signal

DAY = 24 * 3600
EVENT = "dockline.pick.v1"
_PRESS = """
[[device]]
id = "press"
station = "floor"
driver = "modbus-poller"
url = "modbus-tcp://127.0.0.1:{port}?unit=1"
poll_interval_s = 0.05
points = [{{ name = "parts", address = 0, type = "uint16", means = "count" }}]
"""


def faketime(folder: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is as far off as the file `clock` says, read at every look."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is missing: install what tests/support/system_packages.sh names"
    clock = folder / "clock"
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
        # Else it takes the waits of Python's locks, which are by the clock that never goes back, for waits by the wall.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def set_clock(folder: Path, offset_s: int) -> None:
    """Turn the clock of the gateway, also while it runs."""
    fresh = folder / "clock.new"
    fresh.write_text(f"{offset_s:+d}\n")
    fresh.replace(folder / "clock")


def years(site: FaultSite) -> list[int]:
    """Return the year of every pick at the centre, in the order of the sequence."""
    events = [json.loads(event.body) for event in site.centre.ledger.events]
    picks = {int(event["sequence"]): event["time"] for event in events if event["type"] == EVENT}
    return [datetime.fromisoformat(picks[number]).year for number in sorted(picks)]


def clocks_of(site: FaultSite, year: int) -> set[str]:
    """Return what the picks of a year say about the clock they were made by."""
    events = [json.loads(event.body) for event in site.centre.ledger.events]
    picks = [event for event in events if event["type"] == EVENT]
    return {event["data"]["clock"] for event in picks if event["time"].startswith(f"{year}-")}


def gaps(site: FaultSite) -> list[str]:
    """Return what the centre was told of values of a PLC that did not arrive."""
    events = [json.loads(event.body) for event in site.centre.ledger.events]
    return [event["data"]["reason"] for event in events if event["data"].get("state") == "gap"]


@pytest.mark.fault(19)
async def test_a_clock_that_jumps_reorders_nothing_and_lets_nothing_expire(tmp_path: Path, figure: Figure) -> None:
    """Back by 400 days, forward by 30, right again, with the centre away for a while and a day of retention."""
    set_clock(tmp_path, 0)
    keys = "reserve_bytes = 0\nretention_days = 1\nredelivery_days = 1"
    async with FaultSite(tmp_path, storage_keys=keys, environ=faketime(tmp_path), is_centre_up=False) as site:
        await site.scans(60)
        set_clock(tmp_path, -400 * DAY)
        await site.scans(60)
        await site.centre.start()
        set_clock(tmp_path, 30 * DAY)
        await site.scans(60)
        await site.rest()
        kept = (await site.status())["storage"]
        assert kept["entries"] == kept["head_seq"], "something expired"
        await site.kill()
        set_clock(tmp_path, 0)
        await site.back()
        site.work()
        await site.scans(60)
        ledger = await site.verdict()
        then = (datetime.now(UTC) - timedelta(days=400)).year
        assert then in years(site), "the clock of the gateway did not jump"
        assert (site.centre.ledger.missing, site.centre.ledger.late) == ([], [])
    figure("scans", ledger.injected)
    figure("expired", 0)
    figure("out of order", len(ledger.reordered))


@pytest.mark.fault(20)
async def test_a_computer_that_starts_in_1970_takes_scans_and_says_so(tmp_path: Path, figure: Figure) -> None:
    """The battery of the clock is empty and there is no network yet; the right time comes later, in mid-shift."""
    since = int(datetime.now(UTC).timestamp())
    set_clock(tmp_path, -since)
    async with FaultSite(tmp_path, environ=faketime(tmp_path)) as site:
        await site.scans(60)
        status = await site.status()
        assert status["clock"] == "unsynchronised"
        assert any("clock" in notice for notice in status["notices"])
        set_clock(tmp_path, 0)
        await site.scans(60)
        ledger = await site.verdict()
        found = years(site)
        assert (found[0], found[-1]) == (1970, datetime.now(UTC).year)
        assert clocks_of(site, 1970) == {"unsynchronised"}
        assert (site.centre.ledger.missing, site.centre.ledger.late) == ([], [])
    figure("scans", ledger.injected)
    figure("picks dated 1970, and marked as unsure", found.count(1970))


@pytest.mark.fault(19)
async def test_a_certificate_that_only_looks_wrong_is_called_clock_trouble(tmp_path: Path, figure: Figure) -> None:
    """By a clock 400 days back no certificate is valid yet: the operator is told to look at the clock."""
    authority = Authority(tmp_path / "authority")
    centre = Centre(tls=server_context(authority.sign("centre")))
    set_clock(tmp_path, -400 * DAY)
    async with FaultSite(
        tmp_path,
        environ=faketime(tmp_path),
        centre=centre,
        upstream_keys=f'ca_file = "{authority.certificate}"',
    ) as site:
        await site.scans(30)
        alarm = await site.alarm("tls_clock")
        assert "clock" in alarm["message"]
        assert site.centre.attempts == []
        set_clock(tmp_path, 0)
        await site.no_alarm("tls_clock")
        await site.scans(30)
        ledger = await site.verdict()
    figure("alarm", alarm["code"])
    figure("scans kept and delivered later", ledger.delivered)


@pytest.mark.long
async def test_a_clock_that_is_set_between_two_runs_makes_no_gap_of_years(tmp_path: Path) -> None:
    """The PLC is off, the gateway is killed, and the next run finds another year: the computer itself ran on."""
    set_clock(tmp_path, -400 * DAY)
    plc = Plc([Signal("parts", 0, "uint16")])
    await plc.start_tcp()
    port = plc.port
    try:
        async with FaultSite(tmp_path, environ=faketime(tmp_path), more=_PRESS.format(port=port)) as site:
            await site.until(lambda: plc.functions.total() > 1, "the counter was read")
            await plc.stop()
            await site.until(lambda: "so far" in " ".join(gaps(site)), "the gap is told while it lasts")
            await site.kill()
            set_clock(tmp_path, 0)
            await plc.start_tcp(port=port)
            await site.back()
            await site.until(lambda: "missed within" in " ".join(gaps(site)), "the gap is told with its end")
            await site.verdict()
            (over,) = [words for words in gaps(site) if "missed within" in words]
    finally:
        await plc.stop()
    seconds = float(over.rpartition("within ")[2].removesuffix(" s"))
    assert seconds < DAY, over
