"""Sessions of the page: a person shows a token once, the browser keeps a cookie.

The cookie is not readable by scripts, and is sent to this gateway only and from its own pages only. Browsers send it by
themselves, so whatever changes something has to repeat a word in the header `Dockline-CSRF` that another page cannot
know. Sessions live in memory: a restart ends them all. One ends when it is idle or old, and at once when its token is
taken out of the file. A device has no page.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from gateway.log import forget_secret, keep_secret
from gateway.web.auth import Caller, Tokens

COOKIE = "dockline_session"
CSRF_HEADER = "dockline-csrf"
IDLE_S = 8 * 3600.0
"""A shift: a page that nobody looks at any more ends with it."""
AGE_S = 7 * 24 * 3600.0
SESSIONS_MAX = 200
"""At the limit the one that was idle for longest ends."""


@dataclass(slots=True)
class Session:
    """One browser that showed a token."""

    token: str
    """Asked about again at each request: a token that was withdrawn counts no more."""
    cookie: str
    """Kept out of the log for as long as it opens something."""
    csrf: str
    began: float
    used: float


class Sessions:
    """The sessions of one daemon. Times are monotonic seconds."""

    def __init__(self, tokens: Tokens, monotonic: Callable[[], float]) -> None:
        self._tokens = tokens
        self._monotonic = monotonic
        self._sessions: dict[bytes, Session] = {}

    def begin(self, token: str) -> tuple[str, Session, Caller] | None:
        """Return the cookie of a new session, the session, and who it is; None for a token that is not valid."""
        caller = self._tokens.find(token)
        if caller is None or caller.role == "device":
            return None
        now = self._monotonic()
        self._end_old(now)
        if len(self._sessions) >= SESSIONS_MAX:
            self._end(min(self._sessions, key=lambda key: self._sessions[key].used))
        cookie = secrets.token_urlsafe(32)
        keep_secret(cookie)
        session = Session(token, cookie, secrets.token_urlsafe(32), now, now)
        self._sessions[_key(cookie)] = session
        return cookie, session, caller

    def find(self, cookie: str) -> tuple[Session, Caller] | None:
        """Return the session of a cookie and who it is; None when it ended."""
        now = self._monotonic()
        self._end_old(now)
        session = self._sessions.get(_key(cookie))
        if session is None:
            return None
        caller = self._tokens.find(session.token)
        if caller is None or caller.role == "device":
            self._end(_key(cookie))
            return None
        session.used = now
        return session, caller

    def end(self, cookie: str) -> None:
        """End a session; one that ended already is no mistake."""
        self._end(_key(cookie))

    def _end(self, key: bytes) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            forget_secret(session.cookie)

    def _end_old(self, now: float) -> None:
        for key in [key for key, one in self._sessions.items() if now - one.used > IDLE_S or now - one.began > AGE_S]:
            self._end(key)


def _key(cookie: str) -> bytes:
    """Cookies are looked up by their hash, so that the time of a look-up says nothing about them."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def cookie_of(header: str | None) -> str | None:
    """Return the session cookie of a Cookie header; None when there is none."""
    if not header:
        return None
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def repeats_word(session: Session, header: str | None) -> bool:
    """Whether a request proves that it comes from our own page."""
    return header is not None and hmac.compare_digest(header.encode(), session.csrf.encode())
