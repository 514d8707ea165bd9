"""Pieces of warehouse work against the real program, judged by what devices and centre remember."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from site_under_test import json_in, output_of

from gateway.demo.scenario import run_scenario
from gateway.demo.scenarios import SCENARIOS
from gateway.demo.stage import Stage

DOCKLINE = (sys.executable, "-m", "gateway")


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_scenario_ends_as_it_should(name: str) -> None:
    code, said = await output_of(*DOCKLINE, "demo", "--scenario", name, "--json")
    verdict = json_in(said)
    assert [claim for claim in verdict["claims"] if claim["expected"] != claim["found"]] == []
    assert (code, verdict["holds"]) == (0, True)


async def test_a_gateway_that_does_not_check_is_found_out(tmp_path: Path) -> None:
    """The judge can see: the same work at a gateway whose checks are switched off."""
    scenario = SCENARIOS["eight-percent-under"]
    blind = replace(scenario, stations=scenario.stations + "\n[checks]\nenabled = false\n")
    judgement = await run_scenario(blind, Stage(tmp_path, scanners=blind.scanners))
    wrong = {claim.what for claim in judgement.claims if not claim.holds}
    assert not judgement.holds
    assert {"exceptions at the centre", "lines that differ", "tally of the advice, line by line"} <= wrong
    assert "scans that carry a token and are at the centre" not in wrong


async def test_an_unknown_scenario_is_named() -> None:
    code, said = await output_of(*DOCKLINE, "demo", "--scenario", "eight-percent")
    assert code == 1
    assert "eight-percent-under" in said
    listed = await asyncio.create_subprocess_exec(
        *DOCKLINE, "demo", "--scenario", "list", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listed.communicate()
    assert [line.split(":")[0] for line in out.decode().splitlines()] == list(SCENARIOS)
