"""Standard Webhooks 1.0 signatures (HMAC-SHA256, `v1`).

The signed text is `<id>.<timestamp>.<body>`. The id stays the same over retries, the timestamp is that of the attempt.
The body is the JSON before any content coding: a server takes the coding off before the application sees the body,
and a signature that changed with the coding would break when a proxy changes it.

A secret is `whsec_` and 24 to 64 bytes in base64. Several secrets separated by blanks are all signed with, which is
how a secret is rotated without a moment in which nobody can verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Return the signing keys written in `text`. Raises ValueError saying what is wrong, never showing the secret."""
    keys = []
    for word in text.split():
        try:
            key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("the signing secret is not base64 behind whsec_") from None
        if len(key) not in _SECRET_BYTES:
            raise ValueError(f"the signing secret holds {len(key)} bytes; Standard Webhooks asks for 24 to 64")
        keys.append(key)
    if not keys:
        raise ValueError("the signing secret is empty")
    return tuple(keys)


def sign(keys: tuple[bytes, ...], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature a key, separated by blanks.

    `message_id` must not hold a full stop, or the signed text would have two readings.
    """
    assert "." not in message_id
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
