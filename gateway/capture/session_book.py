"""The sessions of all stations: the values in use, and the rows they are kept in.

What one take changes is collected beside the book and adopted when its append was accepted, so that a refused append
leaves no trace; after a failed commit the book is loaded again from what is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from buffer.entry import StateRow
from gateway.capture.station import EMPTY, STATE_PREFIX, Session, decode_session, encode_session

_REFRESHES_PER_IDLE = 4
"""The row of a session in use is written anew after a quarter of the idle time, so that a restart knows of it."""


class SessionBook:
    """Sessions by key (`Route.session_key`). Times are monotonic seconds, except `wall_ms`."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._used: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def session(self, key: str, now: float, idle_s: float) -> Session:
        """Return the session that holds now."""
        session = self._sessions.get(key)
        if session is None or now - self._used[key] > idle_s:
            return EMPTY
        return session

    def is_due(self, key: str, now: float, idle_s: float) -> bool:
        """Count the session as used now; return True when its row should be written though it did not change."""
        self._used[key] = now
        return now - self._written.get(key, float("-inf")) > idle_s / _REFRESHES_PER_IDLE

    def adopt(self, changes: Mapping[str, Session], now: float) -> None:
        """Take over what a take changed."""
        for key, session in changes.items():
            self._written[key] = self._used[key] = now
            self._sessions[key] = session

    def load(
        self,
        rows: Iterable[StateRow],
        idle_s: Callable[[str], float | None],
        now: float,
        wall_ms: int | None,
    ) -> None:
        """Replace everything by the committed rows. `idle_s` gives the idle time of a key, None when its station is
        gone; `wall_ms` is None while nobody vouches for the clock. How long a session was idle that this run has used
        is known without it. A row of another form counts as an empty session: the next document label sets it again."""
        used = self._used
        self._sessions, self._used, self._written = {}, {}, {}
        for row in rows:
            key = row.key.removeprefix(STATE_PREFIX)
            idle = idle_s(key)
            if idle is None or row.value is None:
                continue
            try:
                session = decode_session(row.value, None if key in used else wall_ms, idle)
            except ValueError:
                continue
            self._sessions[key] = session
            self._used[key] = used.get(key, now)


def session_rows(changes: Mapping[str, Session], wall_ms: int | None) -> list[StateRow]:
    """Return the rows that commit what a take changed; an empty session has none. `wall_ms` as for `load`."""
    return [
        StateRow(STATE_PREFIX + key, None if session == EMPTY else encode_session(session, wall_ms))
        for key, session in changes.items()
    ]
