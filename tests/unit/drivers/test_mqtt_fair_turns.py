"""One device that pours: what it brings is acted on in turns with everybody else, and counts against its rate."""

import asyncio
import socket

import mqtt5
import pytest
from mqtt5 import DisconnectReasonCode as Reason
from mqtt_peer import BOUND_S, Peer, Shelf, ack_topic, listening, publish, scan_body, scan_topic

from drivers import mqtt_valve
from drivers.mqtt_connection import Connection
from drivers.mqtt_listener import ACCEPTED_MAX
from drivers.mqtt_session import TOPICS_MAX, Arrival, ServerSession
from drivers.mqtt_valve import Valve
from drivers.mqtt_wire import EARLY_BYTES_MAX, TURN_BYTES, TURN_PACKETS

PING = mqtt5.PingReqPacket().write()
PONG = mqtt5.PingRespPacket().write()


def seated() -> ServerSession:
    session = ServerSession(packet_bytes_max=65_536, receive_max=10_000)
    hello = session.receive(mqtt5.ConnectPacket("hh-7").write())
    assert hello.connect is not None
    session.accept(hello.connect, may_subscribe=lambda _: True, keep_alive_s=0)
    return session


def turns(session: ServerSession, data: bytes) -> list[Arrival]:
    arrivals = [session.receive(data)]
    while arrivals[-1].has_more:
        arrivals.append(session.receive(b""))
    return arrivals


@pytest.mark.parametrize(("packet", "count"), [(PING, 2000), (publish(None), 2000), (publish(None, b"x" * 60_000), 9)])
def test_a_read_is_acted_on_a_turn_at_a_time_and_nothing_is_left_out(packet: bytes, count: int) -> None:
    arrivals = turns(seated(), packet * count + PING[:1])
    assert sum(arrival.packets for arrival in arrivals) == count
    assert sum(arrival.size for arrival in arrivals) == count * len(packet)
    assert all(arrival.packets <= TURN_PACKETS for arrival in arrivals)
    assert all(arrival.size < TURN_BYTES + len(packet) for arrival in arrivals)
    assert sum(len(arrival.publishes) for arrival in arrivals) == (0 if packet == PING else count)
    assert b"".join(arrival.replies for arrival in arrivals) == (PONG * count if packet == PING else b"")


def test_the_last_turn_knows_that_it_is_the_last() -> None:
    session = seated()
    assert [arrival.has_more for arrival in turns(session, PING * TURN_PACKETS)] == [False]
    assert session.receive(PING).packets == 1


@pytest.mark.parametrize(("size", "is_taken"), [(EARLY_BYTES_MAX, True), (EARLY_BYTES_MAX + 1, False)])
def test_a_stranger_may_not_make_us_hold_much_behind_its_connect(size: int, is_taken: bool) -> None:
    session = ServerSession(packet_bytes_max=65_536, receive_max=10)
    arrival = session.receive(mqtt5.ConnectPacket("hh-7").write() + b"x" * size)
    assert (arrival.connect is not None, arrival.fault is None) == (is_taken, is_taken)
    assert len(session._reader._rest) == (size if is_taken else 0)


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_a_packet_of_very_many_topics_ends_the_connection(kind: str) -> None:
    def packet(count: int) -> bytes:
        if kind == "unsubscribe":
            return mqtt5.UnsubscribePacket(5, ["x"] * count).write()
        return mqtt5.SubscribePacket(5, [mqtt5.TopicFilter("x")] * count).write()

    assert seated().receive(packet(TOPICS_MAX)).fault is None
    fault = seated().receive(packet(TOPICS_MAX + 1)).fault
    assert fault is not None
    assert fault.reason is Reason.QUOTA_EXCEEDED


async def test_others_are_answered_while_one_device_pours_pings() -> None:
    """A megabyte a second of them kept every other scan waiting for two seconds."""
    async with listening(Shelf()) as listener:
        loud, quiet = await Peer.hello(listener.address[1], "hh-1"), await Peer.hello(listener.address[1], "hh-2")
        heard = 0

        async def drain() -> None:
            nonlocal heard
            while more := await loud.reader.read(2 * TURN_PACKETS):
                heard += len(more) // len(PONG)

        draining = asyncio.ensure_future(drain())
        total = 400 * TURN_PACKETS
        async with asyncio.timeout(BOUND_S):
            loud.send(PING * total)
            while not heard:
                await asyncio.sleep(0)
            answers = 0
            while heard < total:
                quiet.send(PING)
                assert isinstance(await quiet.receive(), mqtt5.PingRespPacket)
                answers += 1
        assert answers > 50
        await loud.close()
        await draining
        await quiet.close()


async def test_a_crowd_at_the_door_is_let_in_a_few_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of strangers a second cost each scan the time in which all that waited were accepted."""
    made = 0
    connection_made = Connection.connection_made

    def count(self: Connection, transport: asyncio.BaseTransport) -> None:
        nonlocal made
        made += 1
        connection_made(self, transport)

    monkeypatch.setattr(Connection, "connection_made", count)
    async with listening(Shelf()) as listener:
        crowd = [socket.create_connection(listener.address) for _ in range(100)]
        most = before = 0
        async with asyncio.timeout(BOUND_S):
            while made < len(crowd):
                await asyncio.sleep(0)
                most, before = max(most, made - before), made
        assert most <= ACCEPTED_MAX
        for one in crowd:
            one.close()


async def test_what_came_in_one_read_is_stored_whole_and_in_order() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        count = 3 * TURN_PACKETS
        peer.send(*(publish(None, scan_body(number)) for number in range(count)), mqtt5.DisconnectPacket().write())
        await shelf.arrived(count)
        assert [reading.message_id for reading in shelf.readings] == [f"hh-7-{number:06d}" for number in range(count)]
        assert await peer.receive() is None
        await peer.close()


ARRAY = b"[" + b",".join(scan_body(number) for number in range(40)) + b"]"


@pytest.mark.parametrize(
    "burst",
    [
        PING * 40,
        publish(None, topic=scan_topic("hh-8")) * 40,
        publish(None, ARRAY),
        mqtt5.SubscribePacket(9, [mqtt5.TopicFilter(ack_topic("hh-7"))]).write() * 40,
    ],
    ids=["pings", "topics of others", "an array", "subscriptions"],
)
async def test_whatever_a_device_sends_counts_against_its_rate(burst: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0

    def count(valve: Valve, messages: int) -> None:
        nonlocal counted
        counted += messages

    monkeypatch.setattr(mqtt_valve.Valve, "count", count)
    shelf = Shelf()
    async with listening(shelf, messages_per_s_max=1000.0) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(burst, publish(None))
        async with asyncio.timeout(BOUND_S):
            while counted < 41:
                await asyncio.sleep(0)
        await peer.close()


async def test_a_device_that_pours_without_waiting_has_a_share_of_what_is_on_its_way_to_disk() -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        loud, quiet = await Peer.hello(listener.address[1], "hh-7"), await Peer.hello(listener.address[1], "hh-8")
        bodies = [b'{"id":"hh-7-%d","code":"12345","x":"%s"}' % (number, b"x" * 10_000) for number in range(300)]
        loud.send(*(publish(None, body) for body in bodies))
        await shelf.arrived(10)
        assert await loud.is_quiet()
        held = sum(len(one.raw) for one in shelf.readings)
        assert held < mqtt_valve.IN_FLIGHT_BYTES_MAX + 2 * TURN_BYTES
        before = len(shelf.readings)
        quiet.send(publish(1, device="hh-8"))
        await shelf.arrived(before + 1)
        shelf.is_held = False
        shelf.let_through()
        await shelf.arrived(301)
        for peer in (loud, quiet):
            await peer.close()


class Wire(asyncio.Transport):
    is_paused = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return False


async def test_who_is_over_the_rate_twice_waits_for_both() -> None:
    """An array counts once as a message and once as its scans; the first wait must not end the second."""
    wire, opened = Wire(), asyncio.Event()
    valve = Valve(1000.0, opened.set)
    valve.attach(wire)
    started = asyncio.get_running_loop().time()
    valve.count(1010)
    valve.count(300)
    async with asyncio.timeout(BOUND_S):
        await opened.wait()
    assert asyncio.get_running_loop().time() - started >= 0.3
    assert not wire.is_paused
