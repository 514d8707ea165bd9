"""The subscriber against a broker that does what each test says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import mqtt5
import pytest
from mqtt5 import ConnAckReasonCode as ConnAck
from mqtt5 import DisconnectReasonCode as Reason
from mqtt_peer import BOUND_S, SITE, Peer, Shelf, ack_topic, publish, scan_body, scan_topic
from voyage_loop import VirtualLoop

from drivers import DeviceFault, LinkLost, StorageUnavailable, Verdict, mqtt_broker_link, mqtt_unread
from drivers.mqtt_broker_link import BrokerLink, SubscriberStats
from drivers.mqtt_routes import Routes
from drivers.mqtt_session import ClientSession
from drivers.mqtt_subscriber import BrokerSettings, MqttSubscriber
from drivers.mqtt_valve import Valve
from drivers.mqtt_wire import TURN_PACKETS

ACCEPTED = mqtt5.ConnAckPacket().write()
GRANTED = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]


class ScriptedBroker:
    """Takes connections one after the other and hands them to the test."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[Peer] = asyncio.Queue()
        self.port = 0

    async def connection(self) -> Peer:
        return await asyncio.wait_for(self.arrivals.get(), BOUND_S)

    async def subscribed(self, **connack: Any) -> tuple[Peer, mqtt5.ConnectPacket, mqtt5.SubscribePacket]:
        """A subscriber that is let in and has what it asked for."""
        peer = await self.connection()
        connect = await peer.receive()
        peer.send(mqtt5.ConnAckPacket(**connack).write())
        subscribe = await peer.receive()
        peer.send(mqtt5.SubAckPacket(subscribe.packet_id, GRANTED * len(subscribe.topic_filters)).write())
        return peer, connect, subscribe


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    scripted = ScriptedBroker()
    peers: list[Peer] = []

    def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        scripted.arrivals.put_nowait(peers[-1])

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    yield scripted
    server.close()
    for peer in peers:
        await peer.close()


def subscriber(broker: ScriptedBroker, readers: Any = None, **settings: Any) -> MqttSubscriber:
    url = settings.pop("url", f"mqtt://127.0.0.1:{broker.port}")
    stats = settings.pop("stats", None)
    made, name = BrokerSettings(url=url, **settings), "dockline-dc07-pc1"
    return MqttSubscriber("mqtt-broker", made, site=SITE, client_id=name, readers=readers, stats=stats)


@contextlib.asynccontextmanager
async def running(driver: MqttSubscriber, shelf: Shelf) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(driver.run(shelf.emit))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND_S)
        assert task.done()


async def ended(task: "asyncio.Task[None]", kind: type[Exception]) -> Any:
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(asyncio.shield(task), BOUND_S)
    return caught.value


async def test_it_asks_for_a_session_that_outlives_it_and_subscribes_every_time(broker: ScriptedBroker) -> None:
    """A changed configuration is never ignored, and nothing published meanwhile is missed."""
    driver = subscriber(broker, receive_max=77, session_expiry_s=3600)
    for _ in range(2):
        async with running(driver, Shelf()) as task:
            peer, connect, subscribe = await broker.subscribed(session_present=True)
            assert (connect.client_id, connect.clean_start, connect.session_expiry_interval) == (
                "dockline-dc07-pc1",
                False,
                3600,
            )
            assert connect.receive_max == 77
            assert [(one.pattern, one.max_qos) for one in subscribe.topic_filters] == [
                (f"dockline/v1/{SITE}/+/scan", mqtt5.QoS.AT_LEAST_ONCE)
            ]
            await asyncio.wait_for(driver.subscribed.wait(), BOUND_S)
            await peer.close()
            await ended(task, LinkLost)
            assert not driver.subscribed.is_set()


async def test_what_a_broker_brings_in_one_read_is_acted_on_in_turns_and_all_of_it(broker: ScriptedBroker) -> None:
    """A broker that pours must not keep the other devices waiting."""
    shelf = Shelf()
    async with running(subscriber(broker), shelf):
        peer, _, _ = await broker.subscribed()
        count = 4 * TURN_PACKETS
        peer.send(*(publish(number) for number in range(1, count + 1)))
        await shelf.arrived(count)
        assert max(map(len, shelf.lists)) <= TURN_PACKETS
        packets = [await peer.receive() for _ in range(2 * count)]
        acknowledged = [one.packet_id for one in packets if isinstance(one, mqtt5.PubAckPacket)]
        assert acknowledged == list(range(1, count + 1))


async def test_puback_after_the_commit_in_order_of_arrival_with_an_acknowledgement(broker: ScriptedBroker) -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with running(subscriber(broker), shelf):
        peer, *_ = await broker.subscribed()
        peer.send(publish(5))
        await shelf.arrived(1)
        peer.send(publish(3, device="hh-8", correlation_data=b"\xff"))
        await shelf.arrived(2)
        shelf.let_through(1)
        ack = await peer.receive()
        assert (ack.topic, ack.correlation_data) == (ack_topic("hh-8"), b"\xff")
        assert await peer.is_quiet(), "the second PUBACK waits for the first"
        shelf.let_through(0)
        packets = [await peer.receive() for _ in range(3)]
        assert [one.packet_id for one in packets if isinstance(one, mqtt5.PubAckPacket)] == [5, 3]
        assert [one.device for one in shelf.readings] == ["hh-7", "hh-8"]


async def test_a_broker_that_sends_more_than_the_disk_takes_is_not_read_on(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else bounds QoS 0: without this a slow disk fills the memory."""
    moved: asyncio.Queue[str] = asyncio.Queue()

    class TellingValve(Valve):
        def shut(self, reason: str) -> None:
            super().shut(reason)
            moved.put_nowait(f"shut {reason}")

        def open(self, reason: str) -> None:
            super().open(reason)
            moved.put_nowait(f"open {reason}")

    monkeypatch.setattr(mqtt_broker_link, "Valve", TellingValve)
    monkeypatch.setattr(mqtt_broker_link, "IN_FLIGHT_BYTES_MAX", 100)
    shelf = Shelf()
    shelf.is_held = True
    async with running(subscriber(broker), shelf):
        peer, *_ = await broker.subscribed()
        peer.send(publish(1, b"x" * 200))
        async with asyncio.timeout(BOUND_S):
            assert await moved.get() == "shut disk"
            await shelf.arrived(1)
            shelf.let_through()
            assert await moved.get() == "open disk"


async def test_an_acknowledgement_goes_to_the_response_topic_only_inside_the_senders_tree(
    broker: ScriptedBroker,
) -> None:
    async with running(subscriber(broker), Shelf()):
        peer, *_ = await broker.subscribed()
        for number, asked in enumerate((ack_topic("hh-7") + "/r", ack_topic("hh-8"), "a/b"), 1):
            peer.send(publish(number, response_topic=asked))
        packets = [await peer.receive() for _ in range(6)]
        topics = [one.topic for one in packets if isinstance(one, mqtt5.PublishPacket)]
        assert topics == [ack_topic("hh-7") + "/r", ack_topic("hh-7"), ack_topic("hh-7")]


async def test_a_late_commit_acknowledges_nothing_on_the_next_connection(broker: ScriptedBroker) -> None:
    """The broker uses identifier 1 again for another message; acknowledging it would lose that one."""
    shelf = Shelf()
    shelf.is_held = True
    driver = subscriber(broker, drain_s=0)
    tickets = []
    open_ticket = driver.session.window.open
    driver.session.window.open = lambda ids: tickets.append(open_ticket(ids)) or tickets[-1]  # type: ignore[method-assign, func-returns-value]
    async with running(driver, shelf) as task:
        peer, *_ = await broker.subscribed()
        peer.send(publish(1))
        await shelf.arrived(1)
        await peer.close()
        await ended(task, LinkLost)
    async with running(driver, shelf):
        peer, *_ = await broker.subscribed(session_present=True)
        peer.send(publish(1, scan_body(2)))
        await shelf.arrived(2)
        assert driver.session.window.settle(tickets[0]) == b""
        shelf.let_through(1)
        assert (await peer.receive()).packet_id == 1


async def test_storage_unavailable_acknowledges_nothing_and_ends_the_run(broker: ScriptedBroker) -> None:
    """Not even with a failure code: the broker would forget the message. The next connection brings it again."""
    shelf = Shelf()
    shelf.answer = StorageUnavailable("the outbox is full", hint="make room")
    driver = subscriber(broker)
    async with running(driver, shelf) as task:
        peer, *_ = await broker.subscribed()
        peer.send(publish(1))
        error = await ended(task, LinkLost)
        assert ("storage" in str(error), error.hint) == (True, "make room")
        assert [type(one) for one in await peer.receive_all()] == [mqtt5.DisconnectPacket]
    assert driver.stats.storage_refusals == 1


async def test_a_refused_device_is_told_no_and_its_message_forgotten(broker: ScriptedBroker) -> None:
    shelf = Shelf()
    shelf.answer = Verdict("refused", reason="device is not configured")
    async with running(subscriber(broker), shelf):
        peer, *_ = await broker.subscribed()
        peer.send(publish(1))
        puback, ack = await peer.receive(), await peer.receive()
        assert int(puback.reason_code) == 0x87
        assert json.loads(ack.payload)["result"] == "refused"


async def test_a_topic_of_an_old_configuration_is_refused_and_given_up(broker: ScriptedBroker) -> None:
    """A reader was removed from the settings; its subscription lives on in the broker's session."""
    shelf = Shelf()
    driver = subscriber(broker)
    async with running(driver, shelf):
        peer, *_ = await broker.subscribed(session_present=True)
        peer.send(publish(1, topic="zebra/old/tags"))
        first, second = await peer.receive(), await peer.receive()
        assert isinstance(first, mqtt5.UnsubscribePacket)
        assert first.patterns == ["zebra/old/tags"]
        assert (second.packet_id, int(second.reason_code)) == (1, 0x87)
        assert (shelf.lists, driver.stats.foreign) == ([], 1)


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("dockline/v1/dc07/HH-7/scan", "'HH-7' is no device id"),
        ("dockline/v1/dc07/hh-7/more/scan", "'hh-7/more' is no device id"),
        ("zebra/old/tags", "no device has this topic"),
    ],
)
async def test_a_topic_that_leads_nowhere_is_in_the_log(
    topic: str, why: str, broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker says PUBACK and nobody answers: without a line here an app with a capital in its id just waits."""
    async with running(subscriber(broker), Shelf()):
        peer, *_ = await broker.subscribed()
        with caplog.at_level("WARNING"):
            peer.send(publish(1, topic=topic))
            await peer.receive()
            await peer.receive()
    (line,) = [record.getMessage() for record in caplog.records if "foreign_topic_refused" in record.getMessage()]
    assert topic in line and why in line


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (ConnAck.BAD_USER_NAME_OR_PASSWORD, DeviceFault),
        (ConnAck.NOT_AUTHORIZED, DeviceFault),
        (ConnAck.CLIENT_ID_NOT_VALID, DeviceFault),
        (ConnAck.UNSUPPORTED_PROTOCOL_VERSION, DeviceFault),
        (ConnAck.BANNED, DeviceFault),
        (ConnAck.SERVER_BUSY, LinkLost),
        (ConnAck.SERVER_UNAVAILABLE, LinkLost),
    ],
)
async def test_a_broker_that_says_no(broker: ScriptedBroker, reason: ConnAck, kind: type[Exception]) -> None:
    async with running(subscriber(broker), Shelf()) as task:
        peer = await broker.connection()
        peer.send(mqtt5.ConnAckPacket(reason_code=reason).write())
        error = await ended(task, kind)
        assert f"{int(reason):#04x}" in str(error)
        assert (error.hint is not None) == (kind is DeviceFault)


@pytest.mark.parametrize(
    ("reason", "kind", "word"),
    [
        (Reason.SESSION_TAKEN_OVER, DeviceFault, "another gateway uses this client id"),
        (Reason.NOT_AUTHORIZED, DeviceFault, "not authorized"),
        (Reason.SERVER_SHUTTING_DOWN, LinkLost, "shutting down"),
        (Reason.KEEP_ALIVE_TIMEOUT, LinkLost, "keep alive"),
    ],
)
async def test_a_broker_that_says_good_bye(
    broker: ScriptedBroker, reason: Reason, kind: type[Exception], word: str
) -> None:
    """Two gateways cloned from one image throw each other out for ever; the message must say so."""
    async with running(subscriber(broker), Shelf()) as task:
        peer, *_ = await broker.subscribed()
        peer.send(mqtt5.DisconnectPacket(reason_code=reason).write())
        assert word in str(await ended(task, kind))


@pytest.mark.parametrize(
    "code", [mqtt5.SubAckReasonCode.NOT_AUTHORIZED, mqtt5.SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE]
)
async def test_a_subscription_that_is_not_granted_as_asked_is_a_fault(
    broker: ScriptedBroker, code: mqtt5.SubAckReasonCode
) -> None:
    """At QoS 0 the broker forgets what it sent; what could not be stored would be lost without a word."""
    async with running(subscriber(broker), Shelf()) as task:
        peer = await broker.connection()
        await peer.receive()
        peer.send(ACCEPTED)
        subscribe = await peer.receive()
        peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [code]).write())
        error = await ended(task, DeviceFault)
        assert f"dockline/v1/{SITE}/+/scan" in str(error)
        assert error.hint


async def close(peer: Peer) -> None:
    await peer.close()


async def old(peer: Peer) -> None:
    peer.send(bytes.fromhex("20020001"))


async def garbage(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)


async def nothing(peer: Peer) -> None:
    del peer


@pytest.mark.parametrize(
    ("behaviour", "kind", "word"),
    [
        (close, LinkLost, "closed the connection"),
        (old, DeviceFault, "does not speak MQTT 5"),
        (garbage, LinkLost, "broke the protocol"),
        (nothing, LinkLost, "does not answer"),
    ],
)
async def test_something_that_is_no_broker_of_ours(
    broker: ScriptedBroker, behaviour: Callable[[Peer], Awaitable[None]], kind: type[Exception], word: str
) -> None:
    async with running(subscriber(broker, connect_timeout_s=0.3), Shelf()) as task:
        peer = await broker.connection()
        await peer.receive()
        await behaviour(peer)
        assert word in str(await ended(task, kind))


async def test_a_broker_that_fell_silent_is_lost(broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch between us is dead; TCP says nothing for hours."""
    settings = BrokerSettings(url=f"mqtt://127.0.0.1:{broker.port}").model_copy(update={"keep_alive_s": 0.2})
    driver = MqttSubscriber("mqtt-broker", settings, site=SITE, client_id="x")
    async with running(driver, Shelf()) as task:
        monkeypatch.setattr(
            mqtt5, "ConnectPacket", lambda client_id, **more: real(client_id, **{**more, "keep_alive": 1})
        )
        peer, *_ = await broker.subscribed()
        assert isinstance(await peer.receive(), mqtt5.PingReqPacket)
        assert "silent" in str(await ended(task, LinkLost))


real = mqtt5.ConnectPacket


async def test_nobody_there_is_link_lost_with_a_hint(broker: ScriptedBroker) -> None:
    driver = subscriber(broker, url="mqtt://127.0.0.1:1")
    error = await ended(asyncio.ensure_future(driver.run(Shelf().emit)), LinkLost)
    assert error.hint


async def test_a_forgotten_session_is_counted(broker: ScriptedBroker) -> None:
    """By another driver than the one that had it: after every loss a new one is made."""
    stats = SubscriberStats()
    for present, lost in ((False, 0), (True, 0), (False, 1)):
        driver = subscriber(broker, stats=stats)
        async with running(driver, Shelf()) as task:
            peer, *_ = await broker.subscribed(session_present=present)
            await asyncio.wait_for(driver.subscribed.wait(), BOUND_S)
            assert driver.stats.sessions_lost == lost
            await peer.close()
            await ended(task, LinkLost)


async def test_user_and_password_come_from_settings_and_file(broker: ScriptedBroker, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    async with running(subscriber(broker, username="dockline", password_file=file), Shelf()):
        _, connect, _ = await broker.subscribed()
        assert (connect.username, connect.password) == ("dockline", b"s3cret")
    driver = subscriber(broker, username="dockline", password_file=tmp_path / "missing")
    assert "missing" in str(await ended(asyncio.ensure_future(driver.run(Shelf().emit)), DeviceFault))


async def test_an_error_in_emit_ends_the_run(broker: ScriptedBroker) -> None:
    shelf = Shelf()
    shelf.answer = ZeroDivisionError("a bug")
    async with running(subscriber(broker), shelf) as task:
        peer, *_ = await broker.subscribed()
        peer.send(publish(1, topic=scan_topic("hh-7")))
        await ended(task, ZeroDivisionError)


async def test_a_probe_is_somebody_else_and_subscribes_to_nothing(broker: ScriptedBroker) -> None:
    """With the session's own client id it would throw the running gateway off the broker."""
    driver = subscriber(broker, username="dockline")
    task = asyncio.ensure_future(driver.probe())
    peer = await broker.connection()
    connect = await peer.receive()
    assert connect.client_id != driver.client_id
    assert (connect.clean_start, connect.session_expiry_interval, connect.username) == (True, 0, "dockline")
    peer.send(ACCEPTED)
    assert "lets us in" in await asyncio.wait_for(task, BOUND_S)
    assert isinstance(await peer.receive(), mqtt5.DisconnectPacket)


async def test_a_probe_that_is_refused_says_why(broker: ScriptedBroker) -> None:
    task = asyncio.ensure_future(subscriber(broker).probe())
    peer = await broker.connection()
    await peer.receive()
    peer.send(mqtt5.ConnAckPacket(reason_code=ConnAck.BAD_USER_NAME_OR_PASSWORD).write())
    assert "username and password_file" in str((await ended(task, DeviceFault)).hint)


async def driver_is_held(driver: MqttSubscriber, total: int) -> None:
    """Return once the subscriber stopped to read: its count of messages stands still below `total`."""
    async with asyncio.timeout(BOUND_S):
        while not driver.stats.received:
            await asyncio.sleep(0)
        before = -1
        while driver.stats.received != before:
            before = driver.stats.received
            for _ in range(200):
                await asyncio.sleep(0)
    assert driver.stats.received < total, "it took everything in, so nothing was held back"


class Wire(asyncio.Transport):
    """Takes everything and carries nothing."""

    def write(self, data: Any) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("pause_s", [9.0, 11.0])
def test_what_was_kept_for_us_may_come_slowly_before_the_suback(pause_s: float, request: pytest.FixtureRequest) -> None:
    """The broker begins with what it kept, and the line needs longer for one message than connecting may take.

    Given up, it would begin with the same message on the next connection, and never end it.
    """
    shelf = Shelf()
    kept = publish(1, scan_body(1, "x" * 6000)) + mqtt5.SubAckPacket(1, GRANTED).write()

    async def play() -> mqtt5.SubAckPacket:
        session = ClientSession(packet_bytes_max=65_536)
        settings = BrokerSettings(url="mqtt://127.0.0.1:1883")
        link = BrokerLink(session, Routes(SITE), settings, client_id="x", stats=SubscriberStats(), emit=shelf.emit)
        link.connection_made(Wire())
        link.send(session.connect(mqtt5.ConnectPacket("x")))
        loop = asyncio.get_running_loop()
        for number, at in enumerate(range(0, len(kept), 1000), 1):
            loop.call_later(number * pause_s, link.data_received, kept[at : at + 1000])
        return await link.hear(link.suback, settings.connect_timeout_s)

    loop = VirtualLoop()
    request.addfinalizer(loop.close)
    if pause_s < BrokerSettings(url="mqtt://127.0.0.1:1883").connect_timeout_s:
        assert loop.run_until_complete(play()).packet_id == 1
        assert len(shelf.readings) == 1
    else:
        with pytest.raises(TimeoutError):
            loop.run_until_complete(play())


async def test_a_broker_that_reads_slowly_is_not_asked_for_more_and_loses_nothing(broker: ScriptedBroker) -> None:
    """Ten thousand messages after an outage, and a line that carries the answers worse than the messages."""
    shelf = Shelf()
    shelf.answer = Verdict("stored", events=("e" * 5_000,))
    driver = subscriber(broker, outbound_bytes_max=65_536)
    async with running(driver, shelf) as task:
        peer, *_ = await broker.subscribed()
        peer.writer.transport.pause_reading()
        total = 3_000
        for number in range(1, total + 1):
            peer.send(publish(number, scan_body(number, "x" * 900)))
        await driver_is_held(driver, total)
        assert not task.done()
        peer.writer.transport.resume_reading()
        answered = 0
        while answered < total:
            packet = await peer.receive()
            assert packet is not None, task
            answered += isinstance(packet, mqtt5.PubAckPacket)
        assert len(shelf.readings) == total


async def test_a_broker_that_reads_nothing_any_more_is_lost(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_unread, "UNREAD_S", 0.3)
    shelf = Shelf()
    shelf.answer = Verdict("stored", events=("e" * 20_000,))
    async with running(subscriber(broker, outbound_bytes_max=65_536), shelf) as task:
        peer, *_ = await broker.subscribed()
        peer.writer.transport.pause_reading()
        for number in range(1, 2_000):
            peer.send(publish(number))
        assert "does not read" in str(await ended(task, LinkLost))
