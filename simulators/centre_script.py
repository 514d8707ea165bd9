"""What a simulated centre does wrong, and when.

An act spoils one request. Acts come from three places, asked in this order: those queued by a test (`then`, one each
request), rules (by number of the request or by chance, from a seed), and a standing act (`always`). The plan file of
`dockline simulate centre --plan` is JSON:

    {"seed": 7, "rules": [
        {"act": "status", "status": 503, "from": 3, "to": 5, "retry_after": "2"},
        {"act": "answer_lost", "probability": 0.1},
        {"act": "redirect", "location": "http://127.0.0.1:9/", "from": 8, "to": 8}]}
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

ActName = Literal[
    "status",
    "applied_status",
    "answer_lost",
    "request_lost",
    "hang",
    "applied_hang",
    "half_answer",
    "portal",
    "empty",
    "nonsense",
    "wrong_ids",
    "huge",
    "deep",
    "redirect",
    "partial",
    "through_beyond",
    "reject_all",
    "reject_first",
    "duplicate_409",
    "job_fails",
    "job_lost",
    "job_runs",
    "job_broken",
]
"""status: answer `status` and take nothing. applied_status: take, then answer `status`. answer_lost: take, then close.
request_lost: close and take nothing. hang: never answer. applied_hang: take, never answer. half_answer: take, and break
off in the middle of the answer. portal: 200 with a log-in page. empty: 200 without a body. nonsense: 200 with JSON that
is no acknowledgement. wrong_ids: 200 that names strangers. huge: 200 with megabytes. deep: 200 with JSON nested past
reason. redirect: `status` (307 unless it is a 3xx) to `location`. partial: take and name a share of the batch.
through_beyond: take, and claim a far higher sequence. reject_all, reject_first: name all, or the first `count`, as
rejected. duplicate_409: take nothing, answer 409 that names what was known. job_fails, job_lost, job_runs,
job_broken: of a capture job (`simulators.epcis_endpoint`)."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done wrong."""

    act: ActName
    status: int = 503
    retry_after: str | None = None
    location: str = ""
    share: float = 0.5
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """An act for some requests."""

    act: Act
    first: int = 1
    """Number of the first request it applies to; requests count from 1."""
    last: int | None = None
    probability: float = 1.0


class Script:
    """Decides what happens to each request."""

    def __init__(self, rules: Sequence[Rule] = (), *, rng: Random | None = None) -> None:
        self._rules = tuple(rules)
        self._rng = rng or Random(0)
        self._queued: deque[Act | None] = deque()
        self.always: Act | None = None
        """Done to every request nothing else is done to."""

    def then(self, *acts: Act | None) -> None:
        """Spoil the next requests, one act each; None lets one through untouched."""
        self._queued.extend(acts)

    def act_for(self, number: int) -> Act | None:
        """Return what to do to the request with this number; None: answer it properly."""
        if self._queued:
            return self._queued.popleft()
        for rule in self._rules:
            applies = rule.first <= number and (rule.last is None or number <= rule.last)
            # Drawn for every rule that applies, so that equal seeds give equal runs.
            if applies and self._rng.random() < rule.probability:
                return rule.act
        return self.always


def load_script(path: Path) -> Script:
    """Read a plan file. Raises ValueError saying what is wrong with it."""
    try:
        plan = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if (
        not isinstance(plan, dict)
        or plan.keys() - {"seed", "rules"}
        or not isinstance(plan.get("rules", []), list)
        or not isinstance(plan.get("seed", 0), int)
    ):
        raise ValueError(f'{path}: a plan is {{"seed": <whole number>, "rules": [...]}}')
    return Script([_read_rule(path, row) for row in plan.get("rules", [])], rng=Random(plan.get("seed", 0)))


_KINDS: dict[str, tuple[type, ...]] = {
    "status": (int,),
    "retry_after": (str, type(None)),
    "location": (str,),
    "share": (int, float),
    "count": (int,),
    "from": (int,),
    "to": (int, type(None)),
    "probability": (int, float),
}
"""What JSON holds for each member of a rule beside its act."""


def _read_rule(path: Path, row: object) -> Rule:
    if not isinstance(row, dict) or row.get("act") not in get_args(ActName):
        act = row.get("act") if isinstance(row, dict) else row
        raise ValueError(f"{path}: {json.dumps(act)} is no act; there are {', '.join(get_args(ActName))}")
    fields: dict[str, Any] = dict(row)
    for name, value in fields.items():
        if name != "act" and name not in _KINDS:
            raise ValueError(f"{path}: a rule cannot be read: it has no {json.dumps(name)}")
        if name != "act" and not isinstance(value, _KINDS[name]):
            raise ValueError(f"{path}: a rule cannot be read: {name} cannot be {json.dumps(value)}")
    first, last = fields.pop("from", 1), fields.pop("to", None)
    probability = fields.pop("probability", 1.0)
    return Rule(Act(**fields), first, last, probability)
