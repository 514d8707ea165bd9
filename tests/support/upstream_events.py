"""Entries as the outbox hands them out, for tests of the delivery."""

import hashlib
import json

from buffer.entry import Entry

SOURCE = "//dc07/dock-pc-1/e1"


def entry(seq: int, *, note: str = "", padding: int = 0, gap_reason: str | None = None) -> Entry:
    """One event; `note` ends up in its data, where a centre can find it."""
    payload = json.dumps(
        {
            "specversion": "1.0",
            "id": f"id-{seq}",
            "source": SOURCE,
            "type": "dockline.receipt.v1",
            "subject": "dock-3",
            "time": "2026-11-21T08:00:00Z",
            "data": {"item": {"code": f"code-{seq}"}, "note": note, "padding": "x" * padding},
        },
        separators=(",", ":"),
    ).encode()
    made = Entry(
        seq=seq,
        id=f"id-{seq}",
        type="dockline.receipt.v1",
        station="dock-3",
        device="dock-3-scanner",
        captured_at=1_795_248_000_000 + seq,
        payload=payload,
        digest=hashlib.blake2b(payload, digest_size=16).digest(),
        chain=hashlib.blake2b(b"%d" % seq, digest_size=16).digest(),
    )
    return made._replace(gap_reason=gap_reason)


def entries(first: int, last: int) -> list[Entry]:
    return [entry(seq) for seq in range(first, last + 1)]
