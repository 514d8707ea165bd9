"""Scenarios: a piece of warehouse work, played with simulated devices against the real program, and judged.

The verdict is computed from what the devices remember and what the centre received; the gateway is not asked. A claim
is a sentence with what should be and what was found; one that differs is a broken scenario and an exit code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.demo.post import PostPlan
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
    posts: tuple[PostPlan, ...]
    """The gateways it takes."""
    play: Callable[[Stage], Awaitable[None]]
    """Do the work; returns when every device has heard its answers."""
    judge: Callable[[Stage], list[Claim]]
    """Compare what devices and centre have; called when everything was delivered."""


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
    """Play a scenario and judge it. Raises ChildFailed when a gateway does not start."""
    async with stage:
        try:
            await stage.begin()
            await scenario.play(stage)
            await stage.delivered()
        finally:
            await stage.end()
        return judged(scenario, stage)


def judged(scenario: Scenario, stage: Stage) -> Judgement:
    """Return what devices and centre show of a scenario that was played."""
    ledgers = stage.ledgers()
    general = [
        Claim("the gateways stopped in good order (exit codes)", [0] * len(stage.posts), stage.exit_codes),
        Claim("scans that carry a token and are at the centre",
              [ledger.acknowledged for ledger in ledgers], [ledger.delivered for ledger in ledgers]),
        Claim("promises broken (lost, doubled, invented, out of order, ...)", [],
              [broken for ledger in ledgers for broken in _broken(ledger.violations())]),
        Claim("goods that are not those of their labels", [],
              [wrong for post in stage.posts for wrong in post.mislabelled(stage.centre)]),
        Claim("exceptions about other goods than the events they show", [], stage.misdirected()),
        Claim("events that do not agree with the published schemas", [], stage.misshapen()),
    ]  # fmt: skip
    return Judgement(scenario.name, scenario.title, (*general, *scenario.judge(stage)))


def _broken(violations: dict[str, list[str]]) -> list[str]:
    return [f"{kind}: {case}" for kind, cases in violations.items() for case in cases]
