"""What can go wrong between the outbox and an upstream.

    SyncError
    |- UpstreamUnavailable   them; nobody gave a usable answer: back off and send the same again
    |  |- Unanswered         them or the line; the request left and its answer did not come: perhaps it was too much
    |  `- NotAnAnswer        something answered, but it named nothing we sent: a captive portal, a wrong service
    |- UpstreamHolds         them and us; the upstream refuses us as a whole: keep everything, a person is needed
    |- BatchRefused          the events; one of them is refused, and which is not said: halve and ask again
    `- BatchTooLarge         us; the request is bigger than the upstream takes: halve

What becomes of a single event is never an exception but an `Outcome`. Every error has a `code` that names the alarm
and a `hint` that says what a person can do.
"""

from __future__ import annotations


class SyncError(Exception):
    """The delivery could not go on."""

    code = "upstream_error"
    """Name of the alarm: stable, for machines."""

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        """What a person can do about it."""
        if code is not None:
            self.code = code


class UpstreamUnavailable(SyncError):
    """Nobody answered, or the answer was that now is not the time. Nothing is known to be delivered."""

    code = "upstream_unavailable"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, hint: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s
        """Seconds the upstream asked us to stay away; None when it did not say."""


class Unanswered(UpstreamUnavailable):
    """Somebody was reached, but the request was not through, or not answered, when time or connection ended.

    Said by us, or by a proxy that waited for the centre. Whether it was too much for line or centre is not known.
    """


class NotAnAnswer(UpstreamUnavailable):
    """Something answered that is not the upstream: the answer names nothing of what was sent."""

    code = "upstream_not_answering"


class UpstreamHolds(SyncError):
    """The upstream refuses us as a whole (credential, address, settings). No event is at fault, none is quarantined."""

    code = "upstream_holds"


class BatchRefused(SyncError):
    """The upstream refuses the batch for what is in it and does not say for which event."""

    code = "batch_refused"


class BatchTooLarge(SyncError):
    """The upstream takes no request of this size."""

    code = "batch_too_large"
