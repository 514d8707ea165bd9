"""The shelf: expected documents as rows of the outbox's annex.

Theory of operation. A document is a header, a row a line, and a row for each identification with its lines, so that a
scan finds its lines with one lookup whatever the size of the document. Lines are written under the number of
their copy before the header names that copy: a document that was half written is not there. A document in progress
keeps the copy it began with (the ledger of documents holds its number), so an old copy is removed only when nobody
works by it.

    expectation         <document>                            the header, of the newest copy
    expectation-copy    <document> US <copy>                  the header of each copy
    expectation-line    <document> US <copy> US <line>        one line
    expectation-item    <document> US <copy> US <identity>    its lines, in the order of the document
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Protocol

from buffer import AnnexRow
from gateway.checks.expectation import Expectation
from gateway.checks.line import Line, decode_line, decode_lines, sealed

US: Final = "\x1f"
"""ASCII unit separator: in no id, checked where ids come in."""
HEADER, COPY, LINE, ITEM = "expectation", "expectation-copy", "expectation-line", "expectation-item"
LINES_A_PAGE: Final = 250
"""Lines that are read in one go: a millisecond or two."""
ROWS_MAX: Final = 2_000
"""Rows written or removed in one commit, so that scans get their turn."""


@lru_cache(maxsize=256)
def prefix_of(document: str, copy: int) -> str:
    """Return what the names of a copy's lines and items begin with: the same scan after scan."""
    return f"{document}{US}{copy:08d}{US}"


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a document beside its lines."""

    id: str
    type: str
    version: str
    digest: str
    copy: int
    scope: str
    lines: int
    supplier: str | None = None
    currency: str | None = None
    locations: tuple[str, ...] = ()
    forbidden_locations: tuple[str, ...] = ()
    origin: str = ""
    """Where it came from: pull, api, file."""
    quantity: str | None = None
    """All lines together, a decimal string; None when they have several units, or when an older program wrote this."""
    unit: str | None = None
    """The unit they all have (UN/ECE Recommendation 20)."""

    def encode(self) -> bytes:
        """Return the header as the value of its row."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> Header:
        """Return the header of a row."""
        fields: dict[str, Any] = json.loads(value)
        for name in ("locations", "forbidden_locations"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


class AnnexPort(Protocol):
    """The part of the outbox that the shelf reads, between two scans."""

    def annex(self, space: str, key: str) -> bytes | None:
        """Return a committed row."""

    def annex_under(self, space: str, prefix: str = "", *, after: str = "", count_max: int = 1000) -> list[AnnexRow]:
        """Return the committed rows whose key begins with `prefix`, by key, those behind the key `after`."""


class Shelf:
    """Looks up expected documents. Nothing is kept in memory but the lines that were asked for last."""

    def __init__(self, annex: AnnexPort, *, lines_max: int = 20_000) -> None:
        self._annex = annex
        self._lines_max = lines_max
        self._found: dict[str, tuple[Line, ...]] = {}

    def newest(self, document: str) -> Header | None:
        """Return the header of the newest copy; None when the document is not known."""
        value = self._annex.annex(HEADER, document)
        return None if value is None else Header.decode(value)

    def copy(self, document: str, number: int) -> Header | None:
        """Return the header of one copy; None when it is gone."""
        value = self._annex.annex(COPY, prefix_of(document, number)[:-1])
        return None if value is None else Header.decode(value)

    def is_empty(self) -> bool:
        """Return True when no document is known at all."""
        return not self._annex.annex_under(HEADER, count_max=1)

    def headers(self, *, after: str = "", count_max: int = 1000) -> list[Header]:
        """Return the newest headers, by id, those behind `after`."""
        rows = self._annex.annex_under(HEADER, after=after, count_max=count_max)
        return [Header.decode(row.value) for row in rows if row.value is not None]

    def lines_of(self, header: Header, identity: str) -> tuple[Line, ...]:
        """Return the lines of an identity, in the order of the document."""
        key = prefix_of(header.id, header.copy) + identity
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= self._lines_max:
                self._found.clear()
            value = self._annex.annex(ITEM, key)
            found = self._found[key] = () if value is None else decode_lines(value)
        return found

    def pages(self, header: Header) -> Iterator[list[Line]]:
        """Yield every line in pages, not in the order of the document: for a closing, not for a scan."""
        prefix, after = prefix_of(header.id, header.copy), ""
        while rows := self._annex.annex_under(LINE, prefix, after=after, count_max=LINES_A_PAGE):
            yield [decode_line(row.value) for row in rows if row.value is not None]
            after = rows[-1].key

    def forget(self) -> None:
        """Look everything up anew."""
        self._found.clear()


def rows_of(expectation: Expectation, copy: int, origin: str) -> tuple[Iterator[AnnexRow], list[AnnexRow]]:
    """Return the rows of lines, to be written first, and the header rows that make them count. The former are made one
    by one: those of a long document are tens of megabytes."""
    head = expectation.head
    units = {line.unit for line in expectation.lines}
    is_one_unit = len(units) == 1
    header = Header(
        id=head.id,
        type=head.type,
        version=expectation.version,
        digest=expectation.digest,
        copy=copy,
        scope=head.scope,
        lines=len(expectation.lines),
        supplier=head.supplier,
        currency=head.currency,
        locations=head.locations,
        forbidden_locations=head.forbidden_locations,
        origin=origin,
        quantity=f"{sum((line.quantity for line in expectation.lines), Decimal(0)):f}" if is_one_unit else None,
        unit=next(iter(units)) if is_one_unit else None,
    ).encode()
    prefix = prefix_of(expectation.id, copy)
    rows = _line_rows(expectation, prefix)
    return rows, [AnnexRow(COPY, prefix[:-1], header), AnnexRow(HEADER, expectation.id, header)]


def _line_rows(expectation: Expectation, prefix: str) -> Iterator[AnnexRow]:
    lines = expectation.lines
    index: dict[str, list[int]] = {}
    for order, line in enumerate(lines):
        yield AnnexRow(LINE, prefix + line.line, sealed(line.placed(order)))
        for identity in line.identities:
            index.setdefault(identity, []).append(order)
    for identity, orders in index.items():
        value = b",".join([lines[order].placed(order) for order in orders])
        yield AnnexRow(ITEM, prefix + identity, sealed(b"[" + value + b"]"))


def chunked(rows: Iterable[AnnexRow], size: int = ROWS_MAX) -> Iterator[list[AnnexRow]]:
    """Yield rows in commits of a size that lets scans in between."""
    left = iter(rows)
    while part := list(islice(left, size)):
        yield part
