"""What `HttpEvents` takes for the network, where a test answers by itself."""

import json
from collections.abc import Callable, Mapping

from sync.answer import Answer
from sync.http_exchange import Request


class ScriptedCarrier:
    """Answers every request with what `answer` returns for it."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self._answer = answer
        self.closings = 0

    async def exchange(self, request: Request) -> Answer:
        return self._answer(request)

    def close(self) -> None:
        self.closings += 1


def said(
    status: int, body: object = b"", *, headers: Mapping[str, str] | None = None, bytes_max: int = 1_048_576
) -> Answer:
    """An answer; what is no bytes is said as JSON."""
    return Answer(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode(), bytes_max)
