"""Waiting for a newer entry."""

from __future__ import annotations

import asyncio

import pytest

from buffer.newest import Newest


async def test_what_is_there_is_not_waited_for() -> None:
    newest = Newest(5, b"chain")
    async with asyncio.timeout(60):
        await newest.beyond(4)


async def test_waiters_wake_when_their_entry_is_there_and_not_before() -> None:
    newest = Newest(5, b"chain")
    near, far = asyncio.ensure_future(newest.beyond(5)), asyncio.ensure_future(newest.beyond(7))
    await asyncio.sleep(0)
    newest.move(7, b"next")
    await near
    await asyncio.sleep(0)
    assert (newest.seq, newest.chain, far.done()) == (7, b"next", False)
    newest.move(8, b"last")
    await far


async def test_who_stops_waiting_is_forgotten() -> None:
    """On a quiet week-end no commit comes that would sweep them out."""
    newest = Newest(0, b"")
    for _ in range(50):
        waiting = asyncio.ensure_future(newest.beyond(0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert newest._waiters == []


async def test_letting_go_ends_every_wait() -> None:
    newest = Newest(0, b"")
    waiting = asyncio.ensure_future(newest.beyond(0))
    await asyncio.sleep(0)
    newest.let_go()
    with pytest.raises(asyncio.CancelledError):
        await waiting
