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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

from buffer import AnnexRow
from gateway.checks.expectation import Expectation, ExpectedLine, identities

US: Final = "\x1f"
"""ASCII unit separator: in no id, checked where ids come in."""
HEADER, COPY, LINE, ITEM = "expectation", "expectation-copy", "expectation-line", "expectation-item"
ROWS_MAX: Final = 2_000
"""Rows written or removed in one commit, so that scans get their turn."""


class Line(NamedTuple):
    """One expected line, as checks use it."""

    order: int
    """Its place in the document."""
    line: str
    item: dict[str, str]
    quantity: Decimal
    unit: str
    lots: frozenset[str]
    serials: frozenset[str]
    locations: tuple[str, ...]
    price: Decimal | None
    return_disposition: str | None


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

    def annex_under(self, space: str, prefix: str = "", *, count_max: int = 1000) -> list[AnnexRow]:
        """Return the committed rows whose key begins with `prefix`, by key."""


class Shelf:
    """Looks up expected documents. Nothing is kept in memory but the lines that were asked for last."""

    def __init__(self, annex: AnnexPort, *, lines_max: int = 20_000) -> None:
        self._annex = annex
        self._lines_max = lines_max
        self._found: dict[tuple[str, int, str], tuple[Line, ...]] = {}

    def newest(self, document: str) -> Header | None:
        """Return the header of the newest copy; None when the document is not known."""
        value = self._annex.annex(HEADER, document)
        return None if value is None else Header.decode(value)

    def copy(self, document: str, number: int) -> Header | None:
        """Return the header of one copy; None when it is gone."""
        value = self._annex.annex(COPY, f"{document}{US}{number:08d}")
        return None if value is None else Header.decode(value)

    def is_empty(self) -> bool:
        """Return True when no document is known at all."""
        return not self._annex.annex_under(HEADER, count_max=1)

    def headers(self, *, after: str = "", count_max: int = 1000) -> list[Header]:
        """Return the newest headers, by id, those behind `after`."""
        rows = self._annex.annex_under(HEADER, count_max=1_000_000)
        return [Header.decode(row.value) for row in rows if row.key > after and row.value is not None][:count_max]

    def lines_of(self, header: Header, identity: str) -> tuple[Line, ...]:
        """Return the lines of an identity, in the order of the document."""
        key = (header.id, header.copy, identity)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= self._lines_max:
                self._found.clear()
            found = self._found[key] = tuple(self._look_up(header, identity))
        return found

    def lines(self, header: Header) -> list[Line]:
        """Return every line, in the order of the document: for a closing, not for a scan."""
        prefix = f"{header.id}{US}{header.copy:08d}{US}"
        rows = self._annex.annex_under(LINE, prefix, count_max=header.lines)
        return sorted(decode_line(row.value) for row in rows if row.value is not None)

    def forget(self) -> None:
        """Look everything up anew."""
        self._found.clear()

    def _look_up(self, header: Header, identity: str) -> list[Line]:
        value = self._annex.annex(ITEM, f"{header.id}{US}{header.copy:08d}{US}{identity}")
        return [] if value is None else [_line(fields) for fields in json.loads(_checked(value))]


def rows_of(expectation: Expectation, copy: int, origin: str) -> tuple[list[AnnexRow], list[AnnexRow]]:
    """Return the rows of lines, to be written first, and the header rows that make them count."""
    prefix = f"{expectation.id}{US}{copy:08d}{US}"
    rows: list[AnnexRow] = []
    index: dict[str, list[bytes]] = {}
    for order, line in enumerate(expectation.lines):
        encoded = encode_line(order, line)
        rows.append(AnnexRow(LINE, prefix + line.line, _sealed(encoded)))
        for identity in dict.fromkeys(identities(line.item)):
            index.setdefault(identity, []).append(encoded)
    rows += [
        AnnexRow(ITEM, prefix + identity, _sealed(b"[" + b",".join(lines) + b"]")) for identity, lines in index.items()
    ]
    digest = expectation.digest
    header = Header(
        id=expectation.id,
        type=expectation.type,
        version=expectation.version or digest[:12],
        digest=digest,
        copy=copy,
        scope=expectation.scope,
        lines=len(expectation.lines),
        supplier=expectation.supplier,
        currency=expectation.currency,
        locations=expectation.locations,
        forbidden_locations=expectation.forbidden_locations,
        origin=origin,
    ).encode()
    return rows, [AnnexRow(COPY, prefix[:-1], header), AnnexRow(HEADER, expectation.id, header)]


def encode_line(order: int, line: ExpectedLine) -> bytes:
    """Return a line as JSON."""
    item = line.item.model_dump(exclude_none=True)
    fields = [
        order,
        line.line,
        item,
        line.quantity,
        line.unit,
        [*line.lots, *([line.item.lot] if line.item.lot else [])],
        [*line.serials, *([line.item.serial] if line.item.serial else [])],
        line.locations,
        line.price,
        line.return_disposition,
    ]
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_line(value: bytes) -> Line:
    """Return the line of a row. Raises ValueError when the row is damaged."""
    return _line(json.loads(_checked(value)))


def _sealed(value: bytes) -> bytes:
    """Return a value with its CRC-32 before it: a flipped bit in a quantity is still a quantity."""
    return crc32(value).to_bytes(4, "big") + value


def _checked(value: bytes) -> bytes:
    if crc32(value[4:]).to_bytes(4, "big") != value[:4]:
        raise ValueError("a line of an expected document is damaged; send the document again")
    return value[4:]


def _line(fields: list[Any]) -> Line:
    order, line, item, quantity, unit, lots, serials, locations, price, disposition = fields
    return Line(
        order,
        line,
        item,
        Decimal(quantity),
        unit,
        frozenset(lots),
        frozenset(serials),
        tuple(locations),
        None if price is None else Decimal(price),
        disposition,
    )


def chunked(rows: Sequence[AnnexRow], size: int = ROWS_MAX) -> Iterator[Sequence[AnnexRow]]:
    """Yield rows in commits of a size that lets scans in between."""
    for at in range(0, len(rows), size):
        yield rows[at : at + size]
