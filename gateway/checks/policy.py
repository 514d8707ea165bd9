"""What the site decided about checks: rules, routes, what may be put where. A value; a reload makes another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.checks.routing import Router
from gateway.checks.rule import LocationRule, RuleBook


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything checks go by beside the expected documents."""

    is_asked_for: bool | None = None
    """True: checks are on. False: off. None: on as soon as there is anything to compare with."""
    rules: RuleBook = field(default_factory=RuleBook)
    router: Router = field(default_factory=Router)
    location_rules: Sequence[LocationRule] = ()
    sync_failure_after_s: float = 900.0
    """How long an upstream may be away before that is an exception, in seconds."""
    clock_after_s: float = 3600.0
    """How long nobody may vouch for the clock before that is an exception, in seconds."""
    keep_days: float = 30.0
    """How long closed documents and resolved exceptions are kept, in days of operating time."""
