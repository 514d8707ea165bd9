"""Two lanes: what is held is not lost, and a socket is watched in one lane only."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from drivers.slow_lane import LITTLE_BYTES, TURN_BYTES, LaneLoop, LaneSelector, running_lanes

READ, WRITE = 1, 2
"""selectors.EVENT_READ, EVENT_WRITE."""


@pytest.fixture
def lanes() -> Iterator[LaneSelector]:
    lanes = LaneSelector()
    yield lanes
    lanes.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def ready(lanes: LaneSelector, timeout: float = 0) -> list[tuple[int, int, object]]:
    return [(key.fd, events, key.data) for key, events in lanes.select(timeout)]


def test_what_arrives_while_the_lane_is_held_is_there_when_it_is_released(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ, "ours")
    lanes.join(ours.fileno())
    lanes.hold()
    theirs.send(b"scan")
    assert ready(lanes) == []
    assert ready(lanes, 0.01) == []
    lanes.release()
    assert ready(lanes, 60) == [(ours.fileno(), READ, "ours")]
    lanes.hold()
    assert ready(lanes) == []


def test_the_fast_lane_goes_on_while_the_slow_one_is_held(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ, "slow")
    lanes.join(ours.fileno())
    lanes.register(theirs.fileno(), READ, "fast")
    ours.send(b"x")
    theirs.send(b"x")
    assert sorted(ready(lanes)) == sorted([(ours.fileno(), READ, "slow"), (theirs.fileno(), READ, "fast")])
    lanes.hold()
    assert ready(lanes, 60) == [(theirs.fileno(), READ, "fast")]


@pytest.fixture
def crowd(lanes: LaneSelector) -> Iterator[list[Pair]]:
    """Six devices in the slow lane."""
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(6)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            lanes.register(ours.fileno(), READ)
            lanes.join(ours.fileno())
        yield pairs


def test_who_brings_little_does_not_wait_behind_those_who_bring_much(lanes: LaneSelector, crowd: list[Pair]) -> None:
    """Five empty their memories; a person scans one carton, again and again."""
    (person, scanner), *others = crowd
    for _, theirs in others:
        theirs.send(b"x" * (TURN_BYTES + 1))
    turns = []
    for _ in range(10):
        scanner.send(b"scan")
        turn = [fd for fd, _, _ in ready(lanes)]
        assert turn[0] == person.fileno(), "in every turn, and before the others"
        person.recv(100)
        turns.append(turn[1:])
    assert [len(turn) for turn in turns] == [1] * 10, "one of the others, so that everybody has a turn in between"
    assert turns[:5] == turns[5:]
    assert {turn[0] for turn in turns} == {ours.fileno() for ours, _ in others}, "and none is passed over"


def test_a_turn_takes_as_many_as_bring_some_milliseconds_of_work(lanes: LaneSelector, crowd: list[Pair]) -> None:
    for _, theirs in crowd:
        theirs.send(b"x" * (TURN_BYTES // 2))
    turns = [[fd for fd, _, _ in ready(lanes)] for _ in range(3)]
    assert [len(turn) for turn in turns] == [2, 2, 2]
    assert len({fd for turn in turns for fd in turn}) == 6
    for ours, theirs in crowd:
        ours.recv(TURN_BYTES)
        theirs.send(b"x" * LITTLE_BYTES)
    assert len(ready(lanes)) == 6


def test_a_new_socket_has_not_had_the_turns_of_the_one_before_it(lanes: LaneSelector, crowd: list[Pair]) -> None:
    for _, theirs in crowd[:2]:
        theirs.send(b"x" * (TURN_BYTES + 1))
    first, second, again = (ready(lanes)[0][0] for _ in range(3))
    assert again == first, "so the other one is next"
    lanes.unregister(first)
    lanes.leave(first)
    lanes.register(first, READ)
    lanes.join(first)
    assert [ready(lanes)[0][0] for _ in range(2)] == [first, second]


def test_an_end_is_told_although_much_was_said_before_it(lanes: LaneSelector, crowd: list[Pair]) -> None:
    (ours, theirs), (_, other) = crowd[:2]
    other.send(b"x" * (TURN_BYTES + 1))
    theirs.send(b"x" * (TURN_BYTES + 1))
    theirs.close()
    assert len(ready(lanes)) == 2
    assert (ours.fileno(), READ, None) in ready(lanes)


def test_a_socket_that_lives_on_in_a_copy_is_passed_over(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    number = ours.fileno()
    lanes.register(number, READ)
    lanes.join(number)
    with ours.dup():
        ours.close()
        lanes.unregister(number)
        theirs.send(b"x")
        assert ready(lanes) == []


def test_a_peer_that_went_away_is_read(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ)
    lanes.join(ours.fileno())
    lanes.modify(ours.fileno(), READ | WRITE, "both")
    assert lanes.get_key(ours.fileno()).data == "both"
    theirs.close()
    assert ready(lanes) == [(ours.fileno(), READ | WRITE, "both")]
    number = ours.fileno()
    ours.close()
    assert lanes.unregister(number).fd == number, "the kernel has forgotten it already"


def test_a_socket_that_is_watched_again_is_in_its_lane_again(lanes: LaneSelector, pair: Pair) -> None:
    """Reading is paused and goes on: the loop unregisters and registers."""
    ours, theirs = pair
    lanes.register(ours.fileno(), READ, "first")
    lanes.join(ours.fileno())
    assert lanes.unregister(ours.fileno()).data == "first"
    lanes.register(ours.fileno(), READ, "second")
    theirs.send(b"x")
    lanes.hold()
    assert ready(lanes) == []
    lanes.release()
    assert ready(lanes) == [(ours.fileno(), READ, "second")]


def test_the_next_socket_with_the_number_starts_in_the_fast_lane(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ)
    lanes.join(ours.fileno())
    lanes.join(ours.fileno())
    lanes.unregister(ours.fileno())
    lanes.leave(ours.fileno())
    lanes.leave(ours.fileno())
    lanes.register(ours.fileno(), READ, "new")
    lanes.hold()
    theirs.send(b"x")
    assert ready(lanes, 60) == [(ours.fileno(), READ, "new")]


def test_one_that_leaves_while_it_is_watched_takes_the_fast_lane(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ, "kept")
    lanes.join(ours.fileno())
    theirs.send(b"x")
    lanes.hold()
    lanes.leave(ours.fileno())
    assert ready(lanes, 60) == [(ours.fileno(), READ, "kept")]


def test_writing_is_watched_in_either_lane(lanes: LaneSelector, pair: Pair) -> None:
    ours, _ = pair
    lanes.register(ours.fileno(), READ)
    lanes.join(ours.fileno())
    lanes.modify(ours.fileno(), READ | WRITE, "both")
    assert lanes.get_key(ours.fileno()).events == READ | WRITE
    assert ours.fileno() in lanes.get_map()
    assert ready(lanes) == [(ours.fileno(), WRITE, "both")]


def test_holding_and_releasing_twice_is_doing_it_once(lanes: LaneSelector, pair: Pair) -> None:
    ours, theirs = pair
    lanes.register(ours.fileno(), READ, 1)
    lanes.join(ours.fileno())
    theirs.send(b"x")
    lanes.hold()
    lanes.hold()
    lanes.release()
    lanes.release()
    assert ready(lanes) == [(ours.fileno(), READ, 1)]


def test_a_loop_with_lanes_moves_bytes_both_ways_through_either() -> None:
    """More than a socket takes at once, so that reading is paused and writing is waited for."""

    async def talk() -> bytes:
        lanes = running_lanes()
        assert lanes is not None
        seen = []

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wire = writer.get_extra_info("socket").fileno()
            lanes.join(wire)
            seen.append(wire)
            while data := await reader.read(100_000):
                writer.write(data)
                await writer.drain()
            writer.close()
            lanes.leave(wire)

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x" * 3_000_000)
            writer.write_eof()
            while not seen:
                await asyncio.sleep(0)
            for _ in range(50):
                lanes.hold()
                await asyncio.sleep(0)
                lanes.release()
                await asyncio.sleep(0)
            heard = await reader.read(-1)
            writer.close()
            return heard

    with asyncio.Runner(loop_factory=LaneLoop) as runner:
        assert len(runner.run(asyncio.wait_for(talk(), 60))) == 3_000_000


async def test_another_loop_has_no_lanes() -> None:
    assert running_lanes() is None
