"""What every request has to pass before anybody looks at what it wants.

A page in some browser can reach a loopback address too. So the name the request was sent to must be one of ours (else
a rebound DNS name would do), and whatever changes something must not come from another origin. Bodies are bounded, come
within a time, and are never unpacked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings.model import ApiSettings
from gateway.web.auth import ANYBODY, LOCAL_READER, Caller, Role, Tokens
from gateway.web.peer import LocalRoles
from gateway.web.server import HEAD_BYTES_MAX, PEER
from gateway.web.session import CSRF_HEADER, Sessions, cookie_of, repeats_word

log = logging.getLogger(__name__)

BODY_S = 30.0
"""A body of which nothing has come by then is given up; and so is one that then comes slower than this:"""
BODY_BYTES_PER_S_MIN = 64
"""Half a kilobit a second. A fixed time for the whole would cut the backlog of a handheld on a bad radio off at the
same place every time it is sent. Only who has a token gets as far as its body; who shows one in it has no such time."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SECURITY_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
READING_METHODS = ("GET", "HEAD")
ONCE = ("authorization", "content-type", "host", "origin", "sec-fetch-site", "transfer-encoding")
"""Headers that decide about a request: of two, somebody between us and the asker may have looked at the other one."""
DOCUMENTS_PATH = "/v1/expectations/"
_HALVES = re.compile("[\ud800-\udfff]")
"""JSON may escape them, and neither the outbox nor an answer can hold them."""


class ApiError(HTTPException):
    """A request is refused, with a stable code, a sentence and perhaps a hint."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str | None = None, retry_after_s: int | None = None
    ) -> None:
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="dockline"'
        super().__init__(status, message, headers)
        self.code = code
        self.hint = hint


def error_response(error: ApiError) -> Response:
    """Return the body every refusal has: `{"error": {"code", "message", "hint"}}`."""
    body = {"code": error.code, "message": error.detail, **({"hint": error.hint} if error.hint else {})}
    return JSONResponse({"error": body}, error.status_code, error.headers)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what without a token, and by which names we may be called."""

    hosts: frozenset[str]
    anonymous: Caller | None
    """Whom a request without a token counts as; None: it is nobody."""
    body_bytes_max: int
    document_bytes_max: int
    """Largest body that is an expected document."""
    local_roles: LocalRoles
    """Who may do what over the local socket."""

    @classmethod
    def of(cls, settings: ApiSettings, document_bytes_max: int = 0) -> Policy:
        """Return what the settings mean."""
        hosts = {*LOOPBACK_NAMES, *(host.lower() for host in settings.allowed_hosts), settings.bind.host.lower()}
        anonymous = LOCAL_READER if settings.bind.is_loopback else None
        if settings.unauthenticated == "accept-in-lab":
            anonymous = ANYBODY
        return cls(
            frozenset(hosts - {"0.0.0.0", "::"}),
            anonymous,
            settings.body_bytes_max,
            max(document_bytes_max, settings.body_bytes_max),
            LocalRoles.of(settings),
        )

    def local_caller(self, uid: int) -> Caller | None:
        """Return who a user of this computer is here; looking is free where it is free to anybody on loopback."""
        caller = self.local_roles.caller(uid)
        if self.anonymous is ANYBODY:
            return replace(caller, role="admin")
        return None if caller.role == "viewer" and self.anonymous is None else caller


class Guard:
    """ASGI middleware: names, origins, encodings, headers, and who is asking."""

    def __init__(self, app: ASGIApp, policy: Policy, tokens: Tokens, sessions: Sessions) -> None:
        self._app = app
        self._policy = policy
        self._tokens = tokens
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                extra = [header for header in SECURITY_HEADERS if header[0] not in given]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            self._check(scope["method"], scope["path"], headers)
            state = scope.setdefault("state", {})
            state["caller"] = self._identify(scope["method"], headers, state)
        except ApiError as error:
            await error_response(error)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        # The server bounds a head that comes in pieces; one that comes whole is seen here.
        if sum(len(name) + len(value) for name, value in headers.raw) > HEAD_BYTES_MAX:
            raise ApiError(431, "head_too_large", f"the head of a request may have {HEAD_BYTES_MAX} bytes")
        if any(len(headers.getlist(name)) > 1 for name in ONCE):
            raise _ambiguous("a header that decides about the request is there twice")
        if "transfer-encoding" in headers and "content-length" in headers:
            raise _ambiguous("the length of the body is said in two ways")
        host = host_name(headers.get("host", ""))
        if host not in self._policy.hosts:
            hint = "call it by its address, or add the name to allowed_hosts in [api]"
            raise ApiError(421, "unknown_host", "this gateway does not go by that name", hint=hint)
        if method in READING_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) not in self._policy.hosts:
            raise ApiError(403, "foreign_origin", "the request comes from a page of somebody else")
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise ApiError(403, "foreign_origin", "the request comes from a page of somebody else")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ApiError(415, "encoding_unsupported", "bodies are taken without Content-Encoding")
        length = headers.get("content-length", "0")
        is_document = method == "PUT" and path.startswith(DOCUMENTS_PATH)
        bytes_max = self._policy.document_bytes_max if is_document else self._policy.body_bytes_max
        if not length.isdigit() or int(length) > bytes_max:
            raise ApiError(413, "body_too_large", f"a body may have {bytes_max} bytes")

    def _identify(self, method: str, headers: Headers, state: dict[str, Any]) -> Caller | None:
        """Return who asks: by a token, else by a session's cookie, else as the kernel says, else by the policy."""
        authorization = headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            caller = self._tokens.find(token.strip()) if scheme.lower() == "bearer" else None
            if caller is None:
                raise ApiError(401, "token_unknown", "the token is not valid here")
            return caller
        cookie = cookie_of(headers.get("cookie"))
        found = self._sessions.find(cookie) if cookie is not None else None
        if found is not None:
            session, caller = found
            # A browser adds the cookie to whatever any page makes it send.
            if method not in READING_METHODS and not repeats_word(session, headers.get(CSRF_HEADER)):
                hint = f"repeat the word of GET /v1/session in the header {CSRF_HEADER.title()}"
                raise ApiError(403, "word_missing", "the request does not prove that our page sent it", hint=hint)
            state["session"] = session
            return caller
        uid = state.get(PEER)
        return self._policy.local_caller(uid) if uid is not None else self._policy.anonymous


def _ambiguous(message: str) -> ApiError:
    """Return the refusal of what two readers may read as two requests; the connection ends with it (RFC 9112, 6.1)."""
    error = ApiError(400, "ambiguous", message)
    error.headers = {"Connection": "close"}
    return error


def host_name(header: str) -> str:
    """Return the name of a Host header without its port, in lower case; "" for one that is none."""
    return "" if set(header) & set("@/?#\\") else _host_of(f"//{header}")


def _host_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def require(request: Request, role: Role) -> Caller:
    """Return who is asking; raise ApiError when it is nobody, or somebody who may not."""
    caller: Caller | None = request.state.caller
    if caller is None or (caller is LOCAL_READER and role != "viewer"):
        raise ApiError(401, "token_required", "this needs a token", hint="Authorization: Bearer <token>")
    if not caller.may(role):
        raise ApiError(403, "role_too_low", f'this needs the role "{role}"', hint=f'{caller.name} has "{caller.role}"')
    return caller


async def read_body(request: Request, bytes_max: int, *, whole_s: float | None = None) -> bytes:
    """Return the whole body, which may take `whole_s`, or any time while it comes fast enough. Raises ApiError when it
    is too large, too slow or cut short."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S if whole_s is None else whole_s) as patience:
            began = asyncio.get_running_loop().time()
            async for chunk in request.stream():
                size += len(chunk)
                if whole_s is None:
                    patience.reschedule(began + BODY_S + size / BODY_BYTES_PER_S_MIN)
                if size > bytes_max:
                    raise ApiError(413, "body_too_large", f"a body may have {bytes_max} bytes")
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError(408, "body_too_slow", f"the body stopped after {size} bytes, or comes too slowly") from None
    except ClientDisconnect:
        raise ApiError(400, "body_incomplete", "the connection ended before the body did") from None
    return b"".join(chunks)


def require_json(request: Request) -> None:
    """Raise ApiError unless the body is declared as JSON: a browser's form cannot be."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise ApiError(415, "content_type", "the body must be declared as application/json")


Kind = Literal["text", "number", "numbers", "flag"]


async def read_action(request: Request, keys: dict[str, Kind], *, whole_s: float | None = None) -> dict[str, Any]:
    """Return the checked JSON object of an action: every key of `keys` present, of its type, and no other.

    `whole_s` as in `read_body`.
    """
    require_json(request)
    body = await read_body(request, 64 * 1024, whole_s=whole_s)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "not_json", "the body is not JSON") from None
    if not isinstance(found, dict) or set(found) != set(keys):
        raise ApiError(422, "wrong_keys", f"the body is an object with {', '.join(keys)}")
    for key, kind in keys.items():
        value = found[key]
        if kind == "text" and not is_text(value):
            raise ApiError(422, "wrong_value", f'"{key}" is a text of 1 to 500 characters')
        if kind == "number" and not (_are_numbers([value]) or (value == 0 and value is not False)):
            raise ApiError(422, "wrong_value", f'"{key}" is a whole number from 0')
        if kind == "flag" and not isinstance(value, bool):
            raise ApiError(422, "wrong_value", f'"{key}" is true or false')
        if kind == "numbers" and not _are_numbers(value):
            raise ApiError(422, "wrong_value", f'"{key}" is a list of 1 to 1000 sequence numbers')
    return found


def is_text(value: object) -> bool:
    """Whether a value of a body is a text of 1 to 500 characters; half a character (a lone surrogate) is none."""
    return isinstance(value, str) and 0 < len(value.strip()) <= 500 and not _HALVES.search(value)


def _are_numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= 1000
        and all(isinstance(item, int) and not isinstance(item, bool) and 0 < item < 2**63 for item in value)
    )
