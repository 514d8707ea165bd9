"""Which Application Identifiers may, and have to, stand beside each other.

Theory of operation. The General Specifications (section 4.13) name pairs that exclude each other and identifiers that
need another one. Exclusion is a contradiction in one symbol and a problem. A need may be met by another symbol on the
same label, and a scan brings one symbol: so an unmet need is a remark beside the event. Two exceptions. The SSCC very
often stands in a symbol of its own, so a need for it is taken as met. And what is counted must be known: contents (02)
without their number (37), or a number without contents, is a problem, because it decides how many of what were handled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from gateway.capture.application_identifiers import IDENTIFIERS

COMPANIES_CACHED_MAX: Final = 1_024
"""A site sees a few dozen sets of identifiers."""
_SSCC: Final = "00"


class Company(NamedTuple):
    """What is wrong with a set of Application Identifiers, in words for a person."""

    problem: str | None = None
    remark: str | None = None


@lru_cache(maxsize=COMPANIES_CACHED_MAX)
def company(identifiers: frozenset[str]) -> Company:
    """Return what is wrong with these Application Identifiers in one symbol."""
    problem = _contradiction(identifiers) or _number_of_nothing(identifiers)
    return Company(problem) if problem else Company(remark=_unmet(identifiers))


def _contradiction(identifiers: frozenset[str]) -> str | None:
    for ai in sorted(identifiers):
        for pattern in IDENTIFIERS[ai].never:
            for other in sorted(identifiers):
                if other != ai and _fits(other, pattern):
                    return f"AI {ai} and AI {other} exclude each other"
    return None


def _number_of_nothing(identifiers: frozenset[str]) -> str | None:
    for contents in ("02", "8026"):
        if contents in identifiers and "37" not in identifiers:
            return f"AI {contents} without 37: how many are contained?"
    if "37" in identifiers and not identifiers & {"02", "8026"}:
        return "AI 37 without 02: many of what?"
    return None


def _unmet(identifiers: frozenset[str]) -> str | None:
    for ai in sorted(identifiers):
        needs = IDENTIFIERS[ai].needs
        if needs and not any(_is_met(one, identifiers) for one in needs):
            wanted = " or ".join(" and ".join(sorted(one - {_SSCC})) for one in needs)
            return f"AI {ai} belongs to AI {wanted}, which is not in this symbol"
    return None


def _is_met(wanted: frozenset[str], identifiers: frozenset[str]) -> bool:
    return all(any(_fits(ai, pattern) for ai in identifiers) for pattern in wanted if pattern != _SSCC)


def _fits(ai: str, pattern: str) -> bool:
    return len(ai) == len(pattern) and all(want in ("n", have) for want, have in zip(pattern, ai, strict=True))
