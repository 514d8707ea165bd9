"""Rules: how far apart expected and observed may be, and what a failed check asks for.

Every code has a rule that is built in; a rule of the configuration goes before it where it applies. Of several the
most particular wins: by item before by supplier before by kind of document before by activity; of equals the first.
All tolerances that a rule states have to hold: one that is exceeded is enough for an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, get_args

from gateway.capture.label import LabelItem
from gateway.checks.match import fits
from gateway.events.finding import ExceptionCode

BUILT_IN_AUTHOR: Final = "dockline"
CODES: Final[tuple[ExceptionCode, ...]] = get_args(ExceptionCode)


class Deviation(NamedTuple):
    """How far what was observed is from what was expected."""

    expected: Decimal
    observed: Decimal
    price: Decimal | None = None
    """For one unit."""
    worth: Decimal | None = None
    """What the difference is worth, where it is over lines of several prices."""

    @property
    def difference(self) -> Decimal:
        """Observed less expected."""
        return self.observed - self.expected

    @property
    def percent(self) -> Decimal | None:
        """Difference in per cent of what was expected; None when nothing was."""
        return None if not self.expected else (self.difference * 100 / self.expected)

    @property
    def value(self) -> Decimal | None:
        """Difference in money; None without a price."""
        if self.worth is not None:
            return self.worth
        return None if self.price is None else self.difference * self.price


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is near enough. None: this measure does not matter; all None: nothing but exact."""

    absolute: Decimal | None = None
    percent: Decimal | None = None
    value: Decimal | None = None

    def allows(self, deviation: Deviation) -> bool:
        """Return True when the deviation is within every measure that is stated."""
        if not deviation.difference:
            return True
        stated = [limit for limit in (self.absolute, self.percent, self.value) if limit is not None]
        if not stated:
            return False
        if self.absolute is not None and abs(deviation.difference) > self.absolute:
            return False
        if self.percent is not None and (deviation.percent is None or abs(deviation.percent) > self.percent):
            return False
        # Without a price nobody can tell what it is worth: a rule by value alone then allows nothing.
        if self.value is not None and (deviation.value is None or abs(deviation.value) > self.value):
            return len(stated) > 1 and deviation.value is None
        return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for one code. Empty conditions do not matter."""

    id: str
    version: int
    author: str
    code: ExceptionCode
    activities: tuple[str, ...] = ()
    document_types: tuple[str, ...] = ()
    suppliers: tuple[str, ...] = ()
    """Names or patterns."""
    items: tuple[str, ...] = ()
    """GTIN, item number or text, as names or patterns."""
    tolerance: Tolerance = Tolerance()
    hold: Literal["none", "item", "document"] = "none"
    shelf_life_days_min: int = 0
    """For expired: days that must be left."""
    enabled: bool = True
    """False: what this rule applies to is not checked for its code."""

    @property
    def digest(self) -> str:
        """Tells whether a rule is the same as before."""
        return blake2b(repr(self).encode(), digest_size=8).hexdigest()

    def applies(self, subject: Subject) -> bool:
        """Return True when every condition holds."""
        return (
            (not self.activities or subject.activity in self.activities)
            and (not self.document_types or subject.document_type in self.document_types)
            and (not self.suppliers or (subject.supplier is not None and fits(subject.supplier, self.suppliers)))
            and (not self.items or any(fits(name, self.items) for name in subject.names))
        )

    @property
    def particularity(self) -> tuple[bool, bool, bool, bool]:
        """What a rule that says more about its subject has more of."""
        return (bool(self.items), bool(self.suppliers), bool(self.document_types), bool(self.activities))


class Subject(NamedTuple):
    """What a rule is asked about."""

    activity: str | None = None
    document_type: str | None = None
    supplier: str | None = None
    names: tuple[str, ...] = ()
    """GTIN, item number, text of the item."""


class RuleBook:
    """The rules in force."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._by_code: dict[str, list[Rule]] = {
            code: [
                *sorted(
                    (rule for rule in rules if rule.code == code), key=lambda rule: rule.particularity, reverse=True
                ),
                Rule(code, 1, BUILT_IN_AUTHOR, code),
            ]
            for code in CODES
        }

    def rule(self, code: ExceptionCode, subject: Subject) -> Rule | None:
        """Return the rule for a code and a subject; None when that is not to be checked."""
        for rule in self._by_code[code]:
            if rule.applies(subject):
                return rule if rule.enabled else None
        raise AssertionError("the rule that is built in applies to everything")


def names_of(item: LabelItem) -> tuple[str, ...]:
    """Return what rules may call an item."""
    return tuple(value for value in (item.gtin, item.sku, item.code, item.sscc) if value)


@dataclass(frozen=True, slots=True)
class LocationRule:
    """What may be put where."""

    id: str
    version: int
    author: str
    locations: tuple[str, ...]
    """Names or patterns of the places it is about."""
    allow_items: tuple[str, ...] = ()
    """What may be put there; none: anything."""
    forbid_items: tuple[str, ...] = ()
    """What must not be."""
    forbid: bool = False
    """Nothing may be put there (a blocked place)."""
    hold: Literal["none", "item", "document"] = "none"

    @property
    def digest(self) -> str:
        """Tells whether a rule is the same as before."""
        return blake2b(repr(self).encode(), digest_size=8).hexdigest()

    def forbids(self, activity: str, location: str, names: Sequence[str]) -> bool:
        """Return True when an item must not be put at a place."""
        if activity != "putaway" or not fits(location, self.locations):
            return False
        if self.forbid or any(fits(name, self.forbid_items) for name in names):
            return True
        return bool(self.allow_items) and not any(fits(name, self.allow_items) for name in names)
