"""Digest and chain: how a damaged, swapped, edited or missing row is noticed.

The digest of an entry covers its seq and every column that is handed on, so a row that was flipped, edited or moved
to another seq fails it. The chain covers the previous chain, the seq and the digest, so that nobody can edit an entry
and its digest together without rewriting all that follows. Sixteen bytes of BLAKE2b (RFC 7693): on PCs without SHA
instructions it is several times faster than SHA-256, and the columns are stored with every entry.

NUL separates the text columns; the payload is last, so two different rows never give the same input unless an id
contains NUL, which no identifier of this system can.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from buffer.entry import Draft, Entry

DIGEST_BYTES = 16
CHAIN_START = bytes(DIGEST_BYTES)
"""The chain before the first entry."""

EntryRow = tuple[int, str, str, str, str, int, bytes, bytes, bytes]
"""seq, id, type, station, device, captured_at, payload, digest, chain."""


def seal(drafts: Sequence[Draft], first_seq: int, chain: bytes) -> tuple[list[EntryRow], bytes]:
    """Return the rows of `drafts`, numbered from `first_seq` and linked to `chain`, and the chain after them.

    Raises UnicodeEncodeError when a text cannot be stored (lone surrogates).
    """
    rows: list[EntryRow] = []
    add, begin = rows.append, blake2b(digest_size=DIGEST_BYTES).copy  # a copy costs less than a new one
    for seq, (id_, type_, station, device, captured_at, payload) in enumerate(drafts, first_seq):
        hashed = begin()
        hashed.update(f"{seq}\0{id_}\0{type_}\0{station}\0{device}\0{captured_at}\0".encode())
        hashed.update(payload)
        digest = hashed.digest()
        hashed = begin()
        hashed.update(b"%b%d:%b" % (chain, seq, digest))
        chain = hashed.digest()
        add((seq, id_, type_, station, device, captured_at, payload, digest, chain))
    return rows, chain


def digest_of(entry: Entry) -> bytes:
    """Return the digest that this entry must have."""
    head = f"{entry.seq}\0{entry.id}\0{entry.type}\0{entry.station}\0{entry.device}\0{entry.captured_at}\0".encode()
    return blake2b(head + entry.payload, digest_size=DIGEST_BYTES).digest()


def chain_of(previous: bytes, seq: int, digest: bytes) -> bytes:
    """Return the chain after the entry `seq` with `digest`."""
    return blake2b(b"%b%d:%b" % (previous, seq, digest), digest_size=DIGEST_BYTES).digest()


def is_whole(entry: Entry) -> bool:
    """Return whether the entry still is what was committed."""
    try:
        return digest_of(entry) == entry.digest
    except (UnicodeEncodeError, TypeError):
        return False
