"""What is wrong with one piece by itself: its date, its state, the place it was put. No totals, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.checks.docket import Trouble
from gateway.checks.match import fits
from gateway.checks.policy import Policy
from gateway.checks.rule import Rule, names_of
from gateway.checks.scene import Scene
from gateway.checks.wording import shown
from gateway.events.finding import ReturnDisposition

BUILT_MS: Final = 1_767_225_600_000
"""2026-01-01: a clock before that has not been set, and says nothing about dates."""
RETURN_DISPOSITIONS: Final[dict[str | None, ReturnDisposition]] = {
    "restock": "restock",
    "refurbish": "refurbish",
    "vendor_return": "vendor_return",
    "disposal": "disposal",
}

UNDECIDED: Final[ReturnDisposition] = "refurbish"
"""Of something damaged: somebody has to look before it is sold, repaired or thrown away."""

Finding = tuple[Trouble, Rule]


def inspect_piece(scene: Scene, policy: Policy, at_ms: int) -> Iterator[Finding]:
    """Yield what is wrong with a piece by itself, each with the rule that says so. `at_ms` is the wall clock."""
    piece = scene.piece
    if piece.item.expiry is not None and scene.activity != "count" and at_ms >= BUILT_MS:
        yield from _inspect_date(scene, piece.item.expiry, policy, at_ms)
    if piece.damaged:
        rule = policy.rules.rule("damaged", scene.subject)
        if rule is not None:
            fields = {}
            if scene.activity == "return":
                fields["return_disposition"] = RETURN_DISPOSITIONS.get(piece.return_disposition, UNDECIDED)
            yield Trouble("damaged", scene.identity, f"{shown(piece)} is damaged", fields), rule
    if scene.activity == "putaway" and piece.location is not None:
        yield from _inspect_place(scene, piece.location, policy)


def _inspect_date(scene: Scene, expiry: str, policy: Policy, at_ms: int) -> Iterator[Finding]:
    rule = policy.rules.rule("expired", scene.subject)
    if rule is None:
        return
    last = date.fromisoformat(expiry)
    today = datetime.fromtimestamp(at_ms / 1000, UTC).date()
    if last >= today + timedelta(days=rule.shelf_life_days_min):
        return
    said = f"{shown(scene.piece)} expired on {expiry}"
    if last >= today:
        said = f"{shown(scene.piece)} expires on {expiry}, less than {rule.shelf_life_days_min} days from now"
    yield Trouble("expired", f"{scene.identity}|{scene.piece.item.lot or ''}", said), rule


def _inspect_place(scene: Scene, location: str, policy: Policy) -> Iterator[Finding]:
    name, about = shown(scene.piece), f"{scene.identity}|{location}"
    names = names_of(scene.piece.item)
    forbidding = next((one for one in policy.location_rules if one.forbids(scene.activity, location, names)), None)
    if forbidding is not None:
        rule = Rule(forbidding.id, forbidding.version, forbidding.author, "putaway_failure", hold=forbidding.hold)
        said = f"{name} must not be put at {location} (rule {forbidding.id})"
        yield Trouble("putaway_failure", about, said, {"location": location}), rule
        return
    header = scene.header
    if header is None:
        return
    is_elsewhere = bool(header.locations) and not fits(location, header.locations)
    if is_elsewhere or fits(location, header.forbidden_locations):
        allowing = policy.rules.rule("putaway_failure", scene.subject)
        if allowing is not None:
            said = f"{name} must not be put at {location}: document {header.id} forbids it"
            fields = {"location": location, "expected_locations": header.locations or None}
            yield Trouble("putaway_failure", about, said, fields), allowing
