"""Signing in and out of the page.

POST   /v1/session   {"token": ".."}   begins a session; answers who it is and the word that actions have to repeat
GET    /v1/session                     who asks, and that word again (null without a session)
DELETE /v1/session                     ends it
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.web.auth import Caller
from gateway.web.guard import ApiError, read_action
from gateway.web.session import COOKIE, Session, Sessions, cookie_of


class SignIn:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def begin(self, request: Request) -> Response:
        """Begin a session for whoever shows a token."""
        asked = await read_action(request, {"token": "text"})
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
