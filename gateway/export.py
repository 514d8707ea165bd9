"""Events as a file for others: EPCIS documents, one CloudEvent a line, or a table.

Everything here is bytes in the order of the sequence, produced as it is read, so an export of a million events takes no
more memory than one of ten. What cannot be told as itself, because its row is damaged or gone, stands in its place as a
gap record, the same that a centre would be sent: an export has no silent holes either.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from buffer import Entry
from buffer.head import gap_entry
from buffer.quarantine import DAMAGED
from gateway.epcis_encoder import as_json
from gateway.events.epcis import document, encode
from gateway.events.epcis_words import kind_of
from sync.batch import gap_payload

Json = dict[str, Any]

COLUMNS: Final = (
    "sequence", "source", "id", "type", "time", "captured_at", "clock", "station", "device", "activity", "operator",
    "document", "document_type", "gtin", "sscc", "sku", "epc", "lot", "serial", "expiry", "code", "quantity", "unit",
    "from_location", "to_location", "business_location", "biz_step", "disposition", "reason", "data",
)  # fmt: skip
"""Columns of the table. `data` is everything the event tells, as JSON."""
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_MARK: Final = b"\0"
"""Stands in an empty document where its events go; JSON text never holds it."""


def with_gaps(
    entries: Iterable[Entry], gaps: Callable[[int, int], Iterable[Entry]], *, after: int | None, through: int
) -> Iterator[Entry]:
    """Yield the entries, and gap entries in the place of what is not there, behind `after` and up to `through`.

    `gaps` returns those from its first to its second argument. `after` None: what lies before the first entry is no
    hole; of a `through` below the last entry nothing lies behind it.
    """
    for entry in entries:
        if after is not None and entry.seq > after + 1:
            yield from gaps(after + 1, entry.seq - 1)
        yield entry
        after = entry.seq
    if after is not None and after < through:
        yield from gaps(after + 1, through)


def delivered(entry: Entry, source_of: Callable[[int], str], *, is_whole: Callable[[Entry], bool]) -> Json:
    """Return an entry as a centre is sent it; a gap entry, or a damaged one, as the record that announces it."""
    if entry.gap_reason is None and not (is_whole(entry) and entry.payload.startswith(b"{")):
        entry = gap_entry(entry, DAMAGED)
    payload = entry.payload if entry.gap_reason is None else gap_payload(source_of(entry.seq), entry)
    found: Json = {"sequence": f"{entry.seq:020d}", **json.loads(payload)}
    return found


def as_ndjson(events: Iterable[Json]) -> Iterator[bytes]:
    """Yield one CloudEvent a line."""
    for event in events:
        yield json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def as_csv(events: Iterable[Json]) -> Iterator[bytes]:
    """Yield a table with a head (RFC 4180)."""
    yield _row(COLUMNS)
    for event in events:
        data = event["data"]
        item, quantity, document_ = (data.get(name) or {} for name in ("item", "quantity", "document"))
        known = {
            **{name: item.get(name) for name in ("gtin", "sscc", "sku", "epc", "lot", "serial", "expiry", "code")},
            **{name: event.get(name) for name in ("sequence", "source", "id", "type", "time")},
            "device": (data.get("device") or {}).get("id"),
            "document": document_.get("id"),
            "document_type": document_.get("type"),
            "quantity": quantity.get("value"),
            "unit": quantity.get("unit"),
            "data": json.dumps(data, ensure_ascii=False),
        }
        yield _row([_cell(known[name] if name in known else data.get(name)) for name in COLUMNS])


def as_epcis(
    events: Iterable[Json], *, find: Callable[[str], Json | None], hash_ids: bool, created: str
) -> Iterator[bytes]:
    """Yield one EPCISDocument. `find` returns an event by its id, for voids; `created` is RFC 3339."""
    head, _, tail = document([_MARK], created).partition(_MARK)
    yield head
    comma = b"\n"
    for event in events:
        voided = find(str(event["data"].get("voids", ""))) if kind_of(event) == "void" else None
        yield comma + as_json(encode(event, voided=voided, hash_ids=hash_ids))
        comma = b",\n"
    yield tail + b"\n"


def _cell(value: object) -> str:
    """Return a value as a cell. What a spreadsheet would run as a formula begins with an apostrophe: labels are printed
    by anybody, and a table is opened by a double click."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _row(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
