"""Places and sessions of the listener, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from drivers import Reading, Verdict
from drivers.mqtt_connection import Connection
from drivers.mqtt_doorkeeper import Doorkeeper
from drivers.mqtt_hall import Hall, ListenerStats
from drivers.mqtt_routes import Routes
from drivers.mqtt_settings import ListenerSettings

KEY = ("hh-7", "app")


class Stranger:
    """A connection that has not said who it is. Its socket closes when the loop comes to it."""

    identity = ""

    def __init__(self, host: str = "10.0.0.1") -> None:
        self.peer: object = (host, 1)
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True

    def breathe(self) -> None:
        pass


def hall(**settings: Any) -> Hall:
    async def emit(readings: Sequence[Reading]) -> list[Verdict]:
        raise AssertionError(f"nobody scans here: {readings}")

    asked = ListenerSettings(bind="127.0.0.1:0", unauthenticated="accept-in-lab", **settings)
    return Hall(asked, Routes("dc07"), Doorkeeper(asked, None), ListenerStats(), emit, lambda _error: None)


async def test_a_kept_session_is_there_until_its_time_is_over() -> None:
    """After that a client that is told it still has one would wait for answers that nobody gives."""
    one = hall()
    one.keep_session(KEY, {"ack"}, 60, now=100.0)
    assert one.resume_session(KEY, now=159.9) == {"ack"}
    one.keep_session(KEY, {"ack"}, 60, now=100.0)
    assert one.resume_session(KEY, now=160.0) is None
    assert one.resume_session(KEY, now=101.0) is None, "forgotten, whoever asked"


async def test_newcomers_of_one_moment_each_make_room_for_themselves() -> None:
    """Their sockets close a turn of the loop later; until then a place that was made must not be made again."""
    one = hall(connections_max=2)
    crowd = [Stranger() for _ in range(6)]
    assert all(one.enter(stranger) for stranger in crowd)
    assert [stranger.is_aborted for stranger in crowd] == [True] * 4 + [False] * 2
    assert list(one.guests) == crowd[4:]
    assert one.stats.connections_refused == 4


@pytest.fixture
async def listened_to() -> tuple[Connection, Hall]:
    """A connection of a device that may be silent for 1.5 seconds, and was for a hundred."""
    one, pipe = hall(), Mock(spec=asyncio.Transport)
    pipe.is_closing.return_value = False
    pipe.get_extra_info.return_value = ("10.0.0.1", 1)
    connection = Connection(one, None)
    connection.connection_made(pipe)
    connection.identity, connection._keep_alive_s = "hh-7", 1
    connection._heard_at -= 100.0
    return connection, one


async def test_a_device_that_is_not_listened_to_is_not_silent(listened_to: tuple[Connection, Hall]) -> None:
    """The disk is slow and nobody reads what it says: that is no reason to throw it out."""
    connection, one = listened_to
    connection._valve.shut("disk")
    connection._watch()
    assert one.stats.silent == 0
    connection._valve.open("disk")
    connection._heard_at -= 100.0
    connection._watch()
    assert one.stats.silent == 1
    assert connection._timer is not None
    connection._timer.cancel()


async def test_a_device_may_be_silent_for_one_and_a_half_times_its_keep_alive(
    listened_to: tuple[Connection, Hall],
) -> None:
    """MQTT 5, 3.1.2.10."""
    connection, one = listened_to
    connection._heard_at = asyncio.get_running_loop().time() - 1.0
    connection._watch()
    assert one.stats.silent == 0
    assert connection._timer is not None
    assert connection._timer.when() == connection._heard_at + 1.5
    connection._timer.cancel()
