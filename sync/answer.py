"""What an HTTP answer means: status, headers and bytes in, outcomes out. No socket, no clock of its own.

Theory of operation. The question behind every row is who is at fault:

    2xx                       read what it names (`acknowledge = "named"`), or take it as it is ("status"); not when it
                              came before the request was through
    207, 409                  as 2xx, but only ever for the ids it names
    400, 422                  an event: the named ones, else the batch is to be halved
    400 of a web server       about TLS, in its own words: credential or address, as below
    413                       the size: to be halved
    412                       us: we mean another instance of the centre; ask again where it is
    408, 425, 429, 5xx        the moment: come back later, `Retry-After` obeyed; after 408 and 504 with less at once
    3xx, every other 4xx      credential, address or settings: keep everything, tell a person

Named acknowledgement. A 200 proves only that something answered: a hotel portal, a load balancer's welcome page and
the wrong service all do. So only ids and sequences that the answer names are delivered, `rejected` beats `accepted`
and `accepted_through`, what is not named is released, and an answer that names nothing we sent is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from buffer.entry import Accepted, Outcome, Rejected, Released
from sync.backoff import parse_retry_after
from sync.batch import Batch
from sync.errors import BatchRefused, BatchTooLarge, NotAnAnswer, Unanswered, UpstreamHolds, UpstreamUnavailable

Acknowledge = Literal["named", "status"]

REASON_CHARS_MAX = 300
_ACCEPTED = Accepted()
_LATER = frozenset({408, 425, 429})
_WAITED_IN_VAIN = frozenset({408, 504})
"""RFC 9110: the request did not arrive in time, or a proxy waited for the centre in vain."""
_EVENT_AT_FAULT = frozenset({400, 422})
_HOLD_HINTS = {
    401: ("upstream_credential", "renew the token; it is read again as soon as its file changes"),
    403: ("upstream_credential", "the credential is known but not allowed to post here; ask the centre for the right"),
    404: ("upstream_address", "check `url`: the host answers, the path does not exist"),
    405: ("upstream_address", "check `url`: nothing takes a POST there"),
    407: ("upstream_address", "a proxy in between asks for a log-in; allow the gateway through it"),
    410: ("upstream_address", "the endpoint was switched off at the centre"),
    415: ("upstream_settings", "the centre does not take application/cloudevents-batch+json"),
    431: ("upstream_settings", "the centre finds our headers too large; is the token a whole file?"),
}


_CERTIFICATE = "the web server in front of the centre does not accept our certificate (400)"
_PLAIN = "the port speaks https, and is spoken to in http (400)"
_ABOUT_TLS = (
    (b"no required ssl certificate was sent", "upstream_credential", _CERTIFICATE, "set `certificate` and `key`"),
    (b"the ssl certificate error", "upstream_credential", _CERTIFICATE, "has `certificate` ended? Renew it"),
    (b"plain http request was sent to https port", "upstream_address", _PLAIN, "begin `url` with https"),
    (b"you're speaking plain http to an ssl-enabled", "upstream_address", _PLAIN, "begin `url` with https"),
    (b"client sent an http request to an https server", "upstream_address", _PLAIN, "begin `url` with https"),
)
"""What nginx, Apache and Go answer before any centre has seen the request. They have no better status for it, and a
certificate that ended over night must not set the events of the morning aside."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """At most the limit the reader set, plus one byte when there was more."""
    body_bytes_max: int
    came_early: bool = False
    """Whether a part of the request had certainly not arrived at the other end when this did."""

    @property
    def is_cut(self) -> bool:
        """Whether the body was larger than we are willing to read."""
        return len(self.body) > self.body_bytes_max


@dataclass(frozen=True, slots=True)
class _Naming:
    """What an acknowledgement says, shape checked."""

    through: int | None
    accepted: frozenset[str]
    rejected: Mapping[str, object]
    """Reasons as they came, to be made printable where they are those of our events: a megabyte of others would take
    half a second of the loop that takes scans."""


def read_answer(
    answer: Answer,
    batch: Batch,
    *,
    acknowledge: Acknowledge,
    wall_ms: int,
    on_claim: Callable[[int], None] = lambda _through: None,
) -> list[Outcome]:
    """Return one outcome an entry of `batch`. Raises as `Upstream.send`.

    `on_claim` hears up to which sequence an acknowledgement says that everything is held.
    """
    status = answer.status
    if status == 409 or (200 <= status < 300 and acknowledge == "named"):
        return _read_named(answer, batch, on_claim)
    if 200 <= status < 300:
        if answer.came_early:
            raise _unread(answer, batch)
        return [_ACCEPTED] * len(batch)
    if status in _EVENT_AT_FAULT:
        return _read_refusal(answer, batch)
    if status == 413:
        raise BatchTooLarge(f"the upstream takes no request of {len(batch.body)} bytes (413)")
    if status in _LATER or status >= 500:
        retry_after = parse_retry_after(
            answer.headers.get("retry-after"), date=answer.headers.get("date"), wall_ms=wall_ms
        )
        code = "upstream_throttles" if status == 429 else None
        hint = "it is tried again by itself; when it lasts, ask the centre's operator"
        error = Unanswered if status in _WAITED_IN_VAIN else UpstreamUnavailable
        raise error(f"the upstream answered {status}", retry_after_s=retry_after, hint=hint, code=code)
    if status == 412 and batch.instance is not None:
        raise UpstreamUnavailable(
            f"the centre took nothing (412): it is not {_printable(batch.instance, 60)} any more",
            hint="was it restored? It is asked where it is; when this lasts, its position_url tells another instance",
            code="centre_changed",
        )
    raise hold_for(answer)


def hold_for(answer: Answer) -> UpstreamHolds:
    """Return the error for an answer that says our credential, address or settings are wrong."""
    status = answer.status
    if 300 <= status < 400:
        there = _host(answer.headers.get("location", "")) or "elsewhere"
        return UpstreamHolds(
            f"the upstream redirects to {there} ({status}); redirects are not followed",
            hint="put the final address into `url`; a redirect could carry the token to a stranger",
            code="upstream_address",
        )
    code, hint = _HOLD_HINTS.get(status, ("upstream_settings", "compare `url` and the credential with what it asks"))
    return UpstreamHolds(f"the upstream refuses us ({status})", hint=hint, code=code)


def names_something(answer: Answer) -> bool:
    """Return whether this is what a centre answers to an empty batch: an acknowledgement, empty, or 204 without one."""
    if answer.status == 204:
        return True
    try:
        return _parse_naming(answer) is not None or json.loads(answer.body) == {}
    except (ValueError, RecursionError):
        return False


def _unread(answer: Answer, batch: Batch) -> BatchTooLarge | NotAnAnswer:
    """Return the error for a 2xx to a request that had not arrived: what says no more than that cannot mean the rest.

    Smaller requests arrive whole, so they are made smaller; a single event cannot be.
    """
    said = f"the upstream answered {answer.status} before it had the whole request of {len(batch.body)} bytes"
    if len(batch) > 1:
        return BatchTooLarge(said)
    return NotAnAnswer(said, hint="it answers without reading; does `url` lead to the program that takes the events?")


def _read_named(answer: Answer, batch: Batch, on_claim: Callable[[int], None]) -> list[Outcome]:
    naming = _parse_naming(answer)
    if naming is None:
        _explain_unread(answer)
        kind = _printable(answer.headers.get("content-type", "no content type"), 60)
        raise NotAnAnswer(
            f"something between us and the centre answers ({answer.status}, {kind}, not an acknowledgement)",
            hint='a portal or proxy? For a plain webhook set acknowledge = "status"',
        )
    outcomes = _outcomes(naming, batch)
    if naming.through is not None:
        on_claim(naming.through)
    if all(isinstance(outcome, Released) for outcome in outcomes):
        if answer.status == 409:
            raise UpstreamUnavailable("the upstream is still busy with the same request (409)")
        through = "" if naming.through is None else f"; it says accepted_through {naming.through}"
        raise NotAnAnswer(
            f"the answer names none of the events sent, {batch.first} to {batch.last}{through[:60]}",
            hint="does `url` lead to the right centre?",
        )
    return outcomes


def _explain_unread(answer: Answer) -> None:
    """Raise NotAnAnswer for what may well be an acknowledgement, but was not read."""
    coding = answer.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise NotAnAnswer(
            f"the answer is compressed ({_printable(coding, 30)}), which it was asked not to be",
            hint="something in between compresses whatever it passes on; have it heed Accept-Encoding: identity",
        )
    if answer.is_cut and "json" in answer.headers.get("content-type", "").lower():
        raise NotAnAnswer(
            f"the acknowledgement is larger than the {answer.body_bytes_max} bytes that are read",
            hint="raise answer_bytes_max, or have the centre name a position (accepted_through) and not every event",
        )


def _read_refusal(answer: Answer, batch: Batch) -> list[Outcome]:
    """400 and 422: rejected by name when the answer names events of ours, else refused as a whole."""
    naming = _parse_naming(answer)
    if naming is not None:
        outcomes = _outcomes(naming, batch)
        if any(isinstance(outcome, Rejected) for outcome in outcomes):
            return outcomes
    if answer.status == 400:
        said = answer.body[:2_000].lower()
        for words, code, message, hint in _ABOUT_TLS:
            if words in said:
                raise UpstreamHolds(message, hint=hint, code=code)
    text = "" if answer.is_cut else _printable(answer.body.decode("utf-8", "replace"), REASON_CHARS_MAX)
    raise BatchRefused(f"the upstream answered {answer.status}" + (f": {text}" if text else ""))


def _outcomes(naming: _Naming, batch: Batch) -> list[Outcome]:
    through = naming.through if naming.through is not None else -1
    if batch.retry and through > batch.last:
        # A high-water mark above an old sequence says nothing about that old event.
        through = -1
    if batch.last <= through and not naming.rejected:
        return [_ACCEPTED] * len(batch)  # nearly every answer
    outcomes: list[Outcome] = []
    for sequence, event_id in zip(batch.sequences, batch.ids, strict=True):
        if event_id in naming.rejected:
            outcomes.append(Rejected(_printable(str(naming.rejected[event_id]), REASON_CHARS_MAX)))
        elif event_id in naming.accepted or sequence <= through:
            outcomes.append(_ACCEPTED)
        else:
            outcomes.append(Released())
    return outcomes


def _parse_naming(answer: Answer) -> _Naming | None:
    """Return what the body names, or None when it is not an acknowledgement: one wrong shape spoils the whole."""
    if answer.is_cut:
        return None
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not body.keys() & {"accepted_through", "accepted", "rejected"}:
        return None
    through = body.get("accepted_through")
    if isinstance(through, str) and through.isascii() and through.isdigit() and len(through) <= 20:
        through = int(through)
    if through is not None and (not isinstance(through, int) or isinstance(through, bool)):
        return None
    accepted, rejected = body.get("accepted"), body.get("rejected")
    accepted = [] if accepted is None else accepted
    rejected = [] if rejected is None else rejected
    if not isinstance(accepted, list) or not all(isinstance(event_id, str) for event_id in accepted):
        return None
    if not isinstance(rejected, list):
        return None
    reasons: dict[str, object] = {}
    for row in rejected:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            return None
        reasons[row["id"]] = row.get("reason") or "no reason given"
    return _Naming(through, frozenset(accepted), reasons)


def _printable(text: str, chars_max: int) -> str:
    """Keep one printable line: the text comes from outside and ends up in logs and terminals."""
    head = text[: chars_max * 2]
    return " ".join("".join(char if char.isprintable() else " " for char in head).split())[:chars_max]


def _host(location: str) -> str:
    try:
        return _printable(urlsplit(location).hostname or "", 100)
    except ValueError:
        return ""
