"""`dockline events export`: what is in the outbox, as a file for others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli.errors import EXIT_DISK, EXIT_USAGE, Failure
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, DeviceOption, StationOption, TypeOption, check_type

if TYPE_CHECKING:
    from buffer import Entry, EntryFilter, OutboxReader

PAGE_EVENTS = 500
"""Read in one go: a reader that stays long keeps the outbox's log from being folded in."""


def export_events(
    *,
    as_: Annotated[
        Literal["epcis", "ndjson", "csv"], typer.Option("--format", help="epcis: an EPCIS 2.0 document.")
    ] = "epcis",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; else standard output.")] = None,
    hash_ids: Annotated[
        bool, typer.Option("--hash-ids", help="EPCIS: the event hash id of CBV 2.0 as eventID, instead of the UUID.")
    ] = False,
    event_type: TypeOption = None,
    station: StationOption = None,
    device: DeviceOption = None,
    from_sequence: Annotated[int, typer.Option(min=1, help="First sequence.")] = 1,
    to_sequence: Annotated[int | None, typer.Option(min=1, help="Last sequence.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many; else all.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write events, oldest first, as an EPCIS document, as CloudEvents a line, or as a table."""
    from buffer import EntryFilter
    from gateway.cli.client import Site

    check_type(event_type)
    if hash_ids and as_ != "epcis":
        raise Failure("--hash-ids is about EPCIS event ids.", hint="--format epcis", code=EXIT_USAGE)
    kind = f"dockline.{event_type}.v1" if event_type is not None and "." not in event_type else event_type
    reader = Site(config).read()
    try:
        last = reader.head_of_chain().seq if to_sequence is None else to_sequence
        wanted = EntryFilter(kind, station, device, seq_from=from_sequence, seq_to=last, newest_first=False)
        count = _write(_chunks(reader, wanted, limit, as_, hash_ids=hash_ids), out)
    finally:
        reader.close()
    if out is not None:
        print(f"{count} bytes in {out}", file=sys.stderr)


def _chunks(
    reader: OutboxReader, wanted: EntryFilter, limit: int | None, as_: str, *, hash_ids: bool
) -> Iterator[bytes]:
    from buffer.digest import is_whole
    from gateway.clock import wall_ms
    from gateway.events.cloudevents import instant
    from gateway.export import as_csv, as_epcis, as_ndjson, delivered, with_gaps

    epochs = reader.epochs()

    def source_of(seq: int) -> str:
        return next((epoch.source for epoch in reversed(epochs) if epoch.first_seq <= seq), "")

    def find(event_id: str) -> dict[str, Any] | None:
        entry = reader.entry(event_id)
        return None if entry is None else delivered(entry, source_of, is_whole=is_whole)

    entries = _pages(reader, wanted, limit)
    if wanted.type is wanted.station is wanted.device is None:
        after = wanted.seq_from - 1 or None
        through = min(wanted.seq_to, reader.ledger().head_seq) if limit is None else 0
        entries = with_gaps(entries, reader.gaps, after=after, through=through)
    events = (delivered(entry, source_of, is_whole=is_whole) for entry in entries)
    if as_ == "csv":
        return as_csv(events)
    if as_ == "ndjson":
        return as_ndjson(events)
    return as_epcis(events, find=find, hash_ids=hash_ids, created=instant(wall_ms()))


def _pages(reader: OutboxReader, wanted: EntryFilter, limit: int | None) -> Iterator[Entry]:
    from dataclasses import replace

    left = limit
    while left is None or left > 0:
        size = PAGE_EVENTS if left is None else min(PAGE_EVENTS, left)
        page = reader.entries(replace(wanted, limit=size))
        yield from page
        if len(page) < size:
            return
        wanted = replace(wanted, seq_from=page[-1].seq + 1)
        left = None if left is None else left - size


def _for_a_terminal(chunk: bytes) -> bytes:
    """Return the chunk with what a label might tell the terminal spelled out; a file or a program gets it as it is."""
    from gateway.log import escape_lines

    return escape_lines(chunk.decode("utf-8", "replace").replace("\r\n", "\n")).encode()


def _write(chunks: Iterable[bytes], out: Path | None) -> int:
    """Write to standard output, or to a file that is there whole or not at all; return the bytes."""
    if out is None:
        if sys.stdout.isatty():
            chunks = map(_for_a_terminal, chunks)
        return sum(sys.stdout.buffer.write(chunk) for chunk in chunks)
    part = out.with_name(f"{out.name}.part")
    try:
        part.unlink(missing_ok=True)  # of an export that was killed
        # Never through what is there: in a folder of many, somebody may have put a link for root to write through.
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
            count = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Failure(f"{out}: {error.strerror}", hint="is there room? may you write there?", code=EXIT_DISK) from None
    return count
