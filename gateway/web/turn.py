"""Turns of those who ask for lists.

An answer of megabytes is read, made and held before it is sent. Two hundred of them at once, which any user of this
computer may ask for, would be more than the service may have of memory, and scans would wait for all of them. So a few
are made at a time, and whoever asks for many waits behind whoever asks for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from drivers.mqtt_turns import Turns

AT_ONCE = 4

Handler = Callable[[Request], Awaitable[Response]]


class ReadingTurns:
    """The turns of one gateway."""

    def __init__(self) -> None:
        self._turns = Turns(AT_ONCE)

    def of(self, handler: Handler) -> Handler:
        """Return the handler as one that waits for its turn. It is over when the answer is made, before it is sent."""

        @wraps(handler)
        async def in_turn(request: Request) -> Response:
            caller = request.state.caller
            async with self._turns.of("" if caller is None else caller.name):
                return await handler(request)

        return in_turn
