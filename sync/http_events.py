"""CloudEvents batches over HTTP, the default upstream.

Theory of operation. One POST carries one batch:

    Content-Type: application/cloudevents-batch+json
    Idempotency-Key: "<source>:<first>-<last>:<sha-256 of the body>"
    Dockline-Chain: "<source>:<sequence>:<chain hash>"          head of the outbox's journal when the batch was made
    Dockline-Centre-Instance: "<centre_instance>"               with a position_url that tells one; another answers 412
    webhook-id, webhook-timestamp, webhook-signature            Standard Webhooks, with a signing secret
    Authorization: Bearer <token>                               with a token

The key and the webhook id depend on nothing but the batch, so they are the same for every attempt, also after a
restart; the timestamp is that of the attempt. Consumers dedupe by event id, never by the key. A centre that keeps the
last `Dockline-Chain` can prove later that no tail was cut off the journal.

What carries the requests knows no cookie, no redirect, no proxy or netrc from the environment and no deadline;
`asyncio.timeout` is it. Answers are asked for and read without content coding, up to a limit, so a small answer cannot
unpack into a large one.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from buffer.entry import Outcome
from sync.answer import Answer, hold_for, names_something, read_answer
from sync.batch import Batch
from sync.errors import NotAnAnswer, Unanswered, UpstreamHolds, UpstreamUnavailable
from sync.http_connections import Connections
from sync.http_exchange import BrokenConnection, Carrier, NoConnection, NotHttp, Request
from sync.secret_file import SecretFile, Stamp, stamp_of
from sync.settings import HttpEventsSettings
from sync.signature import parse_secrets, sign
from sync.tls import tls_context, tls_failure, tls_files
from sync.upstream import Position

_COMPRESS_BYTES_MIN = 1_000
"""Below it the coding costs more than it saves."""

_INSTANCE_CHARS_MAX = 200
"""A longer one is cut and one that is not printable ASCII cannot stand in a header: both are told apart when the centre
is asked, but no batch names them, because the centre would not know them again."""
_REFUSES_EMPTY = frozenset({400, 409, 422})
"""To an empty batch: who we are was looked at before what we brought."""
_HAS_NO_OPTIONS = frozenset({404, 405, 501})
_NOT_NOW = frozenset({408, 425, 429})

_CONNECT_SHARE = 0.45
"""Of the deadline, for a connection: who is not reached at all is told apart from who does not answer."""


class HttpEvents:
    """Delivers to one URL. Implements `Upstream`."""

    def __init__(
        self,
        settings: HttpEventsSettings,
        *,
        wall: Callable[[], int],
        credentials: Path | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Connect to nothing yet. `wall` returns milliseconds since 1970; `credentials` is systemd's folder.

        `carrier` takes the place of the network, in simulations.
        """
        self._settings = settings
        self._wall = wall
        token, secret = settings.token_path(credentials), settings.signing_secret_path(credentials)
        self._token = SecretFile(token) if token else None
        self._signing_secret = SecretFile(secret) if secret else None
        self._carrier = carrier or self._new_carrier()
        self._tls_stamp = self._stamp_tls()
        self._host = urlsplit(settings.url).hostname or ""
        self.claimed_through = 0
        self._compresses = settings.compression == "gzip"
        self._compression_refused = False

    async def send(self, batch: Batch) -> list[Outcome]:
        """POST the batch and read what the answer names. Raises as `Upstream.send`."""
        if not self._can_name(batch.instance):
            batch = replace(batch, instance=None)
        coded = self._compresses and len(batch.body) >= _COMPRESS_BYTES_MIN
        answer = await self._post(batch, coded=coded)
        if answer.status == 415 and coded:
            # The event types are fine for all we know: it is the coding that this server does not take.
            self._compression_refused, self._compresses = True, False
            answer = await self._post(batch, coded=False)
        if self._settings.compression == "auto" and not self._compression_refused:
            self._compresses = "gzip" in answer.headers.get("accept-encoding", "").lower()
        try:
            return read_answer(
                answer, batch, acknowledge=self._settings.acknowledge, wall_ms=self._wall(), on_claim=self._claim
            )
        except NotAnAnswer:
            self._carrier.close()  # a portal or another server: the name may lead elsewhere by the next attempt
            raise

    def _claim(self, through: int) -> None:
        self.claimed_through = through

    async def position(self, source: str) -> Position | None:
        """GET `position_url?source=...`: `{"accepted_through": n, "centre_instance": "..."}`."""
        url = self._settings.position_url
        if url is None:
            return None
        asked = f"{url}{'&' if '?' in url else '?'}source={quote(source, safe='')}"
        answer = await self.ask("GET", asked, self.credential_headers(), b"")
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnavailable(f"{self._host} answered {answer.status} when asked for its position")
        if 300 <= answer.status < 500:
            raise hold_for(answer)
        try:
            return _read_position(answer, source)
        except NotAnAnswer:
            self._carrier.close()
            raise

    async def probe(self, source: str) -> str:
        """Find out whether the upstream lets us in, with requests that it can store nothing from.

        Asks for the position where there is an address for it, and POSTs an empty batch with credential and signature;
        a plain webhook, which might act on that, is asked for its OPTIONS instead. Returns one line for a person.
        Raises UpstreamUnavailable, UpstreamHolds.
        """
        told = await self.position(source)
        held = f"; it holds our events through {told.through}" if told is not None else ""
        if self._settings.acknowledge == "status":
            answer = await self.ask("OPTIONS", self._settings.url, self.credential_headers(), b"")
            if answer.status in _HAS_NO_OPTIONS:
                return f"{self._host} answers; a plain webhook says with its first event whether it lets us in{held}"
        else:
            answer = await self._post(Batch(source, (0,), (), b"[]"), coded=False)
            if answer.status in _REFUSES_EMPTY:
                return f"{self._host} lets us in and finds no event in an empty batch ({answer.status}){held}"
        if answer.status >= 500 or answer.status in _NOT_NOW:
            raise UpstreamUnavailable(f"{self._host} answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise hold_for(answer)
        if self._settings.acknowledge == "named" and not names_something(answer):
            raise NotAnAnswer(
                f"{self._host} answers {answer.status}, but not as a centre does",
                hint='a portal or proxy in between? For a plain webhook set acknowledge = "status"',
            )
        return f"{self._host} lets us in ({answer.status}){held}"

    async def get(self, url: str, headers: dict[str, str], *, bytes_max: int, whole_s: float | None = None) -> Answer:
        """GET an address of the upstream with our credential; `whole_s` as in `ask`. Raises UpstreamUnavailable,
        UpstreamHolds."""
        headers = {**self.credential_headers(), **headers}
        return await self.ask("GET", url, headers, b"", bytes_max=bytes_max, whole_s=whole_s)

    def refreshed(self) -> bool:
        """Return whether a token, secret or TLS file changed since it was last used."""
        secrets = (self._token, self._signing_secret)
        return self._stamp_tls() != self._tls_stamp or any(secret.changed() for secret in secrets if secret)

    async def aclose(self) -> None:
        """Close the connections; the next `send` opens new ones."""
        self._carrier.close()

    async def _post(self, batch: Batch, *, coded: bool) -> Answer:
        digest = hashlib.sha256(batch.body).hexdigest()
        key = f"{batch.source}:{batch.first}-{batch.last}:{digest}"
        headers = {
            "Content-Type": "application/cloudevents-batch+json",
            "Accept": "application/json",
            "Idempotency-Key": _structured_string(key),
            **self.credential_headers(),
        }
        if batch.chain:
            headers["Dockline-Chain"] = _structured_string(batch.chain)
        if batch.instance is not None:
            headers["Dockline-Centre-Instance"] = _structured_string(batch.instance)
        if self._signing_secret is not None:
            headers |= self._signature_headers(self._signing_secret, key, batch.body)
        if coded:
            headers["Content-Encoding"] = "gzip"
        body = gzip.compress(batch.body, 1, mtime=0) if coded else batch.body
        return await self.ask("POST", self._settings.url, headers, body)

    def _can_name(self, instance: str | None) -> bool:
        # Without a position_url, what the centre once told of itself may be long past.
        if not instance or self._settings.position_url is None:
            return False
        return len(instance) < _INSTANCE_CHARS_MAX and instance.isascii() and instance.isprintable()

    def credential_headers(self) -> dict[str, str]:
        """Return the header that says who we are; none without a token. Raises UpstreamHolds."""
        if self._token is None:
            return {}
        return {"Authorization": f"Bearer {self._token.value()}"}

    def _signature_headers(self, secret: SecretFile, key: str, body: bytes) -> dict[str, str]:
        try:
            keys = parse_secrets(secret.value())
        except ValueError as error:
            raise UpstreamHolds(
                str(error), hint="ask the centre for its webhook secret", code="upstream_credential"
            ) from None
        # Hashed, because a full stop in a site id would make the signed text ambiguous.
        message_id = "batch-" + hashlib.sha256(key.encode()).hexdigest()[:32]
        timestamp_s = self._wall() // 1000
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(keys, message_id, timestamp_s, body),
        }

    async def ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes,
        *,
        bytes_max: int | None = None,
        whole_s: float | None = None,
    ) -> Answer:
        """Exchange one request for one answer, within the time-out. With `whole_s` the answer may be a large one over a
        slow line: it takes that long at most, and the time-out is for the wait between two pieces of it.

        Raises UpstreamUnavailable when none comes in time."""
        headers = {"User-Agent": "dockline", "Accept-Encoding": "identity", **headers}
        self._renew_tls()
        request = Request(method, url, headers, body, bytes_max or self._settings.answer_bytes_max)
        try:
            async with asyncio.timeout(self._settings.timeout_s) as deadline:
                if whole_s is not None:
                    request = replace(request, on_bytes=self._postponing(deadline, whole_s))
                answer = await self._carrier.exchange(request)
        except TimeoutError:
            patience = f"{self._settings.timeout_s:g} s"
            late = f"gave no whole answer within {patience}"
            if whole_s is not None:
                late = f"sent nothing for {patience}, or was not done after {whole_s / 60:.0f} minutes"
            raise Unanswered(
                f"{self._host} {late}",
                hint="is the line up? A firewall that drops silently looks like this, and a line that is very slow",
            ) from None
        except (NoConnection, BrokenConnection) as error:
            raise self._explain(error) from error
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            # We asked for none; what ignores that is not read, so it cannot name anything.
            return replace(answer, body=b"")
        if self._token is not None:
            # A proxy's error page may repeat the request, and what a refusal says is kept and shown.
            return replace(answer, body=self._token.struck_from(answer.body))
        return answer

    def _postponing(self, deadline: asyncio.Timeout, whole_s: float) -> Callable[[], None]:
        """Return what is called while an answer comes, so that it is waited for."""
        now = asyncio.get_running_loop().time
        last = now() + whole_s

        def postpone() -> None:
            if not deadline.expired():
                deadline.reschedule(min(now() + self._settings.timeout_s, last))

        return postpone

    def _renew_tls(self) -> None:
        """Connect anew once a certificate or key changed on disk."""
        stamp = self._stamp_tls()
        if stamp != self._tls_stamp:
            self._tls_stamp = stamp
            self._carrier.close()

    def _new_carrier(self) -> Connections:
        return Connections(
            tls=lambda: tls_context(self._settings),
            server_name=self._settings.server_name,
            idle_max=self._settings.in_flight_max,
            connect_timeout_s=self._settings.timeout_s * _CONNECT_SHARE,
        )

    def _explain(self, error: NoConnection | BrokenConnection) -> UpstreamUnavailable:
        explained = tls_failure(error, self._host, self._wall())
        if explained is not None:
            # The system's authorities change under us, too, when a person adds the one of a proxy: read again.
            self._carrier.close()
            return explained
        if isinstance(error, NoConnection):
            return UpstreamUnavailable(
                f"no connection to {self._host}", hint="is the line up, the name known and the port open?"
            )
        if isinstance(error, NotHttp):
            return NotAnAnswer(
                f"what answers at {self._host} speaks no HTTP/1.1",
                hint="is the port in the address right, and is it an http or an https port?",
            )
        return Unanswered(
            f"the connection to {self._host} broke before the whole answer came",
            hint="it is tried again by itself; when it lasts, does something in between end connections?",
        )

    def _stamp_tls(self) -> tuple[Stamp | None, ...]:
        return tuple(stamp_of(path) for path in tls_files(self._settings))


def _structured_string(text: str) -> str:
    """Quote as an RFC 9651 String, which holds printable ASCII only."""
    assert text.isascii()
    assert text.isprintable()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _read_position(answer: Answer, source: str) -> Position:
    try:
        body = json.loads(answer.body) if not answer.is_cut else None
    except (ValueError, RecursionError):
        body = None
    through = body.get("accepted_through") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(through, int) or isinstance(through, bool) or through < 0:
        raise NotAnAnswer(
            "what answers at position_url names no position",
            hint='it must answer {"accepted_through": <sequence>}; a portal or proxy in between?',
        )
    instance = body.get("centre_instance")
    if not isinstance(instance, str):
        return Position(source, through, None)
    # It is stored and logged: a lone surrogate can be neither, and must not make two instances one.
    return Position(source, through, instance.encode("utf-8", "backslashreplace").decode()[:_INSTANCE_CHARS_MAX])
