"""Lists are made a few at a time, and a crowd waits for itself."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

from starlette.responses import Response

from gateway.web.turn import AT_ONCE, ReadingTurns

BOUND_S = 60.0


def request(name: str | None) -> Any:
    caller = None if name is None else SimpleNamespace(name=name)
    return SimpleNamespace(state=SimpleNamespace(caller=caller))


async def test_only_a_few_are_made_at_once_and_a_crowd_waits_for_itself() -> None:
    under_way: Counter[str] = Counter()
    most = 0
    made: list[str] = []

    async def make(asked: Any) -> Response:
        nonlocal most
        under_way["all"] += 1
        most = max(most, under_way["all"])
        await asyncio.sleep(0)
        under_way["all"] -= 1
        made.append(asked.state.caller.name if asked.state.caller else "")
        return Response()

    handler = ReadingTurns().of(make)
    asking = [asyncio.ensure_future(handler(request("crowd"))) for _ in range(100)]
    await asyncio.sleep(0)
    asking += [asyncio.ensure_future(handler(request(name))) for name in ("technician", None)]
    async with asyncio.timeout(BOUND_S):
        await asyncio.gather(*asking)
    assert most == AT_ONCE
    assert {"technician", ""} <= set(made[: 5 * AT_ONCE])
    assert len(made) == 102
