"""A simulated centre: takes CloudEvents batches, keeps a strict ledger, and misbehaves on request.

It answers as a good consumer should: it dedupes by event id, names what it took, rejects what it never will take, and
says how far it is at `/v1/position` (with `?wait_for=N` not before it has N events). At `/capture` it is an EPCIS 2.0
repository with the same ledger. `Policy` is what it insists on
(token, size, signature, poison), `Script` what it does wrong. With `fast` it only reads first and last sequence of a
batch, for benchmarks in which the centre must not be what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self

from simulators.centre_http import HttpServer, Reply, Request
from simulators.centre_ledger import CentreLedger
from simulators.centre_policy import Attempt, Policy, Tally
from simulators.centre_script import Act, Script
from simulators.epcis_endpoint import CAPTURE_PATH, CapturePolicy, EpcisEndpoint

__all__ = ["Attempt", "Centre", "Policy", "Tally"]

EVENTS_PATH = "/v1/events"
POSITION_PATH = "/v1/position"
_text = json.JSONEncoder(ensure_ascii=False).encode
_BATCH_TYPE = "application/cloudevents-batch+json"
_READ_BYTES_MAX = 128 * 1024 * 1024
_SIGNATURE_AGE_S = 300
_FAST_MARK = b'{"sequence":"'
_JSON = {"Content-Type": "application/json"}
_UNREAD = frozenset({"status", "redirect", "request_lost", "hang", "portal", "empty", "nonsense", "huge", "deep"})
"""Acts that need no events."""
_AFTER = frozenset({"applied_status", "answer_lost", "applied_hang", "half_answer"})
_PORTAL = b"<!doctype html><title>Welcome</title><p>Please accept the terms to use this network.</p>"


@dataclass(slots=True)
class Centre:
    """One centre on loopback. `async with Centre() as centre:` serves until the block ends."""

    policy: Policy = field(default_factory=Policy)
    script: Script = field(default_factory=Script)
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    ledger_file: Path | None = None
    fast: bool = False
    wall: Callable[[], float] = time.time
    attempts: list[Attempt] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    capture_policy: CapturePolicy = field(default_factory=CapturePolicy)
    ledger: CentreLedger = field(init=False)
    epcis: EpcisEndpoint = field(init=False)
    _server: HttpServer | None = field(default=None, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.ledger = CentreLedger(self.ledger_file)
        self.epcis = EpcisEndpoint(self.ledger, self.capture_policy)

    @property
    def url(self) -> str:
        """Where batches are POSTed."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{EVENTS_PATH}"

    @property
    def position_url(self) -> str:
        """Where the position is asked for."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{POSITION_PATH}"

    async def start(self) -> None:
        """Listen; after `stop` on the same port again, with the same memory."""
        self._server = HttpServer(
            self._answer, host=self.host, port=self.port, tls=self.tls, body_bytes_max=_READ_BYTES_MAX
        )
        await self._server.start()
        self.port = self._server.port

    async def stop(self) -> None:
        """Break every connection and stop listening."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.ledger.close()

    async def until(self, is_so: Callable[[Centre], bool]) -> None:
        """Return as soon as `is_so` holds; looked at after every request."""
        while not is_so(self):
            self._changed.clear()
            await self._changed.wait()

    async def holds(self, count: int) -> None:
        """Return as soon as the centre has `count` different events."""
        await self.until(lambda centre: (centre.tally.through if centre.fast else len(centre.ledger.by_id)) >= count)

    async def attempted(self, count: int) -> None:
        """Return as soon as `count` requests were made."""
        await self.until(lambda centre: len(centre.attempts) >= count)

    async def _answer(self, request: Request) -> Reply:
        if request.path == POSITION_PATH and request.method == "GET":
            if "wait_for" in request.query:
                await self.holds(int(request.query["wait_for"]))
            return self._answer_position(request)
        if request.path.startswith(CAPTURE_PATH):
            reply = self._answer_capture(request)
            self._changed.set()
            return reply
        if request.path != EVENTS_PATH:
            return Reply(404)
        if request.method != "POST":
            return Reply(405, headers={"Allow": "POST"})
        reply = self._count(request) if self.fast else self._take_request(request)
        self._changed.set()
        return reply

    def _answer_position(self, request: Request) -> Reply:
        if not self._is_known(request):
            return Reply(401)
        through = self.tally.through if self.fast else self.ledger.through(request.query.get("source", ""))
        return _json_reply(200, {"accepted_through": through, "centre_instance": self.policy.instance})

    def _answer_capture(self, request: Request) -> Reply:
        if not self._is_known(request):
            return Reply(401, headers={"WWW-Authenticate": "Bearer"})
        match request.method:
            case "OPTIONS":
                return self.epcis.describe()
            case "GET":
                return self.epcis.job(request.path)
            case "POST":
                return self._capture(request)
            case _:
                return Reply(405, headers={"Allow": "GET, OPTIONS, POST"})

    def _capture(self, request: Request) -> Reply:
        number = len(self.attempts) + 1
        act = self.script.act_for(number)
        name = act.act if act else None
        taken = len(self.ledger.events)
        try:
            # What goes wrong before the document is read, or after it was taken, is the same as for a batch.
            reply = (
                self._spoil(act, []) if act and name in _UNREAD else self.epcis.capture(request, self._is_poison, name)
            )
            if act and name in _AFTER and reply.status == 202:
                reply = self._after(act, reply)
        except (ValueError, TypeError, KeyError) as error:
            reply = Reply(400, f"no EPCIS document: {error}".encode())
        ids = tuple(event.id for event in self.ledger.events[taken:])
        status = None if reply.silent or reply.hang else reply.status
        self.ledger.attempted(n=number, act=name, status=status, events=len(ids))
        self.attempts.append(Attempt(number, time.monotonic(), dict(request.headers), request.body, ids, act, status))
        return reply

    def _after(self, act: Act, reply: Reply) -> Reply:
        match act.act:
            case "applied_status":
                return Reply(act.status, headers={"Retry-After": act.retry_after} if act.retry_after else {})
            case "answer_lost":
                return Reply(silent=True)
            case "applied_hang":
                return Reply(hang=True)
            case _:
                return Reply(**{**_fields(reply), "is_cut": True})

    def _count(self, request: Request) -> Reply:
        body, tally = request.body, self.tally
        first_at, last_at = body.find(_FAST_MARK) + len(_FAST_MARK), body.rfind(_FAST_MARK) + len(_FAST_MARK)
        try:
            first, last = int(body[first_at : first_at + 20]), int(body[last_at : last_at + 20])
        except ValueError:
            return Reply(400, b"the fast mode wants the sequence as first member, without blanks")
        tally.requests += 1
        tally.events += last - first + 1
        tally.gaps += max(first - tally.through - 1, 0)
        tally.repeats += max(tally.through - first + 1, 0)
        tally.through = max(tally.through, last)
        return Reply(200, b'{"accepted_through":%d}' % last, _JSON)

    def _take_request(self, request: Request) -> Reply:
        number = len(self.attempts) + 1
        act = self.script.act_for(number)
        refusal, body = self._check(request)
        events: list[dict[str, Any]] = []
        if refusal is None:
            try:
                events = _read_events(body)
                reply = self._spoil(act, events) if act is not None else self._take(events)
            except (ValueError, TypeError, KeyError) as error:
                events, reply = [], Reply(400, f"no batch of CloudEvents: {error}".encode())
            chain = request.headers.get("dockline-chain", "").strip('"')
            if chain.count(":") == 2 and not reply.hang:
                source, sequence, digest = chain.split(":")
                self.ledger.heard_chain(source, int(sequence), digest)
        else:
            reply = refusal
        if self.policy.says_gzip:
            reply = Reply(**{**_fields(reply), "headers": {**reply.headers, "Accept-Encoding": "gzip"}})
        status = None if reply.silent or reply.hang else reply.status
        ids = tuple(str(event.get("id")) for event in events)
        self.ledger.attempted(n=number, act=act.act if act else None, status=status, events=len(ids))
        self.attempts.append(Attempt(number, time.monotonic(), dict(request.headers), body, ids, act, status))
        return reply

    def _check(self, request: Request) -> tuple[Reply | None, bytes]:
        """Return a refusal and nothing, or nothing and the body with its coding taken off."""
        if not self._is_known(request):
            return Reply(401, headers={"WWW-Authenticate": "Bearer"}), b""
        if request.body_length > self.policy.body_bytes_max:
            return Reply(413), b""
        if request.headers.get("content-type", "").split(";")[0] != _BATCH_TYPE:
            return Reply(415), b""
        meant_for = request.headers.get("dockline-centre-instance", "").strip('"')
        if meant_for and meant_for != self.policy.instance:
            return Reply(412, b"this centre is another one, or was restored: ask where it is"), b""
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            if not self.policy.takes_gzip:
                return Reply(415), b""
            body = gzip.decompress(body)
        if self.policy.secret is not None and not self._is_signed(request, body, self.policy.secret):
            return Reply(401), b""
        return None, body

    def _is_known(self, request: Request) -> bool:
        return self.policy.token is None or request.headers.get("authorization") == f"Bearer {self.policy.token}"

    def _is_signed(self, request: Request, body: bytes, secret: str) -> bool:
        """Verify as a consumer would, from the published specification, without the gateway's own code."""
        message_id = request.headers.get("webhook-id", "")
        timestamp = request.headers.get("webhook-timestamp", "")
        if not timestamp.isdigit() or abs(self.wall() - int(timestamp)) > _SIGNATURE_AGE_S:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{message_id}.{timestamp}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        given = request.headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(expected, signature) for signature in given)

    def _take(self, events: list[dict[str, Any]], *, limit: int | None = None, reject: int = 0) -> Reply:
        """Take the batch (its first `limit` events), rejecting poison and the first `reject` events."""
        rejected = [
            {"id": event["id"], "reason": "not acceptable here"}
            for index, event in enumerate(events)
            if index < reject or self._is_poison(event)
        ]
        names = {row["id"] for row in rejected}
        if names and self.policy.poison_answer != "named" and not reject:
            return Reply(int(self.policy.poison_answer), b"an event in this batch is not acceptable")
        taken = [event for event in events if event["id"] not in names][:limit]
        for event in taken:
            self.ledger.take(event)
        return self._acknowledge(events, taken, rejected)

    def _acknowledge(
        self, events: list[dict[str, Any]], taken: list[dict[str, Any]], rejected: list[dict[str, str]]
    ) -> Reply:
        style = self.policy.answers
        if style == "plain":
            return Reply(204 if not taken else 200)
        answer: dict[str, object] = {}
        ids = {event["id"] for event in taken}
        if style in ("both", "through"):
            through = 0
            for event in events:
                if event["id"] in ids:
                    through = int(event["sequence"])
                elif event["id"] not in {row["id"] for row in rejected}:
                    break
            if through:
                answer["accepted_through"] = through
        if style in ("both", "ids"):
            answer["accepted"] = [event["id"] for event in taken]
        if rejected:
            answer["rejected"] = rejected
        return _json_reply(200, answer)

    def _is_poison(self, event: dict[str, Any]) -> bool:
        if event.get("type") == "dockline.gap.v1":
            return not self.policy.knows_gaps
        if not self.policy.poison:
            return False
        text = _text(event)
        return any(poison in text for poison in self.policy.poison)

    def _spoil(self, act: Act, events: list[dict[str, Any]]) -> Reply:
        headers = {"Retry-After": self._retry_after(act.retry_after)} if act.retry_after else {}
        match act.act:
            case "status":
                return Reply(act.status, headers=headers)
            case "redirect":
                return Reply(act.status if 300 <= act.status < 400 else 307, headers={"Location": act.location})
            case "request_lost":
                return Reply(silent=True)
            case "hang":
                return Reply(hang=True)
            case "portal":
                return Reply(200, _PORTAL, {"Content-Type": "text/html"})
            case "empty":
                return Reply(200)
            case "nonsense":
                return _json_reply(200, {"status": "ok", "accepted": "all"})
            case "wrong_ids":
                return _json_reply(200, {"accepted": ["somebody-elses"], "rejected": [{"id": "x", "reason": "?"}]})
            case "huge":
                return Reply(200, b'{"accepted":["' + b"x" * 5_000_000 + b'"]}', _JSON)
            case "deep":
                return Reply(200, b'{"accepted":' + b"[" * 200_000 + b"]" * 200_000 + b"}", _JSON)
            case "reject_all":
                return self._take(events, reject=len(events))
            case "reject_first":
                return self._take(events, reject=act.count)
            case "partial":
                return self._take(events, limit=max(int(len(events) * act.share), 1))
            case "duplicate_409":
                known = [event["id"] for event in events if event["id"] in self.ledger.by_id]
                return _json_reply(409, {"accepted": known})
            case _:
                return self._spoil_taken(act, events, headers)

    def _spoil_taken(self, act: Act, events: list[dict[str, Any]], headers: dict[str, str]) -> Reply:
        """The acts that take the batch first."""
        reply = self._take(events)
        match act.act:
            case "applied_status":
                return Reply(act.status, headers=headers)
            case "answer_lost":
                return Reply(silent=True)
            case "applied_hang":
                return Reply(hang=True)
            case "half_answer":
                return Reply(**{**_fields(reply), "is_cut": True})
            case _ if reply.status == 200 and reply.body:
                claim = {"accepted_through": int(events[-1]["sequence"]) + 1_000_000}
                return _json_reply(200, json.loads(reply.body) | claim)
            case _:
                return reply

    def _retry_after(self, text: str) -> str:
        """Seconds as they are; "date+5" becomes the HTTP date five seconds from now."""
        if text.startswith("date+"):
            return formatdate(self.wall() + float(text.removeprefix("date+")), usegmt=True)
        return text


def _read_events(body: bytes) -> list[dict[str, Any]]:
    events = json.loads(body)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ValueError("not a JSON array of objects")
    return events


def _json_reply(status: int, body: dict[str, object]) -> Reply:
    return Reply(status, json.dumps(body).encode(), _JSON)


def _fields(reply: Reply) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
