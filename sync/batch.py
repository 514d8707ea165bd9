"""A batch: the stored bytes of several events, joined.

Theory of operation. An event is encoded once, at capture, and its bytes are what the digest and the chain of the
outbox are made from. So a batch never decodes them: it puts the brackets and commas of a JSON array around them and
`"sequence":"<20 digits>",` behind each opening brace. The sequence is written here because the outbox assigns it
inside the commit, after the event was encoded. CloudEvents compares `sequence` as text, hence the zeros.

An entry that cannot be sent as itself (quarantined for this upstream, or damaged) must not leave a silent hole: a
consumer would take it for "late" for ever. A gap record stands in its place, built from nothing but the entry's own
columns, so that every retry of it is byte for byte the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from buffer.entry import Entry

GAP_TYPE = "dockline.gap.v1"

_SEQUENCE = b'{"sequence":"%020d",'
ENTRY_OVERHEAD_BYTES = len(_SEQUENCE % 0)
"""What one entry costs in a body beyond its stored bytes: the sequence (its brace is the payload's) and a comma."""
_GAP_BYTES = 500
"""About what a gap record takes without its reason."""
BODY_OVERHEAD_BYTES = 2
"""The brackets of the array."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999
"""9999-12-31: the last time RFC 3339 can write. A clock, or a damaged column, may say anything."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events on their way to one upstream, in the order of the source."""

    source: str
    sequences: tuple[int, ...]
    ids: tuple[str, ...]
    """CloudEvents ids as they stand in the body: for a gap record its own, not that of the entry it stands for."""
    body: bytes
    """`application/cloudevents-batch+json`."""
    chain: str = ""
    """Head of the outbox's hash chain when the batch was made, "<source>:<sequence>:<hex>"; empty when unknown."""
    retry: bool = False
    """A person asked for another try, or a replay: the sequences are old and may have holes."""
    instance: str | None = None
    """The `centre_instance` it is meant for; another one must not take it. None: for whoever answers."""

    @property
    def first(self) -> int:
        """Lowest sequence in the batch."""
        return self.sequences[0]

    @property
    def last(self) -> int:
        """Highest sequence in the batch."""
        return self.sequences[-1]

    def __len__(self) -> int:
        return len(self.sequences)


def join_batch(
    source_of: Callable[[int], str],
    entries: Sequence[Entry],
    *,
    chain: str = "",
    retry: bool = False,
    instance: str | None = None,
) -> Batch:
    """Join the entries into one batch. `entries` must not be empty and must be in the order of their sequence.

    `source_of` says under which source a sequence was given: that of an older epoch for what it left pending.
    """
    if any(entry.gap_reason is not None for entry in entries):
        entries = [entry if entry.gap_reason is None else _announced(source_of(entry.seq), entry) for entry in entries]
    payloads = [entry.payload for entry in entries]
    assert {payload[:1] for payload in payloads} == {b"{"}, "every event is a JSON object"
    sequences = tuple([entry.seq for entry in entries])
    parts = [_SEQUENCE % seq + payload[1:] for seq, payload in zip(sequences, payloads, strict=True)]
    return Batch(
        source=source_of(entries[-1].seq),
        sequences=sequences,
        ids=tuple([entry.id for entry in entries]),
        body=b"[" + b",".join(parts) + b"]",
        chain=chain,
        retry=retry,
        instance=instance,
    )


def _announced(source: str, entry: Entry) -> Entry:
    """Return the gap record of an entry in its place."""
    return entry._replace(id=gap_id(entry), payload=gap_payload(source, entry))


def cut_entries(entries: Sequence[Entry], *, count_max: int, bytes_max: int) -> Sequence[Entry]:
    """Return the longest head of `entries` whose body holds at most `bytes_max` bytes; at least one entry."""
    size = BODY_OVERHEAD_BYTES - 1
    for index, entry in enumerate(entries[:count_max]):
        size += ENTRY_OVERHEAD_BYTES
        size += len(entry.payload) if entry.gap_reason is None else _GAP_BYTES + len(entry.gap_reason)
        if size > bytes_max and index:
            return entries[:index]
    return entries[:count_max]


def gap_id(entry: Entry) -> str:
    """Return the id of the gap record for an entry: the same for every retry and every upstream.

    All that a record tells is part of it, for two contents must not share one id. An entry that was quarantined may be
    discarded before the record is heard; a run may begin earlier in a replay, or after a kill. A damaged row has no id
    of its own that could be trusted; its sequence serves, and its digest, which may become unreadable, too.
    """
    told = (entry.gap_reason or "").encode() + (b"" if entry.id else entry.digest)
    run = "" if entry.gap_first is None else f"{entry.gap_first:020d}-"
    return f"gap-{entry.id or f'{run}{entry.seq:020d}'}-{hashlib.sha256(told).hexdigest()[:8]}"


def gap_payload(source: str, entry: Entry) -> bytes:
    """Encode the record that announces an entry, or a run of them, that is not delivered as itself."""
    record: dict[str, object] = {
        "specversion": "1.0",
        "id": gap_id(entry),
        "source": source,
        "type": GAP_TYPE,
        "datacontenttype": "application/json",
    }
    if entry.station:
        record["subject"] = entry.station
    if entry.captured_at > 0:
        captured = _EPOCH + timedelta(milliseconds=min(entry.captured_at, _LAST_MS))
        record["time"] = captured.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {"sequence": f"{entry.seq:020d}", "digest": entry.digest.hex(), "reason": entry.gap_reason}
    if entry.gap_first is not None:
        data["first_sequence"] = f"{entry.gap_first:020d}"
    record["data"] = data
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
