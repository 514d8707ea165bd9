"""The tally of a book: expected and observed, line by line. A pure function of the book and its document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeVar

from gateway.capture.label import LabelItem
from gateway.checks.book import ZERO, Book, Pool, PoolKey, share
from gateway.checks.inspection import RETURN_DISPOSITIONS
from gateway.checks.line import Line
from gateway.checks.rule import Deviation, Rule
from gateway.checks.shelf import Header
from gateway.checks.wording import item_of, plain, variance_of
from gateway.events.finding import LineVariance, ReturnShare, TallyLine
from gateway.events.model import Item

LINES_MAX: Final = 2_000
"""Lines in one tally event; those that differ come first."""
VARIANCES_MAX: Final = 1_000
SERIALS_MAX: Final = 1_000
"""Serial numbers named as missing in one event."""
STEP: Final = 100
"""Lines or pools between two turns of somebody else."""
_SAME: Final = ("matched", "unchecked")
T = TypeVar("T")
Result = Literal["matched", "within_tolerance", "short", "over", "unexpected", "unchecked", "recount"]


class Differing(NamedTuple):
    """A line whose deviation no rule allows."""

    line: Line
    deviation: Deviation
    rule: Rule


class Sum(NamedTuple):
    """What one line, or what is on none, came to."""

    line: Line | None
    pool: Pool | None
    """What was observed for it alone; None when it shares with other lines, or when nothing was."""
    observed: Decimal
    result: Result


@dataclass(slots=True)
class TallySheet:
    """What a book came to."""

    sums: list[Sum] = field(default_factory=list)
    differing: list[Differing] = field(default_factory=list)
    expected: Decimal = ZERO
    observed: Decimal = ZERO
    """On lines and on none."""
    on_lines: Decimal = ZERO
    short: int = 0
    """Lines with less than a rule allows, and how much is missing on them."""
    missing: Decimal = ZERO
    over: int = 0
    """Lines with more than a rule allows, and how much that is."""
    excess: Decimal = ZERO
    value: Decimal | None = ZERO
    """What the differing lines are worth, in all; None when a price is missing."""
    largest: Differing | None = None
    """The line that differs most: of several units, by its share."""
    units: set[str] = field(default_factory=set)
    """Of the lines."""
    other_units: set[str] = field(default_factory=set)
    """Of what is on no line."""

    @property
    def unit(self) -> str | None:
        """The unit of all lines; None when they have several, and no sum over them means anything."""
        return next(iter(self.units)) if len(self.units) == 1 else None

    @property
    def total_unit(self) -> str | None:
        """The unit of everything, what is on no line too; None when there are several."""
        units = self.units | self.other_units
        return next(iter(units)) if len(units) == 1 else None

    def differ(self, one: Differing) -> None:
        """Note a line whose deviation no rule allows."""
        self.differing.append(one)
        difference, value = one.deviation.difference, one.deviation.value
        if difference < 0:
            self.short += 1
            self.missing -= difference
        else:
            self.over += 1
            self.excess += difference
        self.value = None if self.value is None or value is None else self.value + value
        if self.largest is None or self._weight(one) > self._weight(self.largest):
            self.largest = one

    def _weight(self, one: Differing) -> Decimal:
        if len(self.units) > 1 and one.deviation.percent is not None:
            return abs(one.deviation.percent)
        return abs(one.deviation.difference)

    def chosen(self) -> list[Sum]:
        """Return the lines an event holds: all, or those that differ and as many of the others as fit."""
        if len(self.sums) <= LINES_MAX:
            return self.sums
        telling = [one for one in self.sums if one.result not in _SAME][:LINES_MAX]
        rest = LINES_MAX - len(telling)
        return telling + list(islice((one for one in self.sums if one.result in _SAME), rest))

    def listed(self) -> tuple[TallyLine, ...]:
        """Return them as events tell them."""
        return tuple([told(one) for one in self.chosen()])


RuleFor = Callable[[Line, Deviation], Rule | None]
"""The rule for a line that is short (difference below 0) or over; None when that is not to be called anything."""


Steps = Generator[None, None, T]
"""Work that lets others have their turn at each `yield`, and returns something in the end."""


def at_once(steps: Steps[T]) -> T:
    """Do all the steps; return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            found: T = ended.value
            return found


def tally_steps(
    book: Book, lines: Sequence[Line], rule_for: RuleFor, *, recounted: Sequence[tuple[str, ...]] = ()
) -> Steps[TallySheet]:
    """Return what a book came to. `recounted` names the pools that were counted again: there the last count holds, and
    elsewhere the first, also of what is on no line.

    Of no use when the book changed between two steps.
    """
    sheet = TallySheet()
    again = set(recounted)
    pools: dict[PoolKey, Pool] = {}
    owners: Counter[str] = Counter()
    last = dict.fromkeys(again, 2)
    for round_, names in book.pools.keys() if again else ():
        if names in last:
            last[names] = max(last[names], round_)
    for number, (key, pool) in enumerate(list(book.pools.items())):
        if _holds(book, key, last):
            pools[key] = pool
            sheet.observed += pool.observed
            owners.update([line.line for line in pool.lines])
        if number % STEP == STEP - 1:
            yield
    shared, about = yield from _shared(pools, owners)
    for number, line in enumerate(lines):
        has = shared.get(line.line, ZERO)
        sheet.units.add(line.unit)
        sheet.expected += line.quantity
        sheet.on_lines += has
        _put_line(sheet, line, has, about.get(line.line), rule_for)
        if number % STEP == STEP - 1:
            yield
    result: Result = "unchecked" if book.header is None else "unexpected"
    strangers = [(key, pool) for key, pool in pools.items() if not pool.lines and (pool.observed or pool.events)]
    sheet.other_units |= {pool.unit for _, pool in strangers}
    sheet.sums += [Sum(None, pool, pool.observed, result) for _, pool in sorted(strangers, key=lambda one: one[0])]
    return sheet


def _holds(book: Book, key: PoolKey, last: Mapping[tuple[str, ...], int]) -> bool:
    """Whether a pool is of the round that counts for it."""
    round_, names = key
    if names in last:
        return round_ == last[names]
    return round_ == 1 or (round_ > 1 and names[:1] == ("",) and _first(book, names) == round_)


def _first(book: Book, names: tuple[str, ...]) -> int:
    return next((one for one in range(1, book.next_round) if (one, names) in book.pools), 0)


def _shared(pools: dict[PoolKey, Pool], owners: Mapping[str, int]) -> Steps[tuple[dict[str, Decimal], dict[str, Pool]]]:
    """Return what each line gets, and the pool that is its alone: counts of events can be given for it."""
    shared: dict[str, Decimal] = {}
    about: dict[str, Pool] = {}
    contested = []
    for number, pool in enumerate(pools.values()):
        if len(pool.lines) == 1:
            about[pool.lines[0].line] = pool
        if len(pool.lines) == 1 and owners[pool.lines[0].line] == 1:
            shared[pool.lines[0].line] = pool.observed  # nearly every line: nobody to share with
        elif pool.lines:
            contested.append(pool)
        if number % STEP == STEP - 1:
            yield
    return shared | share(contested), about


def differing_lines(differing: Sequence[Differing], header: Header, book: Book) -> Steps[tuple[LineVariance, ...]]:
    """Return the lines of an exception."""
    found = []
    room = SERIALS_MAX
    for line, deviation, _ in differing[:VARIANCES_MAX]:
        yield
        variance = variance_of(deviation, line.unit, header)
        missing = book.missing_serials(line)[:room] if line.serials and deviation.difference < 0 else ()
        room -= len(missing)
        found.append(
            LineVariance(
                **variance.model_dump(),
                line=line.line,
                item=expected_item(line),
                location=line.locations[0] if len(line.locations) == 1 else None,
                missing_serials=missing or None,
            )
        )
    return tuple(found)


def expected_item(line: Line) -> Item:
    """Return the item of a line as events tell it."""
    known = {name: value for name, value in line.item.items() if name in LabelItem._fields}
    if len(line.lots) == 1:
        known["lot"] = next(iter(line.lots))
    return item_of(LabelItem(**known))


def _put_line(sheet: TallySheet, line: Line, observed: Decimal, pool: Pool | None, rule_for: RuleFor) -> None:
    deviation = Deviation(line.quantity, observed, line.price)
    result: Result = "matched"
    if deviation.difference:
        rule = rule_for(line, deviation)
        if rule is None or rule.tolerance.allows(deviation):
            result = "within_tolerance"
        else:
            result = "over" if deviation.difference > 0 else "short"
            sheet.differ(Differing(line, deviation, rule))
    sheet.sums.append(Sum(line, pool, observed, result))


def told(one: Sum) -> TallyLine:
    """Return a line as events tell it."""
    line, pool = one.line, one.pool
    seen = {
        "observed": plain(one.observed),
        "result": one.result,
        "events": 0 if pool is None else pool.events,
        "possible_redeliveries": None if pool is None else pool.repeats or None,
        "damaged": None if pool is None or not pool.damaged else plain(pool.damaged),
        **_dispositions(pool, None if line is None else line.return_disposition),
    }
    if line is None:
        assert pool is not None and pool.item is not None, "what is on no line was observed"
        return TallyLine(item=item_of(pool.item), location=pool.location, unit=pool.unit, **seen)
    return TallyLine(
        line=line.line,
        item=expected_item(line),
        location=line.locations[0] if len(line.locations) == 1 else None,
        expected=plain(line.quantity),
        difference=plain(one.observed - line.quantity),
        unit=line.unit,
        **seen,
    )


def _dispositions(pool: Pool | None, expected: str | None) -> dict[str, Any]:
    """Return what shall become of a line: what was decided at the station, and for the rest what the document says."""
    if pool is None or not pool.observed:
        return {"return_disposition": RETURN_DISPOSITIONS.get(expected)}
    # One that was undone leaves its word with a quantity of nothing.
    decided = {word: many for word, many in (pool.dispositions or {}).items() if many}
    rest = pool.observed - sum(decided.values(), ZERO)
    if rest > 0 and expected is not None:
        decided[expected] = decided.get(expected, ZERO) + rest
    if not decided:
        return {}
    if len(decided) == 1 and pool.observed in decided.values():
        return {"return_disposition": RETURN_DISPOSITIONS.get(next(iter(decided)))}
    shares = [(word, many) for name, many in sorted(decided.items()) if (word := RETURN_DISPOSITIONS.get(name))]
    return {
        "return_dispositions": tuple(
            [ReturnShare(return_disposition=word, quantity=plain(many)) for word, many in shares]
        )
    }
