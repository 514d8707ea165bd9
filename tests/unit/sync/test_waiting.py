"""Waiting for whichever comes first."""

import asyncio

import pytest

from sync.waiting import first_of


async def test_the_first_that_is_done_wins_and_the_others_are_cancelled() -> None:
    never = asyncio.get_running_loop().create_future()
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    assert await first_of(never, done) == 1
    assert never.cancelled()


async def test_the_lowest_wins_when_several_are_done() -> None:
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for future in futures:
        future.set_result(None)
    assert await first_of(*futures) == 0


async def test_its_exception_is_raised() -> None:
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        await first_of(failed, asyncio.sleep(60))


async def test_being_cancelled_cancels_all() -> None:
    never = [asyncio.get_running_loop().create_future() for _ in range(2)]
    waiting = asyncio.ensure_future(first_of(*never))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert all(future.cancelled() for future in never)
