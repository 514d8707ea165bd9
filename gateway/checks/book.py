"""The book of one document and activity: running totals over its pieces, in memory.

Theory of operation. A pool is the lines that pieces fit equally well, or one kind of item that is on no line. Pieces
are added and taken out by event id; of several pieces with the name of one object only the earliest counts. So a book
is a function of the set of its pieces, whatever their order, and can be made again at any time from their rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.capture.label import LabelItem
from gateway.checks.expectation import identities
from gateway.checks.line import Line
from gateway.checks.match import Match, match
from gateway.checks.piece import NOT_COUNTED, Piece, serial_name
from gateway.checks.shelf import Header, Shelf
from gateway.events.model import UNIT_EACH
from gateway.events.restricted_number import restricted_names
from gateway.events.unit import MEASURES, converted, shown_decimals

ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_CONTENTS: Final = frozenset({"gtin", "sku", "code"})
"""A line that names one of these asks for goods, also when it says in which unit."""

PoolKey = tuple[int, tuple[str, ...]]
"""Round, and the lines; or ("", identity, location, unit) for what is on no line."""
_EVENT: Final = itemgetter(0)


class Seen(NamedTuple):
    """What a piece that names one object counts. Of a document with serial numbers as many of these are in memory as
    there are objects, so it is not the piece itself, which is four times as large."""

    event: str
    key: PoolKey
    quantity: Decimal
    damaged: bool
    return_disposition: str | None


@dataclass(slots=True)
class Pool:
    """What was observed for lines that pieces fit equally well."""

    lines: tuple[Line, ...]
    item: LabelItem | None
    """What is on no line; None for what is on one, which says what it is."""
    unit: str
    location: str | None = None
    expected: Decimal = ZERO
    """How many are expected; 0 for what is on no line."""
    observed: Decimal = ZERO
    """With as many decimals as events hold."""
    whole: Decimal = ZERO
    """The same with all its decimals: what is summed up."""
    damaged: Decimal = ZERO
    events: int = 0
    repeats: int = 0
    dispositions: dict[str, Decimal] | None = None

    def count(self, piece: Piece | Seen, quantity: Decimal) -> None:
        """Add the quantity of a piece, or take it out when it is negative."""
        self.whole += quantity
        self.observed = shown_decimals(self.whole) if self.unit in MEASURES else self.whole
        if piece.damaged:
            self.damaged += quantity
        if piece.return_disposition:
            said = self.dispositions = self.dispositions or {}
            said[piece.return_disposition] = said.get(piece.return_disposition, ZERO) + quantity


class Added(NamedTuple):
    """What adding a piece led to."""

    key: PoolKey
    pool: Pool
    match: Match | None
    """None without an expected document."""
    twin: str | None
    """The event that told of the very same object before."""


class Book:
    """Running totals. `header` None: the expected document is not known, everything is unchecked."""

    def __init__(self, activity: str, header: Header | None, shelf: Shelf) -> None:
        self.activity = activity
        self.header = header
        self._shelf = shelf
        self.pools: dict[PoolKey, Pool] = {}
        self._shared: dict[tuple[int, str], tuple[PoolKey, ...]] = {}
        """Pools of several lines, by round and line. One of a single line, as nearly all are, is found by its key."""
        self._objects: dict[int, dict[str, tuple[Seen, ...]]] = {NOT_COUNTED: {}, 1: {}, 2: {}}
        """By round and name of the object: who told of it, the earliest first. That one counts."""
        self.operators: set[str] = set()
        """Who counted in the first round."""
        self.events = 0
        """Pieces in it, also those that count nowhere."""
        self.revision = 0
        """Another one after every change."""
        self._last_round = 1
        self.has_anonymous = False
        """Somebody without a badge did."""
        self.totals: dict[tuple[int, str], Decimal] = {}
        """What was observed by round and unit, on lines and on none: running sums, because pages ask for them often."""

    def add(self, piece: Piece) -> Added:
        """Count a piece; return where it went."""
        found = None if self.header is None else match(piece, self.header, self._shelf, activity=self.activity)
        piece = _counted(piece, found)
        key, pool = self._pool(piece, found)
        self._sign(piece)
        self.events += 1
        self.revision += 1
        pool.events += 1
        pool.repeats += piece.is_repeat
        twin: str | None = None
        unique = piece.unique(self.activity)
        if unique is None:
            self._count(pool, piece.round, piece, 1)
        else:
            twin = self._count_object(key, pool, piece, unique)
        return Added(key, pool, found, twin)

    def remove(self, piece: Piece) -> Added:
        """Take out a piece that `add` took in."""
        found = None if self.header is None else match(piece, self.header, self._shelf, activity=self.activity)
        piece = _counted(piece, found)
        key, pool = self._pool(piece, found)
        self.events -= 1
        self.revision += 1
        pool.events -= 1
        pool.repeats -= piece.is_repeat
        unique = piece.unique(self.activity)
        if unique is None:
            self._count(pool, piece.round, piece, -1)
        else:
            self._uncount_object(pool, piece, unique)
        if not pool.events:
            del self.pools[key]
            self._unshare(key, pool)
        return Added(key, pool, found, None)

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Count many pieces, in any order."""
        for piece in pieces:
            self.add(piece)

    @property
    def objects(self) -> int:
        """How many objects it remembers by their names."""
        return sum([len(one) for one in self._objects.values()])

    def lines_of(self, identity: str) -> tuple[Line, ...]:
        """Return the expected lines of an identity."""
        return () if self.header is None else self._shelf.lines_of(self.header, identity)

    def observed(self, *, round_: int = 1) -> dict[str, Decimal]:
        """Return what each line has in one round of counting."""
        return share(pool for (number, _), pool in self.pools.items() if number == round_ and pool.lines)

    @property
    def next_round(self) -> int:
        """A round of counting in which nothing was counted yet, from 2 on."""
        return self._last_round + 1

    def lines_for(self, piece: Piece) -> tuple[str, ...]:
        """Return the names of the lines that a piece is for; empty when it is on none."""
        found = None if self.header is None else match(piece, self.header, self._shelf, activity=self.activity)
        return () if found is None else tuple(line.line for line in found.lines)

    def missing_serials(self, line: Line) -> tuple[str, ...]:
        """Return the serial numbers that a line names and that are of no piece, in any round."""
        kinds = [kind for name in ("gtin", "sku", "code") if (kind := line.item.get(name))]
        kinds += [other for kind in kinds for other in restricted_names(kind)]
        rounds = [objects for round_, objects in self._objects.items() if round_ != NOT_COUNTED]
        return tuple(
            sorted(
                serial
                for serial in line.serials
                if not any(serial_name(kind, serial) in objects for kind in kinds for objects in rounds)
            )
        )

    def excess(self, key: PoolKey) -> tuple[Line, Decimal] | None:
        """Return the line of a pool that has more than is expected, and how much it has; None when none has."""
        pool = self.pools.get(key)
        if pool is None or not pool.lines:
            return None
        if pool.observed <= pool.expected and self._is_alone(key):
            return None  # nearly every scan
        pools = self._neighbours(key)
        shared = share(pools)
        for line in pool.lines:
            has = shared.get(line.line, ZERO)
            if has > line.quantity:
                return line, has
        return None

    def _is_alone(self, key: PoolKey) -> bool:
        """Return True when no other pool is for a line of this one."""
        shared = self._shared
        if not shared:
            return True
        round_, names = key
        if len(names) == 1:
            return (round_, names[0]) not in shared
        return all(len(self._pools_of(round_, name)) == 1 for name in names)

    def _neighbours(self, key: PoolKey) -> list[Pool]:
        """Return the pools that share lines with a pool, itself too."""
        round_, names = key
        keys = {key}
        todo = list(names)
        seen = set(names)
        while todo:
            for other in self._pools_of(round_, todo.pop()):
                if other not in keys:
                    keys.add(other)
                    fresh = [name for name in other[1] if name not in seen]
                    seen.update(fresh)
                    todo.extend(fresh)
        return [self.pools[one] for one in keys]

    def _pools_of(self, round_: int, name: str) -> list[PoolKey]:
        """Return the pools that are for a line."""
        own: PoolKey = (round_, (name,))
        return [*([own] if own in self.pools else ()), *self._shared.get((round_, name), ())]

    def _share(self, key: PoolKey, pool: Pool) -> None:
        """Note whose lines others may be for, too."""
        if len(pool.lines) > 1:
            for name in key[1]:
                self._shared[key[0], name] = (*self._shared.get((key[0], name), ()), key)

    def _unshare(self, key: PoolKey, pool: Pool) -> None:
        if len(pool.lines) > 1:
            for name in key[1]:
                left = tuple([other for other in self._shared.pop((key[0], name)) if other != key])
                if left:
                    self._shared[key[0], name] = left

    def _pool(self, piece: Piece, found: Match | None) -> tuple[PoolKey, Pool]:
        lines = found.lines if found is not None else ()
        if lines:
            names = (lines[0].line,) if len(lines) == 1 else tuple([line.line for line in lines])
            key: PoolKey = (piece.round, names)
            pool = self.pools.get(key)
            if pool is not None:
                return key, pool
            location = lines[0].locations[0] if len(lines) == 1 and len(lines[0].locations) == 1 else None
            unit = lines[0].unit
        else:
            location = piece.location if self.activity == "count" else None
            unit = piece.unit or UNIT_EACH
            name = next(iter(identities(piece.item)), "")
            key = (piece.round, ("", name, piece.item.lot or "", location or "", unit))
        pool = self.pools.get(key)
        if pool is None:
            expected = (
                lines[0].quantity
                if len(lines) == 1
                else sum([_into(line.quantity, line.unit, unit) for line in lines], ZERO)
            )
            if piece.round > self._last_round:
                self._last_round = piece.round
                self._objects.setdefault(piece.round, {})
            pool = self.pools[key] = Pool(lines, None if lines else _kind_of(piece.item), unit, location, expected)
            self._share(key, pool)
        return key, pool

    def _sign(self, piece: Piece) -> None:
        if piece.round == 1:
            if piece.operator:
                self.operators.add(piece.operator)
            else:
                self.has_anonymous = True

    def _count_object(self, key: PoolKey, pool: Pool, piece: Piece, unique: str) -> str | None:
        objects = self._objects[piece.round]
        seen = Seen(piece.event, key, piece.quantity, piece.damaged, piece.return_disposition)
        twins = objects.get(unique)
        if twins is None:
            objects[unique] = (seen,)  # nearly every object
            self._count(pool, piece.round, seen, 1)
            return None
        first = twins[0]
        objects[unique] = tuple(sorted((*twins, seen), key=_EVENT))  # ids are in the order of capture
        if seen.event < first.event:
            self._count(self.pools[first.key], piece.round, first, -1)
            self._count(pool, piece.round, seen, 1)
        return first.event

    def _uncount_object(self, pool: Pool, piece: Piece, unique: str) -> None:
        objects = self._objects[piece.round]
        first = objects[unique][0]
        left = tuple([one for one in objects[unique] if one.event != piece.event])
        if first.event == piece.event:
            self._count(pool, piece.round, first, -1)
            if left:
                self._count(self.pools[left[0].key], piece.round, left[0], 1)
        if left:
            objects[unique] = left
        else:
            del objects[unique]

    def _count(self, pool: Pool, round_: int, what: Piece | Seen, sign: int) -> None:
        quantity = what.quantity if sign > 0 else -what.quantity
        pool.count(what, quantity)
        key = (round_, pool.unit)
        self.totals[key] = self.totals.get(key, ZERO) + quantity


def _kind_of(item: LabelItem) -> LabelItem:
    """Return what a pool of goods on no line is about: its kind and lot. Serial number and dates are of the piece that
    came first, and not of all that follow it; an object that has its pool for itself keeps them."""
    return item if item.sscc or item.epc else LabelItem(gtin=item.gtin, sku=item.sku, lot=item.lot, code=item.code)


def _counted(piece: Piece, found: Match | None) -> Piece:
    """Return a piece with the quantity it has for its lines. Lines about a logistic unit itself, not about what it
    holds, want one of it, however many its label says are in it (AI 37)."""
    if found is None or not found.lines:
        return piece
    amount = ZERO if found.amount is None else found.amount
    if piece.item.sscc and not any(line.item.keys() & _CONTENTS for line in found.lines):
        amount = amount if found.lines[0].unit in MEASURES else _ONE
        return piece._replace(item=LabelItem(sscc=piece.item.sscc), quantity=amount)
    return piece if amount is piece.quantity else piece._replace(quantity=amount)


def share(pools: Iterable[Pool]) -> dict[str, Decimal]:
    """Return what each line gets: the most particular pool first, each over its lines in the order of the document.

    What is left when every line has what it expects goes to the last line of the pool.
    """
    shared: dict[str, Decimal] = {}
    for pool in sorted(pools, key=lambda one: (len(one.lines), [line.order for line in one.lines])):
        left = pool.observed
        for line in pool.lines[:-1]:
            room = max(ZERO, line.quantity - shared.get(line.line, ZERO))
            part = min(left, _into(room, line.unit, pool.unit))
            shared[line.line] = shared.get(line.line, ZERO) + _into(part, pool.unit, line.unit)
            left -= part
        last = pool.lines[-1]
        shared[last.line] = shared.get(last.line, ZERO) + _into(left, pool.unit, last.unit)
    return shared


def _into(quantity: Decimal, unit: str, wanted: str) -> Decimal:
    """Return a quantity in another unit, where the lines of a pool have several of one dimension (kg and lb)."""
    other = None if unit == wanted else converted(quantity, unit, wanted)
    return quantity if other is None else shown_decimals(other)
