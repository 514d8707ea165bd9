"""How long to stay away.

Full jitter: a delay is drawn between nothing and a ceiling that doubles up to a cap, so that a thousand gateways that
lost one centre do not come back in one moment. Steady retries therefore average half the cap. What the upstream asks
for with `Retry-After` is obeyed as a minimum, with jitter on top, and bounded: a wrong clock on its side must not
silence a site for a year.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

_EXPONENT_MAX = 30
"""Beyond it every cap is reached; keeps the power from growing over a month-long outage."""


class Backoff:
    """The delays of one upstream. `succeeded` starts over."""

    def __init__(self, rng: Random, *, base_s: float, cap_s: float, retry_after_max_s: float) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._retry_after_max_s = retry_after_max_s
        self.failures = 0
        """Failures since the last success."""

    def failed(self, retry_after_s: float | None = None) -> float:
        """Count a failure and return the seconds to stay away, at least `retry_after_s` within its bound."""
        jitter = self._rng.uniform(0, min(self._cap_s, self._base_s * 2 ** min(self.failures, _EXPONENT_MAX)))
        self.failures += 1
        if retry_after_s is None:
            return jitter
        asked = min(max(retry_after_s, 0.0), self._retry_after_max_s)
        return asked + min(jitter, max(asked * 0.1, self._base_s))

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0


def parse_retry_after(value: str | None, *, date: str | None, wall_ms: int) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110, 10.2.3), or None when it cannot be read.

    A date is measured against the answer's own `Date` when it has one: then a gateway with a wrong clock still
    waits the right time. `wall_ms` is the fallback.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Longer numbers are years; the caller bounds them. Cut before int() so that no digit string is too long.
        return float(text[:12])
    due = _parse_date(text)
    if due is None:
        return None
    now = _parse_date(date) if date else None
    now_s = now.timestamp() if now else wall_ms / 1000
    return max(due.timestamp() - now_s, 0.0)


def _parse_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" parses as naive; HTTP dates are always UTC.
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
