"""A time as a device states it: RFC 3339, and one that exists."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_SURELY_EXISTS: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z"
)
"""Times of RFC 3339 in UTC that need no calendar to be known to exist (all but those of year 0 and a month's end)."""
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def stated_time(text: str) -> str | None:
    """Return the time with T and Z as capitals; None when it is no time of RFC 3339 or does not exist. A leap second
    does not exist here, nor do more than nine decimals of a second."""
    if _SURELY_EXISTS.fullmatch(text) and text[:4] != "0000":
        return text
    found = text if _RFC3339.fullmatch(text) else text.upper()
    if not _RFC3339.fullmatch(found):
        return None
    try:
        datetime.fromisoformat(found)
    except ValueError:
        return None
    return found
