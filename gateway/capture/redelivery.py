"""The same message again.

A device that numbers its messages and heard no answer sends the same number again. The answer it was given is kept with
a fingerprint of what it said: the number alone is no identity, because a handheld that was reset begins to count anew.

The fingerprint is taken over what the message means, not over its bytes: a device may put an unanswered scan into
another array the second time.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from drivers.reading import Reading, Remark, Result, Verdict

FINGERPRINT_BYTES: Final = 16
_FIELD: Final = "\x1f"
_RESULTS: Final[dict[str, Result]] = {
    "stored": "stored",
    "stored_with_exception": "stored_with_exception",
    "repeat_read": "repeat_read",
    "duplicate": "duplicate",
}


def fingerprint(reading: Reading) -> bytes:
    """Return what identifies the content of a reading, whatever message carried it."""
    context, tag = reading.context, reading.tag
    text = f"{reading.kind}\0{reading.symbology}\0{reading.code}\0{reading.at}"
    if context is not None:
        text += (
            f"\0{context.activity}\0{context.document}\0{context.location}\0{context.quantity}\0{context.unit}"
            f"\0{context.operator}"
        )
    if tag is not None:
        text += f"\0{tag.epc.hex()}\0{tag.antenna}"
    content = text.encode("utf-8", "surrogatepass")
    if reading.kind == "unreadable":
        content += reading.raw
    elif reading.measurement is not None:
        content += repr(reading.measurement).encode("utf-8", "surrogatepass")
    return blake2b(content, digest_size=FINGERPRINT_BYTES).digest()


def storable(message_id: str) -> str:
    """Return the number in a form SQLite can hold: a lone surrogate from a JSON escape is no text."""
    return message_id if message_id.isascii() else message_id.encode("utf-8", "replace").decode()


def encode_verdict(verdict: Verdict) -> bytes:
    """Return the verdict in the form it is kept in."""
    text = f"{verdict.result}{_FIELD}{','.join(verdict.events)}"
    for remark in verdict.exceptions:
        text += f"{_FIELD}{remark.code}{_FIELD}{remark.message.replace(_FIELD, ' ')}"
    return text.encode("utf-8", "replace")


def decode_verdict(kept: bytes) -> Verdict:
    """Return the original verdict, marked as redelivered. A verdict that became unreadable on disk was still given for
    a message that was stored: that much is said."""
    result, _, rest = kept.decode("utf-8", "replace").partition(_FIELD)
    events, *remarks = rest.split(_FIELD)
    exceptions = tuple(Remark(code, message) for code, message in zip(remarks[::2], remarks[1::2], strict=False))
    ids = tuple(events.split(",")) if events else ()
    return Verdict(_RESULTS.get(result, "stored"), ids, exceptions, redelivered=True)


def again(verdict: Verdict) -> Verdict:
    """Return the verdict as the answer to a redelivery."""
    return verdict._replace(redelivered=True)
