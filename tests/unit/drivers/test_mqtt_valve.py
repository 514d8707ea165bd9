"""When a connection is read, and when it is given up."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from drivers import mqtt_unread
from drivers.mqtt_unread import Unread
from drivers.mqtt_valve import Valve


def transport(waiting: int = 0) -> Mock:
    made = Mock(spec=asyncio.Transport)
    made.is_closing.return_value = False
    made.get_extra_info.return_value = None
    made.get_write_buffer_size.return_value = waiting
    return made


async def test_a_second_s_worth_may_come_at_once() -> None:
    """A handheld that comes back with its memory full sends in a burst; one more is one too many."""
    valve = Valve(100.0)
    wire = transport()
    valve.attach(wire)
    valve.count(100)
    assert not valve.is_shut
    valve.count(5)
    assert valve.is_shut
    wire.pause_reading.assert_called_once_with()


async def test_it_is_read_again_when_the_last_reason_is_gone() -> None:
    valve, wire = Valve(None), transport()
    valve.attach(wire)
    valve.shut("disk")
    valve.shut("answers")
    valve.open("disk")
    assert valve.is_shut
    wire.resume_reading.assert_not_called()
    valve.open("answers")
    wire.resume_reading.assert_called_once_with()


@pytest.mark.parametrize(("later", "is_given_up"), [(1000, True), (999, False), (1001, True)])
async def test_a_peer_that_took_nothing_is_given_up_and_one_that_took_a_byte_is_not(
    monkeypatch: pytest.MonkeyPatch, later: int, *, is_given_up: bool
) -> None:
    """A bad radio is slow; whoever loses his connection for it sends everything again, and is as slow as before."""
    looked = asyncio.Event()
    stuck: list[bool] = []
    monkeypatch.setattr(mqtt_unread, "UNREAD_S", 0.0)
    wire = transport(1000)
    unread = Unread(lambda: stuck.append(True))
    unread.begin(wire)

    def size() -> int:
        looked.set()
        return later

    wire.get_write_buffer_size.side_effect = size
    async with asyncio.timeout(60):
        await looked.wait()
    unread.end()
    assert bool(stuck) is is_given_up
