"""The commands a newcomer tries first: the demo, the bench and the simulators, as processes."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from site_under_test import SiteUnderTest, json_in, output_of

from simulators.centre import Centre

DOCKLINE = (sys.executable, "-m", "gateway")
VIOLATIONS = (
    "lost",
    "duplicated",
    "invented",
    "corrupted",
    "conflicting",
    "reordered",
    "zombies",
    "out_of_sequence",
)


async def test_the_demo_survives_its_bad_day() -> None:
    """Uplink cut, SIGKILL in mid-flow, answers lost: the verdict comes from devices and centre."""
    code, said = await output_of(*DOCKLINE, "demo", "--scans", "120", "--seed", "7", "--json")
    verdict = json_in(said)
    assert code == 0, said
    assert verdict["holds"] is True
    assert verdict["ledger"]["injected"] == verdict["ledger"]["acknowledged"] == verdict["ledger"]["delivered"] == 180
    assert [verdict["ledger"][name] for name in VIOLATIONS] == [[]] * len(VIOLATIONS)
    assert verdict["kills"] == 1
    assert verdict["answers_lost"] > 0
    assert verdict["parts"]["counted"] == verdict["parts"]["delivered"] > 0


async def test_the_bench_measures_every_row_it_promises(tmp_path: Path) -> None:
    """Figures are for people to judge; here only that each is measured and positive."""
    _, said = await output_of(*DOCKLINE, "bench", "--quick", "--json", "--folder", str(tmp_path))
    rows = json_in(said)
    assert {row["number"] for row in rows} == {"1", "2", "4", "5", "6", "8", "10", "12", "13", "14"}
    assert all(row["value"] > 0 for row in rows)


async def test_a_simulated_handheld_hears_what_became_of_its_scans(tmp_path: Path) -> None:
    async with Centre() as centre:
        site = SiteUnderTest(tmp_path, centre.url)
        await site.gateway.start()
        try:
            handheld = ("simulate", "handheld", "hh-9", "--site", "dc07", "--port", str(site.listener))
            code, said = await output_of(
                *DOCKLINE, *handheld, "--count", "3", "--interval", "0", "--folder", str(tmp_path), "--activity", "pick"
            )
            assert code == 0, said
            assert said.count(": stored (good)") == 3
            async with asyncio.timeout(60):
                await centre.holds(3)
        finally:
            await site.gateway.stop()


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("simulate", "scanner", "{}/dock-1", "--count", "1", "--acknowledge", "none"), "serial-scanner"),
        (("simulate", "plc", "--port", "{port}", "--seconds", "0.2", "--interval", "0.02"), "parts counted"),
    ],
)
async def test_a_simulator_says_how_to_configure_it(command: tuple[str, ...], word: str, tmp_path: Path) -> None:
    from gateway.cli.child import free_port

    code, said = await output_of(*DOCKLINE, *(part.format(tmp_path, port=free_port()) for part in command))
    assert code == 0, said
    assert word in said
    assert "driver = " in said


async def test_a_simulated_centre_counts_and_ends_in_good_order() -> None:
    process = await asyncio.create_subprocess_exec(
        *DOCKLINE, "simulate", "centre", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["ready"] is True
    process.send_signal(signal.SIGTERM)
    rest, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(rest)["events"] == 0
