"""A body that comes slowly, and one that does not come: told apart by a clock that is a number."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from starlette.requests import Request
from starlette.types import Message
from voyage_loop import VirtualLoop

from gateway.web.guard import BODY_BYTES_PER_S_MIN, BODY_S, ApiError, read_body

T = TypeVar("T")
BACKLOG = b"x" * 48_000
"""Two hundred scans in one array."""


def played(play: Coroutine[Any, Any, T]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(play)
    finally:
        loop.close()


def request(pieces: Sequence[bytes], *, every_s: float) -> Request:
    """A POST whose body comes piece by piece, with a pause before each, and never ends when `pieces` does not."""
    waiting = list(pieces)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        await asyncio.sleep(every_s)
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": not piece or bool(waiting)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_a_backlog_over_two_kilobit_a_second_is_taken() -> None:
    """It needs more than three minutes, and would need them again after every 408."""
    pieces = [BACKLOG[at : at + 500] for at in range(0, len(BACKLOG), 500)]
    assert played(read_body(request(pieces, every_s=2.0), len(BACKLOG))) == BACKLOG


@pytest.mark.parametrize("begun", [0, 40_000])
def test_a_body_that_stops_half_way_is_given_up(begun: int) -> None:
    async def play() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ApiError, match=f"stopped after {begun} bytes") as caught:
            await read_body(request([BACKLOG[:begun], b""], every_s=0.0), len(BACKLOG))
        assert caught.value.status_code == 408
        return loop.time() - began

    assert played(play()) == pytest.approx(BODY_S + begun / BODY_BYTES_PER_S_MIN)


def test_a_byte_now_and_then_holds_no_place_for_long() -> None:
    async def play() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ApiError, match="too slowly"):
            await read_body(request([b"x"] * 10_000, every_s=1.0), 262_144)
        return loop.time() - began

    assert played(play()) < BODY_S + 1


def test_a_body_that_a_stranger_may_send_has_a_time_and_no_patience() -> None:
    """However steadily it comes."""

    async def play() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ApiError, match="too slowly"):
            await read_body(request([b"x" * 1000] * 60, every_s=1.0), 64 * 1024, whole_s=10.0)
        return loop.time() - began

    assert played(play()) == pytest.approx(10.0)
