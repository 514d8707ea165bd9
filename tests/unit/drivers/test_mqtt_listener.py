"""The listener, packet by packet: what is acknowledged and when, what is refused and how, what a bad peer costs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import mqtt5
import pytest
from mqtt5 import DisconnectReasonCode as Reason
from mqtt_peer import BOUND_S, SITE, Peer, Shelf, ack_topic, listening, publish, scan_body, scan_topic

from drivers import DeviceFault, StorageUnavailable, Verdict
from drivers.mqtt_listener import ListenerSettings, MqttListener
from drivers.reading import Reading
from drivers.scan_message import ParsedBody


def ids(packets: list[Any]) -> list[int]:
    return [packet.packet_id for packet in packets]


async def take(peer: Peer, count: int) -> list[Any]:
    return [await peer.receive() for _ in range(count)]


def goodbye(packets: list[Any]) -> Reason:
    """The reason code of the DISCONNECT that ends what was received."""
    assert isinstance(packets[-1], mqtt5.DisconnectPacket), packets
    return packets[-1].reason_code


# Heard means held.


async def test_puback_leaves_after_the_commit_and_not_before() -> None:
    """The disk is slow; the operator must not hear a beep for a scan that a power cut would take."""
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1))
        await shelf.arrived(1)
        assert await peer.is_quiet()
        shelf.let_through()
        [puback] = await take(peer, 1)
        assert (puback.packet_id, int(puback.reason_code)) == (1, 0)
        await peer.close()


async def test_all_that_one_read_brought_is_one_list_and_one_write() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(*(publish(number) for number in range(1, 51)))
        assert ids(await take(peer, 50)) == list(range(1, 51))
        assert [len(one) for one in shelf.lists] == [50]
        assert [one.message_id for one in shelf.readings] == [f"hh-7-{number:06d}" for number in range(1, 51)]
        await peer.close()


async def test_pubacks_leave_in_order_of_arrival_though_the_second_commit_returns_first() -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        for number in (5, 3, 4):
            peer.send(publish(number))
            await shelf.arrived([5, 3, 4].index(number) + 1)
        shelf.let_through(1)
        shelf.let_through(2)
        assert await peer.is_quiet()
        shelf.let_through(0)
        assert ids(await take(peer, 3)) == [5, 3, 4]
        await peer.close()


async def test_an_old_commit_acknowledges_nothing_on_a_new_connection() -> None:
    """Wi-Fi drops, the handheld is back and reuses identifier 1 for another scan before the old commit returns."""
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        port = listener.address[1]
        old = await Peer.hello(port)
        old.send(publish(1))
        await shelf.arrived(1)
        new = await Peer.hello(port)
        new.send(publish(1, scan_body(2)))
        await shelf.arrived(2)
        shelf.let_through(0)
        assert await new.is_quiet()
        shelf.let_through(1)
        assert ids(await take(new, 1)) == [1]
        assert goodbye(await old.receive_all()) is Reason.SESSION_TAKEN_OVER
        await old.close()
        await new.close()


async def test_storage_unavailable_is_no_puback_but_a_disconnect() -> None:
    """A PUBACK with a failure code would tell the handheld to forget the scan."""
    shelf = Shelf()
    shelf.answer = StorageUnavailable("the outbox is full")
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1))
        packets = await peer.receive_all()
        assert [type(packet) for packet in packets] == [mqtt5.DisconnectPacket]
        assert goodbye(packets) is Reason.QUOTA_EXCEEDED
        assert listener.stats.storage_refusals == 1
        await peer.close()
        shelf.answer = Verdict("stored")
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1, duplicate=True))
        assert ids(await take(peer, 1)) == [1]
        await peer.close()


async def test_a_scan_of_qos_0_is_stored_though_its_sender_left_at_once() -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(None, scan_body(1)), mqtt5.DisconnectPacket().write())
        await shelf.arrived(1)
        assert await peer.receive_all() == []
        await peer.close()
        shelf.let_through()
        assert shelf.readings[0].message_id == "hh-7-000001"


async def test_an_error_in_emit_ends_the_run_instead_of_a_task() -> None:
    """A bug upstream must reach the supervisor, not a log line about a task."""
    shelf = Shelf()
    shelf.answer = ZeroDivisionError("a bug")
    listener = MqttListener(
        "mqtt-listener", ListenerSettings(bind="127.0.0.1:0", unauthenticated="accept-in-lab"), site=SITE
    )
    task = asyncio.ensure_future(listener.run(shelf.emit))
    await asyncio.wait_for(listener.listening.wait(), BOUND_S)
    peer = await Peer.hello(listener.address[1])
    peer.send(publish(1))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, BOUND_S)
    await peer.close()


async def test_a_stop_lets_what_is_on_its_way_arrive_and_says_good_bye() -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1))
        await shelf.arrived(1)
        asyncio.get_running_loop().call_later(0.05, shelf.let_through)
    packets = await peer.receive_all()
    assert ids(packets[:-1]) == [1]
    assert goodbye(packets) is Reason.SERVER_SHUTTING_DOWN
    await peer.close()


# Whose message it is.


async def test_the_topic_of_another_device_is_refused_counted_and_not_stored() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        foreign = [scan_topic("hh-8"), ack_topic("hh-7"), "any/thing", "dockline/v1/elsewhere/hh-7/scan"]
        peer.send(publish(1), *(publish(number, topic=topic) for number, topic in enumerate(foreign, 2)), publish(9))
        pubacks = await take(peer, 6)
        assert [(one.packet_id, int(one.reason_code)) for one in pubacks] == [
            (1, 0), (2, 0x87), (3, 0x87), (4, 0x87), (5, 0x87), (9, 0)
        ]  # fmt: skip
        assert {one.device for one in shelf.readings} == {"hh-7"}
        assert len(shelf.readings) == 2
        assert listener.stats.foreign == 4
        await peer.close()


async def test_only_foreign_messages_wake_nobody_up() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1, device="hh-8"))
        assert [int(one.reason_code) for one in await take(peer, 1)] == [0x87]
        assert shelf.lists == []
        await peer.close()


async def test_a_device_that_is_not_configured_hears_no_in_both_ways() -> None:
    shelf = Shelf()
    shelf.answer = Verdict("refused", reason="device is not configured")
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        await peer.subscribe(ack_topic("hh-7"))
        peer.send(publish(1))
        puback, ack = await take(peer, 2)
        assert int(puback.reason_code) == 0x87
        assert json.loads(ack.payload)["result"] == "refused"
        assert (listener.stats.refused, listener.stats.acknowledged) == (1, 0)
        await peer.close()


async def test_a_reader_with_a_topic_of_its_own_is_understood_by_its_own_parser() -> None:
    def parse(device: str, body: bytes) -> ParsedBody:
        return ParsedBody([Reading(device, "tag", body)] if body else [])

    shelf = Shelf()
    readers = {"zebra/portal-1/tags": ("portal-1", parse)}
    async with listening(shelf, readers=readers) as listener:
        reader = await Peer.hello(listener.address[1], "portal-1")
        reader.send(publish(1, b"x", topic="zebra/portal-1/tags"), publish(2, b"", topic="zebra/portal-1/tags"))
        assert [(one.packet_id, int(one.reason_code)) for one in await take(reader, 2)] == [(1, 0), (2, 0)]
        assert [(one.device, one.kind, one.may_repeat) for one in shelf.readings] == [("portal-1", "tag", False)]
        reader.send(publish(3, b"x", topic="zebra/portal-1/tags", duplicate=True))
        await take(reader, 1)
        assert shelf.readings[-1].may_repeat
        other = await Peer.hello(listener.address[1], "hh-7")
        other.send(publish(1, b"x", topic="zebra/portal-1/tags"))
        assert [int(one.reason_code) for one in await take(other, 1)] == [0x87]
        await reader.close()
        await other.close()


@pytest.mark.parametrize("client_id", ["HH-7", "hh+7", "hh/7", "#", "-hh", "h" * 64, "hh 7", ""])
async def test_a_client_id_that_is_no_device_id_is_turned_away_in_the_lab(client_id: str) -> None:
    async with listening(Shelf()) as listener:
        peer = await Peer.connect(listener.address[1])
        assert (await peer.introduce(client_id)).reason_code is mqtt5.ConnAckReasonCode.CLIENT_ID_NOT_VALID
        assert await peer.receive() is None
        assert listener.stats.connections_refused == 1
        await peer.close()


# What the device hears.


async def test_acknowledgements_go_where_the_device_listens_and_nowhere_else() -> None:
    shelf = Shelf()
    mine, replies = ack_topic("hh-7"), ack_topic("hh-7") + "/replies"
    async with listening(shelf) as listener:
        other = await Peer.hello(listener.address[1], "hh-8")
        assert await other.subscribe(mine, ack_topic("hh-8")) == [0x87, 0]
        peer = await Peer.hello(listener.address[1])
        assert await peer.subscribe(mine, replies, mine + "/#", "#", scan_topic("hh-7")) == [0, 0, 0x87, 0x87, 0x87]
        peer.send(
            publish(1, correlation_data=b"\xffx"),
            publish(2, response_topic=replies, correlation_data=b"y"),
            publish(3, response_topic=ack_topic("hh-8")),
            publish(4, b"[" + scan_body(4) + b"," + scan_body(5) + b"]"),
            publish(None, scan_body(6)),
        )
        packets = await take(peer, 4 + 5)
        acks = [packet for packet in packets if isinstance(packet, mqtt5.PublishPacket)]
        assert [(ack.topic, ack.correlation_data) for ack in acks] == [
            (mine, b"\xffx"), (replies, b"y"), (mine, None), (mine, None), (mine, None)
        ]  # fmt: skip
        said = [json.loads(ack.payload) for ack in acks]
        assert said[0] == {"id": "hh-7-000001", "result": "stored", "events": ["event-1"], "exceptions": []}
        assert [one["id"] for one in said[3]] == ["hh-7-000004", "hh-7-000005"]
        assert said[4]["id"] == "hh-7-000006"
        assert await other.is_quiet()
        await peer.close()
        await other.close()


async def test_a_body_that_is_not_understood_is_stored_and_the_device_hears_that() -> None:
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        await peer.subscribe(ack_topic("hh-7"))
        peer.send(publish(1, b"\x00not json"))
        puback, ack = await take(peer, 2)
        assert int(puback.reason_code) == 0
        assert json.loads(ack.payload)["exceptions"][0]["code"] == "unreadable"
        assert [(one.kind, one.raw) for one in shelf.readings] == [("unreadable", b"\x00not json")]
        await peer.close()


async def test_an_acknowledgement_over_the_clients_packet_size_is_not_sent() -> None:
    shelf = Shelf()
    shelf.answer = Verdict("stored", events=("e" * 500,))
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1], max_packet_size=300)
        await peer.subscribe(ack_topic("hh-7"))
        peer.send(publish(1))
        assert ids(await take(peer, 1)) == [1]
        assert await peer.is_quiet()
        await peer.close()


# Sessions.


async def test_a_session_outlives_its_connection_when_the_client_asks_for_it() -> None:
    """Told "no session" after a dropped line, a client must forget the scans it was never answered for."""
    async with listening(Shelf()) as listener:
        port = listener.address[1]
        peer = await Peer.connect(port)
        assert not (await peer.introduce(clean_start=False, session_expiry_interval=60)).session_present
        await peer.subscribe(ack_topic("hh-7"))
        await peer.close()
        peer = await Peer.connect(port)
        while not (await peer.introduce(clean_start=False, session_expiry_interval=60)).session_present:
            await peer.close()
            peer = await Peer.connect(port)
        peer.send(publish(1))
        puback, ack = await take(peer, 2)
        assert (puback.packet_id, ack.topic) == (1, ack_topic("hh-7"))
        taking_over = await Peer.connect(port)
        assert (await taking_over.introduce(clean_start=False, session_expiry_interval=60)).session_present
        fresh = await Peer.connect(port)
        assert not (await fresh.introduce(clean_start=True)).session_present
        for one in (peer, taking_over, fresh):
            await one.close()


async def test_another_device_cannot_end_a_session_by_using_its_client_id(tmp_path: Path) -> None:
    file = tmp_path / "devices.passwd"
    file.write_text(PASSWORDS)
    async with listening(Shelf(), users_file=file) as listener:
        port = listener.address[1]
        victim = await Peer.hello(port, "tablet", username="hh-7", password=b"seven")
        thief = await Peer.hello(port, "tablet", username="hh-8", password=b"eight")
        victim.send(mqtt5.PingReqPacket().write())
        assert isinstance(await victim.receive(), mqtt5.PingRespPacket)
        await victim.close()
        await thief.close()


async def test_a_client_without_an_id_is_given_one(tmp_path: Path) -> None:
    file = tmp_path / "devices.passwd"
    file.write_text(PASSWORDS)
    async with listening(Shelf(), users_file=file) as listener:
        peers = [await Peer.connect(listener.address[1]) for _ in range(2)]
        given = [(await peer.introduce("", username="hh-7", password=b"seven")).assigned_client_id for peer in peers]
        assert len(set(given)) == 2
        assert all(given)
        for peer in peers:
            await peer.close()


# Users.

PASSWORDS = (
    "hh-7:$6$c2FsdHNhbHRzYWx0$"
    "g+bKhmH4bREZ5LSZgVDcdWsJV+NIV0JCqKpduKiqjokJFV4TnCQwwU2IskSuAfunhdwdRlwCLlyigug9ozWhHA==\n"
    "hh-8:$6$c2FsdHNhbHRzYWx0$"
    "y1ghhcBQhsyIA86YdXAERe7p5bVq6eu8vuxUTURdHtzhPmt0Bh6knYTT8QSvwg2HCB/a+K66Nr7XH9YgCw1u9g==\n"
    "Boss:$6$c2FsdHNhbHRzYWx0$"
    "1EFCBOSTRjuuFyF9/GGGiugONnyfKdWwZ2ZQC86S6luAWddFaQ9ng3ot4OZcFroXHhqGn658LjiKY8dXQNp7GA==\n"
)


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"username": "hh-7", "password": b"seven"}, 0),
        ({"username": "hh-7", "password": b"eight"}, 0x86),
        ({"username": "hh-9", "password": b"seven"}, 0x86),
        ({"username": "hh-7"}, 0x86),
        ({}, 0x87),
        ({"username": "Boss", "password": b"boss"}, 0x87),
    ],
)
async def test_who_is_let_in_by_password(tmp_path: Path, credentials: dict[str, Any], code: int) -> None:
    file = tmp_path / "devices.passwd"
    file.write_text(PASSWORDS)
    async with listening(Shelf(), users_file=file) as listener:
        peer = await Peer.connect(listener.address[1])
        assert int((await peer.introduce("whatever", **credentials)).reason_code) == code
        await peer.close()


async def test_the_device_is_the_user_whatever_the_client_id_says(tmp_path: Path) -> None:
    file = tmp_path / "devices.passwd"
    file.write_text(PASSWORDS)
    shelf = Shelf()
    async with listening(shelf, users_file=file) as listener:
        peer = await Peer.hello(listener.address[1], "hh-8", username="hh-7", password=b"seven")
        peer.send(publish(1, device="hh-8"), publish(2, device="hh-7"))
        assert [int(one.reason_code) for one in await take(peer, 2)] == [0x87, 0]
        await peer.close()


async def test_a_users_file_that_cannot_be_read_is_a_fault_a_person_hears_of(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="missing"):
        async with listening(Shelf(), users_file=tmp_path / "missing"):
            pass


async def test_an_address_that_is_taken_is_a_fault_a_person_hears_of() -> None:
    async with listening(Shelf()) as listener:
        again = ListenerSettings(bind=f"127.0.0.1:{listener.address[1]}", unauthenticated="accept-in-lab")
        with pytest.raises(DeviceFault) as caught:
            await asyncio.wait_for(MqttListener("mqtt-listener", again, site=SITE).run(Shelf().emit), BOUND_S)
        assert "ss -ltnp" in (caught.value.hint or "")
