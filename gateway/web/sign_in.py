"""Signing in and out of the page.

POST   /v1/session   {"token": ".."}   begins a session; answers who it is and the word that actions have to repeat
GET    /v1/session                     who asks, and that word again (null without a session)
DELETE /v1/session                     ends it

To sign in is the one request whose body anybody may send. So its connection gives way, at the limit, to whoever comes
next, and its body has seconds, not the patience that a handheld with a token and a bad radio has.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.web.auth import Caller
from gateway.web.guard import ApiError, read_action
from gateway.web.server import GIVE_WAY
from gateway.web.session import COOKIE, Session, Sessions, cookie_of

BODY_WHOLE_S = 10.0


class SignIn:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def begin(self, request: Request) -> Response:
        """Begin a session for whoever shows a token."""
        give_way = getattr(request.state, GIVE_WAY, None)
        if give_way is not None:
            give_way()
        asked = await read_action(request, {"token": "text"}, whole_s=BODY_WHOLE_S)
        begun = self._sessions.begin(str(asked["token"]).strip())
        if begun is None:
            raise ApiError(
                401, "token_unknown", "no person's token", hint="dockline token NAME --role viewer makes one"
            )
        cookie, session, caller = begun
        answer = JSONResponse(_told(caller, session.csrf))
        answer.set_cookie(
            COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
        )
        return answer

    async def show(self, request: Request) -> Response:
        """Say who asks; without a session the word is null."""
        caller: Caller | None = request.state.caller
        session: Session | None = getattr(request.state, "session", None)
        if caller is None:
            raise ApiError(401, "token_required", "this needs a token")
        return JSONResponse(_told(caller, session.csrf if session is not None else None))

    async def end(self, request: Request) -> Response:
        """End the session of the cookie."""
        cookie = cookie_of(request.headers.get("cookie"))
        if cookie is not None:
            self._sessions.end(cookie)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


def _told(caller: Caller, csrf: str | None) -> dict[str, str | None]:
    return {"name": caller.name, "role": caller.role, "csrf": csrf}
