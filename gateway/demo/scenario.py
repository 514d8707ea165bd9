"""Scenarios: a piece of warehouse work, played with simulated devices against the real program, and judged.

The verdict is computed from what the devices remember and what the centre received; the gateway is not asked. A claim
is a sentence with what should be and what was found; one that differs is a broken scenario and an exit code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that has to be so."""

    what: str
    expected: Any
    found: Any

    @property
    def holds(self) -> bool:
        """True when what was found is what should be."""
        return bool(self.expected == self.found)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One piece of work."""

    name: str
    title: str
    stations: str
    """TOML of its stations, and of devices that are no scanners."""
    scanners: tuple[tuple[str, str], ...]
    """Each scanner and its station."""
    play: Callable[[Stage], Awaitable[None]]
    """Do the work; returns when every device has heard its answers."""
    judge: Callable[[Stage], list[Claim]]
    """Compare what devices and centre have; called when everything was delivered."""
    expected: tuple[dict[str, Any], ...] = ()
    """Documents that the gateway has before the work begins."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a scenario."""

    name: str
    title: str
    claims: tuple[Claim, ...]

    @property
    def holds(self) -> bool:
        """True when every claim holds."""
        return all(claim.holds for claim in self.claims)


async def run_scenario(scenario: Scenario, stage: Stage) -> Judgement:
    """Play a scenario and judge it. Raises ChildFailed when the gateway does not start."""
    async with stage:
        await stage.begin(scenario.stations, scenario.expected)
        try:
            await scenario.play(stage)
            await stage.delivered()
        finally:
            exit_code = await stage.gateway.stop()
        ledger = stage.ledger()
        general = [
            Claim("the gateway stopped in good order (exit code)", 0, exit_code),
            Claim("scans that carry a token and are at the centre", ledger.acknowledged, ledger.delivered),
            Claim("promises broken (lost, doubled, invented, out of order, ...)", [], _broken(ledger.violations())),
            Claim("events that do not agree with the published schemas", [], stage.misshapen()),
        ]
        return Judgement(scenario.name, scenario.title, (*general, *scenario.judge(stage)))


def _broken(violations: dict[str, list[str]]) -> list[str]:
    return [f"{kind}: {case}" for kind, cases in violations.items() for case in cases]
